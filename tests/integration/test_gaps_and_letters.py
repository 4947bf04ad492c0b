"""Topics that vanish under a worker at work: the dead letters' and the input's own."""

from __future__ import annotations

import json

from confluent_kafka.admin import AdminClient

from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, produce, read
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import create_topic
from tests.service import point, with_spikes

MINUTES, BROKEN_AT = 60, 40


def write(stream: Stream, partitions: int, *, broken_in: int | None = None) -> None:
    """Write an hour of points to each partition; one of them has a record that is none."""
    for index in range(partitions):
        values = with_spikes(MINUTES, at=[30], seed=index)
        bodies = [point(minute, value, host=str(index)) for minute, value in enumerate(values)]
        if index == broken_in:
            bodies.insert(BROKEN_AT, b"broken")
        produce(
            stream.bootstrap,
            [OutgoingRecord(stream.input, b"k", body, partition=index) for body in bodies],
        )


def delete(stream: Stream, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    admin.delete_topics([topic])[topic].result(30)


def test_only_the_partition_with_a_dead_letter_waits_until_its_topic_is_back(stream: Stream):
    stream.create_topics(partitions=2)
    worker = stream.worker(transaction_timeout="10s").wait_ready()
    delete(stream, stream.dead_letters)
    write(stream, 2, broken_in=0)

    def offsets():
        return committed(stream.bootstrap, stream.group, stream.input)

    wait_until(lambda: offsets() == {0: BROKEN_AT, 1: MINUTES}, "the other partition to go on")
    assert worker.total("partition_held", partition="0") == 1
    assert worker.total("partition_held", partition="1") == 0
    assert worker.total("ready") == 0
    assert "its dead letter cannot be written to" in worker.log()

    create_topic(stream.bootstrap, stream.dead_letters)
    wait_until(lambda: offsets() == {0: MINUTES + 1, 1: MINUTES}, "it to go on by itself")
    worker.wait_ready()
    [letter] = read(stream.bootstrap, stream.dead_letters)
    assert letter.value == b"broken"
    assert worker.total("points_total", outcome="ok") == 2 * MINUTES
    assert worker.total("points_total", outcome="dead_lettered") == 1
    events = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    onsets = [event["dimensions"]["host"] for event in events if event["isAnomaly"]]
    assert sorted(onsets) == ["0", "1"]
    worker.stop()


def test_a_topic_that_is_made_anew_under_a_worker_is_read_from_its_beginning(stream: Stream):
    stream.create_topics()
    worker = stream.worker(output={"publish": "all"}).wait_ready()
    for life in (1, 2):
        write(stream, 1)
        wait_until(
            lambda life=life: worker.total("points_total", outcome="ok") == life * MINUTES,
            f"the points of life {life}",
        )
        if life == 1:
            delete(stream, stream.input)
            create_topic(stream.bootstrap, stream.input, 1, {"retention.ms": "-1"})
    events = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    assert [event["status"] for event in events].count("warming") == 2 * 12
    worker.stop()
