"""The three models of the service: which one a series gets, and what it says.

Source: systems.md 3.1 (which model), 3.3 (seasonal), 3.6 (dynamic threshold).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.univariate import outliers
from streamdet.univariate.decomposition import decompose
from streamdet.univariate.impute import linear
from streamdet.univariate.outcome import Outcome
from streamdet.univariate.trend import spline_trend


def seasonal_series(
    values: NDArray[np.float64], period: int, ratio: float, *, last: bool
) -> Outcome:
    """Return what a decomposition with a season says of `values`."""
    found = decompose(values, period)
    if last:
        phase = np.median(values[len(values) % period :: period])
        longer = decompose(np.append(values, phase), period).head(len(values))
        if abs(longer.remainder[-1]) < abs(found.remainder[-1]):
            found = longer
    plain = _normalised(values - found.season)
    remainder = _normalised(found.remainder)
    candidates = [
        outliers.esd(plain, ratio),
        outliers.z_score(remainder, ratio),
        outliers.esd(remainder, ratio),
    ]
    flagged = outliers.vote(candidates, len(values), ratio)
    trend = linear(found.trend, flagged)
    return Outcome(values, trend + found.season, trend, flagged)


def dynamic_threshold(values: NDArray[np.float64], ratio: float) -> Outcome:
    """Return what a smooth trend says of `values`."""
    normal = _normalised(values)
    candidates = [outliers.esd(normal, ratio), outliers.z_score(normal, ratio)]
    flagged = outliers.vote(candidates, len(values), ratio)
    trend = spline_trend(linear(values, flagged))
    return Outcome(values, trend, trend, flagged)


def _normalised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread > 0 else np.zeros(len(values))
