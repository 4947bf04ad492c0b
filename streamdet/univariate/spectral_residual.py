"""Spectral residual over a whole series, as in the service.

Source: systems.md 3.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.univariate.outcome import Outcome

THRESHOLD = 3.5
_AHEAD = 5
_SLOPES = 5
_AVERAGED = 3
_SCORE_WINDOW = 100
_CALM = 1.0
_UNSETTLED = 1.5
_SIGMAS = 1.5
_SCORE_FULL = 15.0
_NIL = 1e-15


def spectral_residual(values: NDArray[np.float64], ratio: float, *, last: bool) -> Outcome:
    """Return what the spectral residual says of `values`.

    Parameters
    ----------
    values : float64[n]   a value a slot
    ratio : share of the values that may be flagged
    last : only the last value's verdict is wanted, by those before it
    """
    scores = saliency_scores(values, last=last)
    if last:
        settled = _settled(scores, ratio)
        expected = _expected_last(values, scores[:settled])
        if settled < len(values) - 1:
            scores[-1] = saliency_scores(np.append(values[:settled], values[-1]), last=True)[-1]
        if abs(values[-1] - values.mean()) < _SIGMAS * values.std():
            scores[-1] = 0.0
        flagged = scores >= THRESHOLD
    else:
        expected = _expected(values, scores)
        flagged = _best(scores, max(int(len(values) * ratio), 1))
    severity = np.clip((scores - THRESHOLD) / (_SCORE_FULL - THRESHOLD), 0, 1)
    return Outcome(values, expected, expected, flagged, severity)


def _best(scores: NDArray[np.float64], most: int) -> NDArray[np.bool_]:
    flagged = np.zeros(len(scores), bool)
    flagged[np.argsort(-scores, kind="stable")[:most]] = True
    return flagged & (scores >= THRESHOLD)


def _settled(scores: NDArray[np.float64], ratio: float) -> int:
    """Return how many values come before what is not settled yet: an anomaly that goes on.

    It would be what is usual for its own last value.
    """
    count = len(scores)
    tail = min(max(int(count * ratio), int(0.1 * count)), int(0.45 * count))
    salient = np.flatnonzero(scores[count - tail :] >= _UNSETTLED)
    return count - tail + int(salient[0]) if len(salient) else count - 1


def saliency_scores(values: NDArray[np.float64], *, last: bool) -> NDArray[np.float64]:
    """Return how salient each value is beside the mean of the 100 before."""
    extended = np.concatenate([values, np.full(_AHEAD, _next_value(values, last=last))])
    spectrum = np.fft.fft(extended)
    amplitude = np.abs(spectrum)
    nil = amplitude <= _NIL * amplitude.max()
    log = np.log(np.where(nil, 1.0, amplitude))
    residual = np.exp(log - trailing_mean(log, _AVERAGED)) / np.where(nil, 1.0, amplitude)
    transformed = np.where(nil, 0, spectrum * residual)
    magnitude = np.abs(np.fft.ifft(transformed))[: len(values)]
    usual = _usual(magnitude)
    return np.asarray(np.abs(magnitude - usual) / np.maximum(usual, _NIL))


def _usual(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the newest 100; where there are fewer, the mean before stands for them."""
    before = np.cumsum(magnitude)[: _SCORE_WINDOW - 1]
    usual = trailing_mean(magnitude, _SCORE_WINDOW)
    number = np.arange(1, len(before))
    missing = _SCORE_WINDOW - number - 1
    usual[1 : len(before)] = (before[1:] + missing * before[:-1] / number) / _SCORE_WINDOW
    return usual


def trailing_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and those before it, `window` in all, fewer at the start."""
    sums = np.cumsum(values)
    sums[window:] -= sums[:-window].copy() if len(values) > window else 0
    return np.asarray(sums / np.minimum(np.arange(1, len(values) + 1), window))


def _next_value(values: NDArray[np.float64], *, last: bool) -> float:
    reference = values[-_SLOPES - 2 : -1] if last else _inside_fence(values)[-_SLOPES - 1 :]
    m = len(reference)
    if m < 2:
        return float(np.median(values))
    newest = reference[-1]
    slopes = (newest - reference[:-1]) / np.arange(m - 1, 0, -1)
    return float(np.median(reference) + 0.5 * (m + 1) / (m - 1) * slopes.sum())


def _inside_fence(values: NDArray[np.float64]) -> NDArray[np.float64]:
    q1, q3 = (float(q) for q in np.quantile(values, [0.25, 0.75]))
    fence = 1.5 * (q3 - q1)
    return values[(values >= q1 - fence) & (values <= q3 + fence)]


def _expected(values: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the trailing mean, the salient replaced by what was calm in the newer half before."""
    calm = scores <= _CALM
    at = np.arange(len(values))
    counts = np.concatenate([[0], np.cumsum(calm)])
    sums = np.concatenate([[0.0], np.cumsum(np.where(calm, values, 0.0))])
    number = counts[at] - counts[at // 2]
    replaced = ~calm & (number > 0)
    mean = (sums[at] - sums[at // 2])[replaced] / number[replaced]
    usual = values.copy()
    usual[replaced] = mean
    return trailing_mean(usual, 5)


def _expected_last(values: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` with the last one replaced by the mean of the newer calm half."""
    calm = values[: len(scores)][scores <= _CALM]
    expected = values.copy()
    expected[-1] = calm[len(calm) // 2 :].mean() if len(calm) else np.median(values[:-1])
    return expected
