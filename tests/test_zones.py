"""Time zones as columns: every change of the clocks, where zoneinfo has it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest

from streamdet.zones import ZoneTable

SECOND, HOUR = 1_000_000, 3_600_000_000


def entries(table, name):
    zone = table.index(name)
    within = slice(table.start[zone], table.start[zone + 1])
    return table.change_us[within].tolist(), table.offset_us[within].tolist()


def test_number_0_is_utc_which_never_changes():
    table = ZoneTable()
    assert table.index("UTC") == 0
    assert entries(table, "UTC") == ([np.iinfo(np.int64).min], [0])


def test_a_zone_that_is_added_leaves_the_others_as_they_were():
    table = ZoneTable()
    berlin = table.index("Europe/Berlin")
    before = entries(table, "Europe/Berlin")
    assert table.index("Asia/Kolkata") == berlin + 1
    assert table.index("Europe/Berlin") == berlin == 1
    assert entries(table, "Europe/Berlin") == before
    assert len(table.start) == 4
    assert {each.dtype for each in (table.start, table.change_us, table.offset_us)} == {
        np.dtype(np.int64)
    }


@pytest.mark.parametrize(
    "name",
    [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Africa/Monrovia",  # 44 minutes and 30 seconds behind until 1972
        "Pacific/Apia",  # a day that was left out
    ],
)
def test_an_offset_holds_from_its_change_to_the_second_before_the_next(name):
    changes, offsets = entries(ZoneTable(), name)
    assert changes == sorted(set(changes))

    def offset(time_us):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
        return moment.astimezone(ZoneInfo(name)).utcoffset() // timedelta(microseconds=1)

    assert offset(0) == offsets[0]
    for change, (before, after) in zip(changes[1:], pairwise(offsets), strict=True):
        assert (offset(change - SECOND), offset(change)) == (before, after)
        assert before != after


def test_summer_time_goes_on_until_2100():
    changes, offsets = entries(ZoneTable(), "Europe/Berlin")
    last = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=changes[-1])
    assert last == datetime(2099, 10, 25, 1, tzinfo=UTC)
    assert offsets[-2:] == [2 * HOUR, HOUR]


def test_a_zone_that_nobody_knows_is_refused():
    with pytest.raises(ZoneInfoNotFoundError):
        ZoneTable().index("Europe/Atlantis")
