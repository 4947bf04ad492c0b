"""Event time: which points are new, and how many steps of its grid a series moved on.

For now a series accepts points in ascending time only; what is older than its newest point is
late, what is as old is a duplicate. Decided by event time alone. The grid is given, or found as the
distance that most points have.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import kernel

HEADER = [
    ("time_us", "<i8"),  # newest event time
    ("interval_us", "<i8"),  # of the grid; 0: none known
    ("spacing_us", "<i8"),  # of two points; the candidate for a grid that is to be found
    ("spacing_votes", "u1"),  # how much more often the candidate was seen than not
    ("interval_given", "u1"),  # the grid is the user's
    ("stagger", "u1"),  # by the series' name: what is due now and then is not due for all at once
]
"""First fields of every detector's row."""

NEVER = np.iinfo(np.int64).min
"""time_us of a series without a point."""

LINE_BYTES = 64


def whole_lines(fields):
    """Return the dtype of a row with `fields`, packed, that fills whole cache lines."""
    packed = np.dtype(fields)
    return np.dtype(
        {
            "names": [field[0] for field in fields],
            "formats": [packed.fields[field[0]][0] for field in fields],
            "itemsize": -(-packed.itemsize // LINE_BYTES) * LINE_BYTES,
        }
    )


RESTART = 0
"""Value of `step`: the series begins here, whatever its row still holds."""

_OK = 0
_LATE = 1
_DUPLICATE = 2
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
    row.spacing_votes = min(np.int64(row.spacing_votes) + 1, _VOTES_MAX)
    if row.spacing_votes < _VOTES_ENOUGH:
        return False
    known_us = row.interval_us
    if known_us > 0 and abs(row.spacing_us - known_us) * _OTHER_BEYOND <= known_us:
        return False
    row.interval_us = _meant(row.spacing_us)
    return known_us > 0


@kernel
def align(rows, slot, time_us, newest_us, ttl_us, outcome, step):
    """Sort out late and doubled points and advance each series' time.

    Parameters
    ----------
    rows : record[s]        begins with HEADER; time_us changed in place
    slot : int64[n]         row of the point's series; repeats allowed, in record order
    time_us : int64[n]      event time
    newest_us : int64[n]    newest event time of the partition up to and with this point
    ttl_us : int            a series idle for longer than this begins anew; 0: never
    outcome : uint8[n]      out: types.Outcome OK, LATE or DUPLICATE
    step : int32[n]         out: grid steps since the series' previous point, >= 1, and 1 while no
                            grid is known; RESTART for the first point of a series, and where its
                            points begin to come at another distance

    Notes
    -----
    Idleness is measured against the partition's newest event time, record by record, so the
    result depends neither on batch boundaries nor on when an idle row is really freed.
    """
    for i in range(len(slot)):
        row = rows[slot[i]]
        last = row.time_us
        if last == NEVER or (ttl_us > 0 and newest_us[i] - last > ttl_us):
            outcome[i] = _OK
            step[i] = RESTART
            row.time_us = time_us[i]
            row.spacing_votes = 0
            if not row.interval_given:
                row.interval_us = 0
            continue
        elapsed = time_us[i] - last
        if elapsed <= 0:
            outcome[i] = _LATE if elapsed < 0 else _DUPLICATE
            step[i] = 1
            continue
        outcome[i] = _OK
        row.time_us = time_us[i]
        if not row.interval_given and find_interval(row, elapsed):
            step[i] = RESTART
            continue
        if row.interval_us > 0:
            steps = (elapsed + row.interval_us // 2) // row.interval_us
            step[i] = min(max(steps, 1), _STEP_MAX)
        else:
            step[i] = 1
