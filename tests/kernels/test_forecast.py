"""The detector `forecast` against its twin, and what a user expects of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.kernels.header import FILL, JUDGE, LEARN, RESTART
from streamdet.types import IncidentState
from tests.forecast_series import Series, judged, noise, onsets, recoveries
from tests.naive_forecast import Forecast

PERIOD = 24


def gaps(n, **steps):
    """Return the steps of n points; `at_1200=25`: point 1200 comes 25 grid steps on."""
    step = np.ones(n, np.int32)
    step[0] = RESTART
    for at, wide in steps.items():
        step[int(at.removeprefix("at_"))] = wide
    return step


def bell(n, period=PERIOD, seed=0, weekend=0.4, scale=0.3):
    """A bell of height 10 each period, lower in two periods of seven, and noise."""
    t = np.arange(n)
    height = np.where(t // period % 7 >= 5, weekend, 1.0)
    pattern = 10 * np.exp(-0.5 * ((t % period / period - 0.5) / 0.12) ** 2)
    return pattern * height + noise(n, seed, scale)


def assert_agrees_with_twin(value, step, sensitivity=75, use=None, **options):
    series = Series(sensitivity=sensitivity, **options)
    series.row["anomaly_share_max"] = 0  # an option of every detector, with a twin of its own
    use = np.full(len(value), JUDGE, np.uint8) if use is None else np.array(use, np.uint8)
    got = series.judge(value, step, use)
    twin = Forecast(series.pool.ring.shape[1], options.get("period"), sensitivity)
    want = [twin.judge(float(x), int(s), int(u)) for x, s, u in zip(value, step, use, strict=True)]
    unit = 1e-6 * np.ptp(value)
    for column, ours, absolute in (
        (got.expected_value, "expected", unit),
        (got.upper_margin, "upper", unit),
        (got.lower_margin, "lower", unit),
        (got.score, "score", 1e-6),
        (got.alert, "alert", 1e-6),
    ):
        of_twin = [getattr(each, ours) for each in want]
        np.testing.assert_allclose(column, of_twin, rtol=1e-3, atol=absolute, err_msg=ours)
    assert got.is_anomaly.tolist() == [each.is_anomaly for each in want]
    assert [IncidentState(s).name.lower() for s in got.state] == [each.state for each in want]
    assert got.period.tolist() == [each.period for each in want]
    return got, series.season


def test_the_kernel_agrees_with_its_twin_where_there_is_no_season():
    value = noise(2000) + 10 * np.sin(np.arange(2000) * 2 * np.pi / PERIOD)
    value[700:740] += 50
    value[1500] -= 80
    got, _ = assert_agrees_with_twin(value, gaps(2000, at_1200=25, at_1700=90), period=0)
    assert got.is_anomaly.any()


def test_the_kernel_agrees_with_its_twin_where_the_period_is_given():
    value = bell(3000)
    value[1000:1010] += 6
    value[1800] -= 20
    value[2000:2300] += 9
    step = gaps(3000, at_1200=25, at_2500=14, at_2700=90)
    got, _ = assert_agrees_with_twin(value, step, period=PERIOD)
    assert got.is_anomaly.any()


@pytest.mark.parametrize(
    ("ring", "period", "n", "stride"), [(64, 24, 6000, 2), (288, 96, 12000, 4), (101, 24, 6000, 2)]
)
def test_the_kernel_agrees_with_its_twin_where_the_period_is_found(ring, period, n, stride):
    value = bell(n, period, seed=1)
    value[3 * n // 4 :][:10] += 6
    step = gaps(n, at_4000=20, at_5000=31)
    got, season = assert_agrees_with_twin(value, step, ring_length=ring)
    assert season["stride"] == stride
    assert got.period[-1] == period


def test_the_kernel_agrees_with_its_twin_where_the_week_counts_and_another_season_follows():
    value = np.concatenate([bell(4000, seed=2), bell(4000, 36, seed=3), noise(3000)])
    got, season = assert_agrees_with_twin(value, gaps(11000), ring_length=288)
    assert {PERIOD, 36} < set(got.period.tolist())
    assert season["use"] == 0


def office(n, period=PERIOD, moved=(), seed=0):
    """High from 8 to 18 o'clock, and noise; from each point in `moved` on an hour sooner."""
    t = np.arange(n)
    hours = sum((np.sign(at) * (t >= abs(at)) for at in moved), np.zeros(n))
    hour = (t * 24 / period + hours) % 24
    return 10.0 * ((hour >= 8) & (hour < 18)) + noise(n, seed, 0.3)


@pytest.mark.parametrize(
    ("period", "given"), [(PERIOD, False), (PERIOD, True), (96, False), (23, True), (25, True)]
)
def test_the_kernel_agrees_with_its_twin_where_the_season_moves_by_an_hour(period, given):
    moved = (40 * period, -60 * period, -75 * period, 75 * period + 40)
    value = office(90 * period, period, moved)
    value[62 * period :][:3] += 20
    options = {"period": period} if given else {}
    step = gaps(len(value), **{f"at_{76 * period}": 2, f"at_{77 * period}": period // 2})
    got, _ = assert_agrees_with_twin(value, step, ring_length=360, **options)
    assert got.is_anomaly.any()


SPACE = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, -2.5, 1e6, 1e-9])


