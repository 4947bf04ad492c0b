"""The kernel of the detector `forecast` against its twin, and what a user expects of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.kernels.align import NEVER, RESTART
from streamdet.kernels.forecast import ROW, detect
from tests import naive


class Bench:
    """Rows, rings and calls of the kernel for a few series."""

    def __init__(self, n_series=1, ring=64, period=0, sensitivity=75, warmup=12):
        self.rows = np.zeros(n_series, ROW)
        self.rows["time_us"] = NEVER
        self.rows["period"] = period
        self.rows["sensitivity"] = sensitivity
        self.rows["warmup"] = warmup
        self.ring = np.full((n_series, ring), np.nan, np.float32)

    def detect(self, value, slot=None, step=None, outcome=None):
        n = len(value)
        slot = np.zeros(n, np.int64) if slot is None else np.asarray(slot, np.int64)
        if step is None:
            step = np.ones(n, np.int32)
            for s in np.unique(slot):
                if self.rows["count"][s] == 0:
                    step[np.flatnonzero(slot == s)[0]] = RESTART
        outcome = np.zeros(n, np.uint8) if outcome is None else outcome
        out = [np.empty(n) for _ in range(4)] + [np.empty(n, np.bool_)]
        detect(self.rows, self.ring, slot, step, np.asarray(value, float), outcome, *out)
        return out


def noise(n, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=n)


@pytest.mark.parametrize("period", [0, 3, 24])
def test_the_kernel_agrees_with_its_twin(period):
    n = 2000
    value = noise(n) + 10 * np.sin(np.arange(n) * 2 * np.pi / 24)
    value[700:740] += 50
    value[1500] -= 80
    step = np.ones(n, np.int32)
    step[0] = RESTART
    step[1200] = 25
    got = Bench(ring=128, period=period).detect(value, step=step)
    twin = naive.Forecast(period=period)
    want = [twin.judge(x, missing=max(0, int(s) - 1)) for x, s in zip(value, step, strict=True)]
    for k in range(4):
        np.testing.assert_allclose(got[k], [w[k] for w in want], rtol=1e-4, atol=1e-5)
    assert got[4].tolist() == [w[4] for w in want]
    assert got[4].sum() > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e30, 1e30) | st.floats(-1e3, 1e3), min_size=1, max_size=200),
    st.integers(0, 99),
    st.sampled_from([0, 1, 2, 5]),
)
def test_an_anomaly_is_exactly_a_value_outside_the_band(values, sensitivity, period):
    bench = Bench(period=period, sensitivity=sensitivity)
    expected, upper, lower, score, anomaly = bench.detect(values)
    value = np.asarray(values)
    known = np.arange(len(value)) >= 12 + period
    assert np.isnan(expected[~known]).all()
    assert not anomaly[~known].any()
    assert np.isfinite(expected[known]).all()
    for margin in (upper[known], lower[known]):
        assert (margin >= 0).all()
        assert np.isfinite(margin).all()
    assert (score[known] >= 0).all()
    outside = (value > expected + upper) | (value < expected - lower)
    assert (outside[known] == anomaly[known]).all()


def test_a_higher_sensitivity_never_flags_less():
    value = np.concatenate([noise(500), noise(300, 1, 3.0), noise(200, 2) + 8])
    flags = [Bench(sensitivity=s).detect(value)[4] for s in (0, 25, 50, 75, 99)]
    for less, more in itertools.pairwise(flags):
        assert (less <= more).all()
    assert flags[0].sum() < flags[-1].sum()


def test_series_do_not_influence_each_other_and_batches_do_not_matter():
    values = noise(900).reshape(3, 300)
    alone = [Bench().detect(v) for v in values]
    slot = np.tile([0, 1, 2], 300)
    mixed = values.T.reshape(-1)
    bench = Bench(3)
    pieces = [
        bench.detect(
            mixed[a:b], slot[a:b], step=np.where(np.arange(a, b) < 3, 0, 1).astype(np.int32)
        )
        for a, b in [(0, 7), (7, 8), (8, 500), (500, 900)]
    ]
    together = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    for s in range(3):
        for k in range(5):
            np.testing.assert_array_equal(together[k][slot == s], alone[s][k])


def test_points_that_are_late_or_doubled_leave_no_trace():
    value = noise(300)
    clean = Bench().detect(value)
    doubled = np.repeat(value, 2)
    doubled[1::2] = 1e9
    outcome = np.tile(np.array([0, 2], np.uint8), 300)
    step = np.ones(600, np.int32)
    step[0] = RESTART
    got = Bench().detect(doubled, step=step, outcome=outcome)
    assert np.isnan(got[0][1::2]).all()
    assert not got[4][1::2].any()
    for k in range(5):
        np.testing.assert_array_equal(got[k][::2], clean[k])


def test_a_constant_series_flags_its_first_other_value_and_nothing_else():
    value = np.full(500, 7.25)
    assert not Bench().detect(value)[4].any()
    value[400] = 7.26
    assert np.flatnonzero(Bench().detect(value)[4]).tolist() == [400]


def test_white_noise_is_quiet_at_the_default_sensitivity():
    assert Bench().detect(noise(20_000))[4].mean() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_that_lasts_is_accepted_in_bounded_time(seed):
    value = noise(2000, seed)
    value[1000:] += 100
    flags = Bench().detect(value)[4]
    assert flags[1000]
    assert not flags[1000 + 40 :].any()


def test_a_peak_that_fails_to_come_is_found_when_the_period_is_given():
    t = np.arange(24 * 20)
    value = 10 * np.maximum(0, np.sin(2 * np.pi * t / 24)) + noise(len(t), scale=0.3)
    value[24 * 15 : 24 * 15 + 12] = noise(12, 1, 0.3)
    flags = Bench(ring=128, period=24).detect(value)[4]
    assert flags[24 * 15 : 24 * 15 + 12].any()
    assert not flags[24 * 5 : 24 * 15].any()


@pytest.mark.parametrize("period", [0, 1, 3, 7, 12, 20, 24, 48])
@pytest.mark.parametrize("seed", range(3))
def test_the_expected_value_never_runs_away_from_what_was_seen(period, seed):
    rng = np.random.default_rng(seed)
    t = np.arange(3000)
    for value in (
        rng.standard_cauchy(len(t)),
        np.cumsum(rng.normal(size=len(t))),
        np.repeat(rng.normal(size=60) * 200, 50) + np.sin(t),
        (rng.random(len(t)) < 0.5) * np.repeat(rng.integers(0, 2, 10) * 1000.0, 300),
    ):
        expected = Bench(ring=max(64, 3 * period), period=period).detect(value)[0]
        assert np.nanmax(np.abs(expected)) <= 5 * np.abs(value).max()


def test_a_gap_keeps_the_phase():
    t = np.arange(24 * 12)
    value = 10 * np.sin(2 * np.pi * t / 24) + noise(len(t), scale=0.3)
    keep = (t < 24 * 9 + 5) | (t >= 24 * 9 + 18)
    step = np.ones(keep.sum(), np.int32)
    step[0] = RESTART
    step[24 * 9 + 5] = 14
    flags = Bench(ring=128, period=24).detect(value[keep], step=step)[4]
    assert not flags[24 * 4 :].any()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_the_unit_of_a_series_does_not_matter(scale):
    value = noise(800)
    value[600] = 30
    flags = Bench().detect(value * scale)[4]
    assert flags.tolist() == Bench().detect(value)[4].tolist()
    assert flags[600]


def test_a_series_that_begins_anew_forgets_its_state():
    value = noise(200)
    fresh = Bench().detect(value)
    bench = Bench()
    bench.detect(noise(500, 3) * 50 + 1000)
    step = np.ones(200, np.int32)
    step[0] = RESTART
    for got, want in zip(bench.detect(value, step=step), fresh, strict=True):
        np.testing.assert_array_equal(got, want)
