"""How a series is judged: detection parameters in Azure's words, and rules that set them."""

from __future__ import annotations

import fnmatch
import re
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_serializer

from streamdet.config.section import Problems, Section
from streamdet.config.values import MICROSECOND
from streamdet.types import SeriesId

RING_LENGTH_MAX = 8640
RING_LENGTH_DEFAULT = 64
RING_LENGTH_TO_SEARCH = 1440
PERIODS_PER_RING = 3  # fewer and the season cannot be told from the points themselves

Granularity = Literal[
    "yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly", "microsecond", "none"
]
ImputeMode = Literal["auto", "previous", "linear", "fixed", "zero", "notFill"]
Direction = Literal["both", "up", "down"]
Transform = Literal["none", "rate"]
DetectorName = Literal["forecast", "spectral_residual", "threshold"]

_GRANULARITY = {  # years and months differ in length, so they have no interval
    "weekly": timedelta(weeks=1),
    "daily": timedelta(days=1),
    "hourly": timedelta(hours=1),
    "minutely": timedelta(minutes=1),
    "secondly": timedelta(seconds=1),
    "microsecond": timedelta(milliseconds=1),  # as Azure's code has it, whatever the name says
}
_INTERVAL_MAX = timedelta(days=3660)


def interval_us(granularity: Granularity, custom_interval: int) -> int:
    """Return granularity x customInterval in microseconds; 0 for `none`, years and months."""
    return _GRANULARITY.get(granularity, timedelta()) // MICROSECOND * custom_interval


_LATER = " Checked and kept; acts from a later version on."


_VALUE_MAX = 1e30  # of a point; beyond it a bound or a deviation has no meaning


class MinDeviationConfig(Section):
    """How far from the expected value a point must be, the larger of the two, to be an anomaly."""

    absolute: float = Field(
        default=0, ge=0, le=_VALUE_MAX, description="In the unit of the series."
    )
    relative: float = Field(
        default=0, ge=0, le=1e6, description="As a share of the expected value: 0.1 is a tenth."
    )


class SuppressConditionConfig(Section):
    """How many of the newest points must be out of the band for one to be an anomaly."""

    min_number: int = Field(
        default=1,
        alias="minNumber",
        ge=1,
        le=32,
        description="So many newest points are looked at.",
    )
    min_ratio: float = Field(
        default=100,
        alias="minRatio",
        gt=0,
        le=100,
        description="Percent of them that must be outside, the point itself among them.",
    )


