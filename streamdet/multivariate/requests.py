"""The requests of the multivariate operations: read, checked, with Azure's defaults and codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

import msgspec
import numpy as np

from streamdet.errors import RequestError
from streamdet.multivariate.data import (
    ALIGN_MODES,
    FILL_METHODS,
    VARIABLES_MAX,
    AlignPolicy,
    Column,
    format_time,
    parse_time,
)
from streamdet.multivariate.source import MULTI_TABLE, ONE_TABLE, without_secrets

SLIDING_WINDOW = 300
SLIDING_WINDOW_MIN, SLIDING_WINDOW_MAX = 28, 2880
TOP = 10  # contributors of an anomaly that are told
TOP_MAX = 30
PAGE = 10
PAGE_MAX = 300
_NAME_MAX = 24
_SOURCE_MAX = 2048
_INT64_MAX = 2**63 - 1

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A request to train a model."""

    source: str
    schema: str
    start_us: int
    end_us: int
    display_name: str
    sliding_window: int
    policy: AlignPolicy

    def info(self) -> Fields:
        """Return it as a model's `modelInfo` tells it."""
        return {
            "dataSource": without_secrets(self.source),
            "dataSchema": self.schema,
            "startTime": format_time(self.start_us),
            "endTime": format_time(self.end_us),
            "displayName": self.display_name,
            "slidingWindow": self.sliding_window,
            "alignPolicy": {
                "alignMode": self.policy.mode,
                "fillNAMethod": self.policy.fill,
                "paddingValue": self.policy.padding_value,
            },
        }


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request to judge a source."""

    source: str
    top: int
    start_us: int
    end_us: int

    def info(self) -> Fields:
        """Return it as a result's `setupInfo` tells it."""
        return {
            "dataSource": without_secrets(self.source),
            "topContributorCount": self.top,
            "startTime": format_time(self.start_us),
            "endTime": format_time(self.end_us),
        }


class _Variable(msgspec.Struct):
    timestamps: list[str]
    values: list[float | None]
    variable: str | None = None
    name: str | None = None  # as the examples of Azure's specification have it


class _LastRequest(msgspec.Struct, rename="camel"):
    variables: list[_Variable]
    top_contributor_count: int | None = None


def read_train(body: bytes) -> TrainRequest:
    """Read a request to train; its errors are those of `Operations.train`."""
    fields = _fields(body)
    source = _source(fields)
    start_us, end_us = _times(fields)
    schema = _or(fields.get("dataSchema"), ONE_TABLE)
    if schema not in (ONE_TABLE, MULTI_TABLE):
        _refuse("The 'dataSchema' field must be one of the following: 'OneTable' or 'MultiTable'.")
    name = _or(fields.get("displayName"), "")
    if not isinstance(name, str) or len(name) > _NAME_MAX:
        _refuse(f"The 'displayName' field must be a text of at most {_NAME_MAX} characters.")
    window = _or(fields.get("slidingWindow"), SLIDING_WINDOW)
    if not _whole(window) or not SLIDING_WINDOW_MIN <= window <= SLIDING_WINDOW_MAX:
        raise RequestError(
            "InvalidSlidingWindow",
            f"The 'slidingWindow' field must be an integer between {SLIDING_WINDOW_MIN} and "
            f"{SLIDING_WINDOW_MAX}.",
        )
    policy = _policy(_or(fields.get("alignPolicy"), {}))
    return TrainRequest(source, schema, start_us, end_us, name, window, policy)


def read_batch(body: bytes) -> BatchRequest:
    """Read a request to judge a source; its errors are those of `Operations.detect_batch`."""
    fields = _fields(body)
    source = _source(fields)
    start_us, end_us = _times(fields)
    return BatchRequest(source, _top(fields.get("topContributorCount")), start_us, end_us)


