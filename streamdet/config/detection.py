"""How a series is judged: detection parameters in Azure's words, and rules that set them."""

from __future__ import annotations

import fnmatch
import re
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_serializer

from streamdet.config.event_time import EventTimeConfig
from streamdet.config.section import Problems, Section
from streamdet.types import SeriesId

RING_LENGTH_MAX = 8640
RING_LENGTH_DEFAULT = 64
RING_LENGTH_TO_SEARCH = 1440
PERIODS_PER_RING = 3  # fewer and the season cannot be told from the points themselves

Direction = Literal["both", "up", "down"]
DetectorName = Literal["forecast", "spectral_residual", "threshold"]

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


class DetectionConfig(EventTimeConfig):
    """How a series is judged, in Azure's words, and before it how its points become values."""

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

    @property
    def ring_points(self) -> int:
        """Points a series' ring must hold at least, also where a request brought the period."""
        default = RING_LENGTH_TO_SEARCH if self.period is None else RING_LENGTH_DEFAULT
        return max(self.ring_length or default, PERIODS_PER_RING * (self.period or 0))

    def problems(self) -> Problems:
        """Yield parameters that do not go together."""
        yield from super().problems()
        needed = PERIODS_PER_RING * (self.period or 0)
        if self.ring_length is not None and self.ring_length < needed:
            yield ("ring_length",), f"must hold three periods: at least {needed}, or null"
        if self.late == "fill" and self.detector != "forecast":
            what = "is fill, which only the detector forecast can do"
            yield ("late",), f"{what}; make it drop or topic"
        if self.late == "fill" and self.aggregate is not None:
            what = "is fill, which has no effect with aggregate: a window that is over stays so"
            yield ("late",), f"{what}; make it drop or topic"
        if self.late == "fill" and self.transform == "rate":
            what = "is fill, but no rate is known of a counter's point that was passed over"
            yield ("late",), f"{what}; make it drop or topic"
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
