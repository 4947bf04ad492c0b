"""From points to an even row of values: what happens to late, doubled, uneven and missing points.

A section of its own in code only: in a file these options stand beside the others of `detection`.
"""

from __future__ import annotations

import difflib
import zoneinfo
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from streamdet.config.section import Problems, Section
from streamdet.config.values import MICROSECOND, Duration

Granularity = Literal[
    "yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly", "microsecond", "none"
]
ImputeMode = Literal["auto", "previous", "linear", "fixed", "zero", "notFill"]
Transform = Literal["none", "rate"]
LatePolicy = Literal["drop", "topic", "fill"]
DuplicatePolicy = Literal["first", "last", "mean", "sum"]
AggregateFunction = Literal[
    "mean", "sum", "min", "max", "count", "last", "p50", "p95", "p99", "rate"
]

_GRANULARITY = {  # of one length wherever they stand
    "weekly": timedelta(weeks=1),
    "daily": timedelta(days=1),
    "hourly": timedelta(hours=1),
    "minutely": timedelta(minutes=1),
    "secondly": timedelta(seconds=1),
    "microsecond": timedelta(milliseconds=1),  # as Azure's code has it, whatever the name says
}
_GRANULARITY_MONTHS = {"monthly": 1, "yearly": 12}
_SHORTEST_MONTH = timedelta(days=28)
_LONGEST_MONTH = timedelta(days=31)
_INTERVAL_MAX = timedelta(days=3660)
_INTERVAL_MAX_MONTHS = 120
_ROLLUP_MARK = "rollup"


def interval_us(granularity: Granularity, custom_interval: int) -> int:
    """Return granularity x customInterval in microseconds; 0 for `none`, years and months."""
    return _GRANULARITY.get(granularity, timedelta()) // MICROSECOND * custom_interval


def _known_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1, cutoff=0.7)
        hint = f"; did you mean {near[0]}?" if near else ", as Europe/Berlin or UTC are"
        raise ValueError(f"is no time zone of the IANA database{hint}") from None
    return name


class AggregateConfig(Section):
    """Windows: all points of one become one value."""

    interval: Duration | None = Field(
        default=None,
        ge=timedelta(milliseconds=1),
        le=_INTERVAL_MAX,
        description="Length of a window; null: granularity x customInterval.",
    )
    function: AggregateFunction = Field(
        description="What becomes of a window's points; rate: increase per second of a counter."
    )


class RollupConfig(Section):
    """A further series made of many: one for each combination of the dimensions `by`."""

    by: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        description="Dimensions that stay; the others are rolled up. []: all of them are."
    )
    function: AggregateFunction = Field(
        description="What becomes of the points of a window, of all the series together."
    )


