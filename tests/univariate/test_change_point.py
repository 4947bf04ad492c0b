"""Where a whole series changes, and where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.change_points import KINDS, make_series, matches, measure
from streamdet.univariate import piecewise as pieces
from streamdet.univariate.candidate_periods import candidate_periods, season
from streamdet.univariate.change_point import CELLS, CUT, _partition, change_points

WINDOW = 24
N = 400
T = np.arange(N)


def noise(seed=1, n=N):
    return np.random.default_rng(seed).normal(0, 1, n)


def wave(period, n=N):
    return 3 * np.sin(2 * np.pi * np.arange(n) / period)


LATER = T >= 200
CHANGED = {
    "level": noise() + 3 * LATER,
    "trend": noise() + 0.1 * np.maximum(T - 200, 0),
    "variance": noise() * np.where(LATER, 4, 1),
    "a season appears": noise() + wave(12) * LATER,
    "a season disappears": noise() + wave(12) * ~LATER,
    "a season grows": noise() + wave(12) * np.where(LATER, 1, 0.3),
    "a season becomes longer": noise() + np.where(LATER, wave(20), wave(12)),
}
QUIET = {
    "noise": noise(),
    "trend": noise() + 0.1 * T,
    "season": noise() + wave(24),
    "outliers": noise() + 12 * (T % 97 == 50),
    "Student's t": np.random.default_rng(2).standard_t(3, N),
    "Laplace": np.random.default_rng(2).laplace(0, 1, N),
}


def places(values, period=0, window=WINDOW, threshold=0.9):
    return np.flatnonzero(change_points(values, period, window, threshold)[0])


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("told", [0, 12])
def test_each_kind_of_change_is_found_near_its_place_and_no_other(name, told):
    found = places(CHANGED[name], told)
    assert len(found) == 1
    assert abs(found[0] - 200) <= 12


@pytest.mark.parametrize("name", QUIET)
def test_where_nothing_changes_no_change_is_told(name):
    assert list(places(QUIET[name])) == []


def test_autocorrelated_noise_wanders_without_a_change():
    for seed in range(4):
        x = noise(seed)
        for t in range(1, N):
            x[t] += 0.6 * x[t - 1]
        assert list(places(x)) == []


def test_several_changes_are_found_and_are_a_window_apart():
    x = noise() + 5 * (T >= 80) - 9 * (T >= 180) + 6 * (T >= 310)
    assert matches(np.array([80, 180, 310]), places(x), 3) == 3
    for window in (3, 40, 120, 190):
        edges = np.concatenate([[0], places(x, window=window), [N]])
        assert np.diff(edges).min() >= window


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0.0), (1.0, 1e4), (1e90, 0.0), (-1.0, 3.0)])
def test_unit_and_zero_do_not_matter(name, factor, offset):
    x = CHANGED[name]
    assert list(places(x * factor + offset)) == list(places(x))


@pytest.mark.parametrize("name", CHANGED)
def test_read_backwards_a_series_has_the_same_changes(name):
    x = CHANGED[name]
    assert matches(np.sort(N - places(x)), places(x[::-1].copy()), 12) == 1


def test_a_lower_threshold_keeps_fewer_changes_of_the_same():
    x = noise() + 2 * (T >= 80) - 9 * (T >= 180) + 3 * (T >= 310)
    confidence = change_points(x, 0, WINDOW, 0.9)[1]
    last = set(T)
    for threshold in (0.99, 0.9, 0.5, 0.3, 0.1, 0.01):
        flags, same = change_points(x, 0, WINDOW, threshold)
        assert np.array_equal(confidence, same)
        assert np.array_equal(flags, (confidence > 0) & (confidence >= 1 - threshold))
        now = set(np.flatnonzero(flags))
        assert now <= last
        last = now
    assert len(places(x)) == 3
    assert not last


def test_the_larger_change_has_the_higher_confidence():
    small, large = (change_points(noise() + size * LATER, 0, WINDOW, 0.9)[1] for size in (2, 6))
    assert 0 < small.max() < large.max() < 1


def test_the_same_series_gives_the_same_bits():
    x = CHANGED["a season grows"]
    first, second = (change_points(x, 12, WINDOW, 0.9) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


def test_a_step_without_noise_is_found_exactly():
    assert list(places(np.repeat([1.0, 2.0], 20), window=5)) == [20]


@pytest.mark.parametrize(
    "values",
    [np.zeros(12), np.full(50, 0.1), np.full(12, 1e100), np.linspace(0, 7, 100), 1e9 + 0.1 * T],
)
def test_a_constant_and_a_line_have_no_change(values):
    assert list(places(values, window=3)) == []


@settings(max_examples=60)
@given(
    arrays(np.float64, st.integers(12, 60), elements=st.floats(-1e100, 1e100)),
    st.integers(0, 40),
    st.integers(3, 5),
    st.floats(0.01, 0.99),
)
def test_whatever_is_finite_is_judged(values, period, window, threshold):
    flags, confidence = change_points(values, period, window, threshold)
    assert flags.shape == confidence.shape == values.shape
    assert np.all((confidence >= 0) & (confidence < 1))
    assert np.diff(np.concatenate([[0], np.flatnonzero(confidence), [len(values)]])).min() >= window


def test_what_a_stretch_costs_is_what_a_regression_of_its_own_says():
    model = pieces.piecewise(CHANGED["a season appears"] - 1, [12.0, 7.5], 0.3)
    first, end = np.array([0, 10, 150, 390]), np.array([400, 61, 300, 400])
    fit = model.fit(first, end)
    for k, (a, b) in enumerate(zip(first, end, strict=True)):
        costs = [
            slow_cost(model, a, b, group, p, less)
            for group, columns in enumerate(model.groups)
            for p in range(1 if group == 0 else 3, columns.shape[1] + 1)
            for less in range(model.y.shape[1])
            if b - a >= model.shortest[group]
            and (group == 0 or p % 2 == 1 or p == columns.shape[1])
        ]
        assert fit.cost[k] == pytest.approx(min(costs), rel=1e-6)


def slow_cost(model, a, b, group, p, less):
    columns, y = model.groups[group][a:b, :p], model.y[a:b, less]
    left = np.sum((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2)
    m = b - a
    variance = (left + pieces.PRIOR * model.noise) / (m - p + pieces.PRIOR)
    return m * np.log(variance) + p * np.log(model.n)


def test_the_partition_is_the_cheapest_of_all():
    x = noise(3, 24) + 4 * (np.arange(24) >= 9)
    model = pieces.piecewise(x, [], 0.0)
    assert model.n <= CELLS  # each point may be an edge

    def cheapest(end):
        """Return cost and edges of the best way to cut the first `end` points."""
        best = (np.inf, [])
        for start in (0, *range(5, end - 4)):
            if start and start < 5:
                continue
            cost, edges = (0.0, [0]) if start == 0 else cheapest(start)
            cost += model.fit(np.array([start]), np.array([end])).cost[0] + model.price(CUT)
            best = min(best, (cost, [*edges, end]))
        return best

    assert list(_partition(model, 5)) == cheapest(24)[1]


def test_periods_are_found_where_only_a_part_has_them():
    x = noise() + wave(12) * LATER
    assert candidate_periods(x, 0)[0] == pytest.approx(12, rel=0.02)
    assert candidate_periods(noise(), 7)[0] == 7
    assert np.allclose(season(wave(12), 12.0), wave(12), atol=0.05)


def test_made_series_have_changes_of_their_kind_and_quiet_ones_none():
    rng = np.random.default_rng(5)
    for kind in (*KINDS, "quiet"):
        made = [make_series(rng, kind) for _ in range(10)]
        assert all((len(each.changes) > 0) == (kind != "quiet") for each in made)
        for each in made:
            edges = np.concatenate([[0], each.changes, [len(each.values)]])
            assert np.diff(edges).min() >= max(6, each.window)


def test_a_change_is_found_once_and_only_within_the_window():
    assert matches(np.array([10, 20]), np.array([12, 13, 40]), 5) == 1
    assert matches(np.array([10, 20]), np.array([15, 16]), 5) == 2


def test_the_measurement_counts_changes_found_over_all_kinds():
    counts = measure(seed=3, n_series=24)["all"]
    assert counts.series == 24
    assert counts.f1() > 0.6
