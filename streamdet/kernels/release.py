"""Values on their way to the detector: what a series holds back, a point or a window at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.grid import steps
from streamdet.kernels.header import JUDGE, LEARN, NEVER, RESTART
from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.pending import MEAN, SUM, let_go
from streamdet.kernels.rate import NONE, RATE_MAX, rate
from streamdet.kernels.window import RATE, aggregate, increase, per_second
from streamdet.kernels.zone import floor_line, line_after, lines_around

ALIGNMENT = np.dtype(
    [
        ("lateness_us", "<i8"),
        ("tolerance_us", "<i8"),  # negative: any distance from the grid will do
        ("absent_after_us", "<i8"),
        ("absence", "<i4"),  # which of the partition's speaking times; 0: no series is absent
        ("zone", "<i4"),
        ("interval_given", "u1"),  # the grid is the user's
        ("calendar", "u1"),  # its interval is in months
        ("held", "u1"),  # points wait for the watermark
        ("windows", "u1"),  # and become one value a window
        ("function", "u1"),  # of `window`
        ("duplicates", "u1"),  # of `pending`
        ("impute", "u1"),  # of those below
        ("fill_late", "u1"),
    ]
)
"""Options of event time, for all series of a rule."""

AUTO = 0
NOT_FILL = 1
PREVIOUS = 2
LINEAR = 3
FIXED = 4  # zero likewise

GRID_CHANGES = 0
LAST_CHANGE = 1  # the slot of the newest
RELEASED_EARLY = 2
IMPUTED = 3
ABSENCES = 4
RETURNS = 5
COUNTS = 6
"""Places in `counts`."""

MISSING_MANY = 0.1
"""Share of missing points above which Azure's advice is to interpolate."""

_MISSING_RATE = 1 / 256  # a slot's weight in that share


class Columns(NamedTuple):
    """Released values of one pool: room for them."""

    slot: NDArray[np.int64]
    use: NDArray[np.uint8]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    step: NDArray[np.int32]
    offset: NDArray[np.int64]
    element: NDArray[np.int32]
    incomplete: NDArray[np.bool_]
    fill_max: int
    """Missing values that are filled, at most; less than a quarter of the room."""


class Waiting(NamedTuple):
    """What the series of a partition hold back (see `pending`), and how much each may."""

    arena: NDArray[np.void]
    ends: NDArray[np.int64]
    scratch: NDArray[np.float64]
    """Shape (points_max + 1,)."""
    points_max: int


class Zones(NamedTuple):
    """See `zone`."""

    start: NDArray[np.int64]
    change_us: NDArray[np.int64]
    offset_us: NDArray[np.int64]


@inlined
def emit(to, k, slot, use, time_us, value, step, offset, element, incomplete):
    """Write row k of the columns `to`."""
    to.slot[k] = slot
    to.use[k] = use
    to.time_us[k] = time_us
    to.value[k] = value
    to.step[k] = step
    to.offset[k] = offset
    to.element[k] = element
    to.incomplete[k] = incomplete


