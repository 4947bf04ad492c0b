"""A slow, obvious finder of periods: folds the values at every length there is."""

from __future__ import annotations

import numpy as np


def explained(values: np.ndarray, period: int) -> float:
    """Return the share of the variance that a pattern of `period` points explains.

    Corrected for its number of points, or the longest pattern would always explain most.
    """
    n = len(values)
    phase = np.arange(n) % period
    pattern = np.bincount(phase, values) / np.bincount(phase)
    left = np.mean((values - pattern[phase]) ** 2) * n / (n - period)
    return 1.0 - left / (np.var(values) * n / (n - 1))


def find_period(values: np.ndarray, slack: float = 0.05) -> int:
    """Return the shortest period that explains nearly as much as the best; 0: none does half."""
    periods = np.arange(4, len(values) // 3 + 1)
    found = np.array([explained(values, period) for period in periods])
    if found.max() < 0.5:
        return 0
    return int(periods[np.argmax(found >= found.max() - slack)])


def autocorrelation(y: np.ndarray, far: int) -> list[float]:
    n = len(y)
    return [float(np.dot(y[: n - lag], y[lag:])) / (n - lag) for lag in range(far + 1)]


def moving_mean(x: np.ndarray, width: int) -> list[float]:
    """Mean over an odd width; near the ends that of the nearest whole window."""
    n, half = len(x), min(width, len(x) - 1) // 2
    centre = np.clip(np.arange(n), half, n - half - 1)
    return [float(np.nanmean(x[at - half : at + half + 1])) for at in centre]
