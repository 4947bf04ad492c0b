"""What state costs: to write it, to load it, by the series.

python -m benchmarks.state [--series N] [--ring N]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from streamdet.config import Config
from streamdet.snapshot import load, take
from streamdet.task import Task
from streamdet.types import Partition, Points, Record, SeriesId

_MINUTE_US = 60_000_000
_START_US = 1_700_000_000_000_000


def minute(keys: list[bytes], number: int, random: np.random.Generator) -> Points:
    """Return one point of each series, in an order of its own."""
    n = len(keys)
    size = np.array([len(key) for key in keys], np.int32)
    start = np.cumsum(size, dtype=np.int64) - size
    order = random.permutation(n)
    return Points(
        record=np.arange(n, dtype=np.int32),
        element=np.full(n, -1, np.int32),
        time_us=np.full(n, _START_US + number * _MINUTE_US),
        value=random.normal(100, 5, n),
        buffer=np.frombuffer(b"".join(keys), np.uint8),
        key_start=start[order],
        key_size=size[order],
        raw=np.zeros(n, np.bool_),
        offset=np.arange(number * n, (number + 1) * n),
        record_us=np.full(n, _START_US + number * _MINUTE_US),
    )


def _never_asked(record: int) -> SeriesId:
    raise AssertionError("keys are the identities' own text")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.state", description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--ring", type=int, default=288)
    parser.add_argument("--minutes", type=int, default=300)
    chosen = parser.parse_args()
    n, random = chosen.series, np.random.default_rng(1)
    config = Config.model_validate(
        {
            "detection": {"ring_length": chosen.ring, "period": 0, "granularity": "minutely"},
            "limits": {"max_series": n},
        }
    )
    keys = [f'm{{host="{i}"}}'.encode() for i in range(n)]
    task = Task(Partition("points", 0), config)
    for number in range(chosen.minutes):
        points = minute(keys, number, random)
        task.detect(points, task.route(points, _never_asked))
    task.next_offset = chosen.minutes * n

    began_s = time.perf_counter()
    records = list(take(task, "state", 1 << 62))
    took_s = time.perf_counter() - began_s
    size_bytes = sum(len(record.key or b"") + len(record.value or b"") for record in records)
    print(f"{n:,} series, ring {chosen.ring}, {chosen.minutes} points each")
    print(f"written: {len(records):,} records, {size_bytes:,} bytes, {size_bytes / n:.0f} a series")
    print(f"         {took_s:.2f} s, {took_s / n * 1e6:.1f} us a series")

    where = Partition("state", 0)
    stored = [Record(where, i, 0, r.key, r.value) for i, r in enumerate(records)]
    fresh = Task(Partition("points", 0), config)
    began_s = time.perf_counter()
    found = load(fresh, stored, chosen.minutes * n)
    took_s = time.perf_counter() - began_s
    assert found.n_series == n, found.problems[:3]
    print(
        f"loaded:  {found.size_bytes:,} bytes in {took_s:.2f} s, {took_s / n * 1e6:.1f} us a series"
    )


if __name__ == "__main__":
    main()
