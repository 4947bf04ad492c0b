"""From a request to a model's view of its series.

    spread over the grid -> period -> impute -> model

Source: systems.md 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError
from streamdet.univariate.differencing import Detect, with_steps
from streamdet.univariate.impute import impute, previous, spread
from streamdet.univariate.models import dynamic_threshold, seasonal_series
from streamdet.univariate.outcome import Outcome
from streamdet.univariate.period import find_period
from streamdet.univariate.request import ImputeMode, Request
from streamdet.univariate.spectral_residual import spectral_residual

_SPAN_MAX = 17_280
_PRESENT_MIN = 0.5
_MAJORITY = 0.6
_NIL = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class EvenSeries:
    """A series without holes."""

    values: NDArray[np.float64]
    period: int
    given: NDArray[np.int64]
    """Which of the values are the request's; the others are imputed."""


def even_series(request: Request) -> EvenSeries:
    """Return the series of a request, its period found where it is not given, its holes filled.

    Raises
    ------
    RequestError
        InvalidSeries where more than half of a seasonal series is missing, InvalidModelArgument
        where what is there is shorter than two periods.
    """
    values, span = request.values, request.span
    is_sparse = len(values) < _PRESENT_MIN * span
    period = request.period
    if is_sparse and period is not None and period > 1:
        raise RequestError(
            "InvalidSeries",
            "Ratio of missing points should be less than 50% for seasonal timeseries. There should"
            f" be at least {-(-span // 2)} points, but got {len(values)} points.",
        )
    if period is None:
        period = 0 if is_sparse else _find_period(request)
    series = EvenSeries(values, period, np.arange(len(values)))
    if span > len(values) and span <= _SPAN_MAX and _is_filled(request.impute_mode, period):
        holes = spread(values, request.slots)
        filled = impute(holes, period, request.impute_mode, request.impute_fixed_value)
        series = EvenSeries(filled, period, request.slots)
    if period > 1 and len(series.values) < 2 * period + 1:
        raise RequestError(
            "InvalidModelArgument",
            f"The 'series' field must have more than 2 periods points, {2 * period + 1} of the"
            f" period {period}; with imputeMode notFill, holes do not count.",
        )
    return series


def _find_period(request: Request) -> int:
    values = request.values
    if request.span > len(values):
        values = previous(spread(values, request.slots))
    return find_period(values, request.granularity, request.custom_interval)


def _is_filled(mode: ImputeMode, period: int) -> bool:
    """Return whether holes are filled: without a season only where the request says how."""
    return mode != "notFill" and (mode != "auto" or period > 1)


def detect(request: Request, series: EvenSeries, *, last: bool) -> Outcome:
    """Return what the model that fits the series says of it."""
    values, ratio = series.values, request.max_anomaly_ratio
    if last:
        ratio = _ratio_of_last(values, ratio)
    outcome = _by_model(request, series, ratio, last=last)
    off = np.abs(values - outcome.expected)
    return replace(outcome, flagged=outcome.flagged & (off >= _NIL))


def _by_model(request: Request, series: EvenSeries, ratio: float, *, last: bool) -> Outcome:
    values = series.values
    if series.period > 1:
        return seasonal_series(values, series.period, ratio, last=last)
    fast = (request.granularity == "minutely" and request.custom_interval < 60) or (
        request.granularity == "secondly" and request.custom_interval < 3600
    )
    if fast and np.median(np.abs(values - np.median(values))) > 0:
        model: Detect = partial(spectral_residual, last=last)
    else:
        model = dynamic_threshold
    return with_steps(model(values, ratio), ratio, model)


def _ratio_of_last(values: NDArray[np.float64], ratio: float) -> float:
    """Return the share of anomalies to look for, less where most values are alike."""
    majority = float(np.histogram(values, bins=20)[0].max()) / len(values)
    if majority <= _MAJORITY:
        return ratio
    return max((1 - majority) * ratio, min(0.05, ratio))
