"""Local time: offsets from UTC out of a table, months of the calendar, lines of a grid.

Zones stand in three arrays, made by `streamdet.zones.ZoneTable`. Zone z has the entries start[z] to
start[z+1]: from change_us[k] on, offset_us[k] holds. The first entry of a zone stands at the
smallest int64. Local time is microseconds since 1970-01-01T00:00 on the wall; it repeats an hour
where clocks go back.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import inlined, kernel

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US

_MONDAY_US = 4 * DAY_US  # 1970-01-05
_DAYS_OF_400_YEARS = 146_097
_DAYS_TO_1970 = 719_468  # from 0000-03-01: in years that begin with March the leap day is the last


@inlined
def _entry(start, change_us, zone, time_us):
    """Return the index of the entry of `zone` that holds at `time_us`."""
    low = start[zone]
    high = start[zone + 1]
    while high - low > 1:
        middle = (low + high) >> 1
        if change_us[middle] <= time_us:
            low = middle
        else:
            high = middle
    return low


@inlined
def offset_at(start, change_us, offset_us, zone, time_us):
    """Return how far the clocks of `zone` are ahead of UTC at `time_us`, in microseconds.

    start : int64[z+1]; change_us, offset_us : int64[k]    the zones, see above
    """
    return offset_us[_entry(start, change_us, zone, time_us)]


@inlined
def local_of(start, change_us, offset_us, zone, time_us):
    """Return what the clocks of `zone` show at `time_us`."""
    return time_us + offset_at(start, change_us, offset_us, zone, time_us)


@kernel
def utc_of(start, change_us, offset_us, zone, local_us, preferred_us):
    """Return when the clocks of `zone` show `local_us`.

    preferred_us : int      the offset that is meant, where the local time comes twice; else the
                            first of its moments is returned

    A local time that is left out, where clocks go forward, is the moment of the change.
    """
    if offset_at(start, change_us, offset_us, zone, local_us - preferred_us) == preferred_us:
        return local_us - preferred_us
    k = _entry(start, change_us, zone, local_us - DAY_US)  # no offset is as long as a day
    while True:
        time_us = local_us - offset_us[k]
        if time_us < change_us[k]:
            return change_us[k]
        if k + 1 == start[zone + 1] or time_us < change_us[k + 1]:
            return time_us
        k += 1


@inlined
def civil_months(local_us):
    """Return the months from January 1970 to the one of `local_us`; negative before.

    Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    days = local_us // DAY_US + _DAYS_TO_1970
    era = days // _DAYS_OF_400_YEARS
    day = days - era * _DAYS_OF_400_YEARS
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day_of_year = day - (365 * year + year // 4 - year // 100)
    month = (5 * day_of_year + 2) // 153  # 0: March
    return (era * 400 + year - 1970) * 12 + month + 2


@inlined
def month_start(months):
    """Return the local time at which the month begins that is `months` after January 1970.

    Source: as `civil_months`, days_from_civil.
    """
    since_march = np.int64(months) - 2
    year = since_march // 12 + 1970
    month = since_march - since_march // 12 * 12
    era = year // 400
    year -= era * 400
    day = 365 * year + year // 4 - year // 100 + (153 * month + 2) // 5
    return (era * _DAYS_OF_400_YEARS + day - _DAYS_TO_1970) * DAY_US


@inlined
def floor_line(local_us, interval, calendar):
    """Return the newest line of the grid that is not after `local_us`, in local time.

    Lines are the multiples of the interval since 1970-01-01T00:00; of whole weeks, since the first
    Monday after it.

    interval : int          > 0; microseconds, or months where `calendar`
    """
    if calendar:
        months = civil_months(local_us)
        return month_start(months - months % interval)
    first_us = _MONDAY_US if interval % WEEK_US == 0 else 0
    return local_us - (local_us - first_us) % interval


@inlined
def line_after(line_us, interval, calendar):
    """Return the line of the grid after the line `line_us`, both in local time."""
    if calendar:
        return month_start(civil_months(line_us) + interval)
    return line_us + interval


@kernel
def _line_before(start, change_us, offset_us, zone, time_us, interval, calendar):
    k = _entry(start, change_us, zone, time_us)
    newest_us = change_us[start[zone]]
    while True:
        line_us = floor_line(time_us + offset_us[k], interval, calendar)
        start_us = utc_of(start, change_us, offset_us, zone, line_us, offset_us[k])
        newest_us = max(newest_us, start_us)
        if newest_us >= change_us[k]:
            return newest_us
        time_us = change_us[k] - 1
        k -= 1


@kernel
def lines_around(start, change_us, offset_us, zone, time_us, interval, calendar):
    """Return the grid lines around a moment, as moments: the last up to it and the first after it.

    time_us : int           the moment
    interval, calendar      as of `floor_line`

    They are start and end of the window that holds the moment: every moment is in one, and it ends
    where the next begins. Clocks that go back by a multiple of the interval make lines of the same
    name twice. Where a line lies in the midst of what comes twice (every 45 minutes, for one), the
    grid does not go back behind it: the next line is the first that is new.
    """
    start_us = _line_before(start, change_us, offset_us, zone, time_us, interval, calendar)
    k = _entry(start, change_us, zone, time_us)
    while True:
        line_us = floor_line(time_us + offset_us[k], interval, calendar)
        end_us = line_after(line_us, interval, calendar) - offset_us[k]
        k += 1
        if k == start[zone + 1] or end_us < change_us[k]:
            return start_us, end_us
        time_us = change_us[k]
        if _line_before(start, change_us, offset_us, zone, time_us, interval, calendar) > start_us:
            return start_us, time_us
