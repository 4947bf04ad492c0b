"""Outliers of a set of values by three tests, and the vote of several.

Source: systems.md 3.4. The generalised ESD test is Rosner's (1983), with median and MAD as in
Hochenbaum, Vallis and Kejariwal (2017), one tail at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

_ALPHA = 0.05
_MAD_TO_SIGMA = 0.6744897501960817  # normal quantile at 3/4
_Z = 3.0
_NIL = 1e-8

Ranked = list[NDArray[np.int64]]
"""Indices of the outliers above and of those below, each from the most extreme on."""


def max_outliers(count: int, ratio: float) -> int:
    """Return how many of `count` values may be outliers, in one direction."""
    return min(max(int(np.ceil(count * ratio)), 1), count // 2 - 1)


def esd(values: NDArray[np.float64], ratio: float) -> Ranked:
    """Return the outliers of `values` by the generalised ESD test, above and below."""
    order = np.argsort(values, kind="stable")
    most = max_outliers(len(values), ratio)
    ascending = values[order]
    median = np.median(values)
    if np.median(np.abs(values - median)) <= _NIL:  # a majority is one value: each side by itself
        above = _count_beyond(ascending[ascending > median - _NIL], median, most)
        below = _count_beyond(-ascending[ascending < median + _NIL][::-1], -median, most)
    else:
        above = _count_above(ascending, most)
        below = _count_above(-ascending[::-1], most)
    return [order[::-1][:above], order[:below]]


def _count_beyond(ascending: NDArray[np.float64], majority: float, most: int) -> int:
    """Return how many of the highest values are outliers beside the value of most of them."""
    count = len(ascending)
    most = min(most, int((ascending > majority + _NIL).sum()), count - 2)
    if most < 1:
        return 0
    left = count - np.arange(most)
    std = _std_of_first(ascending, left)
    with np.errstate(divide="ignore", invalid="ignore"):
        passes = (std > _NIL) & (
            (ascending[left - 1] - majority) / std > _critical_values(count, most)
        )
    return int(passes.nonzero()[0].max()) + 1 if passes.any() else 0


def _std_of_first(ascending: NDArray[np.float64], left: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the standard deviation of the first `left` values, for each `left`."""
    centred = ascending - ascending[0]
    sums = np.cumsum(centred)[left - 1]
    squares = np.cumsum(centred**2)[left - 1]
    return np.sqrt(np.maximum(squares - sums**2 / left, 0) / np.maximum(left - 1, 1))


def _count_above(ascending: NDArray[np.float64], most: int) -> int:
    """Return how many of the highest values are outliers."""
    count = len(ascending)
    left = count - np.arange(most)  # values that are left when the k-th is tested
    extreme = ascending[left - 1]
    median = (ascending[(left - 1) // 2] + ascending[left // 2]) / 2
    mad = (
        _kth_deviation(ascending, left, median, (left + 1) // 2)
        + _kth_deviation(ascending, left, median, left // 2 + 1)
    ) / 2
    critical = _critical_values(count, most)
    mean = np.cumsum(ascending)[left - 1] / left
    std = _std_of_first(ascending, left)
    with np.errstate(divide="ignore", invalid="ignore"):
        robust = (extreme - median) / (mad / _MAD_TO_SIGMA)
        plain = (extreme - mean) / std
    passes = ((mad > _NIL) & (robust > critical)) | ((std > _NIL) & (plain > critical))
    return int(passes.nonzero()[0].max()) + 1 if passes.any() else 0


def _kth_deviation(
    ascending: NDArray[np.float64],
    left: NDArray[np.int64],
    median: NDArray[np.float64],
    kth: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the kth smallest distance from the median among the first `left` values.

    The values that are so near are neighbours in order: where the run of `kth` of them begins is
    found by bisection, for every `left` at once.
    """
    first = np.zeros(len(left), np.int64)
    last = left - kth
    while (first < last).any():
        middle = (first + last) // 2
        right = np.minimum(middle + kth, len(ascending) - 1)
        later = (median - ascending[middle] > ascending[right] - median) & (first < last)
        first = np.where(later, middle + 1, first)
        last = np.where(later, last, middle)
    return np.asarray(np.maximum(median - ascending[first], ascending[first + kth - 1] - median))


@lru_cache(maxsize=64)
def _critical_values(count: int, most: int) -> NDArray[np.float64]:
    k = np.arange(1, most + 1)
    t = stdtrit(np.maximum(count - k - 1, 1), 1 - _ALPHA / (count - k + 1))
    return np.asarray(t * (count - k) / np.sqrt((count - k - 1 + t**2) * (count - k + 1)))


def z_score(values: NDArray[np.float64], ratio: float) -> Ranked:
    """Return what lies more than 3 MAD from the median (without one: 3 standard deviations)."""
    off = values - np.median(values)
    mad = np.median(np.abs(off))
    scale = mad / _MAD_TO_SIGMA if mad > _NIL else values.std()
    most = max_outliers(len(values), ratio)
    order = np.argsort(-off, kind="stable")
    above = order[off[order] > _Z * scale][:most]
    below = order[::-1][-off[order[::-1]] > _Z * scale][:most]
    return [above, below]


def vote(candidates: Sequence[Ranked], count: int, ratio: float) -> NDArray[np.bool_]:
    """Return which of `count` values are outliers by any of the tests.

    In each direction there are at most `max_outliers`: the first tests' before the others', the
    most extreme before the rest. What two tests name has the ranks of both, added up.
    """
    flagged = np.zeros(count, bool)
    for direction in (0, 1):
        ranks = np.zeros(count)
        named = np.zeros(count, bool)
        for index, ranked in enumerate(candidates):
            found = ranked[direction]
            ranks[found] += index * count + np.arange(len(found))
            named[found] = True
        found = np.flatnonzero(named)
        found = found[np.argsort(ranks[found], kind="stable")]
        flagged[found[: max_outliers(count, ratio)]] = True
    return flagged
