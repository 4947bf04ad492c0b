"""The grid of a series: given, or found as the distance that most points have."""

from __future__ import annotations

from streamdet.kernels.header import RESTART
from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.zone import civil_months, offset_at

_STEP_MAX = 1 << 30
_VOTES_ENOUGH = 8
_VOTES_MAX = 32
_SAME_WITHIN = 8  # one over the share by which two distances that are the same may differ
_OTHER_BEYOND = 4  # likewise, a grid from the one before
_MEANT_WITHIN = 50  # likewise, a distance from the whole number that is meant
_UNITS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000)


@kernel
def _meant(spacing_us):
    """Return the whole number of days, hours, ..., milliseconds that `spacing_us` is about."""
    for unit_us in _UNITS_US:
        whole_us = (spacing_us + unit_us // 2) // unit_us * unit_us
        if whole_us > 0 and abs(whole_us - spacing_us) * _MEANT_WITHIN <= spacing_us:
            return whole_us
    return spacing_us


@kernel
def find_interval(row, elapsed_us):
    """Let the grid be the distance that most points have. Returns whether it is another one.

    Points that are missing or too many vote against the candidate, and while most come in time
    it stays. Where no distance has a majority, there is no grid.

    row : record            with HEADER; changed in place
    elapsed_us : int        > 0, since the point before

    Source: the majority vote of Boyer and Moore (1991). Deviation: distances within an eighth
    of each other are one, since clocks jitter.
    """
    if row.spacing_votes == 0:
        row.spacing_us = elapsed_us
        row.spacing_votes = 1
        return False
    off_us = elapsed_us - row.spacing_us
    if abs(off_us) * _SAME_WITHIN > row.spacing_us:
        row.spacing_votes -= 1
        return False
    row.spacing_us += off_us // 4
    row.spacing_votes = min(int(row.spacing_votes) + 1, _VOTES_MAX)
    if row.spacing_votes < _VOTES_ENOUGH:
        return False
    known_us = row.interval_us
    if known_us > 0 and abs(row.spacing_us - known_us) * _OTHER_BEYOND <= known_us:
        return False
    row.interval_us = _meant(row.spacing_us)
    return known_us > 0


@inlined
def between(row, rule, zones, since_us, time_us):
    """Return how many steps of the grid of `row`, which must have one, lie between two times.

    rule : ALIGNMENT      of the series; zone 0 is UTC
    since_us : int        not after `time_us`

    At least 1, but for what local time goes back in between, where clocks do.
    """
    interval = row.interval_us
    offset_us = offset_since_us = 0
    zone = rule.zone
    if zone > 0:
        offset_us = offset_at(zones.start, zones.change_us, zones.offset_us, zone, time_us)
        offset_since_us = offset_at(zones.start, zones.change_us, zones.offset_us, zone, since_us)
    if rule.calendar:
        months = civil_months(time_us + offset_us) - civil_months(since_us + offset_since_us)
        return max((months + interval // 2) // interval, 1)
    step = min(max((time_us - since_us + interval // 2) // interval, 1), _STEP_MAX)
    if zone == 0:
        return step
    # Of what clocks are ahead, whole intervals count: so no change leaves a rest that adds up.
    return step + offset_us // interval - offset_since_us // interval


@inlined
def steps(row, rule, zones, time_us):
    """Return how many steps of its grid a series moves on to `time_us`.

    row : record          with HEADER, and a point before `time_us`; what it knows of a grid that
                          is to be found is changed in place
    rule, zones           as in `between`

    Returns at least 1, and 1 while no grid is known; RESTART where points begin to come at
    another distance. Where clocks go back local time does too: then it may be 0 or negative, and
    1 - k says that k slots come again.
    """
    if not rule.interval_given and find_interval(row, time_us - row.time_us):
        return RESTART
    if row.interval_us <= 0:
        return 1
    return between(row, rule, zones, row.time_us, time_us)
