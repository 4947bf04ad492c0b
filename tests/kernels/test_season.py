"""The season: when a period is found, what the ring remembers, and when it is left again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from streamdet.kernels.header import RESTART
from tests.forecast_series import Series, judged, noise, onsets

PERIOD = 24


def sine(n, period=PERIOD, seed=0, scale=0.1, height=1.0):
    return height * np.sin(2 * np.pi * np.arange(n) / period) + noise(n, seed, scale)


def spikes(n, period=PERIOD, seed=0):
    """One point in a period is high."""
    return 10.0 * (np.arange(n) % period == 3) + noise(n, seed, 0.3)


def bells(n, period=PERIOD, seed=0):
    """A third of a period is high."""
    phase = np.arange(n) % period / period
    return 10.0 * np.exp(-0.5 * ((phase - 0.5) / 0.12) ** 2) + noise(n, seed, 0.3)


def changes(period):
    """Return the periods that were used one after another."""
    return [int(p) for k, p in enumerate(period) if k == 0 or p != period[k - 1]]


@pytest.mark.parametrize(
    ("shape", "period"),
    [*itertools.product([sine, bells], [7, 12, 24, 48]), (spikes, 7), (spikes, 12)],
)
def test_a_short_pattern_is_found_by_itself_and_the_period_says_so(shape, period):
    found = judged(shape(3000, period)).period
    assert changes(found) == [0, period]
    assert np.argmax(found) <= 600


@pytest.mark.parametrize("draw", ["white", "walk", "with_memory"])
@pytest.mark.parametrize("ring", [64, 288, None])
def test_a_series_without_a_period_never_gets_one(draw, ring):
    for seed in range(4):
        value = noise(12_000, seed)
        if draw == "walk":
            value = np.cumsum(value)
        elif draw == "with_memory":
            value = np.convolve(value, 0.8 ** np.arange(40))[: len(value)]
        assert not judged(value, ring_length=ring).period.any()


@pytest.mark.parametrize(("ring", "period", "off"), [(64, 100, 8), (288, 1440, 0), (288, 288, 0)])
def test_the_memory_doubles_until_a_long_period_is_found(ring, period, off):
    series = Series(ring_length=ring)
    strides, found = [], []
    for part in np.array_split(sine(30 * period, period), 300):
        found.append(series.judge(part).period)
        strides.append(int(series.season["stride"]))
    assert strides[0] == 1
    assert strides == sorted(strides)
    assert set(strides) <= {1, 2, 4, 8, 16, 32, 64}
    assert ring * strides[-1] >= 3 * period
    last = found[-1]
    assert (np.abs(last - period) <= off).all()


@pytest.mark.parametrize(("ring", "forgotten"), [(16, 0), (17, 1)])
def test_a_doubling_makes_one_slot_of_two_and_forgets_no_new_one(ring, forgotten):
    series = Series(ring_length=ring)
    series.judge(np.arange(ring))
    assert series.season["stride"] == 2
    kept = series.pool.ring[series.slot][:8]
    assert kept.tolist() == [2 * k + 0.5 + forgotten for k in range(8)]


def test_the_memory_of_a_series_without_a_period_doubles_to_a_bound():
    series = Series(ring_length=16)
    series.judge(noise(16 * 64 * 3))
    assert series.season["stride"] == 64


def test_a_given_period_of_nothing_looks_for_none():
    series = Series(period=0)
    assert not series.judge(sine(3000)).period.any()
    assert series.season["stride"] == 1


def test_a_given_period_is_used_from_the_second_period_on_whatever_the_series_does():
    for value in (sine(2000), noise(2000)):
        period = judged(value, period=PERIOD).period
        assert changes(period) == [0, PERIOD]
        assert np.argmax(period) == PERIOD + 1


def test_another_given_period_begins_the_series_anew():
    series = Series(period=PERIOD)
    series.judge(sine(500))
    series.configure(period=12)
    period = series.judge(sine(500, 12)).period
    assert changes(period) == [0, 12]


def test_a_period_that_stops_being_one_is_left():
    value = np.concatenate([sine(3000), noise(3000, 3)])
    period = judged(value).period
    assert changes(period) == [0, PERIOD, 0]
    assert not period[3000 + 20 * PERIOD :].any()


def test_another_period_that_comes_instead_is_taken_up():
    value = np.concatenate([sine(3000), sine(6000, 36)])
    period = judged(value).period
    assert changes(period)[:2] == [0, PERIOD]
    assert period[-1] == 36


@pytest.mark.parametrize("options", [{"period": PERIOD}, {}])
def test_a_peak_that_fails_to_come_is_found(options):
    t = np.arange(PERIOD * 40)
    value = 10 * np.maximum(0, np.sin(2 * np.pi * t / PERIOD)) + noise(len(t), scale=0.3)
    missing = PERIOD * 35
    value[missing : missing + 12] = noise(12, 1, 0.3)
    flags = judged(value, **options).is_anomaly
    assert flags[missing : missing + 12].any()
    assert not flags[:missing].any()


@pytest.mark.parametrize("options", [{"period": PERIOD}, {}])
@pytest.mark.parametrize("missing", [1, 13, 30, 47])
def test_a_gap_keeps_the_phase(missing, options):
    t = np.arange(PERIOD * 30)
    value = 10 * np.maximum(0, np.sin(2 * np.pi * t / PERIOD)) + noise(len(t), scale=0.3)
    gap = PERIOD * 20 + 5
    kept = (t < gap) | (t >= gap + missing)
    step = np.ones(kept.sum(), np.int32)
    step[0] = RESTART
    step[gap] = missing + 1
    found = judged(value[kept], step, **options)
    assert found.period[gap] == PERIOD
    assert not found.is_anomaly.any()
    after = np.abs(found.expected_value - value[kept])[gap + 1 :]
    assert np.mean(after) < 1.0


def test_after_a_doubling_the_phase_is_kept():
    value = 10 * np.sin(2 * np.pi * np.arange(10_000) / 200) + noise(10_000, scale=0.3)
    found = judged(value, ring_length=1440)
    assert changes(found.period) == [0, 200]
    assert not found.is_anomaly.any()
    assert np.abs(found.expected_value - value)[5000:].mean() < 0.6


def test_what_differs_every_seventh_period_is_learnt_in_two_weeks():
    t = np.arange(PERIOD * 7 * 12)
    weekend = t // PERIOD % 7 >= 5
    value = (
        10 * np.exp(-0.5 * ((t % PERIOD / PERIOD - 0.5) / 0.12) ** 2) * np.where(weekend, 0.3, 1)
    )
    value += noise(len(t), scale=0.3)
    found = judged(value)
    learnt = t >= PERIOD * 7 * 5
    assert not found.is_anomaly[learnt].any()
    far = np.abs(found.expected_value - value)[learnt]
    assert far[weekend[learnt]].mean() < 2 * far[~weekend[learnt]].mean()
    strange = value.copy()
    day = t // PERIOD == 7 * 10 + 5
    strange[day] = value[PERIOD * 7 * 10 :][:PERIOD]
    assert judged(strange).is_anomaly[day].any()


def test_a_shift_of_a_seasonal_series_is_accepted_after_a_period():
    value = sine(4000, height=10.0)
    value[3000:] += 100
    found = judged(value)
    assert onsets(found)[0] == 3000
    assert found.period[-1] == PERIOD
    accepted = 3000 + 4 * PERIOD
    assert not found.is_anomaly[accepted:].any()
    assert np.abs(found.expected_value - value)[accepted:].mean() < 3


def test_what_the_search_says_does_not_depend_on_where_the_row_lies():
    alone = judged(sine(1000)).period
    series = Series()
    (series.slot,) = series.pool.take(["series"], series.pool.blank()).tolist()
    series.configure()
    np.testing.assert_array_equal(series.judge(sine(1000)).period, alone)
