"""The whole service, from records to events, on the in-memory broker."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from streamdet.errors import FatalError, RetriableError, TransactionAborted
from streamdet.testing import MemoryProducer
from streamdet.types import Partition
from tests.serde.bad_input import CASES
from tests.service import (
    ANOMALIES,
    DEAD_LETTERS,
    GROUP,
    INPUT,
    START_MS,
    Worker,
    anomalies,
    broker,
    config,
    events,
    noise,
    point,
    produce,
    with_spikes,
)

P0 = Partition(INPUT, 0)


def points(values, **dimensions):
    return [point(minute, value, **dimensions) for minute, value in enumerate(values)]


def run(on, settings=None):
    worker = Worker(on, settings)
    worker.drain()
    return worker


def test_a_spike_becomes_one_event_keyed_by_its_series():
    on = broker()
    produce(on, points(with_spikes(100, at=[60]), host="a"))
    worker = run(on)
    [record, _] = on.read(ANOMALIES)
    event = json.loads(record.value)
    assert record.key == b'm{host="a"}'
    assert event["source"] == {"topic": INPUT, "partition": 0, "offset": 60}
    assert event["timestamp"] == "2021-03-02T13:00:00Z"
    assert event["isPositiveAnomaly"] is True
    assert event["lowerBoundary"] < event["expectedValue"] < event["upperBoundary"] < event["value"]
    assert on.committed(GROUP) == {P0: 100}
    assert worker.outcomes() == {"ok": 100}


def test_publish_all_sends_a_verdict_for_every_point_warming_ones_included():
    on = broker()
    produce(on, points(with_spikes(30, at=[20])))
    run(on, config(publish="all"))
    found = events(on)
    assert [e["source"]["offset"] for e in found] == list(range(30))
    assert [e["status"] for e in found] == ["warming"] * 12 + ["ok"] * 18
    assert [e["isAnomaly"] for e in found].index(True) == 20


def test_an_eager_worker_commits_when_events_wait_and_else_at_its_interval():
    on = broker()
    produce(on, points(with_spikes(100, at=[60]), host="a"))
    worker = Worker(on, config(commit_mode="eager", limits={"batch_records": 10}))
    while worker.pipeline.status.not_ready is not None:
        worker.turn(commit=False)
    while not on.read(ANOMALIES):
        assert on.committed(GROUP) == {}
        worker.turn(commit=False)
    assert [event["source"]["offset"] for event in events(on)] == [60, 65]  # and its recovery
    assert on.committed(GROUP) == {P0: 70}
    worker.turn(commit=False)
    assert on.committed(GROUP) == {P0: 70}
    worker.turn()
    assert on.committed(GROUP) == {P0: 90}


def test_after_an_abort_commits_are_small_and_grow_again():
    on = broker()
    produce(on, points(noise(400)))
    worker = Worker(on, config(limits={"batch_records": 80}))
    while worker.pipeline.status.not_ready is not None:
        worker.turn(commit=False)
    for _ in range(2):  # what was read could not be delivered in time
        worker.pipeline._discard(TransactionAborted("records left"))
    found = [0]
    for _ in range(10):  # the clock stands still: no commit is due
        worker.turn(commit=False)
        found.append(on.committed(GROUP).get(P0, 0))
    assert [b - a for a, b in pairwise(found) if a != b] == [20, 40]
    worker.turn()
    assert on.committed(GROUP) == {P0: 400}


def test_events_wait_for_the_interval_unless_eager():
    on = broker()
    produce(on, points(with_spikes(100, at=[60]), host="a"))
    worker = Worker(on)
    for _ in range(10):
        worker.turn(commit=False)
    assert on.read(ANOMALIES) == []
    worker.turn()
    assert len(on.read(ANOMALIES)) == 2


@pytest.mark.parametrize("batch_records", [1, 7, 64])
def test_the_size_of_batches_changes_nothing(batch_records):
    def found(limit):
        on = broker()
        for series, seed in [("a", 1), ("b", 2), ("c", 3)]:
            produce(on, points(with_spikes(80, at=[30, 31, 70], seed=seed), host=series))
        run(on, config(limits={"batch_records": limit}))
        return events(on)

    assert found(batch_records) == found(4000)
    assert len(found(4000)) >= 6


def test_every_way_of_writing_a_series_is_one_series():
    on = broker()
    values = with_spikes(40, at=[30])
    spellings = [
        lambda m, v: point(m, v, host="a", region="eu"),
        lambda m, v: point(m, v, region="eu", host="a"),
        lambda m, v: point(m, v, region="eu", host="a").replace(b" ", b""),
        lambda m, v: b"[" + point(m, v, host="\u0061", region="eu") + b"]",
    ]
    produce(on, [spellings[m % 4](m, v) for m, v in enumerate(values)])
    worker = run(on)
    assert [e["source"]["offset"] for e in anomalies(on)] == [30]
    assert worker.metric("series_active", topic=INPUT, partition="0") == 1


def test_late_and_doubled_points_are_counted_and_change_nothing():
    values = with_spikes(60, at=[50])
    clean, messy = broker(), broker()
    produce(clean, points(values))
    records = points(values)
    records[41:41] = [records[40], point(12, 1e6)]
    produce(messy, records)
    run(clean)
    worker = run(messy)
    [want], [got] = anomalies(clean), anomalies(messy)
    assert got["expectedValue"] == want["expectedValue"]
    assert worker.outcomes() == {"ok": 60, "late": 1, "duplicate": 1}


def test_every_bad_record_is_a_dead_letter_and_the_good_points_are_processed():
    on = broker()
    cases = [case for case in CASES if case.timestamp_ms == START_MS]
    for case in cases:
        produce(on, [case.value], key=case.key)
    worker = run(on)
    letters = [
        (record, {k: v for k, v in record.headers if k.startswith("__streamdet.errors.")})
        for record in on.read(DEAD_LETTERS)
    ]
    want = [
        (offset, element, reason)
        for offset, case in enumerate(cases)
        for element, reason in case.refusals
    ]
    assert [int(headers["__streamdet.errors.offset"]) for _, headers in letters] == [
        offset for offset, case in enumerate(cases) if case.refusals
    ]
    for record, headers in letters:
        case = cases[int(headers["__streamdet.errors.offset"])]
        elements = [str(element) for element, _ in case.refusals if element is not None]
        assert headers.get("__streamdet.errors.index", b"").decode() == ",".join(elements)
        assert headers["__streamdet.errors.reason"].decode() == case.refusals[0][1]
        assert record.key == case.key
        assert case.value is not None
        assert case.value.startswith(record.value)
    assert on.committed(GROUP) == {P0: len(cases)}
    outcomes = worker.outcomes()
    assert outcomes["dead_lettered"] == len(want)
    assert outcomes["tombstone"] == sum(case.tombstone for case in cases)
    good = sum(outcomes.get(o, 0) for o in ("ok", "late", "duplicate"))
    assert good == sum(case.points for case in cases)
    assert sum(outcomes.values()) == worker.metric("points_consumed_total", topic=INPUT)


def test_series_beyond_the_limit_are_dropped_loudly_and_the_others_go_on(caplog):
    on = broker()
    for minute, value in enumerate(with_spikes(40, at=[30])):
        produce(on, [point(minute, value, host=h) for h in ("a", "b", "c")])
    worker = run(on, config(limits={"max_series": 2}))
    assert worker.outcomes() == {"ok": 80, "dropped_series_limit": 40}
    assert {e["dimensions"]["host"] for e in events(on)} == {"a", "b"}
    assert caplog.text.count("limits.max_series") == 1


def test_an_idle_series_begins_anew_and_makes_room():
    on = broker()
    day = 24 * 60
    produce(on, points(noise(40), host="old"))
    produce(on, [point(day * 3 + m, v, host="new") for m, v in enumerate(noise(40))])
    produce(on, [point(day * 3 + 100, 1e6, host="old")])
    limits = {"max_series": 1, "series_ttl": "1d", "batch_records": 40, "max_future": "9d"}
    worker = run(on, config(limits=limits))
    assert events(on) == []
    # The first batch of the new series finds no room; the commit after it lets the old one go.
    assert worker.outcomes() == {"ok": 41, "dropped_series_limit": 40}
    assert worker.metric("series_evicted_total", topic=INPUT) == 1


def test_parameters_in_a_request_hold_from_its_point_on_however_batches_fall():
    def request(minute, value, **more):
        series = [{"timestamp": START_MS + minute * 60_000, "value": value}]
        body = {"metric": "m", "granularity": "minutely", "series": series, **more}
        return json.dumps(body).encode()

    def found(limit):
        on = broker()
        values = with_spikes(60, at=[20, 40])
        produce(
            on,
            [
                request(m, v, **({"sensitivity": 90} if m == 30 else {}))
                for m, v in enumerate(values)
            ],
        )
        run(on, config(limits={"batch_records": limit}))
        return [(e["source"]["offset"], e["sensitivity"]) for e in events(on)]

    assert found(4000) == found(1) == found(13)
    assert (20, 75) in found(4000)
    assert (40, 90) in found(4000)


def test_another_period_in_a_request_makes_the_series_begin_anew_in_its_place():
    on = broker()
    values = with_spikes(80, at=[70])
    body = {"metric": "m", "granularity": "minutely", "period": 12}
    body["series"] = [{"timestamp": START_MS + 40 * 60_000, "value": values[40]}]
    records = points(values)
    records[40] = json.dumps(body).encode()
    produce(on, records)
    run(on, config(publish="all"))
    found = events(on)
    status = [e["status"] for e in found]
    assert status == ["warming"] * 12 + ["ok"] * 28 + ["warming"] * 12 + ["ok"] * 28
    assert [i for i, e in enumerate(found) if e["isAnomaly"]] == [70]


def test_a_longer_period_in_a_request_moves_the_series_and_it_warms_up_again():
    on = broker()
    values = noise(50)
    produce(on, points(values[:25]))
    series = [{"timestamp": START_MS + 25 * 60_000, "value": values[25]}]
    body = {"metric": "m", "granularity": "minutely", "period": 288, "series": series}
    produce(on, [json.dumps(body).encode()])
    produce(on, [point(m, v) for m, v in enumerate(values) if m > 25])
    worker = run(on, config(publish="all", detection={"period": 0}))
    assert [e["status"] for e in events(on)].count("warming") == 12 + 12
    assert worker.metric("series_active", topic=INPUT, partition="0") == 1


def test_an_abort_takes_everything_back_and_nothing_is_counted_twice():
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    on.fail_at("producer.commit", TransactionAborted("made up"))
    worker = Worker(on)
    with pytest.raises(TransactionAborted):
        worker.turn()
    worker.pipeline._discard(TransactionAborted("made up"))
    assert events(on) == []
    assert worker.pipeline.status.not_ready
    worker.drain()
    assert len(anomalies(on)) == 1
    assert worker.outcomes() == {"ok": 100}
    assert worker.pipeline.status.not_ready is None
    assert worker.metric("transactions_total", result="aborted") == 1


def test_going_back_is_tried_until_the_brokers_answer():
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    on.fail_at("producer.commit", TransactionAborted("made up"))
    on.fail_at("producer.abort", RetriableError("no broker answers"))
    on.fail_at("consumer.rewind", RetriableError("no broker answers"), skip=1)  # a start has one
    worker = Worker(on)
    for _ in range(2):
        with pytest.raises(TransactionAborted) as aborted:
            worker.turn()
        worker.pipeline._discard(aborted.value)
    worker.turn()
    assert worker.pipeline.status.not_ready == "no broker answers"
    worker.drain()
    assert len(anomalies(on)) == 1
    assert worker.outcomes() == {"ok": 100}


def test_a_revoked_partition_is_committed_before_it_moves():
    on = broker(partitions=2)
    for partition in (0, 1):
        produce(on, points(with_spikes(50, at=[30])), partition)
    first = Worker(on, name="first")
    first.turn(commit=False)
    assert on.committed(GROUP) == {}
    second = Worker(on, name="second")
    for _ in range(4):
        first.turn(commit=False)
        second.turn(commit=False)
    assert on.committed(GROUP) == {P0: 50, Partition(INPUT, 1): 50}
    first.turn()
    second.turn()
    assert len(anomalies(on)) == 2
    assert {len(w.pipeline._assignment.tasks) for w in (first, second)} == {1}


def test_a_lost_partition_takes_its_uncommitted_output_with_it():
    on = broker()
    produce(on, points(with_spikes(50, at=[30])))
    zombie = Worker(on, name="zombie")
    zombie.turn(commit=False)
    on.expel(zombie.consumer)
    heir = Worker(on, name="heir")
    heir.drain()
    with pytest.raises(TransactionAborted):
        zombie.turn()
    zombie.pipeline._discard(TransactionAborted("lost"))
    assert len(anomalies(on)) == 1
    assert len(anomalies(on, "read_uncommitted")) == 2


def test_a_fault_within_a_batch_commits_nothing_of_it():
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    on.fail_at("producer.send", FatalError("made up"), after=True)
    worker = Worker(on)
    from threading import Event

    with pytest.raises(FatalError):
        worker.pipeline.run(Event())
    assert events(on) == []
    assert on.committed(GROUP) == {}


def test_brokers_that_are_away_make_the_worker_unready_until_they_are_back():
    on = broker()
    worker = Worker(on)
    worker.turn()
    assert worker.pipeline.status.not_ready is None
    on.fail_at("consumer.poll", RetriableError("no broker answers"))
    worker.turn()
    assert worker.pipeline.status.not_ready == "no broker answers"
    produce(on, points(noise(3)))
    worker.turn()
    assert worker.pipeline.status.not_ready is None


def test_after_a_restart_the_lag_is_known_before_a_record_is_read():
    on = broker()
    produce(on, points(noise(30)))
    first = run(on)
    on.expel(first.consumer)
    worker = Worker(on, name="next")
    worker.turn()
    [partition] = worker.pipeline.status.partitions
    assert (partition.next_offset, partition.end_offset) == (30, 30)


def test_a_worker_that_was_fenced_does_its_work_again_with_another_producer():
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    worker = Worker(on, name="same")
    worker.turn(commit=False)
    MemoryProducer(on, "same")
    with pytest.raises(TransactionAborted) as fenced:
        worker.turn()
    worker.pipeline._discard(fenced.value)
    worker.drain()
    assert len(anomalies(on)) == 1
    assert worker.outcomes() == {"ok": 100}


def test_a_worker_stops_when_told_and_leaves_nothing_uncommitted():
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    from threading import Event

    class AfterTwoTurns(Event):  # with the first the partition comes
        turns = 0

        def is_set(self):
            self.turns += 1
            return self.turns > 2

    Worker(on).pipeline.run(AfterTwoTurns())
    assert on.committed(GROUP) == {P0: 100}
    assert len(anomalies(on)) == 1
