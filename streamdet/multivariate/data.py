"""From columns of points to one table of n timestamps and m variables, without holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError

VARIABLES_MAX = 301
TRAINING_MAX = 1_000_000  # timestamps of a variable
ALIGN_MODES = ("Inner", "Outer")
FILL_METHODS = ("Previous", "Subsequent", "Linear", "Zero", "Fixed")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Column:
    """The points of one variable as they came."""

    variable: str
    time_us: NDArray[np.int64]
    """Shape (n,): in any order; of equal ones the last holds."""
    value: NDArray[np.float64]
    """Shape (n,): NaN where there is none."""


@dataclass(frozen=True, slots=True)
class AlignPolicy:
    """How variables of different timestamps become one table; Azure's names and defaults."""

    mode: Literal["Inner", "Outer"] = "Outer"
    fill: Literal["Previous", "Subsequent", "Linear", "Zero", "Fixed"] = "Linear"
    padding_value: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """A table of n timestamps and m variables; no value is missing."""

    variables: tuple[str, ...]
    time_us: NDArray[np.int64]
    """Shape (n,): ascending, each once."""
    value: NDArray[np.float64]
    """Shape (n, m)."""
    states: list[dict[str, Any]]
    """Azure's `variableStates`, one of each variable."""


def parse_time(text: object) -> int:
    """Return the microseconds since 1970 of an ISO 8601 time; without a zone it is UTC.

    Raises
    ------
    RequestError
        InvalidTimestampFormat: it is no such time.
    """
    try:
        instant = datetime.fromisoformat(text)  # type: ignore[arg-type]
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return (instant - _EPOCH) // _MICROSECOND
    except (TypeError, ValueError, OverflowError):
        raise RequestError(
            "InvalidTimestampFormat",
            f"Invalid timestamp format. The {str(text)[:64]!r} is not a valid format: "
            "write it as 2021-01-01T00:00:00Z.",
        ) from None


def format_time(time_us: int) -> str:
    """Return `time_us` as ISO 8601 in UTC, with the digits of the fraction that it has."""
    instant = _EPOCH + timedelta(microseconds=time_us)
    return instant.isoformat().removesuffix("+00:00") + "Z"


def align(columns: Sequence[Column], policy: AlignPolicy) -> Frame:
    """Join columns by their timestamps and fill what is missing.

    Values before a variable's first one, or after its last, are the nearest value where the
    method itself (`Previous`, `Subsequent`, `Linear`) has none: a table has no holes.

    Raises
    ------
    RequestError
        NoVariablesFound, DuplicatedVariables, DataExceedsLimit (more than 301 variables),
        TooManyData, NoData (a variable without a value, or no timestamp common to all).
    """
    if not columns:
        raise RequestError(
            "NoVariablesFound",
            "No variables found. Check that your files are organized as per instruction.",
        )
    names = [column.variable for column in columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError(
            "DuplicatedVariables", f"There are multiple variables with the same name: {twice!r}."
        )
    if len(names) > VARIABLES_MAX:
        raise RequestError(
            "DataExceedsLimit",
            f"There are {len(names)} variables; the limit is {VARIABLES_MAX}.",
        )
    present = [_present(column) for column in columns]
    time_us = present[0].time_us
    if any(not np.array_equal(column.time_us, time_us) for column in present[1:]):
        time_us = _joined(present, policy.mode)
    if not len(time_us):
        raise RequestError(
            "NoData",
            "There is no effective data: no timestamp is common to all variables. "
            "Check startTime, endTime and alignMode.",
        )
    value = np.empty((len(time_us), len(present)))
    states = []
    for j, column in enumerate(present):
        value[:, j], filled = _on(time_us, column, policy)
        states.append(
            {
                "variable": column.variable,
                "filledNARatio": filled / len(time_us),
                "effectiveCount": len(column.time_us),
                "firstTimestamp": format_time(int(column.time_us[0])),
                "lastTimestamp": format_time(int(column.time_us[-1])),
            }
        )
    return Frame(tuple(names), time_us, value, states)


def _present(column: Column) -> Column:
    """Return the column's values that are numbers, by ascending time, of equal times the last."""
    finite = np.isfinite(column.value)
    time_us, value = column.time_us[finite], column.value[finite]
    if not len(time_us):
        raise RequestError(
            "NoData",
            f"There is no effective data of variable {column.variable!r}. "
            "Check startTime and endTime.",
        )
    if len(time_us) > TRAINING_MAX:
        raise RequestError(
            "TooManyData",
            f"Too many data points. Maximum number is {TRAINING_MAX} per variable; "
            f"variable {column.variable!r} has {len(time_us)}.",
        )
    if np.any(np.diff(time_us) <= 0):
        order = np.argsort(time_us, kind="stable")
        time_us, value = time_us[order], value[order]
        last = np.append(np.diff(time_us) > 0, True)
        time_us, value = time_us[last], value[last]
    return Column(column.variable, time_us, value)


def _joined(columns: Sequence[Column], mode: str) -> NDArray[np.int64]:
    every, count = np.unique(
        np.concatenate([column.time_us for column in columns]), return_counts=True
    )
    return every if mode == "Outer" else every[count == len(columns)]


def _on(
    time_us: NDArray[np.int64], column: Column, policy: AlignPolicy
) -> tuple[NDArray[np.float64], int]:
    """Return the column's values at `time_us`, and how many of them were filled in."""
    had, value = column.time_us, column.value
    if np.array_equal(had, time_us):
        return value, 0
    before = np.searchsorted(had, time_us, side="right") - 1  # the value at or before
    known = had[np.maximum(before, 0)] == time_us
    last = len(had) - 1
    if policy.fill == "Linear":
        # by position, not by time, as the service did: the table's rows are taken as even
        rows = np.flatnonzero(known)
        filled = np.interp(np.arange(len(time_us)), rows, value[before[rows]])
    elif policy.fill == "Previous":
        filled = value[np.maximum(before, 0)]
    elif policy.fill == "Subsequent":
        filled = value[np.minimum(np.where(known, before, before + 1), last)]
    else:
        padding = policy.padding_value if policy.fill == "Fixed" else 0.0
        filled = np.where(known, value[np.maximum(before, 0)], padding)
    return filled, int(np.count_nonzero(~known))
