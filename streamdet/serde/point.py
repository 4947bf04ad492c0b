"""The careful decoder: one record's bytes to points, with a reason for whatever is refused.

It takes every form of the input (docs/formats.md); `kernels.parse` takes the plain native point
only and leaves to this one whatever it is not sure of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from streamdet.errors import RecordError
from streamdet.kernels.scalars import FIRST_US, NO_TIME, VALUE_MAX
from streamdet.serde.fields import (
    Json,
    check_text,
    integer,
    items,
    members,
    number,
    refuse_unknown,
    text,
)
from streamdet.serde.instant import parse_instant
from streamdet.serde.limits import TICKS, DecodeLimits, TimestampUnit
from streamdet.serde.request import REQUEST_FIELDS, read_overrides
from streamdet.serde.series import Identity, IdentityReader, remember
from streamdet.types import Overrides, Reason

POINT_FIELDS = frozenset({"metric", "dimensions", "timestamp", "value"})
_SERIES_POINT_FIELDS = frozenset({"timestamp", "value"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class PointTime(NamedTuple):
    """What reading an event time takes."""

    own_us: int
    """Stands in for an absent timestamp; NO_TIME when nothing may."""
    latest_us: int
    unit: TimestampUnit


class OpenedRecord(NamedTuple):
    """A record's points, each still JSON text."""

    points: list[Json]
    single: bool
    """The record is one native point, not an array of points."""
    identity: Identity | None = None
    """The series of all points of a request; None: each point names its own."""
    overrides: Overrides | None = None


class RecordDecoder:
    """Decodes one record at a time, whatever its form."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._identities = IdentityReader(limits)
        self._keys: dict[bytes, Identity] = {}

    def open(self, value: bytes, read_key: Callable[[], bytes | None]) -> OpenedRecord:
        """Return the points that the record with `value` holds.

        Raises
        ------
        RecordError
            The whole record is refused.
        """
        if not value:
            raise RecordError(Reason.EMPTY, "the value has no bytes")
        if len(value) > self._limits.max_record_bytes:
            most = self._limits.max_record_bytes
            raise RecordError(
                Reason.TOO_LARGE, f"the value has {len(value)} bytes; at most {most} are accepted"
            )
        document = document_of(value)
        check_text(document)
        if document.startswith(b"["):
            return OpenedRecord(self._elements(document, "the record"), single=False)
        if b'"series"' in document or b'"granularity"' in document:
            fields = members(document, "the record")
            if "series" in fields or "granularity" in fields:
                return self._open_request(fields, read_key)
        return OpenedRecord([document], single=True)

    def point(
        self, text: Json, identity: Identity | None, time: PointTime
    ) -> tuple[int, float, Identity]:
        """Return time, value and series of one point of an opened record.

        Raises
        ------
        RecordError
            This point is refused.
        """
        fields = members(text, "the point")
        if identity is not None:
            refuse_unknown(fields, _SERIES_POINT_FIELDS, "a point of a series")
        else:
            refuse_unknown(fields, POINT_FIELDS, "a point")
            if "metric" not in fields:
                raise RecordError(Reason.SCHEMA, "the point lacks the field 'metric'")
            identity = self._identities.read(fields["metric"], fields.get("dimensions"))
        if "value" not in fields:
            raise RecordError(Reason.SCHEMA, "the point lacks the field 'value'")
        time_us = self._time_us(fields.get("timestamp"), time)
        value = number(fields["value"], "value", Reason.VALUE)
        if abs(value) > VALUE_MAX:
            raise RecordError(Reason.VALUE, f"value is beyond {VALUE_MAX:g}; scale it down")
        return time_us, value, identity

    def identify(self, text: Json) -> Identity:
        """Return the series of a plain native point; raises as `point` does."""
        fields = members(text, "the point")
        return self._identities.read(fields["metric"], fields.get("dimensions"))

    def identify_key(self, key: bytes) -> Identity:
        """Return the series of a key that the parser found (`kernels.parse`)."""
        known = self._keys.get(key)
        if known is None:
            first = b"metric" if key.startswith(b'"') else b"dimensions"
            known = self.identify(b'{"%b":%b}' % (first, key))
            remember(self._keys, key, known, len(key))
        return known

    def _open_request(
        self, fields: Mapping[str, Json], read_key: Callable[[], bytes | None]
    ) -> OpenedRecord:
        refuse_unknown(fields, REQUEST_FIELDS, "a request")
        if "series" not in fields:
            raise RecordError(Reason.SCHEMA, "the request lacks the field 'series'")
        overrides = read_overrides(fields)
        metric = fields["metric"] if "metric" in fields else _metric_of_key(read_key())
        identity = self._identities.read(metric, fields.get("dimensions"))
        return OpenedRecord(self._elements(fields["series"], "series"), False, identity, overrides)

    def _elements(self, array: Json, what: str) -> list[Json]:
        points = items(array, what)
        if not points:
            raise RecordError(Reason.EMPTY, f"{what} is an array without a point")
        most = self._limits.points_max
        if len(points) > most:
            fault = f"{what} has {len(points)} points; at most {most} are accepted"
            raise RecordError(Reason.TOO_MANY_POINTS, fault)
        return [bytes(point) for point in points]

    def _time_us(self, timestamp: Json | None, time: PointTime) -> int:
        if timestamp is None:
            if time.own_us == NO_TIME:
                raise RecordError(
                    Reason.TIMESTAMP,
                    "timestamp is absent: only a native point, or the one point of a series, may "
                    "do without, if the record has a time of its own",
                )
            time_us = time.own_us
        elif timestamp.startswith(b'"'):
            time_us = parse_instant(text(timestamp, "timestamp"))
        else:
            multiplier, divisor = TICKS[time.unit]
            time_us = integer(timestamp, "timestamp", Reason.TIMESTAMP) * multiplier // divisor
        hint = f"; integers are read as {time.unit} (timestamp_unit)"
        if time_us < max(self._limits.earliest_us, FIRST_US):
            fault = f"timestamp is before limits.earliest{hint}"
            raise RecordError(Reason.TIMESTAMP_RANGE, fault)
        if time_us > time.latest_us:
            ahead_s = self._limits.max_future_us / 1e6
            fault = f"timestamp is more than {ahead_s:g} s past the record's own time{hint}"
            raise RecordError(Reason.TIMESTAMP_RANGE, fault)
        return time_us


def document_of(value: bytes) -> Json:
    """Return the JSON text in a record's value: without byte order mark, and blanks around it."""
    return value.removeprefix(_BYTE_ORDER_MARK).strip(b" \t\r\n")


def _metric_of_key(key: bytes | None) -> str:
    if not key:
        fault = "the request lacks the field 'metric', and the record has no key"
        raise RecordError(Reason.SCHEMA, fault)
    try:
        return key.decode()
    except UnicodeDecodeError:
        fault = "the request lacks the field 'metric', and the record's key is not UTF-8"
        raise RecordError(Reason.SCHEMA, fault) from None