@kernel
def _impute(row, rule, to, k, slot, time_us, value, step):
    """Release the values that are missing before a value, if they are to be filled.

    Returns (k, steps that are left to the value).
    """
    mode = rule.impute
    if mode == AUTO:
        mode = LINEAR if row.missing_share > MISSING_MANY else NOT_FILL
    if mode == NOT_FILL:
        return k, step
    last, since_us = row.value, time_us - row.time_us
    for m in range(1, step):
        filled = last
        if mode == LINEAR:
            filled = last + (value - last) * (m / step)
        elif mode == FIXED:
            filled = row.impute_value
        emit(to, k, slot, LEARN, row.time_us + since_us * m // step, filled, 1, -1, -1, False)
        k += 1
    return k, 1


@kernel
def _count_missing(row, missing):
    share = row.missing_share
    for _ in range(min(missing, 2048)):
        share += _MISSING_RATE * (1.0 - share)
    row.missing_share = share - _MISSING_RATE * share


@inlined
def release(row, rule, zones, counts, to, k, slot, time_us, value, offset, element):
    """Release one value, and what is imputed before it. Returns the next place in `to`."""
    step = RESTART
    if row.time_us != NEVER:
        step = steps(row, rule, zones, time_us)
        if step == RESTART:
            counts[GRID_CHANGES] += 1
            counts[LAST_CHANGE] = slot
    if row.transform != NONE:
        value = rate(row, time_us, value, step == RESTART)
        if math.isnan(value):
            row.time_us = time_us
            row.begun = 0
            return k
    if not row.begun:
        step = RESTART
    if step == RESTART:
        row.missing_share = 0.0
    elif step > 1:
        missing = step - 1
        if missing <= to.fill_max:  # else nobody remembers what came before
            k, step = _impute(row, rule, to, k, slot, time_us, value, step)
            counts[IMPUTED] += missing if step == 1 else 0
        _count_missing(row, missing)
    else:
        row.missing_share -= _MISSING_RATE * row.missing_share
    incomplete = row.missing_share > MISSING_MANY
    emit(to, k, slot, JUDGE, time_us, value, step, offset, element, incomplete)
    row.time_us = time_us
    row.value = value
    row.begun = 1
    return k + 1


@kernel
def window_of(row, rule, zones, time_us):
    """Return (start, end) of the window that holds `time_us`."""
    interval, calendar = row.interval_us, rule.calendar
    if rule.zone == 0:
        start_us = floor_line(time_us, interval, calendar)
        return start_us, line_after(start_us, interval, calendar)
    return lines_around(
        zones.start, zones.change_us, zones.offset_us, rule.zone, time_us, interval, calendar
    )


@kernel
def is_due(row, rule, zones, waiting, watermark_us):
    """Return whether the oldest that a series holds back is to be released."""
    if row.n_pending == 0:
        return False
    oldest_us = waiting.arena[row.head].time_us
    if not rule.windows:
        return oldest_us < watermark_us - rule.lateness_us
    if oldest_us >= watermark_us:  # most often; no window to be found
        return False
    return window_of(row, rule, zones, oldest_us)[1] <= watermark_us - rule.lateness_us


@kernel
def _take_oldest(row, rule, waiting):
    """Take the oldest point out of a list, with those of the same time where they are merged.

    Returns (time, value, offset, element).
    """
    arena, ends = waiting.arena, waiting.ends
    first = arena[row.head]
    time_us, total = first.time_us, first.value
    offset, element = first.offset, first.element
    let_go(row, arena, ends)
    n = 1
    one = total
    same = True  # their mean is that value then, and no rounding of it
    while rule.duplicates == MEAN or rule.duplicates == SUM:
        if row.n_pending == 0 or arena[row.head].time_us != time_us:
            break
        other = arena[row.head]
        total += other.value
        same = same and other.value == one
        n += 1
        if other.offset > offset or (other.offset == offset and other.element > element):
            offset, element = other.offset, other.element
        let_go(row, arena, ends)
    if rule.duplicates == MEAN:
        total = one if same else total / n
    return time_us, total, offset, element


@kernel
def _release_window(row, rule, zones, waiting, counts, to, k, slot):
    start_us, end_us = window_of(row, rule, zones, waiting.arena[row.head].time_us)
    values = waiting.scratch
    n = 0
    offset, element = np.int64(-1), np.int32(-1)
    increased = 0.0
    since_us = row.raw_us
    last_us = start_us
    while row.n_pending > 0 and waiting.arena[row.head].time_us < end_us:
        last_us, values[n], at, index = _take_oldest(row, rule, waiting)
        if at > offset or (at == offset and index > element):
            offset, element = at, index
        if rule.function == RATE:
            if since_us == NEVER:
                since_us = last_us
            else:
                increased += increase(row.raw, values[n])
            row.raw, row.raw_us = values[n], last_us
        n += 1
    if rule.function != RATE:
        value = aggregate(rule.function, values, n)
    else:
        value = per_second(increased, last_us - since_us)
        if math.isnan(value):
            row.time_us = start_us
            return k
        value = min(max(value, -RATE_MAX), RATE_MAX)
    return release(row, rule, zones, counts, to, k, slot, start_us, value, offset, element)


@kernel
def release_oldest(row, rule, zones, waiting, counts, to, k, slot):
    """Release the oldest that a series holds back: a point, or a window of them."""
    if rule.windows:
        return _release_window(row, rule, zones, waiting, counts, to, k, slot)
    time_us, value, offset, element = _take_oldest(row, rule, waiting)
    return release(row, rule, zones, counts, to, k, slot, time_us, value, offset, element)
