"""A worker dies at some step of some commit, or loses its partitions: its heir goes on from there.

What is published over all lives is, event for event, what one that never died would have said.
"""

from __future__ import annotations

import json

import pytest

from streamdet import snapshot
from streamdet.errors import TransactionAborted
from streamdet.state import ledger
from streamdet.testing import CrashPoint
from streamdet.types import OutgoingRecord
from tests.service import (
    ANOMALIES,
    GROUP,
    INPUT,
    STATE,
    Worker,
    broker,
    config,
    point,
    produce,
    with_spikes,
)

MINUTES, HOSTS = 90, 6
STEPS = {
    "exactly_once": ["producer.begin", "producer.send", "producer.flush", "producer.commit"],
    "at_least_once": ["producer.send", "producer.flush", "consumer.commit"],
}
RULES = [
    {"match": {"dimensions": {"host": "1"}}, "set": {"allowed_lateness": "5m"}},
    {
        "match": {"dimensions": {"host": "2"}},
        "set": {"aggregate": {"interval": "5m", "function": "mean"}},
    },
    {"match": {"dimensions": {"host": "3"}}, "set": {"transform": "rate"}},
    {
        "match": {"dimensions": {"host": "4"}},
        "set": {"detector": "spectral_residual", "duplicates": "last"},
    },
]


@pytest.fixture(autouse=True, scope="module")
def _a_chunk_for_each_series():
    whole, longest_s = ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S
    ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S = 1, 0.5  # and one is all that a commit takes
    yield
    ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S = whole, longest_s


def filled(partitions: int = 2):
    """Return a broker with points of some hosts, in two partitions."""
    on = broker(partitions)
    for minute in range(MINUTES):
        for host in range(HOSTS):
            values = with_spikes(MINUTES, at=[30 + host, 60], seed=host)
            body = point(minute, values[minute], host=str(host))
            produce(on, [body], host % partitions, key=str(host).encode())
    return on


def settings(delivery: str = "exactly_once", batch_records: int = 25, **more):
    return config(
        delivery=delivery,
        publish="all",
        rules=RULES,
        state={"topic": STATE, "bytes_per_second": 1024},  # a few chunks a commit
        limits={"batch_records": batch_records},
        **more,
    )


def said(on) -> dict[str, dict]:
    """Return each event by its id; those that came twice say the same."""
    found: dict[str, dict] = {}
    for record in on.read(ANOMALIES):
        event = json.loads(record.value)
        assert found.setdefault(event["id"], event) == event
    return found


@pytest.fixture(scope="module")
def undisturbed():
    found = {}
    for delivery in STEPS:
        on = filled()
        Worker(on, settings(delivery)).drain()
        found[delivery] = said(on)
    return found


CASES = [
    (delivery, step, after, skip)
    for delivery, steps in STEPS.items()
    for step in steps
    for after in (False, True)
    for skip in (0, 3, 8)
]


@pytest.mark.parametrize(("delivery", "step", "after", "skip"), CASES)
def test_a_crash_at_any_step_of_any_commit_changes_nothing(
    undisturbed, delivery, step, after, skip
):
    on = filled()
    on.fail_at(step, CrashPoint(), after=after, skip=skip)
    dead = Worker(on, settings(delivery))
    with pytest.raises(CrashPoint):
        dead.drain()
    on.expel(dead.consumer)
    # Commits before it has come to where the dead one's state is.
    Worker(on, settings(delivery, 7)).drain()
    assert said(on) == undisturbed[delivery]
    if delivery == "exactly_once":
        assert len(on.read(ANOMALIES)) == len(undisturbed[delivery])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS["at_least_once"])
def test_heirs_that_die_before_they_come_to_where_the_state_is_change_nothing(
    undisturbed, step, after
):
    on = filled()
    on.fail_at(step, CrashPoint(), after=after, skip=3)
    dead = Worker(on, settings("at_least_once"))
    with pytest.raises(CrashPoint):
        dead.drain()
    on.expel(dead.consumer)
    for _ in range(4):
        heir = Worker(on, settings("at_least_once", 3))
        heir.turn(4)
        on.expel(heir.consumer)
    Worker(on, settings("at_least_once")).drain()
    assert said(on) == undisturbed["at_least_once"]


@pytest.mark.parametrize("skip", [0, 2, 5, 9])
@pytest.mark.parametrize("after", [False, True])
def test_an_aborted_transaction_is_done_again_from_the_state_before_it(undisturbed, after, skip):
    on = filled()
    on.fail_at("producer.flush", TransactionAborted("no"), after=after, skip=skip)
    worker = Worker(on, settings())
    for _ in range(60):
        try:
            worker.turn()
        except TransactionAborted as error:
            worker.pipeline._discard(error)
    worker.drain()
    assert said(on) == undisturbed["exactly_once"]
    assert len(on.read(ANOMALIES)) == len(undisturbed["exactly_once"])


