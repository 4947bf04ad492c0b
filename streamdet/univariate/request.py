"""A request of Azure's univariate API: JSON to checked values, or the error that Azure gives.

Each field is decoded by itself, so that what is wrong with it has the code of that field. Fields
that are not known are ignored, as the service ignored them; null is as if the field were absent.

Source: systems.md 2.1 (fields, ranges, defaults), 2.3 (change points), 2.4 (codes, messages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType
from numpy.typing import NDArray

from streamdet.errors import RequestError
from streamdet.univariate.grid import Granularity, slots_of
from streamdet.univariate.timestamps import parse_timestamps

Operation = Literal["entire", "last", "changepoint"]
Version = Literal["v1.0", "v1.1"]
ImputeMode = Literal["auto", "previous", "linear", "fixed", "zero", "notFill"]
BoundaryVersion = Literal["V1", "V2", "V3"]

POINTS_MIN = 12
POINTS_MAX = 8640
_VALUE_MAX = 1e100
_INT32_MAX = 2**31 - 1

_STABLE_TREND_WINDOW: dict[Granularity, int] = {
    "yearly": 3,
    "monthly": 6,
    "weekly": 3,
    "daily": 5,
    "hourly": 24,
    "minutely": 72,
    "secondly": 72,
    "microsecond": 100,
    "none": 100,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request that can be answered."""

    values: NDArray[np.float64]
    slots: NDArray[np.int64]
    """Of each value the slot of the grid that it is for; the first is 0."""
    granularity: Granularity
    custom_interval: int
    period: int | None
    """In slots; 0: none, None: to be found."""
    max_anomaly_ratio: float
    sensitivity: int
    impute_mode: ImputeMode
    impute_fixed_value: float
    boundary_version: BoundaryVersion
    stable_trend_window: int
    threshold: float
    """Of a change point's confidence."""

    @property
    def span(self) -> int:
        """Slots of the grid from the first value to the last."""
        return int(self.slots[-1]) + 1


class _Point(msgspec.Struct, gc=False):  # neither field refers to anything
    value: float
    timestamp: str | None = None


class _Body(msgspec.Struct, rename="camel"):
    """Every field as it stands in the body: what is wrong with one is told by its own code."""

    series: Raw | UnsetType = UNSET
    granularity: Raw | UnsetType = UNSET
    custom_interval: Raw | UnsetType = UNSET
    period: Raw | UnsetType = UNSET
    max_anomaly_ratio: Raw | UnsetType = UNSET
    sensitivity: Raw | UnsetType = UNSET
    impute_mode: Raw | UnsetType = UNSET
    impute_fixed_value: Raw | UnsetType = UNSET
    boundary_version: Raw | UnsetType = UNSET
    stable_trend_window: Raw | UnsetType = UNSET
    threshold: Raw | UnsetType = UNSET


def read_request(operation: Operation, body: bytes, version: Version = "v1.1") -> Request:
    """Return what `body` asks for.

    Raises
    ------
    RequestError
        With the code and message that Azure's service has for it.
    """
    fields = _read_body(body)
    if operation == "changepoint" and _absent(fields.granularity):
        raise RequestError("RequiredGranularity", _REQUIRED.format("granularity"))
    granularity = _read_granularity(fields.granularity)
    custom_interval = _whole(fields.custom_interval, 1, _INT32_MAX, *_CUSTOM_INTERVAL)
    points = _read_points(fields.series)
    values, slots = _on_grid(points, granularity, custom_interval or 1)
    impute_mode, impute_fixed_value = _read_imputation(fields, version)
    request = Request(
        values=values,
        slots=slots,
        granularity=granularity,
        custom_interval=custom_interval or 1,
        period=_whole(fields.period, 0, _INT32_MAX, *_PERIOD),
        max_anomaly_ratio=_read_ratio(fields.max_anomaly_ratio),
        sensitivity=_given(_whole(fields.sensitivity, 0, 100, *_SENSITIVITY), 99),
        impute_mode=impute_mode,
        impute_fixed_value=impute_fixed_value,
        boundary_version=_read_boundary_version(fields.boundary_version),
        stable_trend_window=_read_stable_trend_window(fields, granularity, len(values)),
        threshold=_read_threshold(fields.threshold, granularity),
    )
    if request.period is not None and request.span < 2 * request.period + 1:
        raise RequestError(
            "InvalidModelArgument", "The 'series' field must have more than 2 periods points."
        )
    return request


_REQUIRED = "The '{}' field is required in request."
_CUSTOM_INTERVAL = (
    "InvalidCustomInterval",
    "The 'customInterval' field must be an integer > 0.",
)
_PERIOD = ("InvalidPeriod", "The 'period' field must be an integer >= 0.")
_SENSITIVITY = (
    "InvalidModelArgument",
    "The 'sensitivity' field must be an integer between 0 and 99.",
)
_RATIO = (
    "InvalidModelArgument",
    "The 'maxAnomalyRatio' field must be less than 50% of the series points"
    " (0 < maxAnomalyRatio < 0.5).",
)
_THRESHOLD = (
    "InvalidModelArgument",
    "The 'threshold' field must be a float between 0.01 and 0.99.",
)
_STABLE_TREND = (
    "InvalidModelArgument",
    "The 'stableTrendWindow' field must be an integer >= 3 and < half of series' length.",
)


