"""Trend, season and remainder of a series.

Source: systems.md 3.3. The decomposition is STL (Cleveland et al. 1990) as R's `stl(robust = TRUE,
s.window = "periodic")` computes it, less its last step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.stl import stl
from streamdet.univariate.impute import previous

_NIL = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Decomposition:
    """values = trend + season + remainder."""

    trend: NDArray[np.float64]
    season: NDArray[np.float64]
    remainder: NDArray[np.float64]

    def head(self, count: int) -> Decomposition:
        """Return the first `count` values of each."""
        return Decomposition(self.trend[:count], self.season[:count], self.remainder[:count])


def decompose(values: NDArray[np.float64], period: int) -> Decomposition:
    """Return the robust decomposition of `values`."""
    found = _twice(values, period)
    if _misfit(values, found) > 0.10 and values.min() > 0:
        log = _twice(np.log(values), period)
        trend = np.exp(log.trend)
        season = np.exp(log.trend + log.season) - trend
        other = Decomposition(trend, season, values - trend - season)
        if _misfit(values, other) < 0.05:
            return other
    return found


def _misfit(values: NDArray[np.float64], found: Decomposition) -> float:
    known = np.abs(values) > _NIL * np.abs(values).max()
    return float(np.abs(found.remainder[known] / values[known]).mean()) if known.any() else 0.0


def _twice(values: NDArray[np.float64], period: int) -> Decomposition:
    first = _stl(values, period)
    around = values - first.trend
    spikes = np.abs(around - around.mean()) > 3 * around.std()
    phases = np.arange(len(values)) % period
    cycles = np.bincount(phases, minlength=period)
    recurring = np.bincount(phases, spikes, minlength=period) > cycles / 2
    spikes &= ~recurring[phases]
    if not spikes.any():
        return first
    spikes[0] = False
    calm = previous(np.where(spikes, np.nan, around))
    second = _stl(first.trend + calm, period)
    return Decomposition(second.trend, second.season, values - second.trend - second.season)


def _stl(values: NDArray[np.float64], period: int) -> Decomposition:
    trend, season = stl(values, period)
    return Decomposition(trend, season, values - trend - season)
