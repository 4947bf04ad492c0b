"""The detector's kernel: expected value, margins, score and verdict of each point, in one pass.

    expected_t = level + season_t
    level      : exponentially weighted mean of the cleaned values
    season_t   : mean over up to three earlier periods of the cleaned value's deviation from the
                 level that preceded it; 0 without a period
    recent     : as level, but of the values as they came

Level and recent agree until something strange happens. Then it is open whether it will pass (the
level is right) or stay (recent is right), and until that is known both count as normal: the
residual is the distance to the nearer of the two, 0 between them. It is judged by the tail model
(`tail`). So a spike is one event and its end none, and a shift is flagged at its onset, not for
as long as it lasts.

The ring holds deviations rather than values: they stay small, so float32 keeps the noise of a
series at 1e12, and a level that a shift moved does not come back a period later.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.align import HEADER, RESTART
from streamdet.kernels.jit import kernel
from streamdet.kernels.tail import (
    LEARN_FROM,
    tail_index,
    tail_learn,
    tail_residual,
    tail_score,
    tail_start,
    tail_unit,
)

ROW = np.dtype(
    [
        *HEADER,
        ("level", "<f8"),
        ("apart", "<f4"),  # recent - level
        ("scale", "<f4"),  # mean absolute residual
        ("quantile", "<f4"),  # ln
        ("extreme", "<f4"),  # ln
        ("excess_sum", "<f4"),
        ("excess_weight", "<f4"),
        ("count", "<u4"),  # points learnt; counts anew when the season is first known
        ("period", "<i4"),  # points; 0: none
        ("position", "<u2"),  # where in the ring the next point goes
        ("run", "<u2"),  # points in a row that were too strange to be learnt
        ("warmup", "<u2"),  # points before the first verdict
        ("sensitivity", "<u1"),
        ("seasonal", "<u1"),  # SEASONAL, ANEW or 0
    ]
)
assert ROW.itemsize == 64, "one cache line"

SEASONAL = 1  # the season is known
ANEW = 2  # the period was changed: the series begins anew with its next point

CYCLES = 3

_SIGMA_OF_MEAN = 1.2533  # standard deviation over mean absolute value of normal noise
_SHOCK_SIGMA = 8.0
_SHOCK_KEEPS_SIGMA = 0.5
_CLIP_AFTER = 12  # points
_CLIP_SIGMA = 5.0
_SCALE_RATE_MIN = 0.0007
_RATE = 0.5
_RECENT_STEPS_PER_PERIOD = 8.0
# While a series is strange its level follows what the ring says, and the ring holds distances from
# that level a period before: a loop with a delay, which grows without bound above pi / 2.
_LEVEL_STEPS_PER_PERIOD = 1.0
_ACCEPT_AFTER = 30  # points


@kernel
def share(steps_per_period, period):
    """Return the weight of a new value, so that a period has `steps_per_period` times 1 / weight.

    Bounded for the shortest periods, where the quotient would leave (0, 1).
    """
    return min(steps_per_period / period, _RATE)


@kernel
def season(row, ring, slot):
    """Return the usual deviation at this phase: the median of the last three periods'.

    The mean of two or one while there are no more; NaN when none has a value here. A median, so
    that what was strange in one period is not expected in the next, and what has changed for
    good is expected after two.
    """
    length = ring.shape[1]
    low = high = math.nan
    n = 0
    for cycle in range(1, CYCLES + 1):
        behind = cycle * row.period
        if behind > length:
            break
        deviation = ring[slot, (row.position + length - behind) % length]
        if math.isnan(deviation):
            continue
        if n == 0:
            low = high = deviation
        elif n == 1:
            low, high = min(low, deviation), max(high, deviation)
        else:
            return min(max(low, deviation), high)
        n += 1
    return 0.5 * (low + high)


@kernel
def restart(row, ring, slot, value):
    """Begin the series with `value`."""
    row.count = row.position = row.run = row.seasonal = 0
    row.scale = row.apart = 0.0
    row.level = value
    ring[slot, :] = math.nan


@kernel
def know_season(row, ring, slot):
    """Turn the first period's values into deviations from a level that has settled.

    Until now the ring held distances from the first value, and `level` that value. The level is
    led twice through the period, once to settle and once to be subtracted. What was learnt of
    residuals without a season is of no use with it and begins anew.
    """
    length = ring.shape[1]
    rate = share(_LEVEL_STEPS_PER_PERIOD, row.period)
    start = row.position + length - row.period
    level = 0.0
    for k in range(2 * row.period):
        at = (start + k % row.period) % length
        distance = ring[slot, at]
        if math.isnan(distance):
            continue
        if k >= row.period:
            ring[slot, at] = distance - level
        level += max(rate, 1.0 / (k + 1.0)) * (distance - level)
    row.level += level
    row.seasonal = SEASONAL
    row.count = row.run = 0
    row.apart = row.scale = 0.0


@kernel
def skip(row, ring, slot, steps):
    """Pass over `steps` grid steps without a value: their place in the ring becomes NaN.

    The level goes the way that the season usually leads it, so the phase is kept.
    """
    length = ring.shape[1]
    for _ in range(steps):
        if row.seasonal == SEASONAL:
            usual = season(row, ring, slot)
            if not math.isnan(usual):
                row.level += share(_LEVEL_STEPS_PER_PERIOD, row.period) * usual
        ring[slot, row.position] = math.nan
        row.position = (row.position + 1) % length


@kernel
def learn(row, ring, slot, value, expected, residual):
    """Learn one value: level, recent, scale and ring.

    To the level a value more than 8 sigma away is half a sigma away, so a spike leaves no trace
    in it, and an outage of some minutes little; after `_ACCEPT_AFTER` such values in a row (a
    period for a seasonal series) the level moves to the newest: a shift that lasts is the new
    normal.
    """
    length = ring.shape[1]
    away = value - expected
    sigma = _SIGMA_OF_MEAN * row.scale
    clean = value
    learning = row.period > 0 and row.seasonal != SEASONAL
    if row.count >= _CLIP_AFTER and abs(away) > _SHOCK_SIGMA * sigma and not learning:
        row.run += 1
        if row.run >= (row.period if row.seasonal == SEASONAL else _ACCEPT_AFTER):
            row.level += away
            row.apart = 0.0
            row.run = 0
        else:
            clean = expected + math.copysign(_SHOCK_KEEPS_SIGMA * sigma, away)
    else:
        row.run = 0
    clipped = residual
    if row.count >= _CLIP_AFTER and row.scale > 0.0:  # a constant so far has yet to learn
        clipped = min(clipped, _CLIP_SIGMA * sigma)
    row.scale += max(_SCALE_RATE_MIN, 1.0 / (row.count + 1.0)) * (clipped - row.scale)
    ring[slot, row.position] = value - row.level
    row.position = (row.position + 1) % length

    if row.seasonal == SEASONAL:
        row.apart += share(_RECENT_STEPS_PER_PERIOD, row.period) * (away - row.apart)
        row.level += share(_LEVEL_STEPS_PER_PERIOD, row.period) * (clean - row.level)
        return
    rate = max(_RATE, 1.0 / (row.count + 1.0))
    recent = row.level + row.apart
    recent += rate * (value - recent)
    if row.period == 0:
        row.level += rate * (clean - row.level)
    row.apart = recent - row.level


@kernel
def detect(
    rows, ring, slot, step, value, outcome,
    expected_value, upper_margin, lower_margin, score, is_anomaly,
):  # fmt: skip
    """Judge n points and learn them, in order.

    Parameters
    ----------
    rows : ROW[s]               state, changed in place
    ring : float32[s, length]   state, changed in place
    slot : int64[n]             row of the point's series; repeats allowed, in event order
    step : int32[n]             grid steps since the previous point of the series, or RESTART
    value : float64[n]          finite
    outcome : uint8[n]          only points with outcome 0 (OK) are judged and learnt
    expected_value : float64[n] out; NaN while the series warms up: `warmup` points, with a period
                                until the season is known and a period more; NaN too where no
                                earlier period has a value, and for points that are not OK
    upper_margin, lower_margin : float64[n]   out; >= 0; likewise
    score : float64[n]          out; likewise
    is_anomaly : bool[n]        out; value outside [expected - lower, expected + upper]

    Notes
    -----
    Some 70 ns a point; no allocation. The threshold of the score is 14 - sensitivity / 10: ten
    steps of sensitivity are a factor of e in how rare a point has to be.
    """
    for i in range(len(slot)):
        expected_value[i] = upper_margin[i] = lower_margin[i] = score[i] = math.nan
        is_anomaly[i] = False
        if outcome[i] != 0:
            continue
        at = slot[i]
        row = rows[at]
        x = value[i]
        # After a gap longer than the ring nothing is known any more.
        if step[i] == RESTART or step[i] > ring.shape[1] or row.seasonal == ANEW:
            restart(row, ring, at, x)
        elif step[i] > 1:
            skip(row, ring, at, step[i] - 1)

        seasonal = 0.0
        expected = row.level
        if row.period > 0:
            found = season(row, ring, at)
            if not math.isnan(found):
                if row.seasonal != SEASONAL:
                    know_season(row, ring, at)
                    found = season(row, ring, at)
                seasonal = found
                expected = row.level + seasonal
            elif (
                row.seasonal == SEASONAL
            ):  # a gap in every earlier period: known from the next one on
                ring[at, row.position] = x - row.level
                row.position = (row.position + 1) % ring.shape[1]
                continue
            else:
                expected = row.level + row.apart
        other = row.level + row.apart + seasonal
        low, high = min(expected, other), max(expected, other)
        residual = max(x - high, low - x, 0.0)

        if row.count <= LEARN_FROM:
            tail_start(row, row.scale)
        # The floor keeps a constant series' band as wide as float64 can tell values apart.
        unit = tail_unit(row, 1e-9 * max(abs(x), abs(expected)) + 1e-300)
        xi = tail_index(row)
        if row.count >= max(row.warmup, row.period) and (
            row.period == 0 or row.seasonal == SEASONAL
        ):
            half = tail_residual(14.0 - 0.1 * row.sensitivity, unit, xi)
            expected_value[i] = expected
            upper_margin[i] = high - expected + half
            lower_margin[i] = expected - low + half
            score[i] = tail_score(residual, unit, xi)
            is_anomaly[i] = x > expected + upper_margin[i] or x < expected - lower_margin[i]
        learn(row, ring, at, x, expected, residual)
        if row.count > LEARN_FROM:
            tail_learn(row, residual, unit, xi, row.count)
        row.count += np.uint32(1)