def mixed(n, seed=0):
    """Return steps and uses of n points: gaps, clocks that go back, imputed and late values."""
    rng = np.random.default_rng(seed)
    step, use = gaps(n), np.full(n, JUDGE)
    at = rng.choice(np.arange(1, n), n // 20, replace=False)
    step[at] = rng.choice([2, 5, 13, 0, -1, -11, -29], len(at))
    use[rng.random(n) < 0.1] = LEARN
    late = rng.random(n) < 0.05
    late[0] = False
    use[late], step[late] = FILL, rng.integers(1, 40, late.sum())
    return step, use


@pytest.mark.parametrize(
    ("ring", "period", "n"), [(64, None, 4000), (64, 24, 4000), (101, None, 4000), (288, 24, 2000)]
)
def test_the_kernel_agrees_with_its_twin_where_clocks_go_back_and_values_are_imputed_or_late(
    ring, period, n
):
    step, use = mixed(n, seed=ring)
    step[n // 2] = -10_000  # further than there is
    value = bell(n, PERIOD, seed=1)
    value[3 * n // 4 :][:10] += 6
    assert_agrees_with_twin(value, step, use=use, period=period, ring_length=ring)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            SPACE,
            st.sampled_from([1] * 20 + [2, 7, 30, 65, 0, -1, -7, -200]),
            st.sampled_from([JUDGE] * 6 + [LEARN, FILL]),
        ),
        min_size=1,
        max_size=99,
    ),
    st.sampled_from([None, 0, 1, 2, 5, 12]),
    st.sampled_from([16, 37, 64]),
    st.integers(0, 99),
    st.integers(0, 99),
)
def test_the_kernel_agrees_with_its_twin_on_whatever_comes(points, period, ring, sensitivity, seed):
    drawn, step, use = zip(*points, strict=True)
    value = np.concatenate([bell(150, 5, seed), drawn])
    step, use = [RESTART] + [1] * 149 + list(step), [JUDGE] * 150 + list(use)
    assert_agrees_with_twin(value, step, sensitivity, use, period=period, ring_length=ring)


@settings(max_examples=40)
@given(
    st.sampled_from([(24, 72), (24, 400), (49, 147), (96, 288)]),
    st.booleans(),
    st.integers(-99, 99),
    st.lists(st.tuples(st.integers(1, 120), SPACE | st.floats(-2, 12)), max_size=6),
    st.integers(0, 99),
)
def test_the_kernel_agrees_with_its_twin_whenever_a_season_moves(sizes, week, moved, strange, seed):
    period, ring = sizes
    history = (20 if week else 12) * period
    weekdays = np.arange(history + 5 * period) // period % 7 < 5
    at = 1 if moved < 0 else -1
    value = office(len(weekdays), period, [at * (history + abs(moved))], seed)
    value[~weekdays] *= 0.4 if week else 1
    for back, other in strange:
        value[-back] = other
    assert_agrees_with_twin(value, gaps(len(value)), period=period, ring_length=ring)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e30, 1e30) | SPACE, min_size=1, max_size=200),
    st.integers(0, 99),
    st.sampled_from([None, 0, 1, 2, 5]),
)
def test_an_anomaly_is_exactly_a_value_outside_the_band(values, sensitivity, period):
    value = np.concatenate([bell(60, 5), values])
    found = judged(value, sensitivity=sensitivity, period=period, ring_length=64)
    known = np.arange(len(value)) >= 12
    assert np.isnan(found.expected_value[~known]).all()
    for column in (found.expected_value, found.upper_margin, found.lower_margin, found.score):
        assert np.isfinite(column[known]).all()
    for column in (found.upper_margin, found.lower_margin, found.score, found.alert):
        assert (column[known] >= 0).all()
    above = value > found.expected_value + found.upper_margin
    below = value < found.expected_value - found.lower_margin
    assert ((above | below) == found.is_anomaly).all()


@pytest.mark.parametrize("period", [0, None])
def test_a_higher_sensitivity_never_flags_less_from_the_same_state(period):
    history = bell(1200)
    series = Series(period=period)
    series.judge(history)
    before = series.row.copy(), series.pool.ring.copy()
    for value in np.linspace(-15, 25, 41):
        flags = []
        for sensitivity in (0, 25, 50, 75, 90, 99):
            series.pool.rows[series.slot], series.pool.ring[:] = before
            series.row["sensitivity"] = sensitivity
            flags.append(bool(series.judge([value]).is_anomaly[0]))
        assert flags == sorted(flags)


def test_a_constant_series_flags_its_first_other_value_and_nothing_else():
    value = np.full(500, 7.25)
    assert not judged(value).is_anomaly.any()
    value[400] = 7.26
    assert np.flatnonzero(judged(value).is_anomaly).tolist() == [400]


