"""Points that are held back, in the order of event time: one list a series, one arena for all.

A list is doubly linked, and its ends are in the series' header. Most points come in order, so a new
one is looked for a place from the newest on.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import kernel

PENDING = np.dtype(
    [
        ("time_us", "<i8"),
        ("value", "<f8"),
        ("offset", "<i8"),  # of the record
        ("element", "<i4"),
        ("before", "<i4"),  # place in the arena; -1: none
        ("after", "<i4"),  # likewise; of a free place the next free one
    ]
)
"""36 bytes a point."""

FREE = 0
USED = 1
"""Places in `ends`, int64[2]: the first free place that was used before, or -1; how many were."""

FIRST = 0
LAST = 1
MEAN = 2
SUM = 3
ALL = 4
"""What becomes of points with equal times: of a series, and (ALL) of several that are rolled up."""


@kernel
def _take(arena, ends):
    at = ends[FREE]
    if at >= 0:
        ends[FREE] = arena[at].after
        return at
    ends[USED] += 1
    return ends[USED] - 1


@kernel
def hold(row, arena, ends, time_us, value, offset, element, duplicates):
    """Put a point into the list of its series. Returns whether it is a duplicate of one there.

    Parameters
    ----------
    row : record           with HEADER; changed in place
    arena : PENDING[c]     changed in place; must have room for one more
    ends : int64[2]        changed in place
    duplicates : int       FIRST: it is left out; LAST: it takes the other's place; else both stay,
                           the lower value first, whatever came first

    Notes
    -----
    O(points of the series that are newer).
    """
    after = np.int64(-1)
    before = np.int64(row.tail)
    while before >= 0 and arena[before].time_us > time_us:
        after = before
        before = np.int64(arena[before].before)
    doubled = before >= 0 and arena[before].time_us == time_us
    if doubled and duplicates <= LAST:
        if duplicates == LAST:
            arena[before].value = value
            arena[before].offset = offset
            arena[before].element = element
        return True
    while before >= 0 and arena[before].time_us == time_us and arena[before].value > value:
        after = before
        before = np.int64(arena[before].before)
    at = _take(arena, ends)
    arena[at].time_us = time_us
    arena[at].value = value
    arena[at].offset = offset
    arena[at].element = element
    arena[at].before = before
    arena[at].after = after
    if before >= 0:
        arena[before].after = at
    else:
        row.head = at
    if after >= 0:
        arena[after].before = at
    else:
        row.tail = at
    row.n_pending += 1
    return doubled


@kernel
def hold_again(header, arena, ends, slots, time_us, value, offset, element):
    """Put n points, as `held` gave them out, back into the lists of their series.

    header : HEADER[s]; slots, time_us, offset : int64[n]; value : float64[n]; element : int32[n]
    """
    for i in range(len(slots)):
        hold(header[slots[i]], arena, ends, time_us[i], value[i], offset[i], element[i], ALL)


@kernel
def held(header, arena, slots, points):
    """Write what the series of `slots` hold back into `points`, PENDING[m], list after list."""
    k = 0
    for slot in slots:
        at = np.int64(header[slot].head)
        while at >= 0:
            points[k] = arena[at]
            k += 1
            at = np.int64(arena[at].after)


@kernel
def let_go(row, arena, ends):
    """Free the oldest point of a list that has one; it can still be read until the next `hold`."""
    at = np.int64(row.head)
    row.head = arena[at].after
    if row.head >= 0:
        arena[row.head].before = -1
    else:
        row.tail = -1
    arena[at].after = ends[FREE]
    ends[FREE] = at
    row.n_pending -= 1
