"""The input topic changes under a worker: partitions are added, records that it needs are gone."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from streamdet.types import OutgoingRecord
from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import committed, ends, produce, read
from tests.integration.worker import Stream, Worker, wait_until
from tests.service import point

SERIES = 600  # more than are in one chunk of state
EVERYTHING = {"output": {"publish": "all"}}
# The heir of one who was killed need not wait for the end of its session.
AT_ONCE = {**EVERYTHING, "kafka": {"instance_id": "the-one"}}


def points(stream: Stream, *minutes: int, series: int = 60) -> list[OutgoingRecord]:
    return [
        OutgoingRecord(stream.input, b"%d" % i, point(minute, 100 + i % 7, host=f"h{i}"))
        for minute in minutes
        for i in range(series)
    ]


def add_partitions(stream: Stream, topic: str, total: int) -> None:
    admin = AdminClient({"bootstrap.servers": stream.bootstrap})
    admin.create_partitions([NewPartitions(topic, total)])[topic].result(30)
    wait_until(
        lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == total,
        f"{total} partitions of {topic}",
    )


def attentive(stream: Stream) -> Worker:
    """Start a worker that soon learns of new partitions."""
    options = {"heartbeat.interval.ms": 300, "topic.metadata.refresh.interval.ms": 1_000}
    return stream.worker(kafka={"consumer_options": options}, **EVERYTHING).wait_ready()


def test_partitions_that_are_added_are_read_from_their_beginning(stream: Stream):
    stream.create_topics(partitions=1)
    worker = attentive(stream)
    produce(stream.bootstrap, points(stream, *range(20)))
    wait_until_drained(stream)
    add_partitions(stream, stream.state, 3)
    add_partitions(stream, stream.input, 3)
    produce(stream.bootstrap, points(stream, *range(20, 60)))  # nobody reads the new ones yet
    assert len(ends(stream.bootstrap, stream.input)) == 3
    wait_until_drained(stream)
    worker.stop()
    heir = stream.worker(**EVERYTHING).wait_ready()
    produce(stream.bootstrap, points(stream, *range(60, 80)))
    wait_until_drained(stream)
    heir.stop()
    assert_one_event_for_each_point(stream, 80 * 60)
    assert_events_are_those_of_the_detector(stream, heir, stream.input)


def test_a_partition_that_the_state_topic_lacks_holds_the_worker_up_until_it_is_there(
    stream: Stream,
):
    stream.create_topics(partitions=1)
    worker = attentive(stream)
    produce(stream.bootstrap, points(stream, *range(20)))
    wait_until_drained(stream)
    add_partitions(stream, stream.input, 2)
    produce(stream.bootstrap, points(stream, *range(20, 40)))
    said = f"topic {stream.state!r}: it has 1 partitions and a record is for partition 1"
    wait_until(lambda: said in worker.log(), "the worker to say what is missing")
    assert not worker.ready()
    assert len(committed(stream.bootstrap, stream.group, stream.input)) == 1
    add_partitions(stream, stream.state, 2)
    wait_until_drained(stream)
    worker.wait_ready().stop()
    assert_one_event_for_each_point(stream, 40 * 60)
    assert_events_are_those_of_the_detector(stream, worker, stream.input)


class TestGap:
    """Input that the state needs to be complete is gone when a worker starts."""

    @pytest.fixture
    def gap(self, stream: Stream) -> int:
        """Let a worker die whose state lags behind, and delete what is before the group's offset.

        Returns that offset.
        """
        stream.create_topics()
        worker = stream.worker(state={"bytes_per_second": 1_024}, **AT_ONCE).wait_ready()
        for minute in range(12):
            produce(stream.bootstrap, points(stream, minute, series=SERIES))
            wait_until_drained(stream)
        worker.kill()
        (offset,) = committed(stream.bootstrap, stream.group, stream.input).values()
        admin = AdminClient({"bootstrap.servers": stream.bootstrap})
        place = TopicPartition(stream.input, 0, offset - 10)
        for deleted in admin.delete_records([place]).values():
            deleted.result(30)
        return offset

    def test_with_fail_the_worker_ends_and_says_which_offsets_are_gone(self, stream, gap):
        worker = stream.worker(state={"on_gap": "fail"}, **AT_ONCE)
        assert worker.exit_code(60) == 1
        last = worker.log().splitlines()[-1]
        assert f"retention has taken what was before {gap - 10}" in last
        assert "state.on_gap: continue" in last
        assert committed(stream.bootstrap, stream.group, stream.input) == {0: gap}

    def test_with_continue_it_says_so_counts_it_and_goes_on(self, stream, gap):
        worker = stream.worker(state={"on_gap": "continue"}, **AT_ONCE).wait_ready()
        assert worker.total("state_problems_total") == 1
        said = f"retention has taken what was before {gap - 10}; the state lacks those records"
        assert said in worker.log()
        before = len(read(stream.bootstrap, stream.anomalies))
        produce(stream.bootstrap, points(stream, 12, series=SERIES))
        wait_until_drained(stream)
        worker.stop()
        bodies = [json.loads(e.value) for e in read(stream.bootstrap, stream.anomalies)]
        offsets = [body["source"]["offset"] for body in bodies[before:]]
        assert sorted(offsets) == list(range(gap, gap + SERIES))
