"""How long a killed worker's partitions stand still, on a real Apache Kafka.

python -m benchmarks.failover [--kills N]

Two workers share the partitions, under load. One is killed (SIGKILL) again and again; what counts
is the time until each of its partitions has a new committed offset, by its heir.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.restore import seconds
from streamdet.warm import warm
from tests.integration.topics import Load
from tests.integration.worker import Stream, Worker, wait_until
from tests.servers.kafka import KafkaServer
from tests.torture.progress import Progress

SESSION_TIMEOUT_S = 6.0
MORE_S = 2.0
"""What may pass beside the session time-out and the restore."""
PARTITIONS = 8
_SETTLED_S = (4.0, 8.0)
_TIMEOUT_S = 120.0
_SEEN_AFTER_S = 1.0
"""By then the last commit of a worker that was killed has been seen."""
_RESTORED = re.compile(r"^(\S+) INFO +points\[\d+\]: restored", re.MULTILINE)
_ASSIGNED = re.compile(r"^(\S+) INFO +assigned: points", re.MULTILINE)


class Kill(NamedTuple):
    """What came of one."""

    stood_still_s: float
    """Until the last of all partitions had a new committed offset."""
    restore_s: float
    """The heir's part of it that went into restoring state and replaying input."""


def report(n_series: int, points_per_s: int, kills: int) -> None:
    """Print how long each kill held up the partitions."""
    warm()
    with KafkaServer() as broker, tempfile.TemporaryDirectory() as folder:
        stream = Stream(broker.bootstrap, lambda name: name, Path(folder))
        stream.create_topics(PARTITIONS)
        print(
            f"{PARTITIONS} partitions, {n_series:,} series, {points_per_s:,} points/s, two workers,"
        )
        print(f"Apache Kafka {broker.version}, one broker; session time-out {SESSION_TIMEOUT_S} s")
        progress = Progress(broker.bootstrap, stream.group, stream.input, PARTITIONS)
        load = Load(broker.bootstrap, stream.input, points_per_s, 1 << 62, n_series=n_series)
        try:
            with load:
                found = _kill(stream, progress, kills)
        finally:
            progress.close()
            stream.end()
    _print(found)


def _kill(stream: Stream, progress: Progress, kills: int) -> list[Kill]:
    moment = random.Random(1)  # noqa: S311  # of when to kill
    workers = [_start(stream, number) for number in range(2)]
    found = []
    for number in range(kills):
        wait_until(lambda: _share(workers), "both workers to have partitions", _TIMEOUT_S)
        time.sleep(moment.uniform(*_SETTLED_S))
        victim, heir = number % 2, (number + 1) % 2
        before = len(workers[heir].log())
        workers[victim].kill()
        killed_s = time.monotonic()
        time.sleep(_SEEN_AFTER_S)
        wait_until(partial(progress.held_up_s, killed_s + _SEEN_AFTER_S), "the heir", _TIMEOUT_S)
        stood_still_s = _SEEN_AFTER_S + (progress.held_up_s(killed_s + _SEEN_AFTER_S) or 0.0)
        found.append(Kill(stood_still_s, _restore_s(workers[heir].log()[before:])))
        print(f"kill {number + 1}: {found[-1]}", flush=True)
        workers[victim] = _start(stream, victim)
    return found


def _start(stream: Stream, number: int) -> Worker:
    consumer = {"session.timeout.ms": int(SESSION_TIMEOUT_S * 1_000), "heartbeat.interval.ms": 500}
    return stream.worker(f"worker-{number}", kafka={"consumer_options": consumer})


def _share(workers: list[Worker]) -> bool:
    """Tell whether each worker has partitions of its own, all of them restored."""
    ready = [worker for worker in workers if worker.ready()]
    held = [worker.total("assigned_partitions") for worker in ready]
    return len(held) == len(workers) and sum(held) == PARTITIONS and min(held) > 0


def _restore_s(log: str) -> float:
    """Return how long the partitions of the log's one assignment took until the last was back."""
    assigned = [seconds(text) for text in _ASSIGNED.findall(log)]
    restored = [seconds(text) for text in _RESTORED.findall(log)]
    assert assigned, log
    assert restored, log
    return max(restored) - assigned[0]


def _print(found: list[Kill]) -> None:
    print("\n| kill | all partitions on their way again after, s | of it restore, s | bar, s | |")
    print("|---|---|---|---|---|")
    missed = 0
    for number, kill in enumerate(found, start=1):
        bar_s = SESSION_TIMEOUT_S + kill.restore_s + MORE_S
        missed += kill.stood_still_s > bar_s
        word = "MISSED" if kill.stood_still_s > bar_s else "met"
        print(
            f"| {number} | {kill.stood_still_s:.1f} | {kill.restore_s:.1f} | {bar_s:.1f} | {word} |"
        )
    median_s = statistics.median(kill.stood_still_s for kill in found)
    print(f"\nmedian {median_s:.1f} s; bar (session time-out + restore + {MORE_S:.0f} s)", end=" ")
    print(f"met by {len(found) - missed} of {len(found)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=10_000, help="points a second")
    parser.add_argument("--kills", type=int, default=6)
    asked = parser.parse_args()
    report(asked.series, asked.rate, asked.kills)


if __name__ == "__main__":
    main()
