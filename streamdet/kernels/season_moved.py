"""A season that comes an hour early or late: clocks were changed, and no timezone says so.

A strange value that is usual at the same time of the season a 24th of a period on, or before, and
not the other way, tells that the season has moved. Then what is usual now and what is usual there
are both normal, for long enough that the next edge of the pattern can tell it again, until the
season has learnt the new hours. So of all the edges that come at another hour one is an anomaly.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.season import DAYS, WEEK, behind, median

_HOURS = 24  # of a period
_STRANGE_SCORE = 6.5  # an anomaly at the default sensitivity; what is learnt must not depend on it
# In units of the slow tail: so far off is a value that the season does not explain, and so near
# one that the moved season does. To begin with it must be nearer, or noise would move a season.
_FAR_UNITS = 2.0
_NEAR_UNITS = 2.0
_NEAR_UNITS_FIRST = 1.0


@kernel
def _usual(season, ring, ahead):
    """Return the usual deviation so many slots after the one being filled; NaN: unknown."""
    period = season.period / season.stride
    if season.use == WEEK:
        one = behind(season, ring, round(DAYS * period) - ahead)
        two = behind(season, ring, round(2 * DAYS * period) - ahead)
        return np.float64(median(one, two, np.float32(math.nan)))
    one = behind(season, ring, round(period) - ahead)
    two = behind(season, ring, round(2 * period) - ahead)
    three = behind(season, ring, round(3 * period) - ahead)
    return np.float64(median(one, two, three))


@kernel
def season_moved(season, ring, hours):
    """Return the usual value a 24th of a period on (`hours` 1) or before (-1); NaN: unknown.

    Reads up to six slots of the ring, so it is for rows only where `moved` is not 0.
    """
    points = season.period / _HOURS
    if points < 1.0:
        return math.nan
    at = (season.within + 0.5 + hours * points) / season.stride - 0.5  # in slots
    slot = math.floor(at)
    usual = _usual(season, ring, slot)
    if at > slot:
        usual += (at - slot) * (_usual(season, ring, slot + 1) - usual)
    return season.level + usual


@kernel
def _explains(season, ring, hours, value, centre, within):
    """Return whether the season moved so, or by less, has the value, `within` so much."""
    moved = season_moved(season, ring, hours)
    return min(moved, centre) - within <= value <= max(moved, centre) + within


@kernel
def season_moves(row, ring, value, centre, residual, unit, score):
    """Learn from a value whether the season has moved.

    Parameters
    ----------
    row : record        `moved` is changed in place
    centre : float      level and season of the value
    residual : float    how far it is from what is usual there, >= 0
    unit : float        of the slow tail
    score : float       of the value
    """
    if residual <= _FAR_UNITS * unit:
        return
    season = row.season
    slots = season.period // season.stride
    slots += slots // 4  # the next period's edge may come later, and need not tell
    if row.moved != 0:
        hours = 1 if row.moved > 0 else -1
        if _explains(season, ring, hours, value, centre, _NEAR_UNITS * unit):
            row.moved = hours * slots
            return
    if score >= _STRANGE_SCORE:
        early = _explains(season, ring, 1, value, centre, _NEAR_UNITS_FIRST * unit)
        late = _explains(season, ring, -1, value, centre, _NEAR_UNITS_FIRST * unit)
        if early != late:
            row.moved = slots if early else -slots
