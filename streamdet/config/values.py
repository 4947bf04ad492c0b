"""Durations and sizes as people write them: ``500ms``, ``7d``, ``1MiB``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

MICROSECOND = timedelta(microseconds=1)

_DURATION_UNITS = {  # largest first: the first that divides a duration is the one it is shown in
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": MICROSECOND,
}
_SIZE_UNITS = {
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_NUMBER_AND_UNIT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([A-Za-z]*)")


def parse_duration(value: object) -> timedelta:
    """Return the duration that `value` says: a number of seconds, or text such as ``500ms``.

    Raises
    ------
    ValueError
        It says none.
    """
    number, unit = _split(value, "a duration such as 500ms, 30s, 5m, 2h or 7d")
    if unit and unit not in _DURATION_UNITS:
        raise ValueError(f"must be a duration; its unit is one of {', '.join(_DURATION_UNITS)}")
    try:
        return number * _DURATION_UNITS[unit or "s"]
    except OverflowError:
        raise ValueError("is longer than any duration can be") from None


def format_duration(value: timedelta) -> str:
    """Return `value` in the largest unit that divides it; `parse_duration` reads it back."""
    unit = next((name for name, size in _DURATION_UNITS.items() if not value % size), "us")
    return f"{value // _DURATION_UNITS[unit]}{unit}" if value else "0s"


def parse_size(value: object) -> int:
    """Return the number of bytes that `value` says: a whole number, or text such as ``1MiB``.

    Raises
    ------
    ValueError
        It says none.
    """
    number, unit = _split(value, "a size such as 512KiB, 1MiB, or a number of bytes")
    if unit and unit not in _SIZE_UNITS:
        raise ValueError(f"must be a size; its unit is one of {', '.join(_SIZE_UNITS)}")
    size = number * _SIZE_UNITS[unit or "B"]
    if size != int(size):
        raise ValueError("must be a whole number of bytes")
    return int(size)


def format_size(value: int) -> str:
    """Return `value` in the largest binary unit that divides it."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if value % _SIZE_UNITS[unit] == 0), "B")
    return f"{value // _SIZE_UNITS[unit]}{unit}" if value else "0B"


def _split(value: object, wanted: str) -> tuple[float, str]:
    if isinstance(value, timedelta):
        return value.total_seconds(), "s"
    found = None if isinstance(value, bool) else _NUMBER_AND_UNIT.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"must be {wanted}")
    return float(found[1]), found[2]


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": ["string", "number"], "pattern": pattern, "examples": [example], "minimum": 0}
    )


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    _schema(r"^\d+(\.\d+)?\s*(us|ms|s|m|h|d)?$", "30s"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    _schema(r"^\d+(\.\d+)?\s*(B|[KMG]iB|[kMG]B)?$", "1MiB"),
]