def _read_body(body: bytes) -> _Body:
    if not body.strip():
        raise RequestError("InvalidJsonFormat", "Invalid Json Format, input data is Empty.")
    try:
        return msgspec.json.decode(body, type=_Body)
    except msgspec.ValidationError as error:
        raise RequestError(
            "InvalidJsonFormat", f"Invalid Json Format, the request is no object: {error}."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("InvalidJsonFormat", f"Invalid Json Format, {error}.") from None


def _read_points(field: Raw | UnsetType) -> list[_Point]:
    if _absent(field):
        raise RequestError("RequiredSeries", _REQUIRED.format("series"))
    try:
        points = msgspec.json.decode(field, type=list[_Point])  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "BadArgument", f"'timestamp' or 'value' is malformed in 'series' field: {error}."
        ) from None
    if len(points) < POINTS_MIN:
        raise RequestError(
            "InvalidSeries", f"The 'series' field must have at least {POINTS_MIN} points."
        )
    if len(points) > POINTS_MAX:
        raise RequestError(
            "InvalidSeries", f"The 'series' field cannot have more than {POINTS_MAX} points."
        )
    return points


def _on_grid(
    points: list[_Point], granularity: Granularity, custom_interval: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the values, and the slot of each."""
    values = np.array([point.value for point in points], np.float64)
    if np.abs(values).max() > _VALUE_MAX:
        raise RequestError(
            "InvalidSeries",
            f"The magnitude of data in 'value' at index {int(np.abs(values).argmax())} is too"
            f" large, it has to be at most {_VALUE_MAX:g}.",
        )
    stamps = [point.timestamp for point in points]
    if granularity == "none" and all(stamp is None for stamp in stamps):
        return values, np.arange(len(values))
    times_us = parse_timestamps(stamps)
    steps_us = np.diff(times_us)
    if (steps_us < 0).any():
        raise RequestError(
            "InvalidSeries", "The 'series' field must be sorted by timestamp in ascending order."
        )
    if (steps_us == 0).any():
        raise RequestError("InvalidSeries", "The 'series' field cannot have duplicated timestamp.")
    return values, slots_of(times_us, granularity, custom_interval)


def _read_granularity(field: Raw | UnsetType) -> Granularity:
    if _absent(field):
        return "none"
    names = get_args(Granularity)
    found = _decoded(
        field,
        str,
        "InvalidGranularity",
        message := (
            f"The 'granularity' field can only be one of the following: {', '.join(names)}."
        ),
    )
    if found not in names:
        raise RequestError("InvalidGranularity", message)
    granularity: Granularity = found  # type: ignore[assignment]  # it is one of them
    return granularity


def _read_imputation(fields: _Body, version: Version) -> tuple[ImputeMode, float]:
    """Return mode and fixed value; v1.0 has neither field."""
    if version == "v1.0" or _absent(fields.impute_mode):
        return "auto", 0.0
    message = (
        "The 'imputeMode' field is required and should be one of the following: "
        f"{', '.join(get_args(ImputeMode))}."
    )
    mode = _decoded(fields.impute_mode, str, "InvalidImputeMode", message)
    if mode not in get_args(ImputeMode):
        raise RequestError("InvalidImputeMode", message)
    fixed = 0.0
    if mode == "fixed":
        error = ("InvalidImputeFixedValue", "The 'imputeFixedValue' field must be a number.")
        if _absent(fields.impute_fixed_value):
            raise RequestError(*error)
        fixed = _decoded(fields.impute_fixed_value, float, *error)
        if abs(fixed) > _VALUE_MAX:
            raise RequestError(*error)
    return mode, fixed  # type: ignore[return-value]  # it is one of them


def _read_ratio(field: Raw | UnsetType) -> float:
    ratio = 0.25 if _absent(field) else _decoded(field, float, *_RATIO)
    if not 0 < ratio < 0.5:
        raise RequestError(*_RATIO)
    return ratio


def _read_boundary_version(field: Raw | UnsetType) -> BoundaryVersion:
    if _absent(field):
        return "V2"
    error = (
        "InvalidModelArgument",
        "The 'boundaryVersion' field can only be one of the following: V1, V2, V3.",
    )
    version = _decoded(field, str, *error)
    if version not in get_args(BoundaryVersion):
        raise RequestError(*error)
    return version  # type: ignore[return-value]  # it is one of them


def _read_stable_trend_window(fields: _Body, granularity: Granularity, count: int) -> int:
    if _absent(fields.stable_trend_window):
        return min(_STABLE_TREND_WINDOW[granularity], (count - 1) // 2)
    window = _whole(fields.stable_trend_window, 3, (count - 1) // 2, *_STABLE_TREND)
    return _given(window, 3)


def _read_threshold(field: Raw | UnsetType, granularity: Granularity) -> float:
    if _absent(field):
        return 0.91 if granularity == "hourly" else 0.9
    threshold = _decoded(field, float, *_THRESHOLD)
    if not 0.01 <= threshold <= 0.99:
        raise RequestError(*_THRESHOLD)
    return threshold


def _absent(field: Raw | UnsetType) -> bool:
    return isinstance(field, UnsetType) or bytes(field) == b"null"


def _decoded(field: Raw | UnsetType, kind: type[T], code: str, message: str) -> T:
    try:
        return msgspec.json.decode(field, type=kind)  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestError(code, message) from None


def _whole(field: Raw | UnsetType, least: int, most: int, code: str, message: str) -> int | None:
    if _absent(field):
        return None
    number = _decoded(field, int, code, message)
    if not least <= number <= most:
        raise RequestError(code, message)
    return number


def _given(found: int | None, default: int) -> int:
    return default if found is None else found
