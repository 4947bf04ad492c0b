"""The tail model: a score and its inverse, and quantiles that find their place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.detectors import severity
from streamdet.kernels.forecast import ROW
from streamdet.kernels.tail import (
    L0,
    LEARN_FROM,
    tail_index,
    tail_learn,
    tail_residual,
    tail_score,
    tail_start,
    tail_unit,
)


@given(st.floats(L0, 99), st.floats(1e-9, 1e9), st.floats(0.02, 2))
def test_the_residual_of_a_score_has_that_score(score, unit, xi):
    assert tail_score(tail_residual(score, unit, xi), unit, xi) == pytest.approx(score)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-6, 1e6), st.floats(0.02, 2))
def test_a_larger_residual_never_scores_less(one, other, unit, xi):
    low, high = sorted((one, other))
    assert tail_score(low, unit, xi) <= tail_score(high, unit, xi) <= 100


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential", "standard_cauchy"])
def test_nine_in_ten_residuals_lie_below_the_quantile(draw, scale):
    residuals = scale * np.abs(getattr(np.random.default_rng(0), draw)(20_000))
    row = np.zeros(1, ROW)[0]
    tail_start(row, float(residuals[:LEARN_FROM].mean()))
    for count, residual in enumerate(residuals[LEARN_FROM:], LEARN_FROM):
        tail_learn(row, residual, tail_unit(row, 1e-300), tail_index(row), count)
    late = residuals[10_000:]
    assert (late > math.exp(row["quantile"])).mean() == pytest.approx(0.10, abs=0.02)
    assert (late > math.exp(row["extreme"])).mean() == pytest.approx(0.01, abs=0.008)


def test_one_burst_does_not_widen_the_band_for_long():
    rng = np.random.default_rng(0)
    row = np.zeros(1, ROW)[0]
    tail_start(row, 0.8)
    residuals = np.abs(rng.standard_normal(6000))
    residuals[5000:5005] = 1e9
    units = []
    for count, residual in enumerate(residuals, LEARN_FROM):
        units.append(tail_unit(row, 1e-300))
        tail_learn(row, residual, units[-1], tail_index(row), count)
    assert units[5300] < 1.2 * units[4999]


def test_severity_grows_with_the_score_from_nothing_to_one():
    assert severity(0) == 0
    assert severity(6.5) < severity(14) < severity(100) < 1