class EventTimeConfig(Section):
    """How the points of a series become an even row of values."""

    granularity: Granularity = Field(
        default="none",
        description="Unit of the distance between values; none: found in the points.",
    )
    custom_interval: int = Field(
        default=1,
        alias="customInterval",
        ge=1,
        le=2**31 - 1,
        description="So many units of granularity lie between two values.",
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None,
        description="Zone (IANA name) whose clock days, weeks and seasons follow; null: UTC.",
    )
    allowed_lateness: Duration = Field(
        default=timedelta(),
        ge=timedelta(),
        le=timedelta(days=7),
        description="Points are held back so long, in event time, to be put in order.",
    )
    late: LatePolicy = Field(
        default="drop",
        description="A point that comes even later: counted only (drop), sent to output.late "
        "(topic), or remembered without a verdict (fill).",
    )
    duplicates: DuplicatePolicy = Field(
        default="first", description="Which value holds of points with one series and time."
    )
    tolerance: Duration | None = Field(
        default=None,
        ge=timedelta(),
        description="A point no further from the grid is moved onto it, any other left out; "
        "null: times are left as they are.",
    )
    aggregate: AggregateConfig | None = Field(
        default=None, description="Judge one value a window in place of points; null: do not."
    )
    rollup: RollupConfig | None = Field(
        default=None, description="Judge series rolled up over dimensions as well; null: do not."
    )
    absent_after: Duration | None = Field(
        default=None,
        ge=timedelta(milliseconds=1),
        le=timedelta(days=3660),
        description="A series silent for longer, while others speak, is reported; null: none is.",
    )
    transform: Transform = Field(
        default="none",
        description="What is judged: the value (none), or the increase per second of a counter "
        "(rate).",
    )
    impute_mode: ImputeMode = Field(
        default="auto",
        alias="imputeMode",
        description="What fills a gap: nothing (notFill), the value before (previous), the line "
        "between its ends (linear), 0 (zero) or imputeFixedValue (fixed); auto: linear once more "
        "than a tenth of the newest values is missing, else nothing.",
    )
    impute_fixed_value: float | None = Field(
        default=None,
        alias="imputeFixedValue",
        allow_inf_nan=False,
        description="What fills a gap in mode fixed.",
    )

    @property
    def interval_us(self) -> int:
        """granularity x customInterval; 0 when not known or of calendar length."""
        return interval_us(self.granularity, self.custom_interval)

    @property
    def calendar(self) -> bool:
        """Whether `grid_interval` is in months."""
        return self._aggregate_interval is None and self.granularity in _GRANULARITY_MONTHS

    @property
    def grid_interval(self) -> int:
        """Distance of two released values: microseconds, or months where `calendar`; 0: unknown."""
        if self._aggregate_interval is not None:
            return self._aggregate_interval // MICROSECOND
        if self.calendar:
            return _GRANULARITY_MONTHS[self.granularity] * self.custom_interval
        return self.interval_us

    @property
    def window(self) -> int:
        """Length of a window, as `grid_interval`; 0 where points are not aggregated."""
        return self.grid_interval if self.aggregate is not None else 0

    @property
    def allowed_lateness_us(self) -> int:
        """`allowed_lateness` in microseconds."""
        return self.allowed_lateness // MICROSECOND

    @property
    def tolerance_us(self) -> int:
        """`tolerance` in microseconds; -1 where points stay where they are."""
        return -1 if self.tolerance is None else self.tolerance // MICROSECOND

    @property
    def absent_after_us(self) -> int:
        """`absent_after` in microseconds; 0: never."""
        return 0 if self.absent_after is None else self.absent_after // MICROSECOND

    @property
    def _aggregate_interval(self) -> timedelta | None:
        return self.aggregate.interval if self.aggregate is not None else None

    @property
    def longest_interval(self) -> timedelta:
        """Distance of two released values at the longest; 0 where it is not known."""
        return self.grid_interval * (_LONGEST_MONTH if self.calendar else MICROSECOND)

    def problems(self) -> Problems:
        """Yield parameters that do not go together."""
        yield from self._grid_problems()
        yield from self._tolerance_problems()
        yield from self._rollup_problems()
        yield from self._counter_problems()
        if self.impute_mode == "fixed" and self.impute_fixed_value is None:
            yield ("imputeMode",), "needs imputeFixedValue beside it when it is fixed"
        if self.absent_after is not None and self.absent_after < 2 * self.longest_interval:
            what = "must be at least two intervals, else every slow point is an absence"
            yield ("absent_after",), f"{what}; raise it"

    def _grid_problems(self) -> Problems:
        beyond = self.calendar and self.grid_interval > _INTERVAL_MAX_MONTHS
        if beyond or self.interval_us > _INTERVAL_MAX // MICROSECOND:
            yield ("customInterval",), "makes an interval of more than ten years; lower it"
        if self.aggregate is None:
            return
        if self.aggregate.interval is None:
            if self.granularity == "none":
                yield ("aggregate",), "needs an interval, or a granularity beside it"
        elif self.granularity != "none" and self.interval_us != self.grid_interval:
            what = "is not granularity x customInterval"
            yield ("aggregate", "interval"), f"{what}; remove one of the two"

    def _tolerance_problems(self) -> Problems:
        if self.tolerance is None:
            return
        shortest = _SHORTEST_MONTH if self.calendar else MICROSECOND
        if self.aggregate is not None:
            yield (
                ("tolerance",),
                "has no effect with aggregate: a window takes every point; set null",
            )
        elif self.granularity == "none":
            yield ("tolerance",), "needs a granularity: without one there is no grid to move to"
        elif 2 * self.tolerance >= self.grid_interval * shortest:
            yield ("tolerance",), "must be less than half of granularity x customInterval"

    def _rollup_problems(self) -> Problems:
        if self.rollup is None:
            return
        if self._aggregate_interval is None and self.granularity == "none":
            yield ("rollup",), "needs a granularity, or aggregate.interval, for its windows"
        if len(set(self.rollup.by)) < len(self.rollup.by):
            yield ("rollup", "by"), "names a dimension twice; remove one"
        if _ROLLUP_MARK in self.rollup.by:
            what = f"must not have {_ROLLUP_MARK}: the dimension that tells rolled up series apart"
            yield ("rollup", "by"), what
        if self.rollup.function == "rate" or self.transform == "rate":
            what = "would take the counters of several series for one, with a restart at every turn"
            yield ("rollup",), f"{what}; roll up gauges only"

    def _counter_problems(self) -> Problems:
        if self.transform != "rate":
            return
        if self.aggregate is not None and self.aggregate.function == "rate":
            yield ("transform",), "is rate, and aggregate.function too; one of them is enough"
        if self.duplicates in ("mean", "sum"):
            what = "must be first or last with transform rate: no counter stood at a mean or a sum"
            yield ("duplicates",), what
