"""The kernel of the detector `spectral_residual` against its twin, and what a user expects."""

from __future__ import annotations

import numpy as np
import pytest

from streamdet.config import DetectionConfig
from streamdet.detectors import DETECTORS
from streamdet.kernels.header import RESTART
from streamdet.kernels.spectral_residual import LENGTH, POINTS, ROW, saliency


def twin(window):
    """Slow and obvious: expected value, half width of the band and score of the newest value."""
    mean, sigma, x = np.mean(window), np.std(window), window[-1]
    floor = 1e-9 * max(abs(x), abs(mean)) + 1e-300
    y = (window - mean) / max(sigma, floor)
    before = y[:-1]
    slopes = [(before[-1] - before[-1 - i]) / i for i in range(1, 6)]
    salient = salient_twin(np.append(y, [before[-5] + 5 * np.mean(slopes)] * 5))
    scores = np.full(POINTS, np.inf)
    for k in range(20, POINTS):
        usual = salient[k - 20 : k + 1].mean()
        scores[k] = max((salient[k] - usual) / usual, 0) if usual > 0 else 0.0
    newer = np.arange(POINTS // 2, POINTS - 1)
    normal = newer[scores[newer] <= 1]
    expected = mean + np.mean((window - mean)[normal if len(normal) else newer])
    half_width = max(1.5 * sigma, floor)
    return expected, half_width, scores[-1] if abs(x - expected) > half_width else 0.0


def salient_twin(extended):
    """The saliency map of a whole window."""
    spectrum = np.fft.fft(extended)
    log_amplitude = 0.5 * np.log(np.abs(spectrum) ** 2 + 1e-12)
    residual = np.zeros(LENGTH, complex)
    for k in range(1, LENGTH):
        usual = log_amplitude[max(1, k - 2) : k + 1].mean()
        residual[k] = np.exp(-usual) * spectrum[k]
    return np.abs(np.fft.ifft(residual))


def judge(value, step=None, **options):
    detector = DETECTORS["spectral_residual"]
    rows = np.zeros(1, ROW)
    chosen = DetectionConfig(detector="spectral_residual", **options)
    detector.configure(rows, 0, chosen)
    ring = np.full((1, detector.ring_points(chosen)), np.nan, np.float32)
    n = len(value)
    if step is None:
        step = np.ones(n, np.int32)
    step[0] = RESTART
    slot = np.zeros(n, np.int64)
    return detector.run(
        rows, ring, slot, step, np.asarray(value, np.float64), np.zeros(n, np.uint8)
    )


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_the_transforms_are_those_of_numpy():
    window = noise(POINTS)
    window = (window - window.mean()) / window.std()
    before = window[:-1]
    ahead = before[-5] + 5 * np.mean([(before[-1] - before[-1 - i]) / i for i in range(1, 6)])
    extended = np.append(window, [ahead] * 5)
    got = np.append(window, np.empty(5))
    saliency(got, *np.empty((5, LENGTH)))
    np.testing.assert_allclose(got / LENGTH, salient_twin(extended), rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e12, 1e-12])
def test_the_kernel_agrees_with_its_twin(scale):
    t = np.arange(1500)
    value = noise(1500) + 5 * np.sin(2 * np.pi * t / 30)
    value[500] += 40
    value[700:720] -= 25
    value[1000:] += t[:500] * 0.1
    value *= scale
    got = judge(value, sensitivity=60)
    for i in range(POINTS - 1, len(value)):
        expected, half_width, score = twin(value[i - POINTS + 1 : i + 1])
        assert got.expected_value[i] == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)
        assert got.score[i] == pytest.approx(score, rel=1e-6, abs=1e-9)
        assert got.is_anomaly[i] == (score > 11 - 6)
        if got.is_anomaly[i]:
            assert got.upper_margin[i] == pytest.approx(half_width)
            assert got.lower_margin[i] == pytest.approx(half_width)
    assert got.is_anomaly.sum() > 0


def test_a_spike_is_flagged_with_a_band_short_of_it_and_its_end_is_not():
    value = noise(300)
    value[200] += 15
    found = judge(value)
    assert np.flatnonzero(found.is_anomaly[150:250]).tolist() == [50]
    assert found.expected_value[200] < found.expected_value[200] + found.upper_margin[200] < 10
    assert found.severity[200] > 0.3


def test_a_normal_point_far_out_is_taken_into_the_band():
    value = noise(2000)
    found = judge(value, sensitivity=0)
    away = np.abs(value - found.expected_value)
    far = np.flatnonzero((found.score > 0) & ~found.is_anomaly)
    assert len(far) > 10
    margin = np.maximum(found.upper_margin, found.lower_margin)[far]
    np.testing.assert_allclose(margin, 1.01 * away[far])


def test_a_constant_series_flags_its_first_other_value_and_nothing_before():
    value = np.full(300, 7.25)
    assert not judge(value).is_anomaly.any()
    value[200] = 7.26
    assert np.flatnonzero(judge(value).is_anomaly).tolist() == [200]


def test_a_first_value_that_is_an_outlier_leaves_the_noise_of_the_others():
    value = noise(400)
    value[0] = 1e12
    value[300] += 15
    assert np.flatnonzero(judge(value).is_anomaly).tolist() == [300]


def test_a_gap_is_filled_with_the_value_before_and_a_long_one_begins_anew():
    value = noise(200)
    step = np.ones(200, np.int32)
    step[100], step[150] = 4, LENGTH + 1
    found = judge(value, step=step)
    filled = np.concatenate([value[:100], [value[99]] * 3, value[100:150]])
    np.testing.assert_array_equal(found.score[100:150], judge(filled).score[103:])
    assert np.isnan(found.expected_value[150:]).all()


def test_a_longer_warm_up_is_kept_to():
    found = judge(noise(200), warmup=100)
    assert np.isnan(found.expected_value[:100]).all()
    assert not np.isnan(found.expected_value[100:]).any()
