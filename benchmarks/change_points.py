"""How many changes of made series are found, and how many are seen where nothing changes.

``python -m benchmarks.change_points --seed N`` prints a table: recall by kind of change, precision
and F1 over all, and change points by quiet series. A change counts as found where one was told
within `stableTrendWindow` of it, each told one for one change.

A series is 12 to 2,000 points of noise (normal, uniform, Laplace, Student's t, autocorrelated,
with single outliers) on a level, a trend or a season, with one to three changes of one kind, or
none. The changes have sizes that a person sees in a plot: see `_SIZES`. Half of the seasonal
series are told their period, half are not.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streamdet.univariate.change_point import change_points

KINDS = ("level", "trend", "variance", "period")
NOISES = ("normal", "uniform", "laplace", "student", "autocorrelated", "outliers")
SHAPES = ("sine", "two harmonics", "sawtooth")
GRANULARITIES = (
    ("yearly", 3, 100),
    ("monthly", 6, 400),
    ("weekly", 3, 500),
    ("daily", 5, 2001),
    ("hourly", 24, 2001),
    ("minutely", 72, 2001),
    ("secondly", 72, 2001),
    ("none", 100, 2001),
)
"""Name, the service's default of `stableTrendWindow`, and more points than there usually are."""
THRESHOLD = 0.9

_SIZES = {
    "level": (1.5, 6.0),  # standard deviations of the noise
    "trend": (6.0, 15.0),  # the same, at the nearer end of the two stretches
    "variance": (2.0, 5.0),  # ratio of standard deviations
    "period": (1.5, 4.0),  # amplitude in standard deviations of the noise
}
_PIECE = {"level": 6, "trend": 8, "variance": 20, "period": 24}  # points between changes at least


@dataclass(frozen=True)
class Series:
    """A made series, and what the detector is told of it."""

    kind: str  # of KINDS, or "quiet"
    noise: str
    base: str
    values: NDArray[np.float64]
    changes: NDArray[np.int64]
    period: int
    window: int


