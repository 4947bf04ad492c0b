"""Bytes to columns of points, and verdicts to events. docs/formats.md describes every form.

Knows nothing of Kafka beyond `types.Record`, and nothing of detection.
"""

from streamdet.serde.dead_letter import dead_letter
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder, boundaries
from streamdet.serde.limits import DecodeLimits, TimestampUnit

__all__ = [
    "DecodeLimits",
    "Decoder",
    "EventEncoder",
    "TimestampUnit",
    "boundaries",
    "dead_letter",
]
