"""Local time, months and lines of a grid, against polars and Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamdet.kernels.zone import (
    civil_months,
    floor_line,
    line_after,
    lines_around,
    local_of,
    month_start,
    offset_at,
    utc_of,
)
from streamdet.zones import ZoneTable

NAMES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kolkata",
    "America/Sao_Paulo",  # clocks went forward at midnight: days without one
    "Africa/Casablanca",  # clocks go back for Ramadan
)
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
INTERVALS = {
    "250ms": (SECOND // 4, False),
    "7s": (7 * SECOND, False),
    "1m": (MINUTE, False),
    "5m": (5 * MINUTE, False),
    "7m": (7 * MINUTE, False),
    "45m": (45 * MINUTE, False),
    "1h": (HOUR, False),
    "6h": (6 * HOUR, False),
    "36h": (36 * HOUR, False),
    "1d": (DAY, False),
    "10d": (10 * DAY, False),
    "1w": (7 * DAY, False),
    "2w": (14 * DAY, False),
    "1mo": (1, True),
    "3mo": (3, True),
    "1y": (12, True),
    "2y": (24, True),
}
# Lines of an earlier one may lie before 1970, where no zone has its changes.
FIRST = 94_694_400 * SECOND
# Of later ones polars may know other rules than this machine: zones are still being changed.
LAST = 1_735_689_600 * SECOND

TABLE = ZoneTable()
INDEX = {name: TABLE.index(name) for name in NAMES}
COLUMNS = (TABLE.start, TABLE.change_us, TABLE.offset_us)


def changes(name):
    return TABLE.change_us[TABLE.start[INDEX[name]] + 1 : TABLE.start[INDEX[name] + 1]].tolist()


def moments(name):
    """Times from 1973 on, many of them close to a change of the clocks."""
    anywhere = st.integers(FIRST, LAST)
    some = [change for change in changes(name) if change < LAST]
    if not some:
        return anywhere
    close = st.builds(int.__add__, st.sampled_from(some), st.integers(-2 * DAY, 2 * DAY))
    return anywhere | close.map(lambda time_us: max(time_us, FIRST))


zoned_moments = st.sampled_from(NAMES).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(moments(name), min_size=1, max_size=20))
)


def datetime_of(time_us, zone=UTC):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).astimezone(zone)


def microseconds(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)) // timedelta(microseconds=1)


@given(zoned_moments)
def test_local_time_is_what_the_clock_on_the_wall_shows(drawn):
    name, times = drawn
    for time_us in times:
        wall = datetime_of(time_us, ZoneInfo(name)).replace(tzinfo=None)
        assert local_of(*COLUMNS, INDEX[name], time_us) == microseconds(wall)


@given(zoned_moments)
def test_a_moment_comes_back_from_its_local_time_and_offset(drawn):
    name, times = drawn
    for time_us in times:
        offset_us = offset_at(*COLUMNS, INDEX[name], time_us)
        assert utc_of(*COLUMNS, INDEX[name], time_us + offset_us, offset_us) == time_us


@given(zoned_moments, st.sampled_from([-HOUR, 0, HOUR, 14 * HOUR]))
def test_an_offset_that_does_not_hold_gives_the_first_of_the_moments_meant(drawn, offset_us):
    name, times = drawn
    for time_us in times:
        local_us = local_of(*COLUMNS, INDEX[name], time_us)
        found = utc_of(*COLUMNS, INDEX[name], local_us, offset_us)
        assert local_of(*COLUMNS, INDEX[name], found) == local_us
        wall = datetime_of(local_us).replace(tzinfo=ZoneInfo(name))
        both = {microseconds(wall.replace(fold=fold).astimezone(UTC)) for fold in (0, 1)}
        assert found in both
        assert found == min(both) or local_us - offset_us == found


@pytest.mark.parametrize(
    ("name", "wall", "change"),
    [
        ("Europe/Berlin", datetime(2024, 3, 31, 2, 30), datetime(2024, 3, 31, 1)),
        ("America/New_York", datetime(2024, 3, 10, 2), datetime(2024, 3, 10, 7)),
        ("Australia/Lord_Howe", datetime(2024, 10, 6, 2, 15), datetime(2024, 10, 5, 15, 30)),
        ("America/Sao_Paulo", datetime(2018, 11, 4), datetime(2018, 11, 4, 3)),
    ],
)
def test_a_local_time_that_is_left_out_is_the_moment_of_the_change(name, wall, change):
    for offset_us in (0, HOUR, 2 * HOUR, -3 * HOUR, 10 * HOUR + 30 * MINUTE):
        found = utc_of(*COLUMNS, INDEX[name], microseconds(wall), offset_us)
        assert found == microseconds(change)


def test_an_hour_that_comes_twice_is_told_apart_by_the_offset():
    wall = microseconds(datetime(2024, 10, 27, 2, 30))
    zone = INDEX["Europe/Berlin"]
    assert utc_of(*COLUMNS, zone, wall, 2 * HOUR) == wall - 2 * HOUR
    assert utc_of(*COLUMNS, zone, wall, HOUR) == wall - HOUR
    assert utc_of(*COLUMNS, zone, wall, 5 * HOUR) == wall - 2 * HOUR


@given(st.integers(-30_000 * DAY, 60_000 * DAY))
@example(0)
@example(-1)
@example(951_782_400 * SECOND)  # 2000-02-29
@example(4_107_542_399 * SECOND)  # the last second of February 2100, which has no 29th
def test_months_begin_when_the_calendar_says(local_us):
    wall = datetime_of(local_us)
    months = (wall.year - 1970) * 12 + wall.month - 1
    assert civil_months(local_us) == months
    first = wall.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert month_start(months) == microseconds(first)


def truncated(name, time_us, every):
    """Return when the line before a moment is: its wall clock by polars, its moment by Python.

    None where the clocks leave it out. polars alone, given the zone, raises there or names a line
    after the moment, and where a line comes twice it takes the wrong one now and then.
    """
    zone = ZoneInfo(name)
    moment = datetime_of(time_us, zone)
    (wall,) = pl.Series([moment.replace(tzinfo=None)]).dt.truncate(every)
    both = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    real = [
        each for each in both if each.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
    ]
    meant = [each for each in real if each.utcoffset() == moment.utcoffset()]
    return microseconds((meant or real)[0].astimezone(UTC)) if real else None


@given(zoned_moments, st.sampled_from(list(INTERVALS)))
@example(("Africa/Casablanca", [1_683_419_400 * SECOND]), "6h")
@example(("Europe/Berlin", [1_729_991_100 * SECOND]), "45m")  # truncated, it goes back a line
def test_a_window_begins_where_polars_truncates_to(drawn, every):
    name, times = drawn
    for time_us in times:
        change = max((change for change in changes(name) if change <= time_us), default=None)
        wanted = truncated(name, time_us, every)
        if wanted is None:
            wanted = change
        elif change is not None:
            wanted = max(wanted, truncated(name, change - 1, every))
        assert lines_around(*COLUMNS, INDEX[name], time_us, *INTERVALS[every])[0] == wanted


@given(zoned_moments, st.sampled_from(list(INTERVALS.values())))
def test_every_moment_is_in_one_window_and_one_window_follows_the_other(drawn, interval):
    name, times = drawn
    for time_us in times:
        window = lines_around(*COLUMNS, INDEX[name], time_us, *interval)
        first, end = window
        assert first <= time_us < end
        for moment in (first, (first + end) // 2, end - 1):
            assert lines_around(*COLUMNS, INDEX[name], moment, *interval) == window
        assert lines_around(*COLUMNS, INDEX[name], end, *interval)[0] == end


def test_windows_of_the_hour_that_comes_twice_are_two_and_a_longer_one_is_longer():
    change = microseconds(datetime(2024, 10, 27, 1))
    zone = INDEX["Europe/Berlin"]
    hour = [lines_around(*COLUMNS, zone, change + at, HOUR, False) for at in (-1, 0)]
    assert hour == [(change - HOUR, change), (change, change + HOUR)]
    assert lines_around(*COLUMNS, zone, change, 3 * HOUR, False) == (
        change - 3 * HOUR,
        change + HOUR,
    )
    day = (change - 3 * HOUR, change + 22 * HOUR)
    assert lines_around(*COLUMNS, zone, change, DAY, False) == day


@given(st.integers(-30_000 * DAY, 60_000 * DAY), st.sampled_from(list(INTERVALS.values())))
def test_a_line_is_its_own_line_and_the_next_is_one_interval_on(local_us, interval):
    line_us = floor_line(local_us, *interval)
    assert floor_line(line_us, *interval) == line_us <= local_us
    next_us = line_after(line_us, *interval)
    assert local_us < next_us == floor_line(next_us, *interval)
    assert floor_line(next_us - 1, *interval) == line_us


def test_weeks_begin_on_monday():
    line_us = floor_line(microseconds(datetime(2024, 5, 16, 13)), 7 * DAY, False)
    assert datetime_of(line_us).replace(tzinfo=None) == datetime(2024, 5, 13)
    assert np.int64(line_us) % DAY == 0
