"""The options that all detectors share: each by itself, together, and against a slow twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.config import DetectionConfig
from streamdet.detectors.conditions import configure
from streamdet.kernels.conditions import (
    CONDITIONS,
    SCORE_BEYOND,
    apply_conditions,
    begin_conditions,
    fits,
)
from streamdet.kernels.header import whole_lines
from streamdet.kernels.incident import INCIDENT, conclude
from streamdet.kernels.jit import kernel
from tests.kernels.naive_conditions import Conditions

ROW = whole_lines([*CONDITIONS, *INCIDENT])
NAN = math.nan


@kernel
def judge_all(rows, value, expected, upper, lower, out, anomaly):
    row = rows[0]
    for i in range(len(value)):
        out[i, 0], out[i, 1], out[i, 2], anomaly[i] = apply_conditions(
            row, value[i], expected[i], upper[i], lower[i]
        )


@kernel
def fit_all(rows, value, expected, margin, out):
    for i in range(len(value)):
        out[i] = fits(rows[0], value[i], expected[i], margin[i], margin[i])


@kernel
def score_of(rows, value, expected, margin, score):
    return conclude(rows[0], value, expected, margin, margin, score, True)[3]


@kernel
def begin(rows):
    begin_conditions(rows[0])


def row_with(**options):
    rows = np.zeros(1, ROW)
    configure(rows[0], DetectionConfig.model_validate(options))
    return rows


def judge(rows, value, expected=0.0, upper=1.0, lower=None):
    """Return what is said of `value`: expected, upper and lower margins, verdicts."""
    value = np.asarray(value, float)
    columns = [np.broadcast_to(np.asarray(c, float), value.shape).copy()
               for c in (expected, upper, upper if lower is None else lower)]  # fmt: skip
    out, anomaly = np.empty((len(value), 3)), np.empty(len(value), np.bool_)
    judge_all(rows, value, *columns, out, anomaly)
    said, up, down = out.T
    known = ~np.isnan(said)
    assert np.array_equal(anomaly, (value > said + up) | (value < said - down))
    assert (up[known] >= 0).all()
    assert (down[known] >= 0).all()
    assert np.isfinite(out[known]).all()
    return said, up, down, anomaly.tolist()


numbers = st.floats(-1e30, 1e30) | st.floats(-20, 20) | st.integers(-20, 20).map(float)
margins = st.floats(0, 1e30) | st.floats(0, 10) | st.integers(0, 10).map(float)


@st.composite
def twins(draw):
    """The same options as settings and as a twin."""
    lower, upper = sorted(draw(st.tuples(numbers, numbers)))
    lower, upper = draw(
        st.sampled_from([(lower, upper), (None, upper), (lower, None), (None,) * 2])
    )
    n = draw(st.integers(1, 32))
    k = draw(st.integers(1, n))
    direction = draw(st.sampled_from(["both", "up", "down"]))
    absolute = draw(st.sampled_from([0.0, 0.3, 3.0]))
    relative = draw(st.sampled_from([0.0, 0.1, 2.0]))
    ratio, ring = draw(st.sampled_from([0.01, 0.25, 0.49])), draw(st.sampled_from([16, 64]))
    rows = row_with(
        lowerBound=lower, upperBound=upper, direction=direction, ring_length=ring,
        minDeviation={"absolute": absolute, "relative": relative},
        suppressCondition={"minNumber": n, "minRatio": 100 * k / n}, maxAnomalyRatio=ratio,
    )  # fmt: skip
    twin = Conditions(
        math.inf if upper is None else upper, -math.inf if lower is None else lower,
        direction, absolute, relative, n, k, ratio, ring,
    )  # fmt: skip
    return rows, twin


@settings(max_examples=300)
@given(
    twins(),
    st.lists(st.tuples(numbers, numbers | st.just(NAN), margins, margins), min_size=1, max_size=80),
)
def test_verdict_and_band_are_those_of_the_twin(made, points):
    rows, twin = made
    value, expected, upper, lower = (np.array(column) for column in zip(*points, strict=True))
    said, up, down, anomaly = judge(rows, value, expected, upper, lower)
    for i, point in enumerate(points):
        centre, high, low, verdict = twin.judge(*point)
        assert anomaly[i] == verdict
        assert said[i] == centre or math.isnan(said[i]) == math.isnan(centre) is True
        # The boundaries are sums of rounded parts, as large as the larger of them.
        error = 4e-16 * (abs(centre) + abs(high) + abs(low))
        np.testing.assert_allclose([centre + up[i], centre - down[i]], [high, low], 0, error)


@given(
    st.lists(st.tuples(numbers, numbers, margins), min_size=1),
)
def test_a_row_without_options_leaves_everything_as_it_is(points):
    value, expected, margin = (np.array(column) for column in zip(*points, strict=True))
    rows = np.zeros(1, ROW)
    said, up, down, _ = judge(rows, value, expected, margin)
    flagged = (value > expected + margin) | (value < expected - margin)
    np.testing.assert_array_equal(said, expected)
    np.testing.assert_array_equal(up[flagged], margin[flagged])
    np.testing.assert_array_equal(down, margin)


@pytest.mark.parametrize(
    ("direction", "want"),
    [("both", [True, False, True]), ("up", [True, False, False]), ("down", [False, False, True])],
)
def test_a_direction_widens_the_other_side_to_include_the_value(direction, want):
    _, up, down, anomaly = judge(row_with(direction=direction), [5, 0, -5])
    assert anomaly == want
    assert up.tolist() == [1 if want[0] else 5, 1, 1]
    assert down.tolist() == [1, 1, 1 if want[2] else 5]


def test_a_minimal_deviation_widens_the_margins_by_the_larger_of_the_two():
    rows = row_with(minDeviation={"absolute": 3, "relative": 0.1})
    _, up, down, anomaly = judge(rows, [2.9, 3.1, 108, 111, 95], [0, 0, 100, 100, 100])
    np.testing.assert_allclose(up, [3, 3, 10, 10, 10])
    np.testing.assert_allclose(down, up)
    assert anomaly == [False, True, False, True, False]


def test_a_minimal_deviation_never_narrows_a_band():
    _, up, _, _ = judge(row_with(minDeviation={"absolute": 0.5}), [0.0])
    assert up.tolist() == [1]


def test_beyond_a_hard_bound_is_an_anomaly_within_the_band_too():
    rows = row_with(upperBound=10, lowerBound=-10)
    said, up, down, anomaly = judge(rows, [10.5, 10, 9, -10.5, -10], 0, 50)
    assert anomaly == [True, False, False, True, False]
    assert said.tolist() == [0] * 5
    assert up.tolist() == down.tolist() == [10] * 5


def test_the_expected_value_is_clipped_into_the_bounds():
    said, up, down, anomaly = judge(row_with(upperBound=10), [9, 10, 11], 20, 5)
    assert said.tolist() == [10] * 3
    assert up.tolist() == [0] * 3
    assert down.tolist() == [0] * 3
    assert anomaly == [True, False, True]


@given(numbers, numbers, margins)
def test_a_value_on_a_bound_is_never_beyond_it(bound, expected, margin):
    """However sums round: what cannot exceed 100 % is often at 100 %."""
    for option, way in (("upperBound", math.inf), ("lowerBound", -math.inf)):
        rows = row_with(**{option: bound})
        inside = expected - margin <= bound <= expected + margin
        _, _, _, anomaly = judge(rows, [bound], expected, margin)
        assert not (anomaly[0] and inside)
        beyond = math.nextafter(bound, way)
        assert judge(rows, [beyond], expected, margin)[3] == [True]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_margin_that_rounds_past_its_bound_hides_no_value_beyond(sign):
    """3 - -1e16 is 1e16 + 4 in float64, and the sum would be 4, beyond the value."""
    bound = {"upperBound" if sign > 0 else "lowerBound": sign * 3}
    assert judge(row_with(**bound), [sign * 3.5], sign * -1e16, 3e16)[3] == [True]


def test_while_nothing_is_known_only_a_bound_speaks():
    rows = row_with(upperBound=10, lowerBound=-10)
    said, up, down, anomaly = judge(rows, [0, 11, -11], NAN, NAN)
    np.testing.assert_array_equal(said, [NAN, 10, -10])
    np.testing.assert_array_equal(up, [NAN, 0, 0])
    np.testing.assert_array_equal(down, [NAN, 0, 0])
    assert anomaly == [False, True, True]


def test_nothing_suppresses_a_value_beyond_a_bound():
    rows = row_with(
        upperBound=10,
        direction="down",
        minDeviation={"absolute": 1000},
        suppressCondition={"minNumber": 32, "minRatio": 100},
        maxAnomalyRatio=0.01,
    )
    assert judge(rows, [20.0] * 100)[3] == [True] * 100


def test_a_value_beyond_a_bound_has_the_largest_score():
    rows = row_with(upperBound=10)
    assert score_of(rows, 11.0, 0.0, 50.0, 0.5) == SCORE_BEYOND
    assert score_of(rows, 11.0, NAN, NAN, NAN) == SCORE_BEYOND
    assert score_of(rows, 9.0, 0.0, 50.0, 0.5) == 0.5


def test_k_of_n_points_must_be_outside():
    rows = row_with(suppressCondition={"minNumber": 5, "minRatio": 60})
    pattern = [0, 9, 9, 0, 9, 9, 0, 0, 0, 9, 0, 9, 9]
    _, up, _, anomaly = judge(rows, pattern)
    want = [i in (4, 5, 12) for i in range(len(pattern))]
    assert anomaly == want
    assert up[1] == 9


@pytest.mark.parametrize(
    ("n", "percent", "k"), [(5, 60, 3), (7, 100 * 3 / 7, 3), (3, 1, 1), (32, 100, 32)]
)
def test_the_ratio_of_points_is_rounded_up_to_whole_points(n, percent, k):
    rows = row_with(suppressCondition={"minNumber": n, "minRatio": percent})
    assert judge(rows, [9.0] * 40)[3].index(True) == k - 1


def test_what_the_direction_leaves_out_is_not_counted_as_outside():
    rows = row_with(direction="up", suppressCondition={"minNumber": 3, "minRatio": 60})
    assert judge(rows, [-9, -9, 9, 9])[3] == [False, False, False, True]


@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.25, 0.49])
def test_no_more_than_the_ratio_of_the_newest_points_are_anomalies(ratio):
    rows = row_with(maxAnomalyRatio=ratio, ring_length=64)
    _, up, _, anomaly = judge(rows, [9.0] * 5000)
    assert anomaly[0]
    assert np.mean(anomaly[64:]) <= ratio + 1 / 64
    assert np.mean(anomaly[64:]) >= ratio * 0.5
    assert (up[~np.array(anomaly)] == 9).all()


def test_rare_anomalies_never_use_up_the_ratio():
    value = np.zeros(4000)
    value[::8] = 9
    assert judge(row_with(maxAnomalyRatio=0.25), value)[3] == (value > 0).tolist()


def test_a_series_that_begins_anew_has_no_history():
    rows = row_with(suppressCondition={"minNumber": 2, "minRatio": 100}, maxAnomalyRatio=0.01)
    assert judge(rows, [9, 9])[3] == [False, True]
    begin(rows)
    assert judge(rows, [9, 9])[3] == [False, True]


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [False, True, False]),
        ({"direction": "up"}, [True, True, False]),
        ({"minDeviation": {"absolute": 6}}, [True, True, True]),
        ({"suppressCondition": {"minNumber": 9}}, [False, True, False]),
        ({"maxAnomalyRatio": 0.001}, [False, True, False]),
        ({"lowerBound": 1}, [False, False, False]),
    ],
)
def test_a_value_that_is_only_kept_quiet_does_not_fit(options, want):
    out = np.empty(3, np.bool_)
    value = np.array([-5.0, 0.5, 5.0])
    fit_all(row_with(**options), value, np.zeros(3), np.ones(3), out)
    assert out.tolist() == want


def test_every_value_fits_where_nothing_is_known_but_beyond_a_bound():
    out = np.empty(2, np.bool_)
    fit_all(row_with(upperBound=1), np.array([0.0, 2.0]), np.full(2, NAN), np.full(2, NAN), out)
    assert out.tolist() == [True, False]
