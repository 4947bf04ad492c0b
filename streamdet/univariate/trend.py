"""The trend of a series that has no season.

A cubic spline by least squares with few knots: one more is taken only while it explains much of
what is left. Its ends are replaced by straight lines: a cubic swings out where nothing holds it.

Source: systems.md 3.6 (a smoothing spline, of which it says no more). Knots and ends are as found
from what the service answered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LSQUnivariateSpline

_PIECES_MIN = 4
_PIECES_MAX = 12
_FEW = 60
_WORTH_A_KNOT = 0.3
"""Share of the squared error that one more piece has to take away."""


def spline_trend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smooth course of `values`, which has no outliers any more."""
    pieces = _PIECES_MIN
    trend = _spline(values, pieces)
    error = ((values - trend) ** 2).sum()
    while pieces < _PIECES_MAX and len(values) > 4 * pieces:
        finer = _spline(values, pieces + 1)
        finer_error = ((values - finer) ** 2).sum()
        if finer_error >= (1 - _WORTH_A_KNOT) * error:
            break
        pieces, trend, error = pieces + 1, finer, finer_error
    return _with_straight_ends(trend, _straight_length(len(values), pieces))


def _straight_length(count: int, pieces: int) -> int:
    """Return how many values at each end are on a line: two thirds of a piece, less of a few."""
    if count < _FEW:
        return (count - 1) // (2 * pieces)
    return 2 * (count - 1) // (3 * pieces)


def _spline(values: NDArray[np.float64], pieces: int) -> NDArray[np.float64]:
    """Return a cubic spline; its last two pieces, of equal length, are one cubic."""
    at = np.arange(len(values))
    knots = np.linspace(0, len(values) - 1, pieces + 1)[1:-2]
    return np.asarray(LSQUnivariateSpline(at, values, knots, k=3)(at))


def _with_straight_ends(trend: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return `trend` with its first and last `length` values on lines.

    A line has the usual slope around the place where it begins: the mean of those within one
    standard deviation.
    """
    if length < 1:
        return trend
    slopes = np.diff(trend)
    ahead = np.arange(1, length + 1)
    straight = trend.copy()
    straight[:length] = trend[length] - ahead[::-1] * _usual_slope(slopes[: 2 * length])
    straight[-length:] = trend[-length - 1] + ahead * _usual_slope(slopes[-2 * length :])
    return straight


def _usual_slope(slopes: NDArray[np.float64]) -> float:
    near = np.abs(slopes - slopes.mean()) <= slopes.std(ddof=1)
    return float(slopes[near].mean()) if near.any() else float(slopes.mean())
