"""Texts of points to columns by the parser, and the columns of a batch to one `Points`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streamdet.kernels.parse import SEPARATOR, PointRules, join_keys, parse_points
from streamdet.types import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamdet.serde.series import Identity


class Texts(NamedTuple):
    """n texts, each of one point, with what reading them takes (see `kernels.parse`)."""

    texts: Sequence[bytes]
    named: NDArray[np.bool_]
    own_us: NDArray[np.int64]
    latest_us: NDArray[np.int64]


class Parsed(NamedTuple):
    """What the parser made of n texts: columns of n, which mean something where `ok`."""

    blob: bytes
    """The texts one behind the other."""
    ok: NDArray[np.bool_]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    key: NDArray[np.int64]
    second_key: NDArray[np.int64]
    """Shape (n, 2) both: start and end in `blob`."""

    def key_bytes(self, i: int) -> bytes:
        """Return the spelling of the series of text `i`."""
        start, end = self.key[i].tolist()
        second_start, second_end = self.second_key[i].tolist()
        first = self.blob[start:end]
        if not second_end:
            return first
        return first + SEPARATOR.tobytes() + self.blob[second_start:second_end]


class Careful(NamedTuple):
    """Points of opened records; the series of each is known by its own text."""

    record: NDArray[np.int64]
    element: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    identities: Sequence[Identity]


def parse(texts: Texts, rules: PointRules, max_bytes: int) -> Parsed:
    """Parse `texts`; those over `max_bytes` are not looked at, so not ok."""
    n = len(texts.texts)
    blob = b"".join(texts.texts)
    size = np.fromiter(map(len, texts.texts), np.int64, n)
    start = np.cumsum(size) - size
    size[size > max_bytes] = 0
    parsed = Parsed(
        blob,
        np.empty(n, np.bool_),
        np.empty(n, np.int64),
        np.empty(n, np.float64),
        np.empty((n, 2), np.int64),
        np.empty((n, 2), np.int64),
    )
    buffer = np.frombuffer(blob, np.uint8)
    parse_points(
        buffer, start, size, texts.named, texts.own_us, texts.latest_us, rules, *parsed[1:]
    )
    return parsed


def points_of(parsed: Parsed, offsets: NDArray[np.int64], record_us: NDArray[np.int64]) -> Points:
    """Return the points of a batch whose records were each parsed as one point, or left out.

    offsets, record_us : int64, of each record
    """
    plain = np.flatnonzero(parsed.ok)
    key, second_key = parsed.key[plain], parsed.second_key[plain]
    buffer = np.frombuffer(parsed.blob, np.uint8)
    start = key[:, 0]
    size = key[:, 1] - start
    apart = np.flatnonzero(second_key[:, 1])
    if len(apart):
        size[apart] += second_key[apart, 1] - second_key[apart, 0] + len(SEPARATOR)
        joined = np.empty(size[apart].sum(), np.uint8)
        join_keys(buffer, key[apart], second_key[apart], joined)
        start[apart] = len(buffer) + np.cumsum(size[apart]) - size[apart]
        buffer = np.concatenate([buffer, joined])
    return Points(
        record=plain.astype(np.int32),
        element=np.full(len(plain), -1, np.int32),
        time_us=parsed.time_us[plain],
        value=parsed.value[plain],
        buffer=buffer,
        key_start=start,
        key_size=size.astype(np.int32),
        raw=np.ones(len(plain), np.bool_),
        offset=offsets[plain],
        record_us=record_us[plain],
    )


def merged(
    plain: Points,
    careful: Careful,
    offsets: NDArray[np.int64],
    record_us: NDArray[np.int64],
) -> Points:
    """Return all points in record order; the last two as in `points_of`."""
    places: dict[bytes, int] = {}
    filled = len(plain.buffer)
    for key in {identity.key: None for identity in careful.identities}:
        places[key] = filled
        filled += len(key)
    keys = [identity.key for identity in careful.identities]
    n = len(keys)
    order = np.argsort(np.concatenate([plain.record, careful.record]), kind="stable")

    def column(of_plain: NDArray[np.generic], of_careful: NDArray[np.generic]) -> NDArray[Any]:
        return np.concatenate([of_plain, of_careful.astype(of_plain.dtype)])[order]

    return Points(
        record=column(plain.record, careful.record),
        element=column(plain.element, careful.element),
        time_us=column(plain.time_us, careful.time_us),
        value=column(plain.value, careful.value),
        buffer=np.concatenate([plain.buffer, np.frombuffer(b"".join(places), np.uint8)]),
        key_start=column(plain.key_start, np.fromiter(map(places.__getitem__, keys), np.int64, n)),
        key_size=column(plain.key_size, np.fromiter(map(len, keys), np.int64, n)),
        raw=column(plain.raw, np.zeros(n, np.bool_)),
        offset=column(plain.offset, offsets[careful.record]),
        record_us=column(plain.record_us, record_us[careful.record]),
    )
