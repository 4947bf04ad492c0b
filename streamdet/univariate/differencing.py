"""Outliers among the steps between values, where the values have no level to stand out from.

Source: systems.md 3.1, differencing merge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from statsmodels.tsa.adfvalues import mackinnonp

from streamdet.univariate.outcome import Outcome
from streamdet.univariate.outliers import max_outliers

Detect = Callable[[NDArray[np.float64], float], Outcome]

_P = 0.05
_KPSS_5_PERCENT = 0.463  # the statistic of p = 0.05, Kwiatkowski et al. (1992), table 1
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
    return _kpss(scaled) <= _KPSS_5_PERCENT or _dickey_fuller_p(scaled) < _P


def _kpss(values: NDArray[np.float64]) -> float:
    """Return the statistic of Kwiatkowski, Phillips, Schmidt and Shin: high where a level wanders.

    With the number of lags of Hobijn, Franses and Ooms (1998), as statsmodels' `nlags="auto"`.
    """
    count = len(values)
    off = values - values.mean()

    def covariance(lag: int) -> float:
        return float(off[lag:] @ off[: count - lag])

    few = range(1, int(count ** (2 / 9)) + 1)
    plain = covariance(0) + 2 * sum(covariance(lag) for lag in few)
    weighted = 2 * sum(lag * covariance(lag) for lag in few)
    if plain == 0:
        return float("inf")
    lags = min(int(1.1447 * ((weighted / plain) ** 2 * count) ** (1 / 3)), count - 1)
    variance = covariance(0)
    for lag in range(1, lags + 1):
        variance += 2 * covariance(lag) * (1 - lag / (lags + 1))
    return float((np.cumsum(off) ** 2).sum() / (count * variance))


def _dickey_fuller_p(values: NDArray[np.float64]) -> float:
    """Return the p-value of the augmented Dickey-Fuller test, with Schwert's number of lags.

    As `statsmodels.tsa.stattools.adfuller(autolag=None)`, by the normal equations: the rest of what
    that computes takes ten times as long.
    """
    steps = np.diff(values)
    lags = min(int(12 * (len(values) / 100) ** 0.25), len(values) // 2 - 2)
    count = len(steps) - lags
    columns = [values[lags:-1], np.ones(count)]
    columns += [steps[lags - lag : len(steps) - lag] for lag in range(1, lags + 1)]
    regressors = np.column_stack(columns)
    gram = regressors.T @ regressors
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:  # values that a few lags say without an error
        return 1.0
    coefficients = inverse @ (regressors.T @ steps[lags:])
    residual = steps[lags:] - regressors @ coefficients
    variance = residual @ residual / (count - len(columns))
    if not variance * inverse[0, 0] > 0:
        return 1.0
    return float(mackinnonp(coefficients[0] / np.sqrt(variance * inverse[0, 0]), regression="c"))
