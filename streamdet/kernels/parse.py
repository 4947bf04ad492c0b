"""A parser for plain points: bytes of many messages in, columns out.

It takes a native point, an array of them, and a request with a `series` and no parameters; what it
does not fully understand it leaves, the whole message, to the careful decoder. What it accepts,
the careful decoder accepts with the same bits.

One message is one span of the buffer and is read within that span only. Joining messages into
one document to parse them at once was ruled out: ``{..},{..}`` in one message would pass as two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.fields import (
    CLOSE,
    COMMA,
    DIMENSIONS,
    METRIC,
    OPEN,
    SERIES,
    TIMESTAMP,
    VALUE,
    dimensions_at,
    field_at,
    plain_text,
    skip_blank,
)
from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.scalars import LAST_US, NO_TIME, VALUE_MAX, number, timestamp

OPEN_ARRAY, CLOSE_ARRAY = ord("["), ord("]")
SEPARATOR = np.frombuffer(b',"dimensions":', np.uint8)
NOT_SURE, POINT, REQUEST, ARRAY = 0, 1, 2, 3
"""Forms of a text; NOT_SURE: decode it the careful way."""

_NOT_SURE = -1
_FULL = -2


class PointRules(NamedTuple):
    """What a point must keep to; `multiplier / divisor` turns integer times to microseconds."""

    name_max_bytes: int
    dimension_value_max_bytes: int
    dimensions_max: int
    multiplier: int
    divisor: int
    earliest_us: int
    points_max: int
    """Of one message."""


class Rows(NamedTuple):
    """Points in the order of their messages: room for them."""

    record: NDArray[np.int32]
    """Index of the message."""
    element: NDArray[np.int32]
    """Place in the message's array; -1: the message is the point."""
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    key_start: NDArray[np.int64]
    key_size: NDArray[np.int32]
    """The bytes that tell the series, or the first part of them (see `parse_points`)."""


class Scratch(NamedTuple):
    """What the parser notes of one object."""

    names: NDArray[np.int64]
    """Shape (DIMENSIONS_MAX, 2)."""
    spans: NDArray[np.int64]
    """Shape (2, 3): start, end and ordinal of the metric, and of the dimensions."""


@kernel
def parse_points(
    buffer,
    start,
    size,
    named,
    whole,
    own_us,
    latest_us,
    rules,
    first,
    form,
    second_key,
    scratch,
    to,
):
    """Parse the texts ``buffer[start:start+size]`` from text `first` on, until `to` is full.

    Parameters
    ----------
    buffer : uint8 (bytes,)
        With WORD_BYTES zeros behind the last text.
    start, size : int64 (n,)
    named : bool (n,)
        False: a point of a series named elsewhere, so with a timestamp and a value only.
    whole : bool
        The texts are messages; False: each is one point.
    own_us : int64 (n,)
        Stands in for an absent timestamp; NO_TIME where there is nothing to stand in.
    latest_us : int64 (n,)
        The latest time that is accepted.
    rules : PointRules
    first : int
    form : uint8 (n,)
        Out: one of the above; a text that is NOT_SURE has no rows in `to`.
    second_key : int64 (n, 2)
        Out: start and end of the second part of the bytes that tell the series; empty unless
        metric and dimensions stand apart in the message.
    scratch : Scratch
    to : Rows
        Out.

    Returns
    -------
    (next, k)
        The text to start with next time; rows in `to`.
    """
    k = 0
    ticks_max = LAST_US // rules.multiplier
    for i in range(first, len(start)):
        end = start[i] + size[i]
        second_key[i, 0] = second_key[i, 1] = 0
        found = _message(
            buffer, start[i], end, named[i], whole, own_us[i], latest_us[i], rules, ticks_max, i,
            second_key[i], scratch, to, k,
        )  # fmt: skip
        if found == _FULL:
            return i, k
        if found == _NOT_SURE:
            form[i] = NOT_SURE
            continue
        form[i] = POINT
        if to.element[k] >= 0:
            form[i] = ARRAY if buffer[skip_blank(buffer, start[i], end)] == OPEN_ARRAY else REQUEST
        k = found
    return len(start), k


