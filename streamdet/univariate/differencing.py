"""Outliers among the steps between values, where the values have no level to stand out from.

Source: systems.md 3.1, differencing merge.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.stattools import adfuller, kpss

from streamdet.univariate.outcome import Outcome
from streamdet.univariate.outliers import max_outliers

Detect = Callable[[NDArray[np.float64], float], Outcome]

_P = 0.05
_DIFFERENCES_MAX = 2


def with_steps(found: Outcome, ratio: float, detect: Detect) -> Outcome:
    """Return `found` with what is an outlier among the steps of a series that has no level.

    Parameters
    ----------
    found : what `detect` says of the values
    ratio : share of the values that may be flagged; the steps get what is left of it
    detect : the model, of values and a ratio
    """
    order = _differences_needed(found.values)
    budget = max_outliers(len(found.values), ratio) - int(found.flagged.sum())
    if order == 0 or budget < 1:
        return found
    steps = np.diff(found.values, order)
    of_steps = detect(steps, budget / len(found.values))
    padded = np.concatenate([np.zeros(order, bool), of_steps.flagged])
    new = padded & ~found.flagged
    usual = found.expected.copy()
    usual[order:] += of_steps.expected - np.diff(found.expected, order)
    expected = np.where(new, usual, found.expected)
    return replace(found, expected=expected, flagged=found.flagged | new)


def _differences_needed(values: NDArray[np.float64]) -> int:
    for order in range(_DIFFERENCES_MAX + 1):
        if _is_stationary(np.diff(values, order)):
            return order
    return _DIFFERENCES_MAX


def _is_stationary(values: NDArray[np.float64]) -> bool:
    spread = np.ptp(values)
    if len(values) < 8 or spread == 0:
        return True
    scaled = (values - values.mean()) / spread
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a p-value beyond the table is the table's last
        try:
            if kpss(scaled, regression="c", nlags="auto")[1] >= _P:
                return True
            lags = int(12 * (len(values) / 100) ** 0.25)  # Schwert's rule; to search takes seconds
            lags = min(lags, len(values) // 2 - 2)
            return bool(adfuller(scaled, maxlag=lags, autolag=None)[1] < _P)
        except (ValueError, OverflowError, np.linalg.LinAlgError):
            return True  # values that a regression cannot be made of: a constant, or nearly
