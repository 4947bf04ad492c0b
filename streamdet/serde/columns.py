"""Texts of points to columns by the parser, and the columns of a batch to one `Points`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streamdet.kernels.fields import DIMENSIONS_MAX
from streamdet.kernels.parse import (
    ARRAY,
    NOT_SURE,
    POINT,
    SEPARATOR,
    PointRules,
    Rows,
    Scratch,
    join_keys,
    parse_points,
)
from streamdet.kernels.words import WORD_BYTES
from streamdet.types import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamdet.serde.series import Identity


_NOTHING = bytes(WORD_BYTES)
_POINT_BYTES_MIN = len('{"value":1},')


class Texts(NamedTuple):
    """n texts, each of one point, with what reading them takes (see `kernels.parse`)."""

    texts: Sequence[bytes]
    size: NDArray[np.int64]
    """In bytes."""
    named: NDArray[np.bool_]
    own_us: NDArray[np.int64]
    latest_us: NDArray[np.int64]


class Parsed(NamedTuple):
    """What the parser made of n texts: points of those that it took, in their order."""

    buffer: NDArray[np.uint8]
    """The texts one behind the other."""
    form: NDArray[np.uint8]
    """Shape (n,): see `kernels.parse`."""
    second_key: NDArray[np.int64]
    """Shape (n, 2): start and end in `buffer`."""
    rows: Rows
    all_points: bool
    """Whether each text is a point, as most often."""

    def key_bytes(self, row: int) -> bytes:
        """Return the spelling of the series of a point."""
        start, size = int(self.rows.key_start[row]), int(self.rows.key_size[row])
        second_start, second_end = self.second_key[self.rows.record[row]].tolist()
        first = self.buffer[start : start + size].tobytes()
        if not second_end:
            return first
        return first + SEPARATOR.tobytes() + self.buffer[second_start:second_end].tobytes()


class Careful(NamedTuple):
    """Points of opened records; the series of each is known by its own text."""

    record: NDArray[np.integer]
    element: NDArray[np.integer]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    identities: list[Identity]

    def and_those(self, others: Careful) -> Careful:
        """Return the points of both."""
        return Careful(
            np.concatenate([self.record, others.record]),
            np.concatenate([self.element, others.element]),
            np.concatenate([self.time_us, others.time_us]),
            np.concatenate([self.value, others.value]),
            self.identities + others.identities,
        )


def parse(texts: Texts, rules: PointRules, max_bytes: int, *, whole: bool) -> Parsed:
    """Parse `texts`; those over `max_bytes` are not looked at, so not taken.

    whole : they are the values of records; False: each is one point.
    """
    n = len(texts.texts)
    # One copy of all that was fetched, into memory that the parser then finds in the cache.
    buffer = np.frombuffer(b"".join([*texts.texts, _NOTHING]), np.uint8)
    start = texts.size.cumsum() - texts.size
    size = texts.size
    if size.max(initial=0) > max_bytes:
        size = np.where(size > max_bytes, 0, size)
    form, second_key = np.empty(n, np.uint8), np.empty((n, 2), np.int64)
    parts: list[Rows] = []
    at, room = 0, n
    while True:
        to = _rows(room)
        parsed_to, k = parse_points(
            buffer, start, size, texts.named, whole, texts.own_us, texts.latest_us, rules, at,
            form, second_key, _scratch(), to,
        )  # fmt: skip
        parts.append(Rows._make([column[:k] for column in to]))
        if parsed_to == n:
            break
        # Records hold many points: room for as many as the rest has bytes for, or for one record.
        at = parsed_to
        room = max(2 * room, int(size[at:].sum()) // _POINT_BYTES_MIN, rules.points_max)
    rows = parts[0]
    if len(parts) > 1:
        rows = Rows._make([np.concatenate(columns) for columns in zip(*parts, strict=True)])
    return Parsed(buffer, form, second_key, rows, bool((form == POINT).all()))


def _rows(room: int) -> Rows:
    return Rows(
        record=np.empty(room, np.int32),
        element=np.empty(room, np.int32),
        time_us=np.empty(room, np.int64),
        value=np.empty(room),
        key_start=np.empty(room, np.int64),
        key_size=np.empty(room, np.int32),
    )


def _scratch() -> Scratch:
    return Scratch(np.empty((DIMENSIONS_MAX, 2), np.int64), np.empty((2, 3), np.int64))


def points_of(parsed: Parsed, offsets: NDArray[np.int64], record_us: NDArray[np.int64]) -> Points:
    """Return the points of a batch that its records are, or that requests hold; no arrays' points.

    offsets, record_us : int64, of each record
    """
    rows, buffer = parsed.rows, parsed.buffer
    if not parsed.all_points and (parsed.form == ARRAY).any():
        rows = Rows._make([column[parsed.form[rows.record] != ARRAY] for column in rows])
    start, size = rows.key_start, rows.key_size
    if parsed.second_key.any():
        buffer = _join_keys(parsed, rows)
    return Points(
        record=rows.record,
        element=rows.element,
        time_us=rows.time_us,
        value=rows.value,
        buffer=buffer,
        key_start=start,
        key_size=size,
        raw=np.ones(len(start), np.bool_),
        offset=offsets if parsed.all_points else offsets[rows.record],
        record_us=record_us if parsed.all_points else record_us[rows.record],
    )


def _join_keys(parsed: Parsed, rows: Rows) -> NDArray[np.uint8]:
    """Let the keys of `rows` that stand in two spans be one; return the buffer that has them."""
    taken = parsed.second_key[:, 1] > 0
    taken &= parsed.form != NOT_SURE
    of_row = np.flatnonzero(taken[rows.record])
    records, first, number = np.unique(rows.record[of_row], return_index=True, return_inverse=True)
    second_key = parsed.second_key[records]
    start, size = rows.key_start[of_row[first]], rows.key_size[of_row[first]].astype(np.int64)
    joined_size = size + second_key[:, 1] - second_key[:, 0] + len(SEPARATOR)
    joined = np.empty(joined_size.sum(), np.uint8)
    join_keys(parsed.buffer, start, size, second_key, joined)
    joined_start = len(parsed.buffer) + np.cumsum(joined_size) - joined_size
    rows.key_start[of_row] = joined_start[number]
    rows.key_size[of_row] = joined_size[number]
    return np.concatenate([parsed.buffer, joined])


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
