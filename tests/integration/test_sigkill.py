"""A worker killed again and again under load publishes what it would have had nothing happened."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

from streamdet.config import load
from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load, read
from tests.integration.worker import Stream, Worker, wait_until

KILLS = 5


def test_after_five_kills_every_event_is_the_one_of_an_undisturbed_run(stream: Stream):
    stream.create_topics(partitions=2)
    settings = {
        # The restarted worker takes the dead one's place at once, and ends its transaction.
        "kafka": {"instance_id": "the-one"},
        "output": {"publish": "all"},
        "commit_interval": "500ms",
    }

    def start_and_wait_for_a_commit() -> Worker:
        worker = stream.worker(**settings).wait_ready()
        wait_until(lambda: worker.total("points_total"), "a commit")
        return worker

    moment = random.Random(5)
    with Load(stream.bootstrap, stream.input, points_per_s=2_500, points_max=150_000) as load_:
        for _ in range(KILLS):
            worker = start_and_wait_for_a_commit()
            time.sleep(moment.uniform(0.5, 4))
            worker.kill()
        worker = start_and_wait_for_a_commit()
    wait_until_drained(stream)
    worker.stop()

    assert_one_event_for_each_point(stream, load_.points)
    events = assert_events_are_those_of_the_detector(stream, worker, stream.input)
    bodies = [json.loads(event.value) for event in events]
    cold = Counter(body["dimensions"]["host"] for body in bodies if body["status"] == "warming")
    warmup = load(worker.config_file).detection.warmup
    assert cold == {f"h{series}": warmup for series in range(Load.SERIES)}  # at its start only
    everything = read(stream.bootstrap, stream.anomalies, "read_uncommitted")
    assert len(everything) > load_.points  # some were killed with work on them uncommitted
