"""How improbable residuals are: single ones, and what adds up over rows.

Statistics of each channel, of the residual e and of its shock u (what the last residuals did not
tell). E. S. Page's cumulative sums (1954) find what is small and lasts; their tails are
exponential (Lundberg's inequality), so a few quantiles of the training tell the rest.

    0, 1    e², u²                      one row far off
    2, 3    sum of e² less 1.8; 3.5     a residual that varies more
    4, 5    the same of u
    6, 7    sum of  e - 0.75, -e - 0.75   a residual that has moved
    8 - 11  the same of u less 0.3; 0.6
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.multivariate.model import F64, I64

SINGLE = 2  # the first statistics, which add nothing up
_SQUARE_MAX = 12.0  # of a sum's step: one row far off is a matter of 0 and 1
_STEP_MAX = 3.5
_SETTLED_ROWS = 5
_SETTLED_SQUARE, _SETTLED_MEAN = 2.2, 1.15
_FALL_LEAST = 0.5  # a sum that is 0 nearly always has no tail to measure
_BEGIN, _FAR_OUT = 0.90, 0.98  # quantiles that tell of a tail


def increments(e: F64, u: F64) -> F64:
    """Return what each row adds to each statistic, shape (n, c, 12)."""
    e2, u2 = e**2, u**2
    e2_low, u2_low = np.minimum(e2, _SQUARE_MAX), np.minimum(u2, _SQUARE_MAX)
    e_low, u_low = np.clip(e, -_STEP_MAX, _STEP_MAX), np.clip(u, -_STEP_MAX, _STEP_MAX)
    return np.stack(
        [
            e2, u2, e2_low - 1.8, e2_low - 3.5, u2_low - 1.8, u2_low - 3.5,
            e_low - 0.75, -e_low - 0.75, u_low - 0.3, -u_low - 0.3, u_low - 0.6, -u_low - 0.6,
        ],
        axis=2,
    )  # fmt: skip


def sums(steps: F64) -> F64:
    """Return the statistics without a ceiling, as training has them, shape of `steps`."""
    total = np.cumsum(steps[:, :, SINGLE:], axis=0)
    lowest = np.minimum(np.minimum.accumulate(total, axis=0), 0.0)
    return np.concatenate([steps[:, :, :SINGLE], total - lowest], axis=2)


def tails(statistic: F64) -> tuple[F64, F64]:
    """Return of each statistic what one row in ten exceeds, and the rate of its tail, (c, s)."""
    begin, far = np.quantile(statistic, [_BEGIN, _FAR_OUT], axis=0)
    rate = np.log((1 - _BEGIN) / (1 - _FAR_OUT)) / np.maximum(far - begin, _FALL_LEAST)
    return begin, rate


def unlikeliness(statistic: F64, usual: F64, rate: F64) -> F64:
    """Return -ln of the probability of each statistic, shape of `statistic`; 0 at the least."""
    least: F64 = np.maximum((statistic - usual) * rate - np.log(1 - _BEGIN), 0.0)
    return least


def limit_of(evidence: F64, block: int, alarms: float) -> float:
    """Return the evidence that a row exceeds with probability `alarms`.

    By the maxima of blocks of rows: their quartiles are those of a Gumbel distribution, whatever
    a few blocks with anomalies in them hold.
    """
    block = max(1, min(block, len(evidence) // 8))
    whole = len(evidence) // block
    maxima = evidence[: whole * block].reshape(whole, block).max(axis=1)
    low, middle, high = np.quantile(maxima, [0.2, 0.5, 0.8])
    reduced = -np.log(-np.log(np.array([0.2, 0.5, 0.8])))
    size = max((high - low) / (reduced[2] - reduced[0]), 0.3)
    return float(middle + size * (np.log(1 / (alarms * block)) - reduced[1]))


def judged(
    steps: F64, e: F64, usual: F64, rate: F64, ceiling: F64, limit: float
) -> tuple[F64, I64]:
    """Return the evidence of each row and channel, and over how many rows it has added up.

    A channel whose last five residuals are settled has recovered from an anomaly: its sums begin
    anew, instead of coming down for as long as they went up.
    """
    n = len(steps)
    enough = usual + (limit + np.log(1 - _BEGIN)) / rate  # as `unlikeliness` has it
    quiet = _settled(e)
    total = np.zeros_like(ceiling)
    totals = np.empty_like(steps)
    for t in range(n):
        total[:, SINGLE:] += steps[t, :, SINGLE:]
        total[:, :SINGLE] = steps[t, :, :SINGLE]
        np.maximum(total, 0.0, out=total)
        np.minimum(total, ceiling, out=total)
        recovered = quiet[t] & (total > enough).any(axis=1)
        if recovered.any():
            total[recovered] = 0.0
        totals[t] = total
    evidence = unlikeliness(totals, usual, rate)
    strongest = evidence.argmax(axis=2)[:, :, None]
    row = np.arange(n)[:, None, None]
    since = row - np.maximum.accumulate(np.where(totals > 0, -1, row), axis=0)
    since[:, :, :SINGLE] = 1
    return (
        np.take_along_axis(evidence, strongest, axis=2)[:, :, 0],
        np.take_along_axis(since, strongest, axis=2)[:, :, 0],
    )


def _settled(e: F64) -> NDArray[np.bool_]:
    """Return where the last five residuals of a channel are as they are in order, shape of `e`."""
    quiet = np.zeros(e.shape, np.bool_)
    if len(e) >= _SETTLED_ROWS:
        last = np.lib.stride_tricks.sliding_window_view(e, _SETTLED_ROWS, axis=0)
        square = np.minimum(last**2, _SQUARE_MAX).mean(axis=2)
        quiet[_SETTLED_ROWS - 1 :] = (square < _SETTLED_SQUARE) & (
            np.abs(last.mean(axis=2)) < _SETTLED_MEAN
        )
    return quiet