@pytest.mark.parametrize("dip", [0.01, 1.0, 7.25, 1e6])
def test_after_the_first_dip_of_a_constant_series_the_band_is_of_its_size(dip):
    value = np.full(2000, 7.25)
    value[400] -= dip
    found = judged(value)
    assert onsets(found) == [400]
    assert recoveries(found) == [405]
    for margin in (found.upper_margin[402:], found.lower_margin[402:]):
        assert (margin < 3 * dip).all()


def test_a_series_of_two_values_is_quiet_until_a_third_comes():
    value = np.random.default_rng(1).integers(0, 2, 3000).astype(float)
    assert not judged(value).is_anomaly.any()
    value[2000] = 20
    assert np.flatnonzero(judged(value).is_anomaly).tolist() == [2000]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3])
def test_counts_with_many_zeros_are_quiet_until_a_burst(rate):
    value = np.random.default_rng(1).poisson(rate, 5000).astype(float)
    assert judged(value).is_anomaly.mean() < 1e-3
    value[4000] = 30
    assert judged(value).is_anomaly[4000]


def test_a_series_of_low_resolution_is_quiet_until_a_spike():
    value = np.round(noise(5000, 1, 0.7))
    assert not judged(value).is_anomaly.any()
    value[3000] = 9
    assert np.flatnonzero(judged(value).is_anomaly).tolist() == [3000]


@pytest.mark.parametrize("first", [1e6, -1e12])
def test_a_first_value_that_is_an_outlier_is_forgotten(first):
    value = noise(1000)
    value[0] = first
    value[600] = 12
    found = judged(value)
    assert np.flatnonzero(found.is_anomaly).tolist() == [600]
    assert found.upper_margin[-1] < 20


@pytest.mark.parametrize("period", [0, PERIOD])
@pytest.mark.parametrize(("times", "plus"), [(1e-12, 0), (1e12, 0), (1, 1e6), (-1, 0)])
def test_unit_and_offset_of_a_series_do_not_matter(times, plus, period):
    value = bell(2000)
    value[1100:1105] += 8
    value[1600] -= 12
    plain = judged(value, period=period)
    other = judged(value * times + plus, period=period)
    assert plain.is_anomaly.any()
    np.testing.assert_array_equal(other.is_anomaly, plain.is_anomaly)
    np.testing.assert_array_equal(other.state, plain.state)


def test_white_noise_is_quiet_at_the_default_sensitivity():
    for seed in range(3):
        assert judged(noise(20_000, seed)).is_anomaly.mean() < 1e-3


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("height", [40, -1000])
def test_a_spike_is_one_event_and_its_end_is_none(points, height):
    value = noise(2000)
    value[1000 : 1000 + points] += height
    found = judged(value)
    assert onsets(found) == [1000]
    assert recoveries(found)[0] <= 1000 + points + 10
    assert not found.is_anomaly[1000 + points :].any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("low", [-30, -1e4])
def test_an_outage_of_three_hours_is_one_onset_and_one_recovery(seed, low):
    value = noise(2500, seed)
    value[1000:1180] = low
    found = judged(value)
    assert onsets(found) == [1000]
    assert len(recoveries(found)) == 1
    assert 1184 <= recoveries(found)[0] < 1220


@pytest.mark.parametrize("period", [0, 48])
@pytest.mark.parametrize("height", [10, -40, 1e6])
def test_a_shift_that_lasts_is_accepted_after_240_points_or_a_period(period, height):
    for seed in range(3):
        value = noise(2500, seed) + (bell(2500, 48, scale=0) if period else 0)
        value[1000:] += height
        found = judged(value, period=period)
        accepted = 1000 + (period or 240) + 10
        assert found.is_anomaly[1000]
        assert not found.is_anomaly[accepted:].any()
        assert max(recoveries(found)) <= accepted
        assert np.abs(found.expected_value[accepted:] - height).max() < 20


@pytest.mark.parametrize("period", [None, 0, 1, 3, 7, 12, 24, 48])
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
        expected = judged(value, period=period).expected_value
        assert np.nanmax(np.abs(expected)) <= 5 * np.abs(value).max()


def test_batches_do_not_matter():
    value = bell(900)
    whole = judged(value)
    series = Series()
    parts = [series.judge(value[a:b]) for a, b in itertools.pairwise([0, 1, 8, 500, 900])]
    for column in ("expected_value", "upper_margin", "score", "is_anomaly", "alert", "period"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(part, column) for part in parts]), getattr(whole, column)
        )


def test_a_gap_longer_than_the_ring_begins_the_series_anew():
    value = np.concatenate([noise(500, 3) * 50 + 1000, noise(200)])
    fresh = judged(value[500:], period=0)
    for wide in (65, 1 << 30):
        after = judged(value, gaps(700, at_500=wide), period=0)
        np.testing.assert_array_equal(after.expected_value[500:], fresh.expected_value)
        np.testing.assert_array_equal(after.score[500:], fresh.score)
    shorter = judged(value, gaps(700, at_500=64), period=0)
    assert shorter.is_anomaly[500]
