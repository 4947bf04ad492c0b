"""A worker's start and end, its ways to deliver, and the commands around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from streamdet.types import OutgoingRecord
from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load, committed, ends, produce, read
from tests.integration.worker import Stream, Worker, wait_until
from tests.servers.kafka import create_topic
from tests.service import START_MS, point, with_spikes

POINTS = 500
SPIKES = [100, 200, 300, 400]


def points(topic: str) -> list[OutgoingRecord]:
    values = with_spikes(POINTS, SPIKES)
    return [OutgoingRecord(topic, b"k", point(i, value)) for i, value in enumerate(values)]


def assert_anomalies_are_those_of_the_detector(
    stream: Stream, worker: Worker, *topics: str
) -> None:
    events = assert_events_are_those_of_the_detector(stream, worker, *topics)
    assert len(events) >= len(SPIKES) * len(topics)


@pytest.fixture(scope="module")
def worker_without_brokers(tmp_path_factory):
    """A worker that is told an address where nobody listens.

    It takes half a minute to give up, so the first test asks for it and the last one looks.
    """
    settings = {"kafka": {"bootstrap_servers": "127.0.0.1:1"}}
    worker = Worker(tmp_path_factory.mktemp("no-brokers"), "worker", settings)
    yield worker
    worker.kill()


@pytest.mark.parametrize(
    "settings",
    [
        {"delivery": "at_least_once"},
        {"kafka": {"consumer_options": {"group.protocol": "consumer"}}},
    ],
    ids=["at_least_once", "group.protocol=consumer"],
)
def test_points_in_are_anomalies_out(stream: Stream, worker_without_brokers, settings):
    stream.create_topics()
    worker = stream.worker(**settings).wait_ready()
    produce(stream.bootstrap, points(stream.input))
    wait_until_drained(stream)
    worker.stop()
    assert_anomalies_are_those_of_the_detector(stream, worker, stream.input)


def test_several_topics_and_a_pattern_are_read(stream: Stream, unique):
    family = unique("family")
    topics = [unique("one"), unique("two"), f"{family}.a", f"{family}.b"]
    stream.create_topics(partitions=2)
    for topic in topics:
        create_topic(stream.bootstrap, topic, partitions=2)
    worker = stream.worker(input={"topics": [*topics[:2], f"^{family}[.].*"]}).wait_ready()
    for topic in topics:
        produce(stream.bootstrap, points(topic))
    wait_until(lambda: worker.total("points_total", outcome="ok") >= 4 * POINTS, "all topics")
    worker.stop()
    for topic in topics:
        end = ends(stream.bootstrap, topic)
        assert committed(stream.bootstrap, stream.group, topic) == end
        assert sum(end.values()) == POINTS
    assert_anomalies_are_those_of_the_detector(stream, worker, *topics)


def test_sigterm_commits_what_was_done_and_leaves_the_group(stream: Stream):
    stream.create_topics()
    settings = {"output": {"publish": "all"}, "commit_interval": "25s"}  # none but the last
    with Load(stream.bootstrap, stream.input, points_per_s=2_000, points_max=50_000) as load:
        worker = stream.worker(**settings).wait_ready()
        wait_until(lambda: worker.total("batch_records_sum") > 1_000, "work in hand")
        assert read(stream.bootstrap, stream.anomalies) == []
        worker.stop()
    assert "everything committed" in worker.log()
    (offset,) = committed(stream.bootstrap, stream.group, stream.input).values()
    assert 1_000 < offset <= load.points
    assert len(read(stream.bootstrap, stream.anomalies)) == offset

    admin = AdminClient({"bootstrap.servers": stream.bootstrap, "log_level": 0})
    group = admin.describe_consumer_groups([stream.group])[stream.group].result(30)
    assert (group.state, group.members) == (ConsumerGroupState.EMPTY, [])


def test_a_worker_that_joins_and_leaves_costs_no_point(stream: Stream):
    stream.create_topics(partitions=6)
    settings = {"output": {"publish": "all"}}
    first, second = stream.worker("a", **settings), stream.worker("b", **settings)
    first.wait_ready()
    second.wait_ready()

    def shares_are(*workers: Worker) -> bool:
        return {worker.total("assigned_partitions") for worker in workers} == {6 // len(workers)}

    with Load(stream.bootstrap, stream.input, points_per_s=2_000, points_max=100_000) as load:
        wait_until(lambda: shares_are(first, second), "an even share for two")
        third = stream.worker("c", **settings).wait_ready()
        wait_until(lambda: shares_are(first, second, third), "an even share for three")
        wait_until(lambda: third.total("points_total") > 1_000, "points for the third")
        third.stop()
        wait_until(lambda: shares_are(first, second), "an even share for two again")
        done = first.total("points_total") + second.total("points_total")
        wait_until(
            lambda: first.total("points_total") + second.total("points_total") > done + 2_000,
            "more points for those that stayed",
        )
    wait_until_drained(stream)
    first.stop()
    second.stop()
    assert_one_event_for_each_point(stream, load.points)


def test_missing_topics_are_named_and_then_made(stream: Stream):
    worker = stream.worker()
    assert worker.exit_code(60) == 2
    topics = (stream.input, stream.anomalies, stream.dead_letters, stream.state)
    for topic in topics:
        assert f"topic {topic!r} does not exist; make it with: streamdet topics create" in (
            worker.log()
        )

    create = ("topics", "create", "--config", worker.config_file, "--partitions", "3")
    for arguments, said in ((["--dry-run"], "would be created"), ([], "created"), ([], "exists")):
        done = stream.cli(*create, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [f"{topic}: {said}, 3 partitions" for topic in topics]
    stream.worker().wait_ready().stop()


def test_a_replayed_file_is_detected_on(stream: Stream, tmp_path: Path):
    stream.create_topics()
    rows = [
        f"m,{START_MS + i * 60_000},{value},a"
        for i, value in enumerate(with_spikes(POINTS, SPIKES))
    ]
    file = tmp_path / "points.csv"
    file.write_text("\n".join(["metric,timestamp,value,host", *rows]))
    worker = stream.worker().wait_ready()
    done = stream.cli("replay", file, "--topic", stream.input, "--config", worker.config_file)
    assert done.returncode == 0, done.stderr
    assert f"sent {POINTS} points of 1 series to {stream.input}" in done.stdout
    wait_until_drained(stream)
    worker.stop()
    assert {event.key for event in read(stream.bootstrap, stream.anomalies)} == {b'm{host="a"}'}
    assert_anomalies_are_those_of_the_detector(stream, worker, stream.input)


def test_a_worker_that_finds_no_broker_gives_up_and_says_so(worker_without_brokers: Worker):
    assert worker_without_brokers.exit_code(90) == 1
    last = worker_without_brokers.log().splitlines()[-1]
    assert last.startswith("streamdet: ")
    assert "no answer from the brokers" in last
    assert "127.0.0.1:1" in last
    assert "gave up after" in last
