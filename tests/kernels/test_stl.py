"""STL beside statsmodels', which computes the same in more time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.tsa.seasonal import STL

from streamdet.kernels.stl import _median, stl


def odd_above(least):
    return int(np.ceil(least)) // 2 * 2 + 1


def twin(values, period):
    seasonal = 10 * len(values) + 1
    lengths = {
        "seasonal": seasonal,
        "trend": odd_above(1.5 * period / (1 - 1.5 / seasonal)),
        "low_pass": odd_above(period + 1),
    }
    jumps = {f"{name}_jump": -(-length // 10) for name, length in lengths.items()}
    whole = STL(values, period=period, robust=True, seasonal_deg=0, **lengths, **jumps)
    return whole.fit(inner_iter=1, outer_iter=15)


@pytest.mark.parametrize(
    ("count", "period"),
    [(5, 2), (13, 6), (100, 12), (101, 2), (500, 24), (340, 168), (437, 72), (1440, 288)],
)
def test_trend_and_season_are_those_of_statsmodels(count, period):
    random = np.random.default_rng(count)
    at = np.arange(count)
    values = 50 + 0.1 * at + 9 * np.sin(at * 2 * np.pi / period) + random.normal(size=count)
    values[[count // 3, count // 2]] += (40, -25)
    trend, season = stl(values, period)
    found = twin(values, period)
    np.testing.assert_allclose(trend, found.trend, atol=1e-8)
    np.testing.assert_allclose(season, found.seasonal, atol=1e-8)


def test_an_odd_period_is_smoothed_over_itself():
    """R takes a low pass of one period there; statsmodels refuses it, so there is no twin."""
    values = np.tile([1.0, 5.0, 2.0, 8.0, 3.0], 20) + 0.01 * np.arange(100)
    trend, season = stl(values, 5)
    np.testing.assert_allclose(trend + season, values, atol=0.05)
    np.testing.assert_allclose(trend, 3.8 + 0.01 * np.arange(100), atol=0.1)


def test_a_season_whose_every_value_has_no_weight_is_the_values_themselves():
    values = np.tile([0.0, 1.0, 0.0, -1.0], 30)
    values[-4] = 3.0
    trend, season = stl(values, 4)
    assert np.isfinite(trend).all()
    assert np.isfinite(season).all()


@given(st.lists(st.integers(0, 20) | st.floats(0, 1e9), min_size=1, max_size=60))
def test_the_median_is_the_middle_of_the_sorted_whatever_is_equal(values):
    assert _median(np.array(values, float)) == np.median(values)


def test_the_median_of_values_that_are_no_numbers_ends():
    assert np.isnan(_median(np.full(5, np.nan)))
    _median(np.array([1.0, np.nan, 3.0, np.nan, 2.0, 5.0, np.nan]))
