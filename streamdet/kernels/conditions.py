"""What a rule says of anomalies beside the detector: options that apply to what it has judged.

In this order, on the detector's band around its expected value:

    minDeviation          the margins are at least so wide
    upperBound/lowerBound a value beyond is an anomaly, whatever follows; expected value and
                          boundaries are clipped into them
    direction             the side that was not asked for
    suppressCondition     fewer than k of the newest n points were outside
    maxAnomalyRatio       the share of anomalies among the newest points is used up

What is outside and yet no anomaly by one of the last three has its band widened to include it.
So the verdict and the band agree for every point: it is an anomaly exactly when
``value > expected + upper`` or ``value < expected - lower`` in float64. The detector learns from
its own band; nothing here changes that.

Source: the options are those of Azure Metrics Advisor's conditions and, for the ratio, of Azure
AI Anomaly Detector, whose first boundaries too were widened to include a normal point. Deviation:
the service counted anomalies of a whole request; here it is a decaying mean, in one float.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import inlined

CONDITIONS = [
    ("upper_bound", "<f8"),
    ("lower_bound", "<f8"),
    ("min_deviation", "<f4"),  # in the unit of the series
    ("min_deviation_share", "<f4"),  # of |expected|
    ("anomaly_share", "<f4"),  # anomalies among the newest points, decaying mean
    ("anomaly_share_max", "<f4"),  # 0: no limit
    ("anomaly_share_rate", "<f4"),  # one over how many points are the newest
    ("outside_history", "<u4"),  # of the newest 32 points, the newest lowest: 1 outside
    ("options", "u1"),  # bits: the four below
    ("min_number", "u1"),  # n of suppressCondition
    ("min_outside", "u1"),  # k
]
"""Fields of every detector's row, 43 bytes. All zero: no option is set."""

UPPER_BOUND = 1
LOWER_BOUND = 2
ONLY_UP = 4
ONLY_DOWN = 8

HISTORY_MAX = 32
"""Points that outside_history holds."""

SCORE_BEYOND = 100.0
"""Score of a value beyond a hard bound: the largest that there is."""

_HISTORY_MASK = (1 << HISTORY_MAX) - 1


@inlined
def beyond(row, value):
    """Return 1 for a value above upperBound, -1 for one below lowerBound, else 0."""
    if row.options & UPPER_BOUND and value > row.upper_bound:
        return 1
    if row.options & LOWER_BOUND and value < row.lower_bound:
        return -1
    return 0


@inlined
def clip(row, number):
    """Return `number` between the hard bounds."""
    if row.options & UPPER_BOUND:
        number = min(number, row.upper_bound)
    if row.options & LOWER_BOUND:
        number = max(number, row.lower_bound)
    return number


@inlined
def outside(row, value, high, low):
    """Return 1 for a value above `high`, -1 for one below `low`, on a side asked for, else 0."""
    if value > high and not row.options & ONLY_DOWN:
        return 1
    if value < low and not row.options & ONLY_UP:
        return -1
    return 0


@inlined
def least_margin(row, expected):
    """Return the margin that minDeviation asks for; NaN where `expected` is."""
    return max(row.min_deviation_share * abs(expected), np.float64(row.min_deviation))


@inlined
def fits(row, value, expected, upper_margin, lower_margin):
    """Return whether a value is none to speak of by the options that look at it alone.

    Without suppressCondition and maxAnomalyRatio: they keep quiet, they do not make a value fit.
    Where `expected` is NaN a value fits that is not beyond a hard bound.
    """
    if beyond(row, value) != 0:
        return False
    least = least_margin(row, expected)
    high = clip(row, expected + max(upper_margin, least))
    low = clip(row, expected - max(lower_margin, least))
    return math.isnan(expected) or outside(row, value, high, low) == 0


@inlined
def begin_conditions(row):
    """Forget the points before: for a series that begins anew."""
    row.anomaly_share = 0.0
    row.outside_history = 0


@inlined
def apply_conditions(row, value, expected, upper_margin, lower_margin):
    """Apply the options of a row to what its detector says of a point.

    Parameters
    ----------
    row : record              with CONDITIONS; history and share are changed in place
    value : float             finite
    expected : float          NaN: the detector says nothing (warm-up)
    upper_margin, lower_margin : float   >= 0, NaN with `expected`

    Returns
    -------
    (expected, upper_margin, lower_margin, is_anomaly)
        Margins >= 0 and finite where expected is known. Where it is not, they stay NaN and no
        anomaly, but for a value beyond a hard bound: then the bound is expected, with margins 0.

    Notes
    -----
    Call it once for each point, in order; some 3 ns. A point without a band is not counted.
    """
    hard = beyond(row, value)
    if math.isnan(expected):
        if hard == 0:
            return expected, upper_margin, lower_margin, False
        return (row.upper_bound if hard > 0 else row.lower_bound), 0.0, 0.0, True

    least = least_margin(row, expected)
    upper, lower = max(upper_margin, least), max(lower_margin, least)
    high, low = expected + upper, expected - lower
    if row.options & (UPPER_BOUND | LOWER_BOUND):
        within = clip(row, expected)
        if within != expected or clip(row, high) != high:
            high = clip(row, high)
            upper = high - within
        if within != expected or clip(row, low) != low:
            low = clip(row, low)
            lower = within - low
        expected = within

    strange = hard != 0 or outside(row, value, high, low) != 0
    anomaly = hard != 0 or (strange and _persists(row) and _has_share_left(row))
    row.outside_history = ((np.int64(row.outside_history) << 1) | strange) & _HISTORY_MASK
    share = np.float64(row.anomaly_share)
    row.anomaly_share = share + row.anomaly_share_rate * (anomaly - share)

    if anomaly:
        # A difference is rounded: the sum may lie an ulp further out than the clipped boundary.
        if value > high and value <= expected + upper:
            upper = np.nextafter(upper, 0.0)
        if value < low and value >= expected - lower:
            lower = np.nextafter(lower, 0.0)
    else:
        upper = _reaching(upper, expected, value)
        lower = _reaching(lower, -expected, -value)
    return expected, upper, lower, anomaly


@inlined
def _persists(row):
    """Return whether enough of the newest points were outside, this one, which is, included."""
    missing = np.int64(row.min_outside) - 1
    history = np.int64(row.outside_history)
    for _ in range(np.int64(row.min_number) - 1):
        missing -= history & 1
        history >>= 1
    return missing <= 0


@inlined
def _has_share_left(row):
    """Return whether one anomaly more is none too many; the first never is."""
    return row.anomaly_share_max == 0.0 or row.anomaly_share < row.anomaly_share_max


@inlined
def _reaching(margin, expected, value):
    """Return a margin, no smaller than `margin`, with ``expected + margin >= value``."""
    if value <= expected + margin:
        return margin
    margin = value - expected
    return margin if value <= expected + margin else np.nextafter(margin, np.inf)
