"""The host's clock jumps by an hour, to and fro, and no verdict depends on it.

What Python calls the time is moved, as Python starts. libfaketime, which would move librdkafka's
time too, was tried: the worker stood still at the first jump, and why was not found out.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load
from tests.integration.worker import Stream, wait_until

# Python imports a module of this name at its start.
SITECUSTOMIZE = """
import pathlib, time

moved, real_s, real_ns = pathlib.Path({clock!r}), time.time, time.time_ns
time.time = lambda: real_s() + int(moved.read_text())
time.time_ns = lambda: real_ns() + int(moved.read_text()) * 10**9
"""
HOUR_S = 3_600


def test_a_host_clock_that_jumps_changes_nothing(stream: Stream, tmp_path: Path):
    clock = tmp_path / "clock"

    def move(to_s: int) -> None:
        scratch = tmp_path / "scratch"
        scratch.write_text(str(to_s))
        scratch.rename(clock)

    move(0)
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE.format(clock=str(clock)))
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    stream.environment = {"PYTHONPATH": os.pathsep.join(path)}
    stream.create_topics(partitions=2)
    worker = stream.worker(output={"publish": "all"}).wait_ready()
    with Load(stream.bootstrap, stream.input, points_per_s=1_500, points_max=100_000) as load:
        wait_until(lambda: worker.total("points_total"), "points")
        for jump_s in (HOUR_S, -HOUR_S, HOUR_S, 0, -HOUR_S):
            done = worker.total("points_total")
            move(jump_s)
            wait_until(lambda done=done: worker.total("points_total") > done + 1_000, "points")
            assert worker.alive()
    wait_until_drained(stream)
    worker.stop()
    last = datetime.fromisoformat(worker.log().splitlines()[-1].split()[0])
    assert datetime.now(UTC) - last > timedelta(minutes=59)  # it did live by that clock
    assert_one_event_for_each_point(stream, load.points)
    assert_events_are_those_of_the_detector(stream, worker, stream.input)
