"""Spectral residual, the method of Azure's service, one point after another.

The newest values of a series are taken to the frequency domain. What is usual there, the mean of
neighbouring log amplitudes, is taken out, and what is left comes back as the saliency map: high
where the series is not as it usually is.

    window    the newest 59 values, then 5 times a predicted next one
    A, phase  of its Fourier transform
    R         ln A - mean(ln A of this and the two frequencies below)
    S         |inverse transform of exp(R + i phase)|
    score     (S - mean of the newest 21 S) / that mean, at the newest value; 0 to 20

On normal white noise a score above s has been measured at no more than exp(-1.8 s): 0.1 % at
3.5 (0.6 % on Laplace noise). On real series it is a ratio: what it means differs between them.

The method has no band of its own. Around the expected value, the mean of what was normal in the
newer half of the window, a band of 1.5 standard deviations of the window is drawn, and a value
inside it has the score 0; it is widened to include a value beyond whose score is too low.

Source: Ren et al., "Time-Series Anomaly Detection Service at Microsoft", KDD 2019, with its values
(21 and 3 points, 5 values with slopes over 5); window, filter of 1.5 standard deviations, expected
value and widened band as in the service's code for the newest point (`last` mode) and ML.NET's.
Deviations, with the F1 on labelled series of minutes (the second half of each, 7 minutes of delay
allowed, one threshold for all) before and after each, in this order:

- The predicted value follows from the values before the newest, as in the service (.35, .69). With
  the newest among them, as the paper has it, an anomaly predicts its own continuation.
- The mean of the window is taken out, and its frequency, 0, takes no part in any mean (.71). So a
  constant added to a series changes nothing.
- The filter is the service's (.75), but about the expected value, so that it is the band's too.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.conditions import CONDITIONS, begin_conditions, fits
from streamdet.kernels.header import HEADER, JUDGE, LEARN, RESTART, whole_lines
from streamdet.kernels.incident import INCIDENT, begin_incidents, conclude
from streamdet.kernels.jit import allocating, inlined, kernel

ROW = whole_lines(
    [
        *HEADER,
        ("count", "<u4"),  # points learnt
        ("position", "<u2"),  # where in the ring the next point goes
        ("warmup", "<u2"),  # points before the first verdict
        ("sensitivity", "<u1"),
        *CONDITIONS,
        *INCIDENT,
    ]
)
assert ROW.itemsize == 192, "three cache lines"

LENGTH = 64
"""Values that are transformed."""
_AHEAD = 5
POINTS = LENGTH - _AHEAD
"""Values of the series that are looked at, the judged one included."""
RING_FLOATS = 2 * LENGTH
"""The ring holds float64, each in the place of two float32: a window that has an outlier of 1e9
in it would leave nothing of the noise of its other values in float32."""

_SLOPES = 5
_SCORE_POINTS = 21
SCORE_MAX = _SCORE_POINTS - 1.0
_FILTER_SIGMA = 1.5
_NORMAL_SCORE = 1.0
_WIDENED = 1.01
_POWER_MIN = 1e-12  # beside some 60 on average

_STAGES = 6  # 2**6 is LENGTH
_TURNS = [
    [2 * np.pi * ((k >> t) << t) / LENGTH for k in range(LENGTH // 2)] for t in range(_STAGES)
]
_COS = np.cos(np.array(_TURNS))
_SIN = np.sin(np.array(_TURNS))
_REVERSED = np.array([int(f"{k:06b}"[::-1], 2) for k in range(LENGTH)])


@inlined
def _stage(re, im, next_re, next_im, cos, sin):
    half = LENGTH // 2
    for k in range(half):
        x = re[k] - re[k + half]
        y = im[k] - im[k + half]
        next_re[2 * k] = re[k] + re[k + half]
        next_im[2 * k] = im[k] + im[k + half]
        next_re[2 * k + 1] = x * cos[k] + y * sin[k]
        next_im[2 * k + 1] = y * cos[k] - x * sin[k]


@inlined
def _transform(re, im, spare_re, spare_im):
    """Fourier transform in place; what belongs at k lands at _REVERSED[k].

    Radix 2 with the same geometry in each stage (Pease 1968): the compiler makes vector
    instructions of it, and so it takes half the time of the usual one.
    """
    for t in range(0, _STAGES, 2):
        _stage(re, im, spare_re, spare_im, _COS[t], _SIN[t])
        _stage(spare_re, spare_im, re, im, _COS[t + 1], _SIN[t + 1])


@kernel
def saliency(window, gain, re, im, spare_re, spare_im):
    """Turn a window into its saliency map, in place.

    Parameters
    ----------
    window : float64[LENGTH]   in: POINTS values with mean 0 and standard deviation 1, and room
                               for the predicted ones; out: the map, times LENGTH
    gain, re, im, spare_re, spare_im : float64[LENGTH]   scratch
    """
    newest = POINTS - 2  # before the judged one
    slopes = 0.0
    for back in range(1, _SLOPES + 1):
        slopes += (window[newest] - window[newest - back]) / back
    window[POINTS:] = window[newest - _SLOPES + 1] + slopes
    for k in range(LENGTH):  # a slice would compile for seconds
        spare_re[k], spare_im[k] = window[k], 0.0
    _transform(spare_re, spare_im, re, im)

    # exp(R) / A is one over the geometric mean of three amplitudes: no logarithm is needed, and
    # since A[k] = A[LENGTH - k], half of the means are those of the other half.
    half = LENGTH // 2
    below = before = 1.0
    gain[0] = 0.0
    for k in range(1, half + 2):
        at = _REVERSED[k]
        power = spare_re[at] * spare_re[at] + spare_im[at] * spare_im[at] + _POWER_MIN
        gain[k] = (power * below * before) ** (-0.5 / min(k, 3))
        before = below
        below = power
    for k in range(half + 2, LENGTH):
        gain[k] = gain[LENGTH + 2 - k]
    # The transform of the conjugate is, but for its length, the conjugate of the inverse.
    for k in range(LENGTH):
        at = _REVERSED[k]
        re[k] = spare_re[at] * gain[k]
        im[k] = -spare_im[at] * gain[k]
    _transform(re, im, spare_re, spare_im)
    for k in range(LENGTH):
        at = _REVERSED[k]
        window[k] = math.sqrt(re[at] * re[at] + im[at] * im[at])


@inlined
def _judge(window, salient, gain, re, im, spare_re, spare_im):
    """Return expected value, half width of the band and score of a window's newest value."""
    mean = 0.0
    for k in range(POINTS):
        mean += window[k]
    mean /= POINTS
    variance = 0.0
    for k in range(POINTS):
        variance += (window[k] - mean) ** 2
    sigma = math.sqrt(variance / POINTS)

    x = window[POINTS - 1]
    # The floor keeps a constant series' band as wide as float64 can tell values apart.
    floor = 1e-9 * max(abs(x), abs(mean)) + 1e-300
    scale = 1.0 / max(sigma, floor)
    for k in range(POINTS):
        salient[k] = (window[k] - mean) * scale
    saliency(salient, gain, re, im, spare_re, spare_im)

    first = POINTS // 2
    newest = POINTS - 1
    total = 0.0
    for k in range(first - _SCORE_POINTS, first):
        total += salient[k]
    normal_sum = half_sum = 0.0
    n_normal = 0
    for k in range(first, newest):
        total += salient[k] - salient[k - _SCORE_POINTS]
        half_sum += window[k] - mean
        if salient[k] * _SCORE_POINTS <= (1.0 + _NORMAL_SCORE) * total:
            normal_sum += window[k] - mean
            n_normal += 1
    if n_normal > 0:
        expected = mean + normal_sum / n_normal
    else:
        expected = mean + half_sum / (newest - first)
    half_width = max(_FILTER_SIGMA * sigma, floor)
    total += salient[newest] - salient[newest - _SCORE_POINTS]
    score = 0.0
    if total > 0.0 and (x < expected - half_width or x > expected + half_width):
        score = min(max(salient[newest] * _SCORE_POINTS / total - 1.0, 0.0), SCORE_MAX)
    return expected, half_width, score