@pytest.mark.parametrize("delivery", STEPS)
def test_partitions_that_move_to_and_fro_take_their_state_along(undisturbed, delivery):
    on = filled()
    workers = [Worker(on, settings(delivery), name="a")]
    for turn in range(60):
        if turn in (3, 9):
            workers.append(Worker(on, settings(delivery), name=f"more {turn}"))
        if turn in (6, 15):
            workers.pop(0).consumer.close()
        for worker in workers:
            worker.turn()
    for worker in workers:
        worker.drain()
    assert said(on) == undisturbed[delivery]


def test_series_that_were_known_are_not_warming_after_a_restart(undisturbed):
    on = filled()
    for _ in range(4):
        worker = Worker(on, settings())
        worker.turn(4)
        on.expel(worker.consumer)
    Worker(on, settings()).drain()
    warming = [event for event in said(on).values() if event["status"] == "warming"]
    same = [e for e in undisturbed["exactly_once"].values() if e["status"] == "warming"]
    assert len(warming) == len(same)
    assert said(on) == undisturbed["exactly_once"]


def test_a_state_record_that_is_broken_makes_its_series_cold_and_is_told(caplog):
    on = filled()
    worker = Worker(on, settings())
    worker.turn(6)
    on.expel(worker.consumer)
    for record in on.read(STATE):
        if b"partition" not in record.key and record.value:
            broken = record.value[:40] + bytes([record.value[40] ^ 1]) + record.value[41:]
            on.append(OutgoingRecord(STATE, record.key, broken), record.partition.index)
    heir = Worker(on, settings())
    heir.drain()
    assert "begin cold" in caplog.text
    assert heir.metric("state_problems_total") > 0
    assert on.committed(GROUP)
    assert len(on.read(INPUT)) == MINUTES * HOSTS


def test_offsets_that_were_set_back_make_a_cold_start_that_is_told(caplog):
    on = filled()
    Worker(on, settings()).drain()
    group = on.group(GROUP)
    for member in list(group.members):
        on.expel(member)
    group.offsets.update(dict.fromkeys(group.offsets, 20))
    heir = Worker(on, settings())
    heir.drain()
    assert "it was set back" in caplog.text
    assert heir.metric("state_problems_total") == 2
    assert heir.outcomes() == {"ok": MINUTES * HOSTS - 40}


@pytest.mark.parametrize("skip", [0, 2, 5])
def test_points_that_the_state_contains_are_counted_once_more_where_they_are_read(skip):
    on = filled()
    on.fail_at("consumer.commit", CrashPoint(), skip=skip)
    dead = Worker(on, settings("at_least_once"))
    with pytest.raises(CrashPoint):
        dead.drain()
    on.expel(dead.consumer)
    heir = Worker(on, settings("at_least_once"))
    heir.drain()
    consumed = heir.metric("points_consumed_total", topic=INPUT)
    assert consumed == sum(heir.outcomes().values())


def test_other_partitions_are_worked_on_while_the_state_of_one_is_loaded():
    on = broker(2)
    hosts = 5 * snapshot._CHUNKS_A_STEP  # a chunk each
    for host in range(hosts):
        produce(on, [point(0, 100.0, host=str(host))], key=str(host).encode())
    first = Worker(on, config(publish="all", limits={"batch_records": 10}))
    first.drain()
    on.expel(first.consumer)
    for minute in range(100):
        produce(on, [point(minute, 100.0, host="other")], 1, key=b"other")
    heir = Worker(on, config(publish="all", limits={"batch_records": 10}))
    heir.turn()
    seen = []
    while heir.pipeline.status.not_ready is not None:
        heir.turn()
        seen.append(len(on.read(ANOMALIES)))
    assert seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize("turns", range(15, 21))
def test_what_follows_an_onset_that_was_replayed_names_its_incident(undisturbed, turns):
    on = filled()
    worker = Worker(on, settings())
    worker.turn(turns)
    on.expel(worker.consumer)
    Worker(on, settings()).drain()
    assert said(on) == undisturbed["exactly_once"]


def test_without_a_state_topic_the_time_before_batches_is_not_kept_for_a_replay():
    on = filled()
    worker = Worker(on, config(state={"topic": None}, limits={"batch_records": 25}))
    worker.drain()
    assert worker.outcomes() == {"ok": MINUTES * HOSTS}
    assert [task.past.at(0) for task in worker.pipeline._assignment.tasks.values()] == [None, None]
