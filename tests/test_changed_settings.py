"""A worker starts on state that one of other settings has left: what is kept, and what is told."""

from __future__ import annotations

from collections import Counter

import pytest

from streamdet.config import Config
from streamdet.types import OutgoingRecord
from tests.service import (
    ANOMALIES,
    DEAD_LETTERS,
    GROUP,
    INPUT,
    START_MS,
    STATE,
    Worker,
    broker,
    config,
    events,
    noise,
    point,
    produce,
)

MINUTES, HOSTS, WARMUP = 40, 6, 12


def hours(start: int) -> list[bytes]:
    values = [noise(2 * MINUTES, seed=host) for host in range(HOSTS)]
    return [
        point(minute, values[host][minute], host=str(host))
        for minute in range(start, start + MINUTES)
        for host in range(HOSTS)
    ]


def warming_after(change: dict, before: dict | None = None) -> tuple[Counter, Worker]:
    """Return how many points of each host were warming once a worker with `change` took over."""
    on = broker()
    produce(on, hours(0))
    first = Worker(on, config(publish="all", **(before or {})))
    first.drain()
    first.consumer.close()
    said = len(events(on))
    produce(on, hours(MINUTES))
    worker = Worker(on, config(publish="all", **change))
    worker.drain()
    later = events(on)[said:]
    dropped = worker.outcomes().get("dropped_series_limit", 0)
    pending = worker.metric("pending_points", topic=INPUT, partition="0")
    assert len(later) + dropped + pending == MINUTES * HOSTS
    found = Counter(e["dimensions"]["host"] for e in later if e["status"] == "warming")
    return found, worker


@pytest.mark.parametrize(
    "change",
    [
        {"detection": {"sensitivity": 95}},
        {"detection": {"direction": "up"}},
        {"detection": {"allowed_lateness": "5m"}},
        {"detection": {"ring_length": 288}},  # a longer ring than is wanted is no harm
        {"limits": {"batch_records": 7}},
        {"commit_interval": "5s"},
    ],
    ids=str,
)
def test_what_leaves_the_state_as_it_is_leaves_it(change):
    warming, worker = warming_after(change)
    assert not warming
    assert worker.metric("state_problems_total") == 0


@pytest.mark.parametrize(
    ("change", "before"),
    [
        ({"detection": {"detector": "spectral_residual"}}, {}),
        ({"detection": {"ring_length": 288}}, {"detection": {"ring_length": 64}}),
        ({"detection": {"period": 1440}}, {"detection": {"ring_length": 64}}),
    ],
    ids=str,
)
def test_series_that_need_another_row_or_a_longer_ring_begin_cold_and_it_is_told(
    change, before, caplog
):
    warming, worker = warming_after(change, before)
    assert set(warming) == {str(host) for host in range(HOSTS)}
    assert worker.metric("state_problems_total") >= 1
    assert f"{HOSTS} series of" in caplog.text
    assert "have other settings now" in caplog.text


def test_only_series_whose_rule_has_changed_begin_cold(caplog):
    rule = {"match": {"dimensions": {"host": "2"}}, "set": {"detector": "spectral_residual"}}
    warming, _ = warming_after({"rules": [rule]})
    assert set(warming) == {"2"}
    assert "1 series of" in caplog.text


def test_a_smaller_limit_keeps_as_many_series_as_there_is_room_for(caplog):
    warming, worker = warming_after({"limits": {"max_series": 4}})
    assert not warming
    assert worker.outcomes() == {"ok": 4 * MINUTES, "dropped_series_limit": 2 * MINUTES}
    assert "2 series of" in caplog.text


def test_a_larger_limit_changes_nothing():
    warming, worker = warming_after({"limits": {"max_series": 40}}, {"limits": {"max_series": 6}})
    assert not warming
    assert worker.metric("state_problems_total") == 0


def test_without_a_state_topic_all_begin_cold():
    warming, _ = warming_after({"state": {"topic": None}})
    assert warming == {str(host): WARMUP for host in range(HOSTS)}


def test_several_topics_have_their_states_beside_each_other():
    others = "others"
    on = broker(partitions=2)
    on.create_topic(others, 2)

    def settings() -> Config:
        return Config.model_validate(
            {
                "kafka": {"group_id": GROUP},
                "input": {"topics": [INPUT, others]},
                "output": {
                    "anomalies": ANOMALIES, "dead_letters": DEAD_LETTERS, "publish": "all",
                },
                "state": {"topic": STATE},
            }
        )  # fmt: skip

    def write(start: int) -> None:
        for topic in (INPUT, others):
            for body in hours(start):
                on.append(OutgoingRecord(topic, b"k", body, timestamp_ms=START_MS), 1)

    def work(name: str) -> None:
        worker = Worker(on, settings(), name)
        worker.consumer.subscribe([INPUT, others], worker.pipeline)
        worker.drain()
        assert worker.metric("state_problems_total") == 0
        worker.consumer.close()

    write(0)
    work("first")
    assert {record.partition.index for record in on.read(STATE)} == {1}  # as the input's
    said = len(events(on))
    write(MINUTES)
    work("second")
    later = events(on)[said:]
    assert len(later) == 2 * MINUTES * HOSTS
    assert {event["source"]["topic"] for event in later} == {INPUT, others}
    assert not [event for event in later if event["status"] == "warming"]
