"""The period of a series: found in what repeats, and in nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamdet.kernels import period_search
from streamdet.kernels.period import find_period, scratch_points
from tests.kernels import naive_period

DAY = 288


def find(values) -> tuple[int, float]:
    values = np.asarray(values)
    return find_period(values.astype(np.float32), np.zeros(scratch_points(len(values)), np.float32))


def walk_of(noise: np.ndarray, keep: float) -> np.ndarray:
    """Noise that keeps a share of itself from point to point, series by series: AR(1)."""
    out = np.empty_like(noise)
    out[:, 0] = noise[:, 0]
    for i in range(1, noise.shape[1]):
        out[:, i] = keep * out[:, i - 1] + noise[:, i]
    return out


def shifted(noise, rng):
    at = rng.integers(1, noise.shape[1] - 1, (len(noise), 1))
    return noise + (np.arange(noise.shape[1]) >= at) * 10 ** rng.uniform(-0.3, 2, (len(noise), 1))


def spiked(noise, rng):
    out = noise.copy()
    for series in out:
        series[rng.integers(0, len(series), 3)] += rng.normal(0, 30, 3)
    return out


APERIODIC = {
    "white noise": lambda noise, rng: noise,
    "heavy tails": lambda noise, rng: rng.standard_t(2, noise.shape),
    "random walk": lambda noise, rng: np.cumsum(noise, axis=1),
    "trend": lambda noise, rng: noise + np.linspace(0, 30, noise.shape[1]),
    "curve": lambda noise, rng: noise + np.linspace(0, 5, noise.shape[1]) ** 2,
    "one shift": shifted,
    "single spikes": spiked,
    "ar 0.3": lambda noise, rng: walk_of(noise, 0.3),
    "ar 0.7": lambda noise, rng: walk_of(noise, 0.7),
    "ar 0.95": lambda noise, rng: walk_of(noise, 0.95),
    "rare counts": lambda noise, rng: rng.poisson(0.3, noise.shape),
}


@pytest.mark.parametrize("kind", APERIODIC)
@pytest.mark.parametrize("n", [256, 512, 1024, 4096])
def test_what_has_no_period_is_given_none(kind, n):
    rng = np.random.default_rng([n, list(APERIODIC).index(kind)])
    series = APERIODIC[kind](rng.standard_normal((500, n)), rng)
    found = sum(find(values)[0] > 0 for values in series)
    assert found < 5, f"{found} of 500"


NOTHING = {
    "empty": [],
    "three points": [1, 2, 3],
    "constant": np.full(1000, 7.0),
    "missing": np.full(1000, np.nan),
    "line": np.arange(1024) * 0.37 + 5,
    "curve": np.arange(2000.0) ** 2,
    "step": np.arange(4096) >= 3000,
    "spike": np.arange(600) == 100,
    "infinite": np.full(500, np.inf),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_what_has_no_noise_either_is_given_none(kind):
    assert find(NOTHING[kind]) == (0, 0.0)


def peak(phase, at, width):
    return np.exp(-(((phase - at) / width) ** 2))


PATTERNS = {
    "sine": lambda phase: np.sin(2 * np.pi * phase),
    "square": lambda phase: np.where(phase < 0.4, 1.0, -1.0),
    "sawtooth": lambda phase: 2 * phase - 1,
    "double-peaked": lambda phase: 1.6 * peak(phase, 0.35, 0.08) + 1.1 * peak(phase, 0.8, 0.08),
}


def signal(kind, period, n, noise, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(n) + int(rng.integers(0, 7 * period))
    return PATTERNS[kind](time % period / period) + noise * rng.standard_normal(n)


SIZES = [(12, 64), (24, 120), (60, 1440), (DAY, 900), (DAY, 1440), (1440, 8640), (24, 8640)]


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize(("period", "n"), SIZES)
def test_a_pattern_with_little_noise_is_found(kind, period, n):
    for seed in range(10):
        found, strength = find(signal(kind, period, n, 0.05, seed))
        assert abs(found - period) <= 0.01 * period
        assert 0.6 < strength <= 1


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize(("period", "n"), [(60, 1440), (DAY, 2500), (1440, 8640)])
def test_a_pattern_is_found_in_as_much_noise(kind, period, n):
    right = sum(
        abs(find(signal(kind, period, n, 1.0, seed))[0] - period) <= max(2, 0.02 * period)
        for seed in range(20)
    )
    assert right >= (10 if kind == "double-peaked" else 18)


@pytest.mark.parametrize("kind", ["square", "sawtooth"])
@pytest.mark.parametrize("period", [7, 24, 97, DAY])
def test_a_pattern_with_edges_is_found_to_the_point(kind, period):
    for seed in range(10):
        assert find(signal(kind, period, 6 * period + 30, 0.1, seed))[0] == period


@pytest.mark.parametrize("period", [7, 24, 97, DAY])
def test_a_smooth_pattern_is_found_to_the_point_where_noise_is_small(period):
    right = sum(
        find(signal("sine", period, 8 * period + 30, 0.02, seed))[0] == period for seed in range(10)
    )
    assert right >= 9


@pytest.mark.parametrize(("period", "n"), [(12, 240), (24, 480), (60, 1440), (60, 8640)])
def test_one_busy_slot_an_hour_is_found(period, n):
    right = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        busy = 2.0 * (np.arange(n) % period == seed % period)
        right += find(busy + 0.2 * rng.standard_normal(n))[0] == period
    assert right >= 16
    assert find(busy)[0] == period


def spoil_outliers(x, rng):
    return np.where(rng.random(len(x)) < 0.05, rng.normal(0, 15, len(x)), x)


def spoil_missing(x, rng):
    return np.where(rng.random(len(x)) < 0.05, np.nan, x)


def spoil_outage(x, rng):
    at = rng.integers(0, int(0.9 * len(x)))
    out = x.copy()
    out[at : at + len(x) // 10] = -3
    return out


SPOILS = {
    "outliers": spoil_outliers,
    "missing": spoil_missing,
    "outage": spoil_outage,
    "trend": lambda x, rng: x + np.linspace(0, 4, len(x)),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("kind", ["sine", "square", "sawtooth"])
@pytest.mark.parametrize(("period", "n"), [(24, 240), (DAY, 1440)])
def test_faults_of_the_data_do_not_hide_a_pattern(spoil, kind, period, n):
    right = 0
    for seed in range(20):
        x = SPOILS[spoil](signal(kind, period, n, 0.3, seed), np.random.default_rng(seed))
        right += abs(find(x)[0] - period) <= 0.02 * period
    assert right >= 18


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_day_is_found_where_weekends_differ(kind):
    for day, weeks in ((24, 6), (DAY, 3)):
        for seed in range(5):
            time = np.arange(7 * weeks * day)
            x = signal(kind, day, len(time), 0.2, seed)
            weekend = (time + seed * day) // day % 7 >= 5
            assert find(np.where(weekend, 0.4 * x - 0.5, x))[0] == day


def test_a_day_with_something_every_half_hour_is_a_day():
    for seed in range(5):
        x = 3 * signal("sine", 1440, 8640, 0.3, seed)
        x[::30] += 2
        assert abs(find(x)[0] - 1440) <= 14


def test_random_patterns_have_the_period_that_folding_finds():
    right = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        period = int(rng.integers(5, 25))
        x = np.tile(rng.standard_normal(period), max(12, 200 // period))
        x += 0.05 * rng.standard_normal(len(x))
        right += find(x)[0] == naive_period.find_period(x)
    assert right >= 97


@given(
    arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32)),
    st.sampled_from([1e-12, 1.0, 1e12]),
)
@example(np.tile(np.float32([1e38, -1e38, 3e38, 0]), 40), 1.0)
@settings(max_examples=200)
def test_any_values_give_an_answer_within_its_bounds(values, scale):
    with np.errstate(over="ignore", invalid="ignore"):
        found, strength = find(values * np.float32(scale))
    assert found == 0 or 4 <= found <= len(values) // 3
    assert 0 <= strength <= 1


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e12])
def test_the_unit_of_the_values_does_not_matter(scale):
    for kind in PATTERNS:
        x = signal(kind, 60, 1440, 0.3, 1)
        found, strength = find(x)
        again, as_strong = find(x * scale)
        assert again == found == 60
        assert as_strong == pytest.approx(strength, abs=1e-3)


def test_the_same_values_give_the_same_answer_whatever_the_scratch_held():
    x = signal("sawtooth", 60, 1440, 1.0, 3).astype(np.float32)
    scratch = np.full(scratch_points(8640), np.nan, np.float32)
    assert find_period(x, scratch) == find_period(x, scratch) == find(x)


@given(arrays(np.float32, st.integers(8, 60), elements=st.floats(-4, 4, width=32)), st.data())
@settings(max_examples=100)
def test_the_loops_do_as_their_twins(x, data):
    far = data.draw(st.integers(1, len(x) - 2))
    acf = np.zeros(len(x), np.float32)
    period_search._autocorrelate(x, far, acf)
    np.testing.assert_allclose(acf[: far + 1], naive_period.autocorrelation(x, far), atol=1e-4)
    width = data.draw(st.integers(1, len(x)))
    left = np.zeros_like(x)
    period_search.less_mean(x, left, width)
    expected = x - naive_period.moving_mean(x, width)
    inside = np.abs(left) < np.abs(left).max()  # the largest are clipped
    np.testing.assert_allclose(left[inside], expected[inside], atol=1e-4)
