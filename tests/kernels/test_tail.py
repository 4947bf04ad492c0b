"""The tail model: a score and its inverse, and quantiles that find their place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.detectors.forecast import severity
from streamdet.kernels.jit import kernel
from streamdet.kernels.tail import (
    L0,
    LEARN_FROM,
    TAIL,
    tail_begin,
    tail_index,
    tail_learn,
    tail_residual,
    tail_score,
    tail_unit,
)
from tests import naive

PRIOR, WEIGHT, MEMORY, CLAMP_AFTER = 0.3, 200.0, 8192.0, 500
FLOOR = 1e-300


@kernel
def learn_all(tail, residuals, floor, prior, memory, clamp_after, units):
    """Learn `residuals`; units takes in U before each."""
    for i in range(len(residuals)):
        units[i] = tail_unit(tail, floor)
        tail_learn(
            tail, residuals[i], units[i], floor, tail_index(tail),
            prior, WEIGHT, memory, clamp_after,
        )  # fmt: skip


def learnt(residuals, floor=FLOOR, prior=PRIOR, memory=MEMORY, clamp_after=CLAMP_AFTER):
    """Return the tail after `residuals`, and U before each of them."""
    tail = np.zeros(1, TAIL)[0]
    tail_begin(tail, prior, WEIGHT)
    units = np.empty(len(residuals))
    learn_all(tail, np.asarray(residuals, float), floor, prior, memory, clamp_after, units)
    return tail, units


def normal(n, seed=0):
    return np.abs(np.random.default_rng(seed).standard_normal(n))


@given(st.floats(L0, 99), st.floats(1e-9, 1e9), st.floats(0.02, 2))
def test_the_residual_of_a_score_has_that_score(score, unit, xi):
    assert tail_score(tail_residual(score, unit, xi), unit, xi) == pytest.approx(score)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-6, 1e6), st.floats(0.02, 2))
def test_a_larger_residual_never_scores_less(one, other, unit, xi):
    low, high = sorted((one, other))
    assert tail_score(low, unit, xi) <= tail_score(high, unit, xi) <= 100


@settings(max_examples=40)
@given(
    st.lists(st.floats(0, 1e9) | st.sampled_from([0.0, 1.0, 1e-12]), max_size=200),
    st.sampled_from([1e-300, 1e-3, 1.0]),
    st.sampled_from([(0.3, 8192.0, 500), (0.2, 2048.0, 100)]),
)
def test_the_kernel_agrees_with_its_twin(drawn, floor, parameters):
    residuals = [*normal(600), *drawn]
    twin = naive.Tail(*parameters)
    want = []
    for residual in residuals:
        want.append(twin.unit(floor))
        twin.learn(residual, floor)
    tail, units = learnt(residuals, floor, *parameters)
    np.testing.assert_allclose(units, want, rtol=1e-3)
    assert tail_index(tail) == pytest.approx(twin.index(), rel=1e-3)
    assert tail["count"] == twin.count


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential", "standard_cauchy"])
def test_nine_in_ten_residuals_lie_below_the_quantile(draw, scale):
    residuals = scale * np.abs(getattr(np.random.default_rng(0), draw)(20_000))
    tail, _ = learnt(residuals)
    late = residuals[10_000:]
    assert (late > math.exp(tail["quantile"])).mean() == pytest.approx(0.10, abs=0.02)
    assert (late > math.exp(tail["extreme"])).mean() == pytest.approx(0.01, abs=0.008)


@pytest.mark.parametrize("n", [3, 20, LEARN_FROM])
def test_the_first_residuals_stand_for_the_quantiles_by_their_mean(n):
    tail, _ = learnt(np.full(n, 0.7979))
    assert math.exp(tail["quantile"]) == pytest.approx(1.6449, rel=1e-3)
    assert math.exp(tail["extreme"]) == pytest.approx(2.5758, rel=1e-3)


def test_nothing_learnt_has_the_index_it_was_given_and_the_least_unit():
    tail, _ = learnt([], prior=0.2)
    assert tail_index(tail) == pytest.approx(0.2)
    assert tail_unit(tail, 0.5) == 0.5


def test_a_heavy_tail_has_a_larger_index_than_a_thin_one():
    cauchy = np.abs(np.random.default_rng(0).standard_cauchy(20_000))
    thin, heavy = tail_index(learnt(normal(20_000))[0]), tail_index(learnt(cauchy)[0])
    assert thin == pytest.approx(0.2, abs=0.05)
    assert heavy > 2 * thin


def test_the_unit_is_never_below_the_floor_and_widens_at_once_with_what_leaves_it():
    residuals = np.concatenate([np.zeros(1000), normal(2000)])
    _, units = learnt(residuals, floor=0.5)
    assert (units >= 0.5).all()
    late = units[2000:]
    assert 1.0 < late.mean() < 3.0


def test_one_burst_does_not_widen_the_band_for_long():
    residuals = normal(6000)
    residuals[5000:5005] = 1e9
    _, units = learnt(residuals)
    assert units[5300] < 1.2 * units[4999]


def test_severity_grows_with_the_score_from_nothing_to_one():
    assert severity(0) == 0
    assert severity(6.5) < severity(14) < severity(100) < 1
