"""A worker's partitions: held, given back, overtaken by retention, and of topics made anew."""

from __future__ import annotations

import pytest

from streamdet import assignment
from streamdet.errors import RetriableError, TransactionAborted
from streamdet.types import Partition
from tests.service import (
    DEAD_LETTERS,
    GROUP,
    INPUT,
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


def test_a_partition_whose_last_commit_got_no_answer_is_given_back_all_the_same():
    on = broker(partitions=2)
    for partition in (0, 1):
        produce(on, points(with_spikes(50, at=[30])), partition)
    settings = config(delivery="at_least_once")
    first = Worker(on, settings, name="first")
    first.turn(commit=False)
    on.fail_at("consumer.commit", RetriableError("no broker answers"))
    second = Worker(on, settings, name="second")
    persevere(first, turns=6)
    second.drain()
    assert len(first.pipeline._assignment.tasks) == 1
    assert on.committed(GROUP) == {P0: 50, Partition(INPUT, 1): 50}
    assert len({event["id"] for event in anomalies(on)}) == 2


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_where_dead_letters_are_refused_only_their_partitions_wait(delivery):
    on = broker(partitions=3)
    del on._logs[DEAD_LETTERS]
    values = with_spikes(60, at=[30])
    for partition in (0, 1, 2):
        records = points(values, host=str(partition))
        records[40 + partition : 40 + partition] = [b"broken"] if partition < 2 else []
        produce(on, records, partition)
    worker = Worker(on, config(delivery=delivery, limits={"batch_records": 7}))
    persevere(worker, turns=80)
    waiting = {P0: 40, Partition(INPUT, 1): 41, Partition(INPUT, 2): 60}
    assert on.committed(GROUP) == waiting
    assert worker.pipeline.status.not_ready == (
        "dead-letters takes no dead letter: metrics[0] before offset 40, metrics[1] before "
        "offset 41 wait for it"
    )
    assert worker.metric("partition_held", topic=INPUT, partition="0") == 1
    assert worker.metric("partition_held", topic=INPUT, partition="2") == 0
    aborts = worker.metric("transactions_total", result="aborted")
    worker.turn(20)  # long enough to look again whether the topic is there
    assert worker.metric("transactions_total", result="aborted") == aborts

    on.create_topic(DEAD_LETTERS)
    persevere(worker, turns=40)
    assert on.committed(GROUP) == {P0: 61, Partition(INPUT, 1): 61, Partition(INPUT, 2): 60}
    assert worker.pipeline.status.not_ready is None
    assert [record.value for record in on.read(DEAD_LETTERS)] == [b"broken"] * 2
    assert len({event["id"] for event in anomalies(on)}) == 3
    assert worker.outcomes() == {"ok": 180, "dead_lettered": 2}


def test_records_that_retention_took_before_they_were_read_are_counted(caplog):
    on = broker()
    produce(on, points(with_spikes(100, at=[60])))
    worker = Worker(on, config(limits={"batch_records": 10}))
    worker.turn(2)
    on.delete_before(P0, 45)
    worker.drain()
    assert worker.metric("lost_records_total", topic=INPUT) == 25
    assert "records from offset 20 to 44 were gone" in caplog.text
    assert worker.outcomes() == {"ok": 75}
    assert [event["source"]["offset"] for event in anomalies(on)] == [60]


def test_of_a_topic_that_was_made_anew_all_points_count_and_series_begin_cold(caplog):
    on = broker()
    produce(on, points(noise(100)))
    worker = Worker(on, config(publish="all"))
    worker.drain()
    on.make_anew(INPUT)
    worker.turn(2)
    produce(on, points(with_spikes(60, at=[30])))
    worker.drain()
    assert "the topic was made anew" in caplog.text
    assert worker.metric("state_problems_total") == 1
    assert worker.outcomes() == {"ok": 160}
    assert on.committed(GROUP) == {P0: 60}
    found = events(on)[100:]
    assert [event["status"] for event in found] == ["warming"] * 12 + ["ok"] * 48
    on.expel(worker.consumer)
    heir = Worker(on, config(publish="all"))
    produce(on, [point(60, 1e6)])
    heir.drain()
    assert events(on)[-1]["isAnomaly"]  # restored from what was written since


def test_a_topic_made_anew_is_known_by_its_id_where_offsets_tell_nothing(caplog):
    on = broker()
    produce(on, points(noise(50)))
    worker = Worker(on, config(publish="all"))
    worker.drain()
    on.make_anew(INPUT)
    produce(on, points(with_spikes(80, at=[60])))  # more than were there
    worker.drain()
    assert "the topic was made anew" in caplog.text
    assert worker.metric("state_problems_total") == 1
    assert {event["source"]["offset"] for event in events(on)[50:]} == set(range(80))
    assert len({event["id"] for event in anomalies(on)}) == 1  # told twice, as one
    assert on.committed(GROUP) == {P0: 80}


def test_state_and_offsets_of_a_topic_that_was_made_anew_between_are_not_used(caplog):
    on = broker()
    produce(on, points(noise(50)))
    first = Worker(on, config(publish="all"))
    first.drain()
    first.consumer.close()
    on.make_anew(INPUT)
    produce(on, points(with_spikes(80, at=[60])))
    worker = Worker(on, config(publish="all"))
    worker.drain()
    assert "the topic was made anew" in caplog.text
    assert worker.outcomes() == {"ok": 80}
    assert worker.metric("state_problems_total") == 1
    found = events(on)[50:]
    assert [event["status"] for event in found] == ["warming"] * 12 + ["ok"] * 68


def persevere(worker, turns):
    """Turn as `run` does."""
    for _ in range(turns):
        try:
            worker.turn()
        except (TransactionAborted, RetriableError) as error:
            worker.pipeline._discard(error)


def test_a_batch_that_takes_long_is_committed_in_parts(monkeypatch):
    monkeypatch.setattr(assignment, "_PART_BYTES", 1000)
    on = broker()
    produce(on, points(with_spikes(200, at=[60])))
    worker = Worker(on)
    worker.turn(commit=False)
    worker.turn()
    committed = worker.metric("transactions_total", result="committed")
    assert committed == 1  # the clock stood still
    monkeypatch.setattr(worker.clock, "monotonic_s", iter(range(0, 10**6, 100)).__next__)
    produce(on, points(noise(100), host="b"))
    worker.pipeline.step()
    assert worker.metric("transactions_total", result="committed") > committed + 5
    assert on.committed(GROUP) == {P0: 300}
