"""What changes the season's ring behind its newest slot: values that come late or come again."""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.season import RECHECK_EVERY, look_again


@kernel
def season_fill(season, ring, value, points):
    """Put a value so many points back (1: the newest), where a whole slot has none."""
    stride = np.int64(season.stride)
    slots = (points - season.within + stride - 1) // stride
    if slots < 1 or slots > season.filled:
        return
    at = (season.position + len(ring) - slots) % len(ring)
    if math.isnan(ring[at]):
        ring[at] = value - season.level
        if season.period > 0:
            look_again(season, ring)


@kernel
def season_rewind(season, ring, points):
    """Go so many points back, or as far as there is; the values that come take their places.

    Of a slot that is left in part, each point had the mean. The ring, once full, stays so: what
    is taken from its end is missing at its beginning.
    """
    length = len(ring)
    points = min(points, np.int64(season.filled) * season.stride + season.within)
    mean = np.float64(season.slot_sum) / max(season.slot_points, 1)
    while points > season.within:
        points -= season.within
        if season.position == 0:
            season.position = length
            season.rounds = (season.rounds + RECHECK_EVERY - 1) % RECHECK_EVERY
        season.position -= 1
        if season.filled < length:
            season.filled -= 1
        mean = np.float64(ring[season.position])
        ring[season.position] = math.nan
        season.within = season.slot_points = season.stride
    season.within -= points
    left = 0 if math.isnan(mean) else min(season.slot_points, season.within)
    season.slot_points = left
    season.slot_sum = left * mean if left > 0 else 0.0
    if season.period > 0:
        look_again(season, ring)