@kernel
def join_keys(buffer, start, size, second_key, out):
    """Write each key that stands in two spans to `out`, as one whose parts stand together.

    start, size : of the first span of each; `size` becomes that of the whole
    """
    at = 0
    for i in range(len(start)):
        first = at
        at = _append(out, at, buffer, start[i], start[i] + size[i])
        at = _append(out, at, SEPARATOR, 0, len(SEPARATOR))
        at = _append(out, at, buffer, second_key[i, 0], second_key[i, 1])
        size[i] = at - first


@inlined
def _append(out, at, source, start, end):
    for i in range(start, end):
        out[at] = source[i]
        at += 1
    return at


@inlined
def _message(  # noqa: PLR0911
    buffer,
    at,
    end,
    named,
    whole,
    own_us,
    latest_us,
    rules,
    ticks_max,
    index,
    second_key,
    scratch,
    to,
    k,
):
    """Write the points of one text behind row `k`; return the next row, _NOT_SURE or _FULL."""
    at = skip_blank(buffer, at, end)
    many = whole and at < end and buffer[at] == OPEN_ARRAY
    if many:
        at = skip_blank(buffer, at + 1, end)
    element = 0 if many else -1
    while True:
        if k >= len(to.value):
            return _FULL
        its_first = k
        at, seen, time, found, k = _object(
            buffer, at, end, own_us, latest_us, rules, ticks_max, index, scratch, to, k
        )
        if at < 0:
            return at
        if seen & SERIES:
            if many or not whole or seen & ~DIMENSIONS != METRIC | SERIES:
                return _NOT_SURE
        else:
            if seen & TIMESTAMP == 0:
                time = own_us
            required = METRIC | VALUE if named else VALUE
            optional = DIMENSIONS | TIMESTAMP if named else TIMESTAMP
            if seen & ~optional != required or not _is_valid(time, found, latest_us, rules):
                return _NOT_SURE
            _emit(to, k, index, element, time, found)
            k += 1
        if named:
            key_start, key_end = _key(scratch.spans, seen & DIMENSIONS != 0, second_key)
            if many and second_key[1] > 0:
                return _NOT_SURE
            for row in range(its_first, k):
                to.key_start[row] = key_start
                to.key_size[row] = key_end - key_start
        at = skip_blank(buffer, at, end)
        if not many:
            return k if at == end else _NOT_SURE
        if at < end and buffer[at] == CLOSE_ARRAY:
            return k if skip_blank(buffer, at + 1, end) == end else _NOT_SURE
        element += 1
        if at >= end or buffer[at] != COMMA or element >= rules.points_max:
            return _NOT_SURE
        at = skip_blank(buffer, at + 1, end)


@inlined
def _emit(to, k, index, element, time_us, value):
    to.record[k] = index
    to.element[k] = element
    to.time_us[k] = time_us
    to.value[k] = value


@inlined
def _is_valid(time_us, value, latest_us, rules):
    return rules.earliest_us <= time_us <= latest_us and abs(value) <= VALUE_MAX


