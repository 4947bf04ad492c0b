"""A worker's memory over a long run at a constant load, on a real Apache Kafka.

python -m benchmarks.memory --minutes 30

Its resident memory and open files are looked at each second. What counts is the slope after a
warm-up, by Theil and Sen: the median of the slopes between all pairs of samples, which a few
garbage collections do not move.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.warm import warm
from tests.integration.topics import Load
from tests.integration.worker import Stream, Worker, wait_until
from tests.servers.kafka import KafkaServer, create_topic

PARTITIONS = 4
SPIKES = 0.002
"""Share of the points that become events."""
_WARM_UP = 0.25
"""Share of the run, and not before each series has its place."""
_PAIRS_OF_MAX = 2_000
_LOAD_WITHIN = 0.02
_KEPT = {"retention.bytes": str(128 << 20), "segment.bytes": str(32 << 20)}
"""A partition takes so much of the broker's disk, however long the run is."""
_STATE_KEPT = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "segment.ms": "30000",
    "min.cleanable.dirty.ratio": "0.1",
}


class Sample(NamedTuple):
    """How it stands with the worker at one moment."""

    at_s: float
    memory_bytes: int
    n_files: int
    n_points: int
    """Processed so far."""
    state_bytes: int
    """What the worker says that its state takes."""


def report(minutes: float, n_series: int, points_per_s: int) -> None:
    """Print whether a worker's memory grows at a constant load."""
    warm()
    with KafkaServer() as broker, tempfile.TemporaryDirectory() as folder:
        stream = Stream(broker.bootstrap, lambda name: name, Path(folder))
        for topic in (stream.input, stream.anomalies, stream.dead_letters):
            create_topic(broker.bootstrap, topic, PARTITIONS, _KEPT)
        create_topic(broker.bootstrap, stream.state, PARTITIONS, _STATE_KEPT)
        print(f"{points_per_s:,} points/s of {n_series:,} series in {PARTITIONS} partitions, one")
        print(f"worker, Apache Kafka {broker.version}, {minutes:g} minutes", flush=True)
        load = Load(
            broker.bootstrap,
            stream.input,
            points_per_s,
            1 << 62,
            n_series=n_series,
            spikes=SPIKES,
        )
        worker = stream.worker(commit_interval="1s").wait_ready()
        try:
            with load:
                wait_until(lambda: worker.total("points_total") >= n_series, "all series")
                samples = list(_samples(worker, minutes * 60))
            print(f"broker's disk at the end: {_disk_bytes(broker) >> 20:,} MiB")
        finally:
            stream.end()
    _print(samples, points_per_s)


def _samples(worker: Worker, seconds: float) -> Iterator[Sample]:
    began_s = time.monotonic()
    n = 0
    while (at_s := time.monotonic() - began_s) < seconds:
        status = Path(f"/proc/{worker.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        yield Sample(
            at_s,
            int(resident.split()[1]) << 10,
            sum(1 for _ in Path(f"/proc/{worker.pid}/fd").iterdir()),
            worker.total("points_total"),
            worker.total("state_bytes"),
        )
        n += 1
        time.sleep(max(0.0, began_s + n - time.monotonic()))


def slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the Theil-Sen slope of y over x, of every n-th sample where there are very many."""
    step = -(-len(x) // _PAIRS_OF_MAX)
    x, y = x[::step], y[::step]
    a, b = np.triu_indices(len(x), 1)
    return float(np.median((y[b] - y[a]) / (x[b] - x[a])))


def _print(samples: list[Sample], points_per_s: int) -> None:
    columns = Sample(*(np.array(column, np.float64) for column in zip(*samples, strict=True)))
    late = columns.at_s >= _WARM_UP * columns.at_s[-1]
    hours, n = columns.at_s[late] / 3600, int(late.sum())
    tenth = max(1, n // 10)
    print(f"\n{n} samples after a warm-up of {columns.at_s[late][0]:.0f} s")
    print("\n| | start | end | slope an hour |\n|---|---|---|---|")
    rows = (
        ("resident memory, MB", columns.memory_bytes / 1e6),
        ("its state, MB", columns.state_bytes / 1e6),
        ("open files", columns.n_files),
    )
    for name, column in rows:
        y = column[late]
        start, end = np.median(y[:tenth]), np.median(y[-tenth:])
        print(f"| {name} | {start:.1f} | {end:.1f} | {slope(hours, y):+.2f} |")
    tenths = np.array_split(columns.memory_bytes[late] / 1e6, min(n, 10))
    print("\nresident memory by tenths, MB:", " ".join(f"{np.median(y):.1f}" for y in tenths))
    points, times = columns.n_points[late], columns.at_s[late]
    rate = (points[-1] - points[0]) / (times[-1] - times[0])
    constant = abs(rate / points_per_s - 1) <= _LOAD_WITHIN
    word = "constant" if constant else "NOT constant"
    print(f"processed {rate:,.0f} points/s, {points_per_s:,} were asked for: {word}")


def _disk_bytes(broker: KafkaServer) -> int:
    return sum(file.stat().st_size for file in broker.folder.glob("data/*/*.log"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=20_000, help="points a second")
    asked = parser.parse_args()
    report(asked.minutes, asked.series, asked.rate)


if __name__ == "__main__":
    main()
