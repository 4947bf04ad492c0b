"""Every detector's kernel beside one that only writes the ring: ``python -m benchmarks.detect``.

Contenders run in turn in one process; times are those of its processor, so that what else the
machine does counts little, and medians over the rounds. Two orders of points:

    one series after another, 3 million points: half of the series white noise, half with a daily
    pattern in noise, a point a minute; default configuration, ring of 1440
    one point a series a tick, 100,000 series in an order that chance makes anew each tick, noise;
    ring of 288, for memory; the last ticks before the ring is full, when no season is searched
"""

# ruff: noqa: ANN001 - of a kernel, as in streamdet/kernels

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.detectors import DETECTORS, Detector
from streamdet.kernels.header import HEADER, JUDGE, RESTART, whole_lines
from streamdet.kernels.jit import kernel
from streamdet.state.store import Pool
from streamdet.types import StateLayout

N_SERIES, N_POINTS = 100, 30_000
TICK_SERIES, TICKS = 100_000, 286
TICKS_TIMED = 30
DAY = 1440

Batch = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.uint8]]


@kernel
def ring_only(
    rows, ring, slot, step, value, use,
    expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
) -> None:  # fmt: skip
    """Write each value to its series' ring, and nothing else: what a detector cannot do without."""
    length = ring.shape[1]
    for i in range(len(slot)):
        if use[i] != JUDGE:
            continue
        row = rows[slot[i]]
        if step[i] == RESTART:
            row.position = 0
        else:
            row.position = (row.position + step[i]) % length
        ring[slot[i], row.position] = value[i]


RING_ONLY = Detector(
    layout=StateLayout("ring only", whole_lines([*HEADER, ("position", "<u4")])),
    kernel=ring_only,
    ring_points=lambda settings: settings.ring_points,
    parameters=lambda row, settings: None,
    threshold=lambda sensitivity: 0.0,
    severity=lambda score: 0.0,
    history=lambda row, ring: np.empty(0),
)
CONTENDERS = (RING_ONLY, *DETECTORS.values())


class Contender:
    """A detector with the state of some series, and columns to write to."""

    def __init__(self, detector: Detector, n_series: int, ring_length: int, n_points: int) -> None:
        self._kernel = detector.kernel
        settings = DetectionConfig(ring_length=ring_length)
        pool = Pool(detector.layout, detector.ring_points(settings))
        for number in range(n_series):
            (slot,) = pool.take([str(number)], pool.blank()).tolist()
            if detector is not RING_ONLY:
                detector.configure(pool.rows, slot, settings)
        self._state = pool.rows, pool.ring
        kinds = (*[np.float64] * 4, np.bool_, np.uint8, np.float64, np.int32)
        self._columns = [np.zeros(n_points, kind) for kind in kinds]

    def ns_per_point(self, batch: Batch) -> float:
        """Judge and learn a batch."""
        began_ns = time.process_time_ns()
        self._kernel(*self._state, *batch, *self._columns)
        return (time.process_time_ns() - began_ns) / len(batch[0])


def one_after_another(daily: bool) -> Batch:
    """Return the points of N_SERIES series, each to its end before the next."""
    n = N_SERIES * N_POINTS
    value = np.random.default_rng(1).normal(0, 1, n)
    if daily:
        wave = 6 * np.sin(2 * np.pi * np.arange(N_POINTS) / DAY)
        value += 100 + np.tile(wave, N_SERIES)
    step = np.ones(n, np.int32)
    step[::N_POINTS] = RESTART
    slot = np.repeat(np.arange(N_SERIES), N_POINTS)
    return slot, step, value, np.zeros(n, np.uint8)


def ticks() -> Iterator[Batch]:
    """Yield one point of each of TICK_SERIES series at a time."""
    rng = np.random.default_rng(2)
    for tick in range(TICKS):
        slot, value = rng.permutation(TICK_SERIES), rng.normal(0, 1, TICK_SERIES)
        step = np.full(TICK_SERIES, 1 if tick else RESTART, np.int32)
        yield slot, step, value, np.zeros(TICK_SERIES, np.uint8)


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return ns a point of every round, by order of points and contender."""
    names = [each.name for each in CONTENDERS]
    found: dict[str, dict[str, list[float]]] = {}
    for kind, daily in (("one after another, noise", False), ("one after another, daily", True)):
        batch = one_after_another(daily)
        found[kind] = {name: [] for name in names}
        for _ in range(rounds + 1):
            for each in CONTENDERS:
                contender = Contender(each, N_SERIES, 1440, len(batch[0]))
                found[kind][each.name].append(contender.ns_per_point(batch))
    contenders = {each.name: Contender(each, TICK_SERIES, 288, TICK_SERIES) for each in CONTENDERS}
    found["a tick, random order"] = {name: [] for name in names}
    for batch in ticks():
        for name, contender in contenders.items():
            found["a tick, random order"][name].append(contender.ns_per_point(batch))
    kept = {"a tick, random order": TICKS_TIMED}  # the first round compiles
    return {
        kind: {name: times[-kept.get(kind, rounds) :] for name, times in by_name.items()}
        for kind, by_name in found.items()
    }


def report(rounds: int) -> None:
    """Measure and print a Markdown table."""
    found = measure(rounds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"| ns a point (ratio to ring only) | {' | '.join(found)} | state, bytes |")
    print(f"|---|{'---|' * (len(found) + 1)}")
    for each in CONTENDERS:
        cells = []
        for by_name in found.values():
            pairs = zip(by_name[each.name], by_name[RING_ONLY.name], strict=True)
            ratio = statistics.median(ns / least_ns for ns, least_ns in pairs)
            cells.append(f"{statistics.median(by_name[each.name]):.1f} ({ratio:.1f})")
        print(f"| {each.name} | {' | '.join(cells)} | {each.layout.row.itemsize} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detect", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    report(parser.parse_args().rounds)