@inlined
def _put(row, values, slot, value):
    values[slot, row.position] = value
    row.position = (row.position + 1) % LENGTH


@allocating
def detect(
    rows, ring, slot, step, value, use,
    expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
):  # fmt: skip
    """Judge n points and learn them, in order.

    Parameters
    ----------
    rows : ROW[s]                    state, changed in place
    ring : float32[s, RING_FLOATS]   state, changed in place: float64[s, LENGTH] bit by bit
    slot : int64[n]             row of the point's series; repeats allowed, in event order
    step : int32[n]             grid steps since the previous point of the series, or RESTART;
                                a missing value is taken to be as the one before; 0 and less,
                                where clocks went back, are as 1
    value : float64[n]          finite
    use : uint8[n]              see `header`; one to FILL changes nothing, since the value in its
                                place cannot be told from one that was measured
    expected_value : float64[n] out; NaN until `warmup` and POINTS - 1 points were learnt, and for
                                points that are not judged
    upper_margin, lower_margin : float64[n]   out; >= 0; likewise
    score : float64[n]          out; 0 to SCORE_MAX; likewise
    is_anomaly : bool[n]        out; value outside [expected - lower, expected + upper]
    state : uint8[n]            out; of the incident, see `incident`
    alert : float64[n]          out; the score
    period : int32[n]           out; 0

    Where a row's options say so (`conditions`), expected value and margins are others.

    Notes
    -----
    Some 1.2 us a point; scratch arrays are allocated once a call. The threshold of the score is
    11 - sensitivity / 10: the service's 3.5 at the default. The band does not depend on it but
    for what it includes.
    """
    values = ring.view(np.float64)
    assert values.shape[1] >= LENGTH, "a shorter ring would be written beyond its end"
    window, salient, gain = np.empty(POINTS), np.empty(LENGTH), np.empty(LENGTH)
    re, im, spare_re, spare_im = (
        np.empty(LENGTH), np.empty(LENGTH), np.empty(LENGTH), np.empty(LENGTH)
    )  # fmt: skip
    for i in range(len(slot)):
        expected_value[i] = upper_margin[i] = lower_margin[i] = score[i] = alert[i] = math.nan
        is_anomaly[i] = False
        state[i] = period[i] = 0
        if use[i] > LEARN:
            continue
        at = slot[i]
        row = rows[at]
        x = value[i]
        if step[i] == RESTART:
            begin_incidents(row)
        if step[i] == RESTART or step[i] > LENGTH:
            row.count = row.position = 0
            begin_conditions(row)
        elif step[i] > 1:
            last = values[at, row.position - 1]
            for _ in range(step[i] - 1):
                _put(row, values, at, last)
        _put(row, values, at, x)
        if use[i] != JUDGE:
            row.count += np.uint32(1)
            continue

        expected = half_width = upper = lower = found = math.nan
        if row.count >= max(row.warmup, POINTS - 1):
            for k in range(POINTS):
                window[k] = values[at, (row.position + LENGTH - POINTS + k) % LENGTH]
            expected, half_width, found = _judge(window, salient, gain, re, im, spare_re, spare_im)
            upper = lower = half_width
            if found <= 11.0 - 0.1 * row.sensitivity:
                upper = max(upper, _WIDENED * (x - expected))
                lower = max(lower, _WIDENED * (expected - x))
            alert[i] = found
        settled = fits(row, x, expected, half_width, half_width)
        (
            expected_value[i], upper_margin[i], lower_margin[i],
            score[i], is_anomaly[i], state[i],
        ) = conclude(row, x, expected, upper, lower, found, settled)  # fmt: skip
        row.count += np.uint32(1)
