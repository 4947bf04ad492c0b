"""Event time: from points as they come to an even row of values, whatever the road did to them.

Each arrival first lets the series' points go that are due by the partition's watermark, and is then
released itself, held back, or counted out. What is due depends on the watermark at each record, so
neither on how a stream is cut into batches nor on when `sweep` comes by.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.grid import between
from streamdet.kernels.header import ABSENT, FILL, NEVER, RETURNED
from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.pending import hold
from streamdet.kernels.prefetch import prefetch_row
from streamdet.kernels.rate import NONE, RATE_NEXT
from streamdet.kernels.release import (
    ABSENCES,
    RELEASED_EARLY,
    RETURNS,
    emit,
    is_due,
    release,
    release_oldest,
    window_of,
)

OK = 0
LATE = 1
DUPLICATE = 2
OFF_GRID = 6
"""Of `types.Outcome`."""


_AHEAD = 16  # points that memory is asked for before their turn
_ESTABLISHED = 12  # points that a series has had before anybody misses it


class Arrivals(NamedTuple):
    """n points of one pool, in record order."""

    slot: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    offset: NDArray[np.int64]
    element: NDArray[np.int32]
    watermark_us: NDArray[np.int64]
    before: NDArray[np.int64]
    spoken: NDArray[np.int64]
    """Shape (j, n) both: see `present.advance`."""


@kernel
def _begin(row, rule):
    """Forget what came before: the next released value is the series' first."""
    row.time_us = row.newest_us = NEVER
    row.raw_us = NEVER
    row.spacing_votes = 0
    row.missing_share = 0.0
    row.begun = row.n_arrived = row.absent = 0
    if not rule.interval_given:
        row.interval_us = 0
    if row.transform != NONE:
        row.transform = RATE_NEXT


@kernel
def _snap(row, rule, zones, time_us):
    """Return the grid line next to `time_us`; NEVER where that is too far."""
    if rule.tolerance_us < 0 or row.interval_us <= 0:
        return time_us
    low_us, high_us = window_of(row, rule, zones, time_us)
    line_us = low_us if time_us - low_us <= high_us - time_us else high_us
    return line_us if abs(line_us - time_us) <= rule.tolerance_us else NEVER


@kernel
def _note_absence(row, rule, spoke_us, counts, to, k, slot):
    """Note that a series is absent, once, if it is. Returns the next place in `to`."""
    if (
        row.absent
        or row.n_arrived < _ESTABLISHED
        or spoke_us - row.spoke_us <= rule.absent_after_us
    ):
        return k
    row.absent = 1
    counts[ABSENCES] += 1
    since_us = row.newest_us + rule.absent_after_us
    emit(to, k, slot, ABSENT, since_us, math.nan, 1, row.offset, row.element, False)
    return k + 1


@inlined
def _accept(row, rule, zones, waiting, counts, to, k, slot, time_us, value, offset, element, w_us):
    """Release, hold back or count out one point. Returns (its outcome, next place in `to`)."""
    time_us = _snap(row, rule, zones, time_us)
    if time_us == NEVER:
        return OFF_GRID, k
    line_us = window_of(row, rule, zones, time_us)[0] if rule.windows else time_us
    if line_us <= row.time_us:
        if rule.fill_late and line_us < row.time_us and row.interval_us > 0:
            back = between(row, rule, zones, line_us, row.time_us)
            if 0 < back < to.fill_max:
                emit(to, k, slot, FILL, time_us, value, back + 1, offset, element, False)
                k += 1
        return LATE if line_us < row.time_us or rule.windows else DUPLICATE, k
    row.newest_us = max(row.newest_us, time_us)
    if not rule.held:
        return OK, release(row, rule, zones, counts, to, k, slot, time_us, value, offset, element)
    doubled = hold(
        row, waiting.arena, waiting.ends, time_us, value, offset, element, rule.duplicates
    )
    if row.n_pending > waiting.points_max:
        counts[RELEASED_EARLY] += 1
        k = release_oldest(row, rule, zones, waiting, counts, to, k, slot)
    if is_due(row, rule, zones, waiting, w_us):
        k = release_oldest(row, rule, zones, waiting, counts, to, k, slot)
    return DUPLICATE if doubled else OK, k


