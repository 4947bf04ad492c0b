"""Counters: their increase per second, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kernels.align import RESTART, whole_lines
from streamdet.kernels.rate import RATE, RATE_NEXT, rate
from tests.kernels.naive_rate import Counter

ROW = whole_lines(RATE)
SECOND_US = 1_000_000
LATE = 1


def rated(value, time_s=None, *, step=None, outcome=None, slot=None, rows=None):
    """Rates of the points, and the steps that the detector then sees."""
    n = len(value)
    if rows is None:
        rows = np.zeros(4, ROW)
        rows["transform"] = RATE_NEXT
    if step is None:
        step = [RESTART] + [1] * (n - 1)
    time_us = (np.arange(n) if time_s is None else np.array(time_s)) * SECOND_US
    found = np.array(value, np.float64)
    steps = np.array(step, np.int32)
    outcomes = np.zeros(n, np.uint8) if outcome is None else np.array(outcome, np.uint8)
    slots = np.zeros(n, np.int64) if slot is None else np.array(slot, np.int64)
    rate(rows, slots, time_us.astype(np.int64), outcomes, steps, found)
    return found, steps.tolist()


def test_the_first_point_has_no_rate_and_the_second_begins_the_series():
    found, steps = rated([5, 7, 7, 10])
    np.testing.assert_equal(found, [math.nan, 2, 0, 3])
    assert steps == [RESTART, RESTART, 1, 1]


def test_a_rate_is_per_second_whatever_lies_between_the_points():
    found, _ = rated([0, 60, 600], [0, 60, 120])
    np.testing.assert_equal(found[1:], [1, 9])


def test_a_decrease_is_a_restart_from_nothing():
    found, _ = rated([1000, 1010, 4, 14])
    np.testing.assert_equal(found[1:], [10, 4, 10])


def test_a_late_or_doubled_point_leaves_the_counter_as_it_was():
    found, _ = rated([10, 20, 3, 30], outcome=[0, 0, LATE, 0])
    assert found[1] == 10
    assert found[3] == 5  # two seconds after the second


def test_a_series_that_begins_anew_has_no_rate_for_its_first_point():
    found, steps = rated([10, 20, 1000, 1001], step=[RESTART, 1, RESTART, 1])
    np.testing.assert_equal(found, [math.nan, 10, math.nan, 1])
    assert steps == [RESTART, RESTART, RESTART, RESTART]


def test_a_series_without_the_transform_is_left_alone():
    rows = np.zeros(2, ROW)
    rows["transform"][1] = RATE_NEXT
    found, steps = rated(
        [5, 50, 7, 70], slot=[0, 1, 0, 1], step=[RESTART, RESTART, 1, 1], rows=rows
    )
    np.testing.assert_equal(found, [5, math.nan, 7, 10])
    assert steps == [RESTART, RESTART, 1, RESTART]
    assert rows[0] == np.zeros(1, ROW)[0]


@pytest.mark.parametrize("total", [1e12, 1e15, 4e15])
def test_the_bytes_of_a_busy_link_are_counted_to_the_byte(total):
    rng = np.random.default_rng(0)
    increase = rng.integers(0, 10_000, 500)
    found, _ = rated(total + np.concatenate([[0], np.cumsum(increase)]))
    np.testing.assert_array_equal(found[1:], increase)


def test_the_steepest_rise_stays_a_value():
    found, _ = rated([-1e30, 1e30], [0, 1e-6])
    assert found[1] == 1e30


POINT = st.tuples(
    st.integers(0, 2),  # series
    st.floats(-1e30, 1e30) | st.integers(0, 50).map(float),
    st.integers(1, 10_000_000),  # microseconds since the series' point before
    st.sampled_from([0, 0, 0, 1, 2]),  # outcome
    st.sampled_from([1, 1, 1, 1, RESTART]),
)


@given(st.lists(POINT, max_size=40), st.integers(0, 40))
def test_it_does_as_its_twin_wherever_the_batches_end(points, cut):
    rows = np.zeros(3, ROW)
    rows["transform"] = RATE_NEXT
    slot, value, elapsed, outcome, step = (
        np.array(column, dtype)
        for column, dtype in zip(
            zip(*points, strict=True) if points else [[]] * 5,
            (np.int64, np.float64, np.int64, np.uint8, np.int32),
            strict=True,
        )
    )
    time_us = np.zeros(len(points), np.int64)
    for number in range(3):
        time_us[slot == number] = np.cumsum(elapsed[slot == number])
    counters = [Counter() for _ in range(3)]
    expected, steps = value.copy(), step.copy()
    for i in np.flatnonzero(outcome == 0):
        expected[i], first = counters[slot[i]].rate(value[i], int(time_us[i]), step[i] == RESTART)
        steps[i] = RESTART if first else step[i]
    for part in (slice(0, cut), slice(cut, None)):
        rate(rows, slot[part], time_us[part], outcome[part], step[part], value[part])
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(step, steps)
