"""A worker killed again and again under load loses no point and publishes none twice."""

from __future__ import annotations

import random
import time

from tests.integration.accounting import assert_one_event_for_each_point, wait_until_drained
from tests.integration.topics import Load, read
from tests.integration.worker import Stream, Worker, wait_until

KILLS = 5


def test_five_kills_lose_no_point_and_double_no_event(stream: Stream):
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
    with Load(stream.bootstrap, stream.input, points_per_s=2_500, points_max=150_000) as load:
        for _ in range(KILLS):
            worker = start_and_wait_for_a_commit()
            time.sleep(moment.uniform(0.5, 4))
            worker.kill()
        worker = start_and_wait_for_a_commit()
    wait_until_drained(stream)
    worker.stop()

    assert_one_event_for_each_point(stream, load.points)
    everything = read(stream.bootstrap, stream.anomalies, "read_uncommitted")
    assert len(everything) > load.points  # some were killed with work on them uncommitted
