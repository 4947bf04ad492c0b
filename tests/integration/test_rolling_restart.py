"""Workers that are restarted one after the other, as in an update, go on where they were."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from streamdet.config import load
from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load
from tests.integration.worker import Stream, Worker, wait_until

NAMES = ("a", "b", "c")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_no_series_is_cold_after_it_and_no_partition_moves(stream: Stream, protocol: str):
    stream.create_topics(partitions=6)

    def start(name: str) -> Worker:
        options = {"heartbeat.interval.ms": 300, "group.protocol": protocol}
        kafka = {"instance_id": name, "consumer_options": options}
        return stream.worker(name, kafka=kafka, output={"publish": "all"})

    workers = {name: start(name) for name in NAMES}
    for worker in workers.values():
        worker.wait_ready()
    wait_until(
        lambda: {worker.total("assigned_partitions") for worker in workers.values()} == {2},
        "two partitions for each",
    )
    with Load(stream.bootstrap, stream.input, points_per_s=1_500, points_max=100_000) as points:
        wait_until(lambda: all(w.total("points_total") for w in workers.values()), "points")
        for name in NAMES:
            others = [worker for other, worker in workers.items() if other != name]
            moved = [worker.total("rebalances_total") for worker in others]
            workers[name].stop()
            workers[name] = start(name).wait_ready()
            wait_until(lambda name=name: workers[name].total("points_total"), "points again")
            assert [worker.total("rebalances_total") for worker in others] == moved
    wait_until_drained(stream)
    for worker in workers.values():
        worker.stop()

    assert_one_event_for_each_point(stream, points.points)
    events = assert_events_are_those_of_the_detector(stream, workers["a"], stream.input)
    bodies = [json.loads(event.value) for event in events]
    cold = Counter(body["dimensions"]["host"] for body in bodies if body["status"] == "warming")
    warmup = load(workers["a"].config_file).detection.warmup
    assert cold == {f"h{series}": warmup for series in range(Load.SERIES)}  # at its start only
