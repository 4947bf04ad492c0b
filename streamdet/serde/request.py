"""The request object of Azure's univariate API: the fields beside `series`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, get_args

from streamdet.config import (
    PERIODS_PER_RING,
    RING_LENGTH_MAX,
    Granularity,
    ImputeMode,
    interval_us,
)
from streamdet.errors import RecordError
from streamdet.serde.fields import Json, integer, number, text
from streamdet.types import Overrides, Reason

REQUEST_FIELDS = frozenset(
    {
        "series",
        "granularity",
        "customInterval",
        "sensitivity",
        "maxAnomalyRatio",
        "period",
        "imputeMode",
        "imputeFixedValue",
        "metric",
        "dimensions",
    }
)

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
IMPUTE_MODES: tuple[ImputeMode, ...] = get_args(ImputeMode)
_PERIOD_MAX = RING_LENGTH_MAX // PERIODS_PER_RING

_INT32_MAX = 2**31 - 1

Choice = TypeVar("Choice", bound=str)
_INTERVAL_MAX_US = 100 * 366 * 86_400 * 1_000_000  # a century; far from where int64 ends


def read_overrides(fields: Mapping[str, Json]) -> Overrides | None:
    """Return the detection parameters among `fields`, None when there are none.

    Raises
    ------
    RecordError
        `schema`, with the field's name and range.
    """
    impute_mode = _choice(fields, "imputeMode", IMPUTE_MODES)
    impute_fixed_value = _finite(fields, "imputeFixedValue")
    if impute_mode == "fixed" and impute_fixed_value is None:
        raise _refusal("imputeMode fixed needs the field imputeFixedValue")
    granularity, custom_interval = _grid(fields)
    overrides = Overrides(
        sensitivity=_whole(fields, "sensitivity", 0, 99),
        max_anomaly_ratio=_ratio(fields),
        period=_whole(fields, "period", 0, _PERIOD_MAX),
        impute_mode=impute_mode,
        impute_fixed_value=impute_fixed_value,
        granularity=granularity,
        custom_interval=custom_interval,
    )
    return None if overrides == Overrides() else overrides


def _grid(fields: Mapping[str, Json]) -> tuple[Granularity | None, int | None]:
    """Return granularity and customInterval; the second says nothing without the first."""
    granularity = _choice(fields, "granularity", GRANULARITIES)
    count = _whole(fields, "customInterval", 1, _INT32_MAX) or 1
    if granularity is None:
        return None, None
    if interval_us(granularity, count) > _INTERVAL_MAX_US:
        raise _refusal("customInterval makes an interval of more than a century")
    return granularity, count


def _whole(fields: Mapping[str, Json], name: str, least: int, most: int) -> int | None:
    if name not in fields:
        return None
    found = integer(fields[name], name)
    if not least <= found <= most:
        raise _refusal(f"{name} must be from {least} to {most}")
    return found


def _ratio(fields: Mapping[str, Json]) -> float | None:
    found = _finite(fields, "maxAnomalyRatio")
    if found is not None and not 0 < found < 0.5:
        raise _refusal("maxAnomalyRatio must be above 0 and below 0.5")
    return found


def _finite(fields: Mapping[str, Json], name: str) -> float | None:
    return number(fields[name], name) if name in fields else None


def _choice(fields: Mapping[str, Json], name: str, choices: tuple[Choice, ...]) -> Choice | None:
    if name not in fields:
        return None
    found = text(fields[name], name)
    for choice in choices:
        if choice == found:
            return choice
    raise _refusal(f"{name} must be one of {', '.join(choices)}")


def _refusal(message: str) -> RecordError:
    return RecordError(Reason.SCHEMA, message)
