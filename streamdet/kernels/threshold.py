"""Hard bounds and nothing learnt: a value above upperBound or below lowerBound is an anomaly.

Expected is the value before, clipped into the bounds; the band reaches from there to the bounds.
On a side without a bound it reaches as far as the value does, so that its margin is finite.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.conditions import (
    CONDITIONS,
    LOWER_BOUND,
    UPPER_BOUND,
    begin_conditions,
    clip,
    fits,
)
from streamdet.kernels.header import HEADER, JUDGE, LEARN, RESTART, whole_lines
from streamdet.kernels.incident import INCIDENT, begin_incidents, conclude
from streamdet.kernels.jit import kernel

ROW = whole_lines(
    [*HEADER, ("last", "<f8"), ("sensitivity", "<u1"), *CONDITIONS, *INCIDENT]
)  # sensitivity has no say; events tell it
assert ROW.itemsize == 192, "three cache lines"


@kernel
def detect(
    rows, ring, slot, step, value, use,
    expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
):  # fmt: skip
    """Judge n points, in order. The first point of a series is judged too.

    Parameters
    ----------
    rows : ROW[s]               state, changed in place
    ring : float32[s, 0]        not used
    slot : int64[n]             row of the point's series; repeats allowed, in event order
    step : int32[n]             RESTART where a series begins; nothing else matters
    value : float64[n]          finite
    use : uint8[n]              see `header`; a value to LEARN is the one before of the next, one to
                                FILL is of no meaning here
    expected_value : float64[n] out; NaN for points that are not judged
    upper_margin, lower_margin : float64[n]   out; >= 0; likewise
    score : float64[n]          out; 0, or `conditions.SCORE_BEYOND`; likewise
    is_anomaly : bool[n]        out; value outside [expected - lower, expected + upper]
    state : uint8[n]            out; of the incident, see `incident`
    alert : float64[n]          out; the score
    period : int32[n]           out; 0

    Notes
    -----
    Some 20 ns a point; no allocation.
    """
    for i in range(len(slot)):
        expected_value[i] = upper_margin[i] = lower_margin[i] = score[i] = alert[i] = math.nan
        is_anomaly[i] = False
        state[i] = period[i] = 0
        if use[i] > LEARN:
            continue
        row = rows[slot[i]]
        x = value[i]
        if step[i] == RESTART:
            begin_incidents(row)
            begin_conditions(row)
            row.last = x
        if use[i] != JUDGE:
            row.last = x
            continue
        expected = clip(row, row.last)
        upper = max(x - expected, 0.0)
        lower = max(expected - x, 0.0)
        # One step further than the bound, where the band is cut: a sum may round to before it.
        if row.options & UPPER_BOUND:
            upper = np.nextafter(row.upper_bound - expected, np.inf)
        if row.options & LOWER_BOUND:
            lower = np.nextafter(expected - row.lower_bound, np.inf)
        settled = fits(row, x, expected, upper, lower)
        (
            expected_value[i], upper_margin[i], lower_margin[i],
            score[i], is_anomaly[i], state[i],
        ) = conclude(row, x, expected, upper, lower, 0.0, settled)  # fmt: skip
        alert[i] = score[i]
        row.last = x