class DetectionConfig(Section):
    """How a series is judged, in Azure's words."""

    detector: DetectorName = Field(
        default="forecast", description="What judges the series; see docs/detectors.md."
    )
    sensitivity: int = Field(
        default=75, ge=0, le=99, description="Higher: a narrower band, so more anomalies."
    )
    warmup: int = Field(
        default=12,
        ge=12,
        le=RING_LENGTH_MAX,
        description="Points of a series before its first verdict.",
    )
    period: int | None = Field(
        default=None,
        ge=0,
        le=RING_LENGTH_MAX // PERIODS_PER_RING,
        description="Points in a season (288: a day of five-minute points); null: found in the "
        "points, 0: none.",
    )
    granularity: Granularity = Field(
        default="none",
        description="Unit of the distance between points; none: found in the points.",
    )
    custom_interval: int = Field(
        default=1,
        alias="customInterval",
        ge=1,
        le=2**31 - 1,
        description="So many units of granularity lie between two points.",
    )
    ring_length: int | None = Field(
        default=None,
        ge=16,
        le=RING_LENGTH_MAX,
        description="Newest points kept of a series; null: three periods, at least 64, and 1440 "
        "where the period is to be found.",
    )
    max_anomaly_ratio: float = Field(
        default=0.25,
        alias="maxAnomalyRatio",
        gt=0,
        lt=0.5,
        description="Share of the newest ring_length points that may be anomalies.",
    )
    direction: Direction = Field(
        default="both", description="Which anomalies: above the band (up), below it (down), both."
    )
    min_deviation: MinDeviationConfig = Field(default=MinDeviationConfig(), alias="minDeviation")
    suppress_condition: SuppressConditionConfig = Field(
        default=SuppressConditionConfig(), alias="suppressCondition"
    )
    upper_bound: float | None = Field(
        default=None,
        alias="upperBound",
        ge=-_VALUE_MAX,
        le=_VALUE_MAX,
        description="A value above it is an anomaly whatever else is said; null: no bound.",
    )
    lower_bound: float | None = Field(
        default=None,
        alias="lowerBound",
        ge=-_VALUE_MAX,
        le=_VALUE_MAX,
        description="A value below it is an anomaly whatever else is said; null: no bound.",
    )
    transform: Transform = Field(
        default="none",
        description="What is judged: the value (none), or the increase per second of a counter "
        "(rate).",
    )
    impute_mode: ImputeMode = Field(
        default="auto", alias="imputeMode", description="How gaps are filled." + _LATER
    )
    impute_fixed_value: float | None = Field(
        default=None,
        alias="imputeFixedValue",
        allow_inf_nan=False,
        description="What fills a gap in mode fixed." + _LATER,
    )

    @property
    def interval_us(self) -> int:
        """Microseconds between two points; 0 when not known or of calendar length."""
        return interval_us(self.granularity, self.custom_interval)

    @property
    def ring_points(self) -> int:
        """Points a series' ring must hold at least, also where a request brought the period."""
        default = RING_LENGTH_TO_SEARCH if self.period is None else RING_LENGTH_DEFAULT
        return max(self.ring_length or default, PERIODS_PER_RING * (self.period or 0))

    def problems(self) -> Problems:
        """Yield parameters that do not go together."""
        needed = PERIODS_PER_RING * (self.period or 0)
        if self.ring_length is not None and self.ring_length < needed:
            yield ("ring_length",), f"must hold three periods: at least {needed}, or null"
        if self.impute_mode == "fixed" and self.impute_fixed_value is None:
            yield ("imputeMode",), "needs imputeFixedValue beside it when it is fixed"
        if self.interval_us > _INTERVAL_MAX // MICROSECOND:
            yield ("customInterval",), "makes an interval of more than ten years; lower it"
        bounds = (self.lower_bound, self.upper_bound)
        if self.detector == "threshold" and bounds == (None, None):
            yield ("detector",), "is threshold, which needs upperBound or lowerBound beside it"
        if None not in bounds and bounds[0] > bounds[1]:  # type: ignore[operator]
            yield ("lowerBound",), "must not be above upperBound; every value would be an anomaly"


class MatchConfig(Section):
    """Which series a rule is for. Globs (``*``, ``?``, ``[a-z]``), case sensitive."""

    metric: str = Field(
        default="*", min_length=1, description="Glob that the whole metric name matches."
    )
    dimensions: dict[str, str] = Field(
        default={}, description="Dimension name -> glob; the series must have and match every one."
    )

    @cached_property
    def globs(self) -> tuple[re.Pattern[str], tuple[tuple[str, re.Pattern[str]], ...]]:
        """The globs, compiled: of the metric, and of each dimension by name."""
        dimensions = ((name, _glob(glob)) for name, glob in self.dimensions.items())
        return _glob(self.metric), tuple(dimensions)

    def fits(self, series: SeriesId) -> bool:
        """Return whether `series` is one this is for."""
        metric, dimensions = self.globs
        values = dict(series.dimensions)
        return metric.match(series.metric) is not None and all(
            name in values and glob.match(values[name]) for name, glob in dimensions
        )


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


class RuleConfig(Section):
    """Detection parameters for the series that match."""

    match: MatchConfig = Field(description="Which series.")
    set: DetectionConfig = Field(description="Parameters that differ from `detection`.")

    @field_serializer("set")
    def _only_what_is_set(self, parameters: DetectionConfig) -> dict[str, Any]:
        return parameters.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def over(self, detection: DetectionConfig) -> DetectionConfig:
        """Return `detection` with what this rule sets."""
        names = self.set.model_fields_set
        return detection.model_copy(update={name: getattr(self.set, name) for name in names})
