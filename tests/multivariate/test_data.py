"""Columns of points become one table: aligned, filled, told about."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.errors import RequestError
from streamdet.multivariate.data import (
    FILL_METHODS,
    AlignPolicy,
    Column,
    align,
    format_time,
    parse_time,
)


def column(name, points):
    times = np.array([time for time, _ in points], np.int64)
    return Column(name, times, np.array([value for _, value in points], np.float64))


def obvious_table(columns, policy):
    """Return the times and the value of each (time, variable), by plain loops."""
    known = []
    for each in columns:
        found = {}
        for time, value in zip(each.time_us.tolist(), each.value.tolist(), strict=True):
            if np.isfinite(value):
                found[time] = value
        known.append(found)
    if policy.mode == "Outer":
        times = sorted(set().union(*known))
    else:
        times = sorted(set(known[0]).intersection(*known))
    return times, [
        [filled(found, times, row, policy) for found in known] for row in range(len(times))
    ]


def filled(found, times, row, policy):
    if times[row] in found:
        return found[times[row]]
    if policy.fill in ("Zero", "Fixed"):
        return policy.padding_value if policy.fill == "Fixed" else 0.0
    before = next((r for r in range(row, -1, -1) if times[r] in found), None)
    after = next((r for r in range(row, len(times)) if times[r] in found), None)
    if before is None or after is None:
        return found[times[after if before is None else before]]
    low, high = found[times[before]], found[times[after]]
    if policy.fill == "Linear":
        return low + (high - low) * (row - before) / (after - before)
    return low if policy.fill == "Previous" else high


points = st.lists(
    st.tuples(st.integers(0, 12), st.floats(-1e6, 1e6) | st.just(float("nan"))),
    min_size=1,
    max_size=12,
)


@given(st.lists(points, min_size=1, max_size=4), st.sampled_from(["Inner", "Outer"]),
       st.sampled_from(FILL_METHODS))  # fmt: skip
def test_a_table_is_the_one_of_plain_loops(series, mode, fill):
    columns = [column(f"v{j}", each) for j, each in enumerate(series)]
    policy = AlignPolicy(mode, fill, 7.5)
    nothing = any(not np.isfinite(each.value).any() for each in columns)
    if nothing or not obvious_table(columns, policy)[0]:
        with pytest.raises(RequestError, match="no effective data"):
            align(columns, policy)
        return
    frame = align(columns, policy)
    times, table = obvious_table(columns, policy)
    assert frame.time_us.tolist() == times
    np.testing.assert_allclose(frame.value, table, rtol=1e-12, atol=1e-6)


def test_each_variable_tells_what_it_had():
    frame = align(
        [column("a", [(0, 1.0), (60_000_000, 2.0), (180_000_000, 4.0)]),
         column("b", [(60_000_000, 1.0), (120_000_000, float("nan"))])],
        AlignPolicy(),
    )  # fmt: skip
    assert frame.states[0] == {
        "variable": "a", "filledNARatio": 0.0, "effectiveCount": 3,
        "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:03:00Z",
    }  # fmt: skip
    assert frame.states[1]["effectiveCount"] == 1
    assert frame.states[1]["filledNARatio"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([], "NoVariablesFound"),
        ([column("a", [(0, 1.0)]), column("a", [(0, 1.0)])], "DuplicatedVariables"),
        ([column(f"v{j}", [(0, 1.0)]) for j in range(302)], "DataExceedsLimit"),
        ([column("a", [(0, float("nan"))])], "NoData"),
    ],
)
def test_what_makes_no_table_is_refused(columns, code):
    with pytest.raises(RequestError) as caught:
        align(columns, AlignPolicy())
    assert caught.value.code == code


def test_variables_without_a_common_time_make_no_inner_table():
    with pytest.raises(RequestError, match="no timestamp is common"):
        align([column("a", [(0, 1.0)]), column("b", [(1, 1.0)])], AlignPolicy("Inner"))


def test_a_variable_of_more_than_a_million_points_is_refused():
    many = Column("a", np.arange(1_000_001), np.zeros(1_000_001))
    with pytest.raises(RequestError) as caught:
        align([many], AlignPolicy())
    assert caught.value.code == "TooManyData"


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.25Z", 250_000),
    ],
)
def test_times_are_read_as_iso_8601(text, time_us):
    assert parse_time(text) == time_us


@pytest.mark.parametrize("text", ["", "yesterday", "2021-13-01", None, 5, ["2021-01-01"]])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(RequestError) as caught:
        parse_time(text)
    assert caught.value.code == "InvalidTimestampFormat"


@given(st.integers(-(10**15), 10**15))
def test_a_time_that_is_written_reads_the_same(time_us):
    assert parse_time(format_time(time_us)) == time_us
