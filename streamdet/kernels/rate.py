"""Counters that only grow: what is judged is how fast they do."""

from __future__ import annotations

import math

from streamdet.kernels.align import RESTART
from streamdet.kernels.jit import kernel

RATE = [
    ("raw", "<f8"),  # the counter at its newest point
    ("raw_us", "<i8"),
    ("transform", "u1"),  # one of the four below
]
"""Fields of every detector's row, 17 bytes. All zero: values are judged as they come."""

NONE = 0
RATE_NEXT = 1  # the next point is the counter's first
RATE_ONCE = 2  # it has one point; the next makes the first rate
RATE_ON = 3

_RATE_MAX = 1e30  # as a point's value


@kernel
def rate(rows, slot, time_us, outcome, step, value):
    """Turn the values of counters into their increase per second, in order.

    Parameters
    ----------
    rows : record[s]        with RATE; changed in place
    slot : int64[n]         row of the point's series; repeats allowed, in event order
    time_us : int64[n]      event time; ascends within a series where outcome is 0
    outcome : uint8[n]      points with another outcome than 0 (OK) change nothing
    step : int32[n]         as `align` gave it. Changed in place: RESTART stands at the first rate
                            of a series, since its first point, which has none, is not judged
    value : float64[n]      changed in place: per second, at most 1e30; NaN for a counter's first
                            point. Values of series without a transform stay as they are

    Notes
    -----
    A value below the one before means that the counter began anew at 0, so the increase is the
    value itself: Prometheus' rule for rate(). Deviation: a rate is from one point to the next, not
    over a window, so nothing is extrapolated. What was counted between the last point and the
    reset is lost, so the rate there is too low, not too high. Differences of doubles: exact for
    whole numbers up to 2^53, about 9e15.
    """
    for i in range(len(slot)):
        if outcome[i] != 0:
            continue
        row = rows[slot[i]]
        if row.transform == NONE:
            continue
        x = value[i]
        if step[i] == RESTART or row.transform == RATE_NEXT:
            value[i] = math.nan
            row.transform = RATE_ONCE
        else:
            increase = x - row.raw if x >= row.raw else x
            per_second = increase / ((time_us[i] - row.raw_us) / 1e6)
            value[i] = min(max(per_second, -_RATE_MAX), _RATE_MAX)
            if row.transform == RATE_ONCE:
                step[i] = RESTART
                row.transform = RATE_ON
        row.raw = x
        row.raw_us = time_us[i]
