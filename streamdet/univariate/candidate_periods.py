"""The periods that a series has anywhere, and the season of each.

`change_point` chooses among them stretch by stretch: a season may be there only before a change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HARMONICS = 4
MOST = 2
"""Periods: a third one cost time and found nothing."""
PEAK = 9.0
"""A peak over what is usual around it. In noise one frequency in exp(9), 8,000, is as high; a
wrong candidate costs little, for a stretch takes it only where it pays for its parameters."""
CYCLES = 3
"""Cycles within a stretch, for its season to be believed."""
_LEAST_POINTS = 16
_PADDING = 8


def candidate_periods(x: Floats, period: int) -> list[float]:
    """Return at most `MOST` periods: `period` if it is one, and those that stretches of x show.

    Stretches are the whole, its halves and its quarters, each half a stretch after the one before.
    """
    n = len(x)
    found: list[tuple[float, float]] = []
    for parts in (1, 2, 4):
        m = n // parts
        if m < _LEAST_POINTS:
            break
        for start in range(0, (2 * parts - 1) * m // 2, max(m // 2, 1)):
            stretch = x[start : start + m]
            if frequency := _peak(stretch):
                found.append(_fundamental(stretch, frequency))
    chosen = [float(period)] if 2 <= period <= n // 2 else []
    for _, each in sorted(found, reverse=True):
        if len(chosen) < MOST and all(abs(np.log(each / other)) > 0.1 for other in chosen):
            chosen.append(each)
    return chosen


def _peak(stretch: Floats) -> float:
    """Return the frequency, in cycles a point, that stands out most from those around it, or 0."""
    # Differences: a level shift, or autocorrelated noise, would hide a season at low frequencies.
    change = np.diff(stretch)
    taper = np.hanning(len(change) + 2)[1:-1]
    power = np.abs(np.fft.rfft((change - change.mean()) * taper))[1:] ** 2
    reach = min(12, (len(power) - CYCLES + 1) // 2)
    if reach < 2:
        return 0.0
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(power, reach, mode="reflect"), 2 * reach + 1
    )
    # The power of noise is exponential: its mean is its median by ln 2.
    usual = np.median(around, axis=1) / np.log(2) + 1e-9 * power.max() + 1e-300
    ratio = power / usual
    ratio[: CYCLES - 1] = 0.0
    at = int(np.argmax(ratio))
    return (at + 1) / len(change) if ratio[at] > PEAK else 0.0


def _fundamental(stretch: Floats, frequency: float) -> tuple[float, float]:
    """Return how well a season with `frequency` among its harmonics fits, and its period."""
    m = len(stretch)
    t = np.linspace(-1, 1, m)
    level = stretch - stretch.mean()
    level = level - t * (t @ level) / (t @ t)
    power = np.abs(np.fft.rfft(level, _PADDING * m)) ** 2 * 2 / m
    total = float(level @ level) + 1e-12
    best = (-np.inf, 1 / frequency)
    for part in range(1, HARMONICS + 1):
        base = frequency / part
        if base * m < CYCLES - 0.5:
            break
        near = [1 / (base + shift / m / part) for shift in (-0.5, -0.25, 0.0, 0.25, 0.5)]
        whole = [float(each) for each in range(round(near[-1]), round(near[0]) + 1)][:32]
        for period in near + whole:
            # Half a cycle a point is left out: it has a sine only, so half of the parameters.
            k = np.arange(1, min(HARMONICS, int(np.ceil(period / 2)) - 1) + 1)
            if len(k) == 0:
                continue
            at = np.minimum(np.rint(_PADDING * m * k / period).astype(np.int64), len(power) - 1)
            left = max(total - float(power[at].sum()), 1e-9 * total)
            # A whole number of points is what seasons usually have: two parameters' worth. Three
            # cycles of a season are one of another that fits noise too.
            free = 2 * (len(k) + part - 1) - 2 * (period == round(period))
            best = max(best, (m * np.log(total / left) - free * np.log(m), period))
    return best


def waves(n: int, period: float) -> Floats:
    """Return the cosine and sine of each harmonic, slowest first, float64[n, <= 2 HARMONICS]."""
    turn = 2 * np.pi * np.arange(n) / period
    columns = [np.cos(turn)]
    if period > 2:
        columns.append(np.sin(turn))
    for k in range(2, HARMONICS + 1):
        if 2 * k <= period:
            columns.append(np.cos(k * turn))
        if 2 * k < period:
            columns.append(np.sin(k * turn))
    return np.column_stack(columns)


def season(x: Floats, period: float) -> Floats:
    """Return the season of `period` over the whole of x, with mean 0 over a cycle.

    It is what the moving mean over a cycle leaves: the mean of each phase, its extremes drawn in;
    or its waves, where the period is no whole number of points, or there are fewer than four
    cycles, whose noise the phases would follow. Zeros where there are not two.
    """
    n = len(x)
    length = max(round(period), 2)
    if n < 2 * length:
        return np.zeros(n)
    weights = np.full(length + 1 - length % 2, 1 / length)
    if length % 2 == 0:
        weights[[0, -1]] /= 2
    padded = np.pad(x, len(weights) // 2, mode="reflect", reflect_type="odd")
    rest = x - np.convolve(padded, weights, "valid")
    if period != length or n < 4 * length:
        columns = waves(n, period)
        return np.asarray(columns @ np.linalg.lstsq(columns, rest, rcond=None)[0])
    # The phases of the last, broken cycle have a value more: left out, they would be noisier.
    cycles, more = divmod(n, length)
    table = rest[: cycles * length].reshape(cycles, length)
    longer = np.vstack([table[:, :more], rest[cycles * length :]])
    middle = np.concatenate([_middle(longer), _middle(table[:, more:])])
    return np.asarray(np.resize(middle - middle.mean(), n))


def _middle(cycles: Floats) -> Floats:
    low, high = np.quantile(cycles, [0.15, 0.85], axis=0)
    return np.asarray(np.clip(cycles, low, high).mean(axis=0))
