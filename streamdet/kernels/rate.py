"""Counters that only grow: what is judged is how fast they do."""

from __future__ import annotations

import math

from streamdet.kernels.jit import kernel
from streamdet.kernels.window import increase, per_second

NONE = 0
RATE_NEXT = 1  # the next point is the counter's first
RATE_ON = 2

RATE_MAX = 1e30  # as a point's value


@kernel
def rate(row, time_us, value, begins):
    """Return the increase per second of a counter, at most 1e30; NaN at its first point.

    Parameters
    ----------
    row : record          with HEADER; raw, raw_us and transform are changed in place
    time_us : int         later than the point before
    value : float         of the counter
    begins : bool         the series begins anew with this point

    Notes
    -----
    A value below the one before means that the counter began anew at 0, so the increase is the
    value itself: Prometheus' rule for rate(). Deviation: a rate is from one point to the next, not
    over a window, so nothing is extrapolated. What was counted between the last point and the
    reset is lost, so the rate there is too low, not too high. Differences of doubles: exact for
    whole numbers up to 2^53, about 9e15.
    """
    found = math.nan
    if begins or row.transform == RATE_NEXT:
        row.transform = RATE_ON
    else:
        found = per_second(increase(row.raw, value), time_us - row.raw_us)
        found = min(max(found, -RATE_MAX), RATE_MAX)
    row.raw = value
    row.raw_us = time_us
    return found