def read_last(body: bytes) -> tuple[list[Column], int]:
    """Read the points of a `detect_last`, and how many contributors are to be told."""
    try:
        request = msgspec.json.decode(body, type=_LastRequest)
    except msgspec.ValidationError as error:
        _refuse(f"The request has another form than {{variables, topContributorCount}}: {error}.")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_json(error)
    if len(request.variables) > VARIABLES_MAX:
        raise RequestError(
            "DataExceedsLimit",
            f"There are {len(request.variables)} variables; the limit is {VARIABLES_MAX}.",
        )
    columns: list[Column] = []
    timestamps: list[str] = []
    time_us = np.empty(0, np.int64)
    for k, each in enumerate(request.variables):
        name = each.variable if each.variable is not None else each.name
        if name is None:
            _refuse(f"The 'variable' field of variables[{k}] is required.")
        if len(each.timestamps) != len(each.values):
            raise RequestError(
                "VariableParseError",
                f"Variable {name!r} parse error: it has {len(each.timestamps)} timestamps and "
                f"{len(each.values)} values.",
            )
        if each.timestamps != timestamps:  # most requests send the same ones with each variable
            timestamps = each.timestamps
            time_us = np.array([parse_time(text) for text in timestamps], np.int64)
        columns.append(Column(name, time_us, np.array(each.values, np.float64)))
    return columns, _top(request.top_contributor_count)


def read_paging(skip: object, top: object) -> tuple[int, int]:
    """Return `skip` and `top` of a list, given as texts, numbers or None."""
    first, count = _paging(skip, 0), _paging(top, PAGE)
    return first, min(count, PAGE_MAX)


def _paging(given: object, default: int) -> int:
    if given is None:
        return default
    number = -1
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 20:
        number = int(given)
    elif isinstance(given, int) and _whole(given):
        number = given
    if not 0 <= number <= _INT64_MAX:
        _refuse("Invalid values for $skip or $top: each must be an integer >= 0.")
    return number


def _fields(body: bytes) -> Fields:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse_json(error)
    if not isinstance(fields, dict):
        raise RequestError("InvalidJsonFormat", "Invalid JSON format: the request is no object.")
    return fields


def _source(fields: Fields) -> str:
    source = fields.get("dataSource")
    if source is None or source == "":
        _refuse_missing("RequiredSource", "dataSource")
    if not isinstance(source, str) or len(source) > _SOURCE_MAX:
        _refuse(f"The 'dataSource' field must be a text of at most {_SOURCE_MAX} characters.")
    return source


def _times(fields: Fields) -> tuple[int, int]:
    instants = []
    for name in ("startTime", "endTime"):
        text = fields.get(name)
        if text is None:
            _refuse_missing(f"Required{name[0].upper()}{name[1:]}", name)
        instants.append(parse_time(text))
    if instants[1] < instants[0]:
        _refuse("The 'endTime' field must not be before 'startTime'.")
    return instants[0], instants[1]


def _policy(fields: object) -> AlignPolicy:
    if not isinstance(fields, dict):
        _refuse("The 'alignPolicy' field must be an object.")
    default = AlignPolicy()
    mode = _or(fields.get("alignMode"), default.mode)
    if mode not in ALIGN_MODES:
        raise RequestError(
            "InvalidAlignMode",
            "The 'alignMode' field must be one of the following: 'Inner' or 'Outer'.",
        )
    fill = _or(fields.get("fillNAMethod"), default.fill)
    if fill not in FILL_METHODS:
        raise RequestError(
            "InvalidFillNAMethod",
            "The 'fillNAMethod' field must be one of the following: "
            f"{', '.join(repr(method) for method in FILL_METHODS)}.",
        )
    padding = fields.get("paddingValue")
    if padding is None and fill == "Fixed":
        raise RequestError(
            "RequiredPaddingValue",
            "The 'paddingValue' field is required in the request when 'fillNAMethod' is 'Fixed'.",
        )
    if padding is not None and not _finite(padding):
        _refuse("The 'paddingValue' field must be a number.")
    known = cast(Literal["Inner", "Outer"], mode)
    return AlignPolicy(known, fill, float(_or(padding, default.padding_value)))


def _top(given: object) -> int:
    if given is None:
        return TOP
    if not isinstance(given, int) or not _whole(given) or not 1 <= given <= TOP_MAX:
        _refuse(f"The 'topContributorCount' field must be an integer between 1 and {TOP_MAX}.")
    return given


def _or(given: Any, default: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    return default if given is None else given


def _whole(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def _finite(given: object) -> bool:
    try:
        number = isinstance(given, int | float) and not isinstance(given, bool)
        return number and math.isfinite(float(given))  # type: ignore[arg-type]
    except OverflowError:
        return False


def _refuse(message: str) -> NoReturn:
    raise RequestError("InvalidRequestParameterError", message)


def _refuse_missing(code: str, field: str) -> NoReturn:
    raise RequestError(code, f"The '{field}' field is required in the request.")


def _refuse_json(error: Exception) -> NoReturn:
    raise RequestError("InvalidJsonFormat", f"Invalid JSON format: {error}.")