@kernel
def align(header, rules, zones, waiting, ttl_us, counts, arrivals, start, outcome, to):
    """Align points from `start` on, until `to` is full.

    Parameters
    ----------
    header : HEADER[s]        rows of the pool, changed in place
    rules : ALIGNMENT[r]
    zones : Zones
    waiting : Waiting         changed in place; its arena has room for all arrivals
    ttl_us : int              a series idle for longer than this begins anew; 0: never
    counts : int64[COUNTS]    changed in place
    arrivals : Arrivals       all of them, also when this is called again
    start : int               the first to take
    outcome : uint8[n]        out: OK, LATE, DUPLICATE or OFF_GRID
    to : Columns              out; half of its room is for what one arrival may make due

    Returns
    -------
    (next, k)
        The arrival to start with next time; released values in `to`.

    Notes
    -----
    Some 10 ns a point where nothing is held back. Values of one series are released in order of
    event time, those of several in the order of what made them due.
    """
    n = len(arrivals.slot)
    room = to.slot.shape[0] // 2
    k = 0
    for i in range(start, n):
        if i + _AHEAD < n:
            prefetch_row(header, arrivals.slot[i + _AHEAD])
        slot, time_us = arrivals.slot[i], arrivals.time_us[i]
        watermark_us = arrivals.watermark_us[i]
        row = header[slot]
        rule = rules[row.alignment]
        if k >= room:
            return i, k
        new = row.newest_us == NEVER
        if new:
            _begin(row, rule)
        elif rule.absence > 0:
            spoke_us = arrivals.before[rule.absence, i]
            k = _note_absence(row, rule, spoke_us, counts, to, k, slot)
        while row.n_pending > 0 and is_due(row, rule, zones, waiting, watermark_us):
            if k >= room:
                return i, k
            k = release_oldest(row, rule, zones, waiting, counts, to, k, slot)
        if k >= room:
            return i, k
        if ttl_us > 0 and not new and row.n_pending == 0:
            away_us = arrivals.before[rule.absence, i] - row.spoke_us
            away_us = max(away_us, time_us - row.newest_us)
            if away_us > ttl_us and (row.absent or rule.absence == 0):
                _begin(row, rule)
        if row.absent:
            counts[RETURNS] += 1
            row.absent = 0
            emit(to, k, slot, RETURNED, time_us, math.nan, 1, row.offset, row.element, False)
            k += 1
        row.n_arrived = min(int(row.n_arrived) + 1, 255)
        row.offset, row.element = arrivals.offset[i], arrivals.element[i]
        row.spoke_us = arrivals.spoken[rule.absence, i]
        outcome[i], k = _accept(
            row, rule, zones, waiting, counts, to, k, slot, time_us,
            arrivals.value[i], arrivals.offset[i], arrivals.element[i], watermark_us,
        )  # fmt: skip
    return n, k


@kernel
def sweep(header, rules, zones, waiting, counts, watermark_us, spoke, start, n_slots, to):
    """Release what is due of series that are silent, and note those that are absent.

    Parameters
    ----------
    header, rules, zones, waiting, counts, to : as in `align`
    watermark_us : int        the partition's
    spoke : int64[j]          its speaking time
    start, n_slots : int      the slots to look at

    Returns
    -------
    (next, k)
        The slot to start with next time; released values in `to`.
    """
    room = to.slot.shape[0] // 2
    k = 0
    for slot in range(start, n_slots):
        row = header[slot]
        if row.newest_us == NEVER:
            continue
        if k >= room:
            return slot, k
        rule = rules[row.alignment]
        if rule.absence > 0:
            k = _note_absence(row, rule, spoke[rule.absence], counts, to, k, slot)
        while is_due(row, rule, zones, waiting, watermark_us):
            if k >= room:
                return slot, k
            k = release_oldest(row, rule, zones, waiting, counts, to, k, slot)
    return n_slots, k
