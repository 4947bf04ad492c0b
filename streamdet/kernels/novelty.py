"""The onset score `alert`: how new this is to somebody who has watched the series until now.

Four views of a series, each scored by how far it leaves the range in which it has ever been, or,
the last, by the tail model:

    the value; its mean over some 20 points; the deviation from the season, smoothed over a 24th
    of a period; the distance from the mean of the last thousand points

The largest counts, unless something as new happened lately: what was alerted on has to be
exceeded by a fifth, and is forgotten by half every 100 points. So one long outage is one alert,
while `isAnomaly` goes on to judge point by point.

Source: the weights are those of a search on labelled development series (docs/detectors.md tells
what each view brings); they rank, they are no probabilities.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.tail import (
    TAIL,
    tail_begin,
    tail_index,
    tail_learn,
    tail_score,
    tail_unit,
)

RANGE = np.dtype([("low", "<f4"), ("high", "<f4"), ("points", "<u4")])
NOVELTY = np.dtype(
    [
        ("origin", "<f8"),  # the series' first value; all else is relative to it
        ("mean", "<f4"),
        ("long_mean", "<f4"),
        ("deviation", "<f4"),  # from the season, smoothed
        ("refractory", "<f4"),  # the last alert, fading
        ("value_range", RANGE),
        ("mean_range", RANGE),
        ("deviation_range", RANGE),
        ("long", TAIL),
    ]
)

_MEAN_RATE = 2.0 / 21.0
_LONG_RATE = 2.0 / 1001.0
_WARM = 120  # points that a range takes in before it calls anything new
_WARM_PERIODS = 1.7
_DEVIATION_SHARE = 24  # of a period that the deviation from the season is smoothed over
_GROWS = 0.5  # of an excess that the range takes in
_STEEP = 200.0
_WEIGHTS = (1.5, 1.0, 0.75, 0.3)  # value, mean, deviation, long
_XI_PRIOR = 0.3
_PRIOR_WEIGHT = 200.0  # excesses
_MEMORY = 8192.0
_CLAMP_AFTER = 500
_LONG_SCORE_MAX = 30.0
_FADES = 0.5**0.01  # a point
_EXCEEDS = 1.2


@kernel
def novelty_begin(novelty, value):
    """Begin anew with the first value."""
    novelty.origin = value
    novelty.mean = novelty.long_mean = novelty.deviation = novelty.refractory = 0.0
    novelty.value_range.points = 0
    novelty.mean_range.points = 0
    novelty.deviation_range.points = 0
    tail_begin(novelty.long, _XI_PRIOR, _PRIOR_WEIGHT)


@kernel
def novelty_season_begin(novelty):
    """Forget deviations from a season that is used no more."""
    novelty.deviation_range.points = 0
    novelty.deviation = 0.0


@kernel
def _excess(seen, at, warm):
    """Take `at` into the range `seen`; return how new it is, 0 within the range."""
    if seen.points == 0:
        seen.low = seen.high = at
    if seen.points <= warm:
        seen.points += 1
        seen.low, seen.high = min(seen.low, at), max(seen.high, at)
        return 0.0
    width = np.float64(seen.high) - seen.low
    if at > seen.high:
        by = at - seen.high
        seen.high += _GROWS * by
    elif at < seen.low:
        by = seen.low - at
        seen.low -= _GROWS * by
    else:
        return 0.0
    return math.log1p(_STEEP * by / (width + 1e-9 * by))


@kernel
def novelty(novelty, value, deviation, period, floor):
    """Return the onset score of a point, >= 0, and learn it.

    Parameters
    ----------
    novelty : NOVELTY       changed in place
    value : float           finite
    deviation : float       from level and season; NaN: there is no season
    period : int            points
    floor : float           > 0, least unit of the tail model
    """
    at = value - novelty.origin
    new = _WEIGHTS[0] * _excess(novelty.value_range, at, _WARM)
    novelty.mean += _MEAN_RATE * (at - novelty.mean)
    new = max(new, _WEIGHTS[1] * _excess(novelty.mean_range, np.float64(novelty.mean), _WARM))
    if not math.isnan(deviation):
        rate = min(2.0 * _DEVIATION_SHARE / (period + _DEVIATION_SHARE), 1.0)
        novelty.deviation += rate * (deviation - novelty.deviation)
        warm = max(_WARM, int(_WARM_PERIODS * period))
        off = _excess(novelty.deviation_range, np.float64(novelty.deviation), warm)
        new = max(new, _WEIGHTS[2] * off)
    residual = abs(at - novelty.long_mean)
    novelty.long_mean += _LONG_RATE * (at - novelty.long_mean)
    unit, xi = tail_unit(novelty.long, floor), tail_index(novelty.long)
    if novelty.value_range.points > _WARM:
        far = min(tail_score(residual, unit, xi), _LONG_SCORE_MAX)
        new = max(new, _WEIGHTS[3] * far)
    tail_learn(
        novelty.long, residual, unit, floor, xi,
        _XI_PRIOR, _PRIOR_WEIGHT, _MEMORY, _CLAMP_AFTER,
    )  # fmt: skip
    novelty.refractory *= _FADES
    if new <= _EXCEEDS * novelty.refractory:
        return 0.0
    novelty.refractory = new
    return new
