"""Counters: their increase per second, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kernels.header import HEADER
from streamdet.kernels.rate import RATE_NEXT, rate
from tests.kernels.naive_rate import Counter

SECOND_US = 1_000_000


def rated(value, time_s=None, *, time_us=None, begins=None):
    """Rates of the points of one counter; `begins` tells where its series begins anew."""
    rows = np.zeros(1, HEADER)
    rows["transform"] = RATE_NEXT
    if time_us is None:
        time_us = (np.arange(len(value)) if time_s is None else np.array(time_s)) * SECOND_US
    starts = [False] * len(value) if begins is None else begins
    return [
        rate(rows[0], int(at), float(x), start)
        for at, x, start in zip(time_us, value, starts, strict=True)
    ]


def test_the_first_point_has_no_rate():
    np.testing.assert_equal(rated([5, 7, 7, 10]), [math.nan, 2, 0, 3])


def test_a_rate_is_per_second_whatever_lies_between_the_points():
    np.testing.assert_equal(rated([0, 60, 600], [0, 60, 120])[1:], [1, 9])


def test_a_decrease_is_a_restart_from_nothing():
    np.testing.assert_equal(rated([1000, 1010, 4, 14])[1:], [10, 4, 10])


def test_a_series_that_begins_anew_has_no_rate_for_its_first_point():
    found = rated([10, 20, 1000, 1001], begins=[True, False, True, False])
    np.testing.assert_equal(found, [math.nan, 10, math.nan, 1])


@pytest.mark.parametrize("total", [1e12, 1e15, 4e15])
def test_the_bytes_of_a_busy_link_are_counted_to_the_byte(total):
    increase = np.random.default_rng(0).integers(0, 10_000, 500)
    found = rated(total + np.concatenate([[0], np.cumsum(increase)]))
    np.testing.assert_array_equal(found[1:], increase)


def test_the_steepest_rise_stays_a_value():
    assert rated([-1e30, 1e30], [0, 1e-6])[1] == 1e30


POINT = st.tuples(
    st.floats(-1e30, 1e30) | st.integers(0, 50).map(float),
    st.integers(1, 10_000_000),  # microseconds since the point before
    st.sampled_from([False] * 4 + [True]),
)


@given(st.lists(POINT, max_size=40))
def test_it_does_as_its_twin(points):
    time_us = np.cumsum([elapsed for _, elapsed, _ in points]).astype(np.int64)
    counter = Counter()
    values = [value for value, _, _ in points]
    begins = [start for _, _, start in points]
    want = [counter.rate(*point)[0] for point in zip(values, time_us.tolist(), begins, strict=True)]
    np.testing.assert_array_equal(rated(values, time_us=time_us, begins=begins), want)
