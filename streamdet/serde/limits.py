"""What a record may hold, and the unit of integer times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamdet.config import LimitsConfig

TimestampUnit = Literal["s", "ms", "us", "ns"]

TICKS: dict[TimestampUnit, tuple[int, int]] = {
    "s": (1_000_000, 1),
    "ms": (1_000, 1),
    "us": (1, 1),
    "ns": (1, 1_000),
}
"""Unit -> (multiplier, divisor) that turn it to microseconds."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds of an input record. What is beyond them is a dead letter.

    Sizes are bytes of UTF-8. The defaults of names and dimensions are above what Prometheus and
    its kin produce and small enough that a series' identity fits a header.
    """

    max_record_bytes: int = 1_048_576
    earliest_us: int = 946_684_800_000_000
    """The earliest event time, microseconds since 1970: 2000-01-01. Seconds taken for
    milliseconds land in January 1970, so they are found out."""
    max_future_us: int = 86_400_000_000
    """How far past the record's own time an event time may be; unchecked where that is unknown."""
    max_dimensions: int = 64
    name_max_bytes: int = 256
    """Of the metric and of each dimension's name."""
    dimension_value_max_bytes: int = 1_024
    points_max: int = 8_640
    """Points of one record; the limit of the Azure service."""

    @staticmethod
    def of(limits: LimitsConfig) -> DecodeLimits:
        """Return what the operator set, with the format's own limits."""
        return DecodeLimits(
            max_record_bytes=limits.max_record_bytes,
            earliest_us=limits.earliest_us,
            max_future_us=limits.max_future_us,
            max_dimensions=limits.max_dimensions,
        )
