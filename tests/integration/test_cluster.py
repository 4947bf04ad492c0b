"""Each broker of a cluster is killed in turn under load; workers publish what they should."""

from __future__ import annotations

from functools import partial

import pytest
from confluent_kafka import KafkaException

from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load, committed
from tests.integration.worker import Restarted, Stream, wait_until
from tests.servers.cluster import KafkaCluster

pytestmark = pytest.mark.kafka


def test_brokers_killed_one_after_the_other_cost_no_point_and_double_none(unique, tmp_path):
    with KafkaCluster() as cluster:
        stream = Stream(cluster.bootstrap, unique, tmp_path)
        try:
            _kill_each_in_turn(cluster, stream)
        finally:
            stream.end()


def _kill_each_in_turn(cluster: KafkaCluster, stream: Stream) -> None:
    stream.create_topics(partitions=3)
    cluster.wait_in_sync()
    assert cluster.leaders(stream.input) == {0, 1, 2}
    workers = [
        Restarted(
            lambda name=name: stream.worker(
                name,
                kafka={"instance_id": name},
                output={"publish": "all"},
                # A coordinator that is gone is given up after half of it.
                transaction_timeout="10s",
            )
        )
        for name in ("a", "b")
    ]

    def supervise() -> None:
        for each in workers:
            each.supervise()

    def more_than(points: int) -> bool:
        supervise()
        try:
            found = committed(stream.bootstrap, stream.group, stream.input)
        except KafkaException:  # it asks who is no coordinator any more
            return False
        done.append(sum(found.values()))
        return done[-1] > points

    done = [0]

    with Load(stream.bootstrap, stream.input, points_per_s=1_000, points_max=400_000) as load:
        for node in cluster.nodes:
            wait_until(partial(more_than, done[-1]), "commits", 90)
            node.kill()
            wait_until(partial(more_than, done[-1] + 1_000), "two brokers to do", 90)
            node.start()
            cluster.wait_in_sync()
    wait_until_drained(stream, supervise)
    for each in workers:
        each.worker.wait_ready().stop()
    assert_one_event_for_each_point(stream, load.points)
    assert_events_are_those_of_the_detector(stream, workers[0].worker, stream.input)
