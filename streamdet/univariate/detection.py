"""From a request to a model's view of its series.

    spread over the grid -> period -> impute -> model

Source: systems.md 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError
from streamdet.univariate.differencing import with_steps
from streamdet.univariate.impute import impute, previous, spread
from streamdet.univariate.models import dynamic_threshold, seasonal_series
from streamdet.univariate.outcome import Outcome
from streamdet.univariate.period import find_period
from streamdet.univariate.request import Request
from streamdet.univariate.spectral_residual import spectral_residual

_SPAN_MAX = 17_280


@dataclass(frozen=True, slots=True, eq=False)
class EvenSeries:
    """A series without holes."""

    values: NDArray[np.float64]
    period: int
    given: NDArray[np.int64]
    """Which of the values are the request's; the others are imputed."""


def even_series(request: Request) -> EvenSeries:
    """Return the series of a request, its period found where it is not given, its holes filled."""
    every = np.arange(len(request.values))
    if request.span == len(request.values) or request.span > _SPAN_MAX:
        period = request.period
        if period is None:
            period = find_period(request.values, request.granularity, request.custom_interval)
        return EvenSeries(request.values, period, every)
    holes = spread(request.values, request.slots)
    missing_ratio = 1 - len(request.values) / request.span
    period = request.period
    if period is None:
        period = (
            0
            if missing_ratio > 0.5
            else find_period(previous(holes), request.granularity, request.custom_interval)
        )
    if period > 1 and missing_ratio > 0.5:
        raise RequestError(
            "InvalidSeries",
            "Ratio of missing points should be less than 50% for seasonal timeseries. There should"
            f" be at least {request.span // 2} points, but got {len(request.values)} points.",
        )
    if request.impute_mode == "notFill":
        return EvenSeries(request.values, period, every)
    values = impute(holes, period, request.impute_mode, request.impute_fixed_value)
    return EvenSeries(values, period, request.slots)


def detect(request: Request, series: EvenSeries, *, last: bool) -> Outcome:
    """Return what the model that fits the series says of it."""
    values, period = series.values, series.period
    ratio = request.max_anomaly_ratio
    if period > 1:
        return seasonal_series(values, period, ratio, last=last)
    fast = (request.granularity == "minutely" and request.custom_interval < 60) or (
        request.granularity == "secondly" and request.custom_interval < 3600
    )
    if fast and np.median(np.abs(values - np.median(values))) > 0:
        model = partial(spectral_residual, last=last)
    else:
        model = partial(dynamic_threshold, last=last)
    return with_steps(model(values, ratio), ratio, model)
