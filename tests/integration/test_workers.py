"""`streamdet run --workers 2` on a real Kafka."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress

from tests.integration.accounting import assert_one_event_for_each_point, wait_until_drained
from tests.integration.topics import Load
from tests.integration.worker import Stream, Worker, wait_until

POINTS = 6_000
KAFKA = {
    "instance_id": "pair",
    "consumer_options": {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 300},
}


def processes(parent: Worker) -> dict[int, int]:
    """Return the newest process of each worker."""
    found = re.findall(r"worker (\d) runs as process (\d+)", parent.log())
    return {int(number): int(pid) for number, pid in found}


def each_has(parent: Worker, partitions: int) -> bool:
    held = [parent.total("assigned_partitions", worker=number) for number in ("1", "2")]
    return held == [partitions, partitions]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_share_the_partitions_and_one_that_is_killed_comes_back(stream: Stream):
    stream.create_topics(4)
    parent = stream.workers(2, kafka=KAFKA, output={"publish": "all"}).wait_ready()
    wait_until(lambda: each_has(parent, 2), "two partitions for each worker")
    before = processes(parent)

    load = Load(stream.bootstrap, stream.input, 2_000, POINTS)
    with load:
        wait_until(lambda: load.points > POINTS // 3, "some load")
        os.kill(before[1], signal.SIGKILL)
        wait_until(lambda: processes(parent)[1] != before[1], "the killed worker's successor")
        wait_until(lambda: load.points == POINTS, "the rest of the load")
    wait_until(lambda: parent.ready() and each_has(parent, 2), "both to be at work again")
    wait_until_drained(stream)
    assert parent.total("worker_restarts_total", worker="1") == 1
    assert parent.total("worker_restarts_total", worker="2") == 0
    assert processes(parent)[2] == before[2]

    parent.stop()
    assert not any(map(runs, processes(parent).values()))
    assert_one_event_for_each_point(stream, POINTS)
    said = parent.log()
    assert re.search(r"left the group, everything committed worker=1$", said, re.MULTILINE)
    assert re.search(r"left the group, everything committed worker=2$", said, re.MULTILINE)


def test_workers_end_in_order_when_their_parent_is_killed(stream: Stream):
    stream.create_topics(2)
    parent = stream.workers(2).wait_ready()
    workers = processes(parent).values()
    try:
        parent.kill()
        wait_until(lambda: not any(map(runs, workers)), "the workers to end", 20)
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    said = parent.log()
    assert said.count("the parent process is gone") == 2
    assert said.count("left the group, everything committed") == 2


def test_what_a_worker_cannot_use_ends_all_with_exit_code_2(stream: Stream):
    parent = stream.workers(2)  # there are no topics
    assert parent.exit_code(60) == 2
    said = parent.log()
    assert re.search(r"ERROR +.*\bworker=[12]$", said, re.MULTILINE)
    assert not any(map(runs, processes(parent).values()))
