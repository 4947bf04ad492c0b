"""The parts of the method beside slow, obvious twins and worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.univariate import outliers
from streamdet.univariate.boundary import MARGIN_FACTORS, boundary
from streamdet.univariate.decomposition import decompose
from streamdet.univariate.impute import impute
from streamdet.univariate.outcome import Outcome
from streamdet.univariate.period import explained, find_period
from streamdet.univariate.spectral_residual import saliency_scores, trailing_mean
from streamdet.univariate.trend import spline_trend
from tests.univariate.requests import weekly_season

NAN = float("nan")


def outcome_of(values, flagged):
    trend = np.full(len(values), 100.0)
    return Outcome(np.array(values), trend, trend, np.array(flagged))


def test_margins_of_the_worked_example():
    found = boundary(outcome_of([108.0, 130.0], [False, True]), 85, "V2")
    np.testing.assert_allclose(found.upper, [15.5, 15.0])
    np.testing.assert_allclose(found.lower, [15.5 / 3, 15.0])
    assert found.is_anomaly.tolist() == [False, True]
    np.testing.assert_allclose(found.severity, [0, 0.25], atol=1e-9)


def test_margins_of_version_1_are_a_share_of_the_expected_value():
    found = boundary(outcome_of([103.0, 130.0, 90.0], [False, True, True]), 95, "V1")
    np.testing.assert_allclose(found.upper, [5, 5, 5])
    np.testing.assert_allclose(found.lower, [5, 5, 5])
    assert found.is_anomaly.tolist() == [False, True, True]
    np.testing.assert_allclose(found.severity, [0, 0.3, 0.1])


@pytest.mark.parametrize(
    ("sensitivity", "factor"),
    [(0, 532), (20, 52), (25, 30), (45, 5), (55, 1), (80, 0.225), (85, 0.15), (92, 0.06727272727),
     (93, 0.04363636364), (99, 0.0003), (100, 0)],
)  # fmt: skip
def test_factors_of_the_margins_are_those_of_the_service(sensitivity, factor):
    assert MARGIN_FACTORS[sensitivity] == pytest.approx(factor, rel=1e-9)


def test_a_flagged_value_inside_its_margins_is_none():
    assert not boundary(outcome_of([100.5], [True]), 50, "V2").is_anomaly.any()


def naive_statistic(values, most):
    """Return the statistic of each highest value in turn among those that are left."""
    left = sorted(values)
    found = []
    for _ in range(most):
        median = np.median(left)
        mad = np.median(np.abs(np.array(left) - median))
        found.append((left[-1] - median) / (mad / 0.6744897501960817) if mad > 0 else 0.0)
        left.pop()
    return found


@given(
    st.lists(st.integers(-1000, 1000), min_size=12, max_size=40, unique=True),
    st.floats(0.01, 0.49),
)
def test_the_esd_test_finds_as_many_as_one_by_one(values, ratio):
    values = [value / 1000 for value in values]
    most = outliers.max_outliers(len(values), ratio)
    critical = outliers._critical_values(len(values), most)
    passes = [k for k, each in enumerate(naive_statistic(values, most)) if each > critical[k]]
    robust = passes[-1] + 1 if passes else 0
    above, _ = outliers.esd(np.array(values), ratio)
    assert len(above) >= robust
    assert sorted(np.array(values)[above]) == sorted(values)[len(values) - len(above) :]


def test_outliers_beside_a_majority_are_looked_for_on_each_side_by_itself():
    values = np.r_[np.full(100, 10.0), 7.0, 8.0, np.full(20, 12.5)]
    above, below = outliers.esd(values, 0.25)
    assert sorted(below.tolist()) == [100, 101]
    assert len(above) == 20


def test_a_vote_takes_the_first_outliers_of_the_first_tests_and_no_more_than_allowed():
    above = [np.array([5, 6]), np.array([7, 5])]
    none = np.array([], np.int64)
    flagged = outliers.vote([[each, none] for each in above], 20, 0.1)
    assert np.flatnonzero(flagged).tolist() == [6, 7]  # 5 has the ranks of both, 0 + 21


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=40), st.integers(2, 4))
def test_the_explained_share_is_that_of_leaving_each_out(values, period):
    values = np.array(values)
    if values.std() < 1e-3:
        return
    errors = []
    for index, value in enumerate(values):
        phase = values[index % period :: period]
        others = (phase.sum() - value) / (len(phase) - 1)
        errors.append((value - others) ** 2)
    twin = 1 - np.mean(errors) / values.var()
    assert explained(values, period) == pytest.approx(twin, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "granularity", "interval", "period"),
    [
        (weekly_season(), "daily", 1, 7),
        (np.sin(np.arange(500) * 2 * np.pi / 24), "hourly", 1, 168),  # a week holds whole days
        (np.sin(np.arange(200) * 2 * np.pi / 24), "hourly", 1, 24),  # too few for weeks
        (np.sin(np.arange(900) * 2 * np.pi / 288), "minutely", 5, 288),
        (np.sin(np.arange(400) * 2 * np.pi / 37), "yearly", 1, 37),
        (np.random.default_rng(4).normal(size=300), "hourly", 1, 0),
        (np.ones(50), "daily", 1, 0),
    ],
)
def test_a_period_is_found_where_there_is_one(values, granularity, interval, period):
    assert find_period(values, granularity, interval) == period


def test_a_decomposition_adds_up_and_an_outlier_stays_out_of_it():
    values = weekly_season()
    values[40] += 500
    found = decompose(values, 7)
    np.testing.assert_allclose(found.trend + found.season + found.remainder, values)
    assert found.remainder[40] > 450
    assert np.abs(np.delete(found.remainder, 40)).max() < 10


@pytest.mark.parametrize(
    ("mode", "filled"),
    [("previous", 2.0), ("linear", 4.0), ("zero", 0.0), ("fixed", 9.0)],
)
def test_a_hole_is_filled_as_asked(mode, filled):
    values = np.array([1.0, 2.0, NAN, 6.0, 7.0])
    assert impute(values, 0, mode, 9.0).tolist() == [1.0, 2.0, filled, 6.0, 7.0]


def test_a_short_hole_of_a_season_is_filled_by_a_curve_and_a_long_one_by_other_cycles():
    values = np.sin(np.arange(480) * 2 * np.pi / 24)
    for hole in (slice(29, 32), slice(240, 252)):
        holes = values.copy()
        holes[hole] = NAN
        np.testing.assert_allclose(impute(holes, 24, "auto", 0.0), values, atol=0.01)


def test_saliency_is_highest_at_a_spike():
    values = 10 + np.random.default_rng(8).normal(size=200)
    values[120] += 15
    assert saliency_scores(values, last=False).argmax() == 120


def test_a_trailing_mean_takes_fewer_at_the_start():
    assert trailing_mean(np.array([2.0, 4, 6, 8]), 3).tolist() == [2, 3, 4, 6]


def test_a_trend_follows_a_line_to_its_ends():
    line = 3 + 0.5 * np.arange(100)
    np.testing.assert_allclose(spline_trend(line), line)
