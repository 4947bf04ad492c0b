"""Azure's univariate operations: a request's bytes in, the response as a dict out.

    read_request -> detection (grid, period, impute, model) -> boundary -> response

Source: systems.md 2.1 to 2.4 (fields), 3.1 (the order of things).
"""

from __future__ import annotations

from typing import Any, Literal

from streamdet.errors import ConfigError
from streamdet.univariate.boundary import boundary
from streamdet.univariate.grid import Granularity
from streamdet.univariate.request import read_request

_DEFAULT_WINDOW: dict[Granularity, int] = {
    "daily": 28,
    "minutely": 1440,
    "hourly": 168,
    "weekly": 12,
    "monthly": 12,
    "yearly": 12,
    "secondly": 1440,
    "microsecond": 1000,
    "none": 1440,
}


def answer(
    operation: Literal["entire", "last", "changepoint"],
    body: bytes,
    version: Literal["v1.0", "v1.1"] = "v1.1",
) -> dict[str, Any]:
    """Return the response to a request.

    Parameters
    ----------
    body : the request's JSON
    version : of the API; v1.0 knows neither `imputeMode` nor `severity`

    Raises
    ------
    RequestError
        With Azure's code and message: answer the sender with them.
    """
    request = read_request(operation, body, version)
    try:  # not before a request needs them: with them comes a second of imports, and an extra
        from streamdet.univariate import detection  # noqa: PLC0415
        from streamdet.univariate.change_point import change_points  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "streamdet":
            raise  # an error of our own: no extra mends it
        raise ConfigError(
            f"batch detection needs {error.name}, which is not installed:"
            ' pip install "streamdet[univariate]"'
        ) from None
    series = detection.even_series(request)
    period, slots = series.period, series.given
    if operation == "changepoint":
        is_change_point, confidence = change_points(
            series.values, period, request.stable_trend_window, request.threshold
        )
        return {
            "period": period,
            "isChangePoint": is_change_point[slots].tolist(),
            "confidenceScores": confidence[slots].tolist(),
        }
    outcome = detection.detect(request, series, last=operation == "last")
    found = boundary(outcome, request.sensitivity, request.boundary_version)
    positive = found.is_anomaly & (outcome.values > outcome.expected)
    columns = {
        "expectedValue": outcome.expected,
        "upperMargin": found.upper,
        "lowerMargin": found.lower,
        "isAnomaly": found.is_anomaly,
        "isNegativeAnomaly": found.is_anomaly & ~positive,
        "isPositiveAnomaly": positive,
    }
    if version == "v1.1":
        columns["severity"] = found.severity
    if operation == "last":
        window = 4 * period + 1 if period else _DEFAULT_WINDOW[request.granularity] + 1
        newest = {name: column[-1].item() for name, column in columns.items()}
        return {"period": period, "suggestedWindow": window, **newest}
    plural = {"expectedValue", "upperMargin", "lowerMargin"}
    return {
        "period": period,
        **{
            f"{name}s" if name in plural else name: column[slots].tolist()
            for name, column in columns.items()
        },
    }
