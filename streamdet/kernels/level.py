"""The two fast levels of one series, recent and usual, and the tail of the distance from them.

    recent : exponentially weighted mean of the values as they come, some three points long
    usual  : likewise, of values that fit

Both move with the season, as far as the values have been seen to move with it.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.season import NOTHING
from streamdet.kernels.tail import tail_begin, tail_learn

_SIGMA_OF_MEAN = 1.2533  # standard deviation over mean absolute value of normal noise
_RATE = 0.3
_SCALE_RATE = 0.0007
_CLIP_SIGMA = 5.0
_CLIP_AFTER = 12  # points
_SHOCK_SIGMA = 8.0
_SHOCK_KEEPS_SIGMA = 0.1
_ACCEPT_AFTER = 240  # points; in a season a period is enough,
_ACCEPT_AFTER_LEAST = 30  # unless it is shorter than this
# The resolution moves by these factors: their logs are as 1 to -9.
_COARSER = 1.0305
_FINER = 0.7634
_XI_PRIOR = 0.3
_PRIOR_WEIGHT = 200.0  # excesses
_MEMORY = 8192.0  # points
_CLAMP_AFTER = 500
_GAIN_RATE = 0.001
_GAIN_STEP_MAX = 1e3
_GAIN_PRIOR = 30.0  # so a few chance moves are no evidence


@kernel
def level_begin(row, value):
    """Begin anew with the first value."""
    row.run = 0
    row.recent = row.usual = row.last = value
    row.scale = row.resolution = 0.0
    row.season_before = math.nan
    row.gain_with = row.gain_of = 0.0
    tail_begin(row.fast, _XI_PRIOR, _PRIOR_WEIGHT)


@kernel
def level_drift(row, value, usual_deviation):
    """Move recent and usual with the season, as far as the values have been seen to go with it."""
    moved = usual_deviation - row.season_before
    row.season_before = usual_deviation
    if math.isnan(moved) or row.scale <= 0.0:
        return
    gain = min(max(row.gain_with / (row.gain_of + _GAIN_PRIOR), 0.0), 1.0)
    step = min(max(moved / row.scale, -_GAIN_STEP_MAX), _GAIN_STEP_MAX)  # its square is a float32
    away = (value - row.recent) / row.scale
    clip = _CLIP_SIGMA * _SIGMA_OF_MEAN
    row.gain_with += step * min(max(away, -clip), clip) - _GAIN_RATE * row.gain_with
    row.gain_of += step * step - _GAIN_RATE * row.gain_of
    row.recent += gain * moved
    row.usual += gain * moved


@kernel
def level_settle(row, usual_deviation):
    """Let recent and usual be where the season is now; NaN: they stay where they were."""
    if not math.isnan(usual_deviation):
        row.recent = row.usual = row.season.level + usual_deviation
        row.season_before = usual_deviation
        row.run = 0


@kernel
def level_learn(row, value, residual, unit, floor, xi):
    """Learn one value: recent, usual, scale and their tail.

    To usual, a value more than 8 sigma away is a tenth of a sigma away: a spike leaves no trace in
    it, an outage little. After `_ACCEPT_AFTER` such values in a row, or a period, usual moves to
    the newest: a shift that lasts is the new normal.
    """
    season = row.season
    sigma = _SIGMA_OF_MEAN * row.scale
    away = value - row.usual
    count = np.int64(row.count)
    # So the second point replaces the first: a first value that is an outlier is forgotten.
    rate = 1.0 if count < 2 else max(_RATE, 1.0 / count)
    distance = abs(value - row.recent)
    if count >= _CLIP_AFTER and sigma > 0.0:
        distance = min(distance, _CLIP_SIGMA * sigma)
    if count >= _CLIP_AFTER and abs(away) > max(_SHOCK_SIGMA * sigma, floor):
        row.run += 1
        accepted = _ACCEPT_AFTER
        if season.use != NOTHING and season.period < _ACCEPT_AFTER:
            accepted = max(season.period, _ACCEPT_AFTER_LEAST)
        if row.run >= accepted:
            row.usual = value
            row.run = 0
        else:
            row.usual += _RATE * math.copysign(_SHOCK_KEEPS_SIGMA * sigma, away)
    else:
        row.run = 0
        row.usual += rate * away
    row.recent += rate * (value - row.recent)
    if count >= 2:
        row.scale += max(_SCALE_RATE, 1.0 / (count - 1.0)) * (distance - row.scale)
        tail_learn(
            row.fast, residual, unit, floor, xi,
            _XI_PRIOR, _PRIOR_WEIGHT, _MEMORY, _CLAMP_AFTER,
        )  # fmt: skip
    step = abs(value - row.last)
    if step > 0.0 and count >= 2:  # nor is the way from such a first value a resolution
        if row.resolution == 0.0:
            row.resolution = step
        else:
            row.resolution *= _COARSER if step > row.resolution else _FINER
    row.last = value