@inlined
def _object(buffer, at, end, own_us, latest_us, rules, ticks_max, index, scratch, to, k):
    """Return (position behind or _NOT_SURE or _FULL, fields seen, time, value, next row).

    `scratch.spans` gets start, end and ordinal of metric and dimensions. The points of a `series`
    are written behind row `k`.
    """
    seen = ordinal = 0
    time, found = NO_TIME, np.nan
    spans = scratch.spans
    if at >= end or buffer[at] != OPEN:
        return _NOT_SURE, seen, time, found, k
    while True:
        at = skip_blank(buffer, at + 1, end)
        field, at = field_at(buffer, at, end)
        if field == 0 or seen & field:
            return _NOT_SURE, seen, time, found, k
        seen |= field
        at = skip_blank(buffer, at, end)
        first = at
        if field == METRIC:
            at = plain_text(buffer, at, end)
            if at - first < 3 or at - first - 2 > rules.name_max_bytes:
                return _NOT_SURE, seen, time, found, k
            spans[0, 0], spans[0, 1], spans[0, 2] = first, at, ordinal
        elif field == DIMENSIONS:
            at = dimensions_at(buffer, at, end, rules, scratch.names)
            spans[1, 0], spans[1, 1], spans[1, 2] = first, at, ordinal
        elif field == TIMESTAMP:
            at, time = timestamp(buffer, at, end, rules.multiplier, rules.divisor, ticks_max)
        elif field == VALUE:
            at, found = number(buffer, at, end)
        else:
            at, k = _series(buffer, at, end, own_us, latest_us, rules, ticks_max, index, to, k)
        if at < 0:
            return at, seen, time, found, k
        ordinal += 1
        at = skip_blank(buffer, at, end)
        if at >= end or buffer[at] != COMMA:
            break
    if at >= end or buffer[at] != CLOSE:
        return _NOT_SURE, seen, time, found, k
    return at + 1, seen, time, found, k


@inlined
def _series(buffer, at, end, own_us, latest_us, rules, ticks_max, index, to, k):  # noqa: PLR0911
    """Write the points of a `series`; return (position behind, _NOT_SURE or _FULL; next row)."""
    if at >= end or buffer[at] != OPEN_ARRAY:
        return _NOT_SURE, k
    element = 0
    at = skip_blank(buffer, at + 1, end)
    while True:
        if k >= len(to.value):
            return _FULL, k
        if at >= end or buffer[at] != OPEN:
            return _NOT_SURE, k
        seen = 0
        time, found = NO_TIME, np.nan
        while True:
            at = skip_blank(buffer, at + 1, end)
            field, at = field_at(buffer, at, end)
            if field & (TIMESTAMP | VALUE) == 0 or seen & field:
                return _NOT_SURE, k
            seen |= field
            at = skip_blank(buffer, at, end)
            if field == TIMESTAMP:
                at, time = timestamp(buffer, at, end, rules.multiplier, rules.divisor, ticks_max)
            else:
                at, found = number(buffer, at, end)
            if at < 0:
                return _NOT_SURE, k
            at = skip_blank(buffer, at, end)
            if at >= end or buffer[at] != COMMA:
                break
        if at >= end or buffer[at] != CLOSE:
            return _NOT_SURE, k
        at = skip_blank(buffer, at + 1, end)
        last = at < end and buffer[at] == CLOSE_ARRAY
        if seen & TIMESTAMP == 0 and last and element == 0:
            time = own_us
        if seen & VALUE == 0 or not _is_valid(time, found, latest_us, rules):
            return _NOT_SURE, k
        _emit(to, k, index, element, time, found)
        k += 1
        if last:
            return at + 1, k
        element += 1
        if at >= end or buffer[at] != COMMA or element >= rules.points_max:
            return _NOT_SURE, k
        at = skip_blank(buffer, at + 1, end)


@inlined
def _key(spans, has_dimensions, second_key):
    """Return start and end of the series' bytes; what stands apart of them goes to `second_key`.

    The metric alone, the metric before the dimensions (``"m","dimensions":{..}``), the dimensions
    before the metric (``{..},"metric":"m"``), or the two apart, which `join_keys` turns to the
    second. Whichever it is can be read off the bytes, so equal bytes mean an equal identity.
    """
    if not has_dimensions:
        return spans[0, 0], spans[0, 1]
    if abs(spans[0, 2] - spans[1, 2]) == 1:
        return min(spans[0, 0], spans[1, 0]), max(spans[0, 1], spans[1, 1])
    second_key[0], second_key[1] = spans[1, 0], spans[1, 1]
    return spans[0, 0], spans[0, 1]