def make_noise(rng: Generator, name: str, n: int) -> NDArray[np.float64]:
    """Return n values with standard deviation 1."""
    if name == "uniform":
        return rng.uniform(-(3**0.5), 3**0.5, n)
    if name == "laplace":
        return rng.laplace(0, 0.5**0.5, n)
    if name == "student":
        return rng.standard_t(4, n) / 2**0.5
    noise = rng.normal(0, 1, n)
    if name == "autocorrelated":
        phi = rng.uniform(0.3, 0.7)
        for t in range(1, n):
            noise[t] = phi * noise[t - 1] + (1 - phi * phi) ** 0.5 * noise[t]
    elif name == "outliers":
        at = rng.choice(n, max(1, n // 100), replace=False)
        noise[at] += rng.choice([-1, 1], len(at)) * rng.uniform(6, 15, len(at))
    return noise


def make_season(
    rng: Generator, n: int, period: NDArray[np.float64] | int, shape: str
) -> NDArray[np.float64]:
    """Return a season of amplitude 1 whose period may differ from point to point."""
    turn = np.cumsum(np.full(n, 1.0) / period) + rng.uniform()
    if shape == "sine":
        return np.sin(2 * np.pi * turn)
    if shape == "two harmonics":
        return 0.7 * np.sin(2 * np.pi * turn) + 0.4 * np.sin(4 * np.pi * turn + 1)
    return 2 * (turn % 1) - 1


def make_series(rng: Generator, kind: str) -> Series:
    """Return one series with changes of `kind`, or with none."""
    piece = _PIECE.get(kind, 6)
    n = int(np.exp(rng.uniform(np.log(2 * piece), np.log(2000))))
    window = int(
        rng.choice([w for _, w, most in GRANULARITIES if n < most and (w < 4 or 5 * w < n)])
    )
    piece = max(piece, int(1.5 * window) if kind != "quiet" else 0, n // 8)
    changes = np.zeros(0, np.int64)
    if kind != "quiet":
        count = int(rng.integers(1, min(3, n // piece - 1) + 1))
        spare = n - piece * (count + 1)
        changes = np.sort(rng.integers(0, spare + 1, count)) + piece * np.arange(1, count + 1)
    noise = str(rng.choice(NOISES))
    drawn = make_noise(rng, noise, n)
    shortest = int(np.diff([0, *changes, n]).min())
    longest_period = min(shortest // 3, 168)
    if kind == "period":  # a season that has gone is missed after half of it
        longest_period = min(longest_period, 2 * window + 2)
    base = "season" if kind == "period" else str(rng.choice(["flat", "trend", "season"]))
    if base == "season" and longest_period < 4:
        base = "flat"
    period = 0
    values = drawn.copy()
    if kind == "variance":
        values *= _piecewise(changes, n, _ratios(rng, len(changes)))
    if base == "trend":
        values += rng.uniform(-20, 20) * np.arange(n) / n
    elif base == "season":
        period = int(np.exp(rng.uniform(np.log(4), np.log(longest_period + 1))))
        shape = str(rng.choice(SHAPES))
        amplitude = rng.uniform(*_SIZES["period"])
        if kind == "period":
            values += amplitude * _changing(rng, changes, n, period, shape)
        else:
            values += amplitude * make_season(rng, n, period, shape)
    if kind == "level":
        values += _levels(rng, changes, n, noise, shortest)
    elif kind == "trend":
        values += _slopes(rng, changes, n, window)
    told = period if rng.uniform() < 0.5 or n < 6 * period else 0  # a season of few cycles is none
    values = values * np.exp(rng.uniform(-3, 6)) + rng.uniform(-100, 1000)
    return Series(kind, noise, base, values, changes, told, window)


def _piecewise(
    changes: NDArray[np.int64], n: int, sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    return sizes[np.searchsorted(changes, np.arange(n), side="right")]


def _ratios(rng: Generator, count: int) -> NDArray[np.float64]:
    sign = rng.choice([-1, 1]) * (-1.0) ** np.arange(count)
    return np.exp(np.cumsum([0, *(sign * np.log(rng.uniform(*_SIZES["variance"], count)))]))


def _levels(
    rng: Generator, changes: NDArray[np.int64], n: int, noise: str, shortest: int
) -> NDArray[np.float64]:
    # On few points nobody sees a shift of 1.5 sigma; autocorrelated noise wanders by itself.
    least = max(_SIZES["level"][0], 8 / shortest**0.5)
    if noise == "autocorrelated":
        least *= 1.7
    sizes = rng.uniform(least, max(_SIZES["level"][1], 1.5 * least), len(changes))
    return _piecewise(changes, n, np.cumsum([0, *(sizes * rng.choice([-1, 1], len(changes)))]))


def _slopes(rng: Generator, changes: NDArray[np.int64], n: int, window: int) -> NDArray[np.float64]:
    total = np.zeros(n)
    lengths = np.diff([0, *changes, n])
    sign = rng.choice([-1, 1])
    for at, left, right in zip(changes, lengths[:-1], lengths[1:], strict=True):
        nearer = min(left, right)
        # The place of a bend is known to 2.8 sqrt(points) / size: the window must be twice that.
        least, most = _SIZES["trend"]
        size = rng.uniform(least, most) * max(1.0, 5.7 * nearer**0.5 / window / least) / nearer
        total += sign * size * np.maximum(np.arange(n) - at, 0)
        sign = -sign
    return total


def _changing(
    rng: Generator, changes: NDArray[np.int64], n: int, period: int, shape: str
) -> NDArray[np.float64]:
    """Return a season that comes, goes, grows, shrinks, or changes its length."""
    count = len(changes)
    how = rng.choice(["comes and goes", "amplitude", "length"])
    odd = (np.arange(count + 1) + rng.integers(0, 2)) % 2
    if how == "length":
        other = max(3.0, period * rng.choice([0.5, 0.65, 1.5, 2.0]))
        if other * 2.5 > np.diff([0, *changes, n]).min() or abs(other / period - 1) < 0.2:
            other = period * 0.65
        return make_season(rng, n, _piecewise(changes, n, np.where(odd, other, period)), shape)
    factor = 0.0 if how == "comes and goes" else 1 / rng.uniform(2, 4)
    grown = 1.0 if how == "comes and goes" else 1.8
    return (
        grown
        * _piecewise(changes, n, np.where(odd, factor, 1.0))
        * make_season(rng, n, period, shape)
    )


def matches(true: NDArray[np.int64], told: NDArray[np.int64], window: int) -> int:
    """Return how many changes are found, each told one for one change; both sorted."""
    found = at = 0
    for place in true:
        while at < len(told) and told[at] < place - window:
            at += 1
        if at < len(told) and told[at] <= place + window:
            found += 1
            at += 1
    return found


@dataclass
class Counts:
    """What was there, what was told, what of it was right, over some series."""

    series: int = 0
    true: int = 0
    told: int = 0
    found: int = 0

    def f1(self) -> float:
        """Return the harmonic mean of recall and precision."""
        return 2 * self.found / max(self.true + self.told, 1)


def measure(seed: int, n_series: int) -> dict[str, Counts]:
    """Judge n_series made series, half of them quiet; counts by kind, noise and length."""
    rng = np.random.default_rng(seed)
    counts: dict[str, Counts] = defaultdict(Counts)
    for at in range(n_series):
        kind = "quiet" if at % 2 else KINDS[at // 2 % len(KINDS)]
        made = make_series(rng, kind)
        flags, _ = change_points(made.values, made.period, made.window, THRESHOLD)
        told = np.flatnonzero(flags)
        found = matches(made.changes, told, made.window)
        length = next(each for each in (50, 200, 700, 2001) if len(made.values) < each)
        quiet = "quiet, " if kind == "quiet" else ""
        for name in (
            "all",
            kind,
            f"{quiet}{made.noise} noise",
            f"{quiet}on a {made.base}",
            f"{quiet}n < {length}",
        ):
            each = counts[name]
            each.series += 1
            each.true += len(made.changes)
            each.told += len(told)
            each.found += found
    return counts


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.change_points", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--series", type=int, default=800, help="series to make (800)")
    given = parser.parse_args()
    began_s = time.process_time()
    counts = measure(given.seed, given.series)
    spent_s = time.process_time() - began_s
    print("| series | number | changes | told | recall | precision | F1 | wrong a series |")
    print("|---|---|---|---|---|---|---|---|")
    for name, each in sorted(counts.items(), key=lambda pair: ("quiet" in pair[0], pair[0])):
        recall, precision = each.found / max(each.true, 1), each.found / max(each.told, 1)
        wrong = (each.told - each.found) / each.series
        rates = f"{recall:.3f} | {precision:.3f} | {each.f1():.3f} | {wrong:.3f}"
        print(f"| {name} | {each.series} | {each.true} | {each.told} | {rates} |")
    print(f"\n{1e3 * spent_s / given.series:.1f} ms a series; F1 {counts['all'].f1():.3f}, bar .85")


if __name__ == "__main__":
    main()
