"""Refused records as dead letters, and late ones: as they came, with the reason in the headers.

The headers follow KIP-1034 and Connect's `__connect.errors.*`, so that existing tools can be
pointed at the topic with another prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter

from streamdet import __version__
from streamdet.errors import RecordError
from streamdet.types import Headers, OutgoingRecord, Record, RecordBatch, Reject

PREFIX = "__streamdet.errors."
_COUNTED = re.compile(rb"[1-9][0-9]{0,3}")

MAX_BYTES = 900 * 1_024
"""What is left of librdkafka's default `message.max.bytes` (1,000,000) for key and value."""
KEPT_BYTES = 64 * 1_024
HEADERS_MAX = 100
HEADERS_MAX_BYTES = 64 * 1_024
MESSAGE_MAX_BYTES = 1_024

ATTEMPT = f"{PREFIX}attempt"
"""Header of a record that was sent in again, and of what is said of it then."""

LATE = "late"
"""What stands where a dead letter has its reason; no `Reason`, since nothing is wrong with it."""


def dead_letters(
    batch: RecordBatch, rejects: Sequence[Reject], topic: str
) -> Iterator[OutgoingRecord]:
    """Yield a dead letter for each record of `batch` with something refused, in record order."""
    record_of = attrgetter("record")
    for record, its_rejects in groupby(sorted(rejects, key=record_of), key=record_of):
        yield dead_letter(batch.record(record), list(its_rejects), topic)


def late_records(
    batch: RecordBatch, late: Sequence[tuple[int, int | None]], topic: str
) -> Iterator[OutgoingRecord]:
    """Yield each record of `batch` with a late point for `topic`, in record order.

    Parameters
    ----------
    late
        The late points in any order: index of the record in the batch, and place of the point in
        the record's array, None where the record is the point. What stands there twice, because a
        point counts for two series, is told once.
    """
    points = sorted(set(late), key=lambda point: (point[0], -1 if point[1] is None else point[1]))
    for index, its_points in groupby(points, key=itemgetter(0)):
        record = batch.record(index)
        errors = {"reason": LATE, **_origin(record), "version": __version__}
        elements = [element for _, element in its_points]
        yield _outgoing(record, errors, elements, topic, MAX_BYTES)


def dead_letter(
    record: Record,
    rejects: Sequence[Reject],
    topic: str,
    *,
    decoder: str = "json",
    max_bytes: int = MAX_BYTES,
) -> OutgoingRecord:
    """Return the dead letter of `record` for `topic`: one, however many of its points are bad.

    Parameters
    ----------
    rejects
        What is wrong with the record, at least one; the first gives reason and message.
    decoder
        Name of the format that refused it.
    max_bytes
        Bytes of key and value that may be produced. Of what is larger, the first 64 KiB stay,
        with the size and the SHA-256 of the whole.
    """
    errors = {
        "reason": rejects[0].reason.value,
        "message": _cut(rejects[0].message, MESSAGE_MAX_BYTES),
        "exception": RecordError.__name__,
        **_origin(record),
        "decoder": decoder,
        "version": __version__,
    }
    elements = [reject.element for reject in rejects]
    return _outgoing(record, errors, elements, topic, max_bytes)


def _origin(record: Record) -> dict[str, str]:
    return {
        "topic": record.partition.topic,
        "partition": str(record.partition.index),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
    }


def _outgoing(
    record: Record,
    errors: dict[str, str],
    elements: Sequence[int | None],
    topic: str,
    max_bytes: int,
) -> OutgoingRecord:
    """Return `record` for `topic`, cut to what may be produced, with `errors` in its headers."""
    places = [str(element) for element in elements if element is not None]
    if places:
        errors["index"] = ",".join(places)
    key, value = record.key, record.value
    kept = min(KEPT_BYTES, max_bytes // 2)
    if value is not None and len(value) > max(kept, max_bytes - len(key or b"")):
        errors["sha256"] = hashlib.sha256(value).hexdigest()
        errors["size"] = str(len(value))
        errors["truncated"] = "true"
        value = value[:kept]
    if key is not None and len(key) + len(value or b"") > max_bytes:
        errors["key_truncated"] = "true"
        key = key[:kept]
    attempt = attempt_of(record.headers)
    if attempt > 1:
        errors["attempt"] = str(attempt)
    headers = own_headers(record.headers)
    if sum(not name.startswith(PREFIX) for name, _ in record.headers) > len(headers):
        errors["headers_truncated"] = "true"
    added = tuple((PREFIX + name, text.encode()) for name, text in errors.items())
    # No timestamp: brokers refuse records too far from their clock, and such a refusal ends the
    # transaction; the record's own time may be the very thing that was wrong with it.
    return OutgoingRecord(topic, key, value, headers + added)


def attempt_of(headers: Headers) -> int:
    """Return which attempt at its record this is; 1, where nobody has counted."""
    told = [value for name, value in headers if name == ATTEMPT]
    counted = _COUNTED.fullmatch(told[-1] or b"") if told else None
    return int(counted[0]) if counted else 1


def own_headers(headers: Headers) -> Headers:
    """Return the producer's headers, as many as are kept, without those of earlier refusals."""
    own: list[tuple[str, bytes | None]] = []
    size = 0
    for name, value in headers:
        if name.startswith(PREFIX):
            continue
        size += len(name.encode(errors="replace")) + len(value or b"")
        if len(own) == HEADERS_MAX or size > HEADERS_MAX_BYTES:
            break
        own.append((name, value))
    return tuple(own)


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")
