"""From the points of a tumbling window to one value."""

from __future__ import annotations

import math

from streamdet.kernels.jit import kernel

MEAN = 0
SUM = 1
MIN = 2
MAX = 3
COUNT = 4
LAST = 5
P50 = 6
P95 = 7
P99 = 8
RATE = 9

FUNCTIONS = ("mean", "sum", "min", "max", "count", "last", "p50", "p95", "p99", "rate")
"""As the settings name them, in the order of their numbers."""


@kernel
def _sort(values, n):
    """Sort values[:n] in place: Shell (1959), with steps that halve and are odd."""
    gap = n // 2 | 1
    while n > 1:
        for i in range(gap, n):
            held = values[i]
            k = i
            while k >= gap and values[k - gap] > held:
                values[k] = values[k - gap]
                k -= gap
            values[k] = held
        if gap == 1:
            break
        gap = gap // 2 | 1


@kernel
def _quantile(values, n, share):
    """Return the quantile of values[:n], which are sorted in place; between two it is linear."""
    _sort(values, n)
    place = (n - 1) * share
    low = int(place)
    if low + 1 >= n:
        return values[n - 1]
    return values[low] + (place - low) * (values[low + 1] - values[low])


@kernel
def aggregate(function, values, n):
    """Return `function`, but for RATE, of values[:n], which may be sorted in place.

    Parameters
    ----------
    function : int        MEAN to P99
    values : float64[]    in the order of time
    n : int               >= 1
    """
    if function == COUNT:
        return float(n)
    if function == LAST:
        return values[n - 1]
    if function >= P50:
        return _quantile(values, n, 0.5 if function == P50 else 0.95 if function == P95 else 0.99)
    found = values[0]
    for k in range(1, n):
        if function == MIN:
            found = min(found, values[k])
        elif function == MAX:
            found = max(found, values[k])
        else:
            found += values[k]
    return found / n if function == MEAN else found


@kernel
def increase(before, value):
    """Return how much a counter grew; below its value before, it began anew at 0."""
    return value - before if value >= before else value


@kernel
def per_second(increased, elapsed_us):
    """Return an increase as a rate; NaN where no time went by."""
    return increased / (elapsed_us / 1e6) if elapsed_us > 0 else math.nan
