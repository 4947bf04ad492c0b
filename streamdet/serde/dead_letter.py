"""Refused records as dead letters: as they came, with the reason in the headers.

The headers follow KIP-1034 and Connect's `__connect.errors.*`, so that existing tools can be
pointed at the topic with another prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from streamdet import __version__
from streamdet.errors import RecordError
from streamdet.types import Headers, OutgoingRecord, Record, RecordBatch, Reject

PREFIX = "__streamdet.errors."

MAX_BYTES = 900 * 1_024
"""What is left of librdkafka's default `message.max.bytes` (1,000,000) for key and value."""
KEPT_BYTES = 64 * 1_024
HEADERS_MAX = 100
HEADERS_MAX_BYTES = 64 * 1_024
MESSAGE_MAX_BYTES = 1_024


def dead_letters(
    batch: RecordBatch, rejects: Sequence[Reject], topic: str
) -> Iterator[OutgoingRecord]:
    """Yield a dead letter for each record of `batch` with something refused, in record order."""
    record_of = attrgetter("record")
    for record, its_rejects in groupby(sorted(rejects, key=record_of), key=record_of):
        yield dead_letter(batch.record(record), list(its_rejects), topic)


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
    errors: dict[str, str | int] = {
        "reason": rejects[0].reason.value,
        "message": _cut(rejects[0].message, MESSAGE_MAX_BYTES),
        "exception": RecordError.__name__,
        "topic": record.partition.topic,
        "partition": record.partition.index,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "decoder": decoder,
        "version": __version__,
    }
    elements = [str(reject.element) for reject in rejects if reject.element is not None]
    if elements:
        errors["index"] = ",".join(elements)
    key, value = record.key, record.value
    kept = min(KEPT_BYTES, max_bytes // 2)
    if value is not None and len(value) > max(kept, max_bytes - len(key or b"")):
        errors["sha256"] = hashlib.sha256(value).hexdigest()
        errors["size"] = len(value)
        errors["truncated"] = "true"
        value = value[:kept]
    if key is not None and len(key) + len(value or b"") > max_bytes:
        errors["key_truncated"] = "true"
        key = key[:kept]
    headers = _own_headers(record.headers)
    if sum(not name.startswith(PREFIX) for name, _ in record.headers) > len(headers):
        errors["headers_truncated"] = "true"
    added = tuple((PREFIX + name, str(text).encode()) for name, text in errors.items())
    # No timestamp: brokers refuse records too far from their clock, and such a refusal ends the
    # transaction; the record's own time may be the very thing that was wrong with it.
    return OutgoingRecord(topic, key, value, headers + added)


def _own_headers(headers: Headers) -> Headers:
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
