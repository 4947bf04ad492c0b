"""A parser for the plain native point: bytes of many messages in, columns out.

It takes only what it fully understands and says `False` for the rest; the careful decoder then
looks at that message alone. What it accepts, the careful decoder accepts with the same bits.

One message is one span of the buffer and is read within that span only. Joining messages into
one document to parse them at once was ruled out: ``{..},{..}`` in one message would pass as two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamdet.kernels.jit import allocating, inlined, kernel
from streamdet.kernels.scalars import NO_TIME, VALUE_MAX, number, timestamp

QUOTE, COMMA, COLON, OPEN, CLOSE = ord('"'), ord(","), ord(":"), ord("{"), ord("}")
UNDERSCORE, BACKSLASH = ord("_"), ord("\\")

# Field names, found by their size: no two are equally long.
NAMES = np.zeros((11, 10), np.uint8)
for name in (b"metric", b"dimensions", b"timestamp", b"value"):
    NAMES[len(name), : len(name)] = np.frombuffer(name, np.uint8)
PLAIN = np.array([0x20 <= byte <= 0x7E and byte not in b'"\\' for byte in range(256)])
SEPARATOR = np.frombuffer(b',"dimensions":', np.uint8)
METRIC, DIMENSIONS, TIMESTAMP, VALUE = 1, 2, 4, 8

DIMENSIONS_MAX = 32  # repeated names are looked for pair by pair; more go the careful way


class PointRules(NamedTuple):
    """What a point must keep to; `multiplier / divisor` turns integer times to microseconds."""

    name_max_bytes: int
    dimension_value_max_bytes: int
    dimensions_max: int
    multiplier: int
    divisor: int
    earliest_us: int


@allocating
def parse_points(
    buffer, start, size, named, own_us, latest_us, rules, ok, time_us, value, key, second_key
):
    """Parse the texts ``buffer[start:start+size]`` as native points.

    Parameters
    ----------
    buffer : uint8 (bytes,)
    start, size : int64 (n,)
    named : bool (n,)
        False: a point of a series named elsewhere, so with a timestamp and a value only.
    own_us : int64 (n,)
        Stands in for an absent timestamp; NO_TIME where there is nothing to stand in.
    latest_us : int64 (n,)
        The latest time that is accepted.
    rules : PointRules
    ok : bool (n,)
        Out: False: not sure, decode it the careful way. The other columns then mean nothing.
    time_us : int64 (n,)
    value : float64 (n,)
        Out: finite.
    key, second_key : int64 (n, 2)
        Out: start and end of the bytes that tell the series. The second is empty unless metric
        and dimensions stand apart in the message.
    """
    names = np.empty((DIMENSIONS_MAX, 2), np.int64)
    spans = np.empty((2, 3), np.int64)
    for i in range(len(start)):
        end = start[i] + size[i]
        seen, time, found = _point(buffer, start[i], end, rules, names, spans)
        if seen & TIMESTAMP == 0:
            time = own_us[i]
        required = METRIC | VALUE if named[i] else VALUE
        optional = DIMENSIONS | TIMESTAMP if named[i] else TIMESTAMP
        ok[i] = (
            seen & ~optional == required
            and rules.earliest_us <= time <= latest_us[i]
            and abs(found) <= VALUE_MAX
        )
        time_us[i] = time
        value[i] = found
        if ok[i] and named[i]:
            _key(spans, seen & DIMENSIONS != 0, key[i], second_key[i])


@kernel
def join_keys(buffer, key, second_key, out):
    """Write each key that stands in two spans to `out`, as one whose parts stand together."""
    at = 0
    for i in range(len(key)):
        at = _append(out, at, buffer, key[i, 0], key[i, 1])
        at = _append(out, at, SEPARATOR, 0, len(SEPARATOR))
        at = _append(out, at, buffer, second_key[i, 0], second_key[i, 1])


@inlined
def _append(out, at, source, start, end):
    for i in range(start, end):
        out[at] = source[i]
        at += 1
    return at


@inlined
def _point(buffer, at, end, rules, names, spans):  # noqa: PLR0911
    """Return (fields seen, time, value); no fields means: not sure.

    `spans` gets start, end and ordinal of the metric (row 0) and of the dimensions (row 1).
    """
    seen = 0
    time = NO_TIME
    found = np.nan
    ordinal = 0
    at = _blank(buffer, at, end)
    if at >= end or buffer[at] != OPEN:
        return 0, time, found
    while True:
        at = _blank(buffer, at + 1, end)
        name_end = _text(buffer, at, end)
        if name_end < 0:
            return 0, time, found
        field = _field(buffer, at + 1, name_end - 1)
        at = _blank(buffer, name_end, end)
        if field == 0 or seen & field or at >= end or buffer[at] != COLON:
            return 0, time, found
        seen |= field
        at = _blank(buffer, at + 1, end)
        first = at
        if field == METRIC:
            at = _text(buffer, at, end)
            if at - first < 3 or at - first - 2 > rules.name_max_bytes:
                return 0, time, found
            spans[0, 0], spans[0, 1], spans[0, 2] = first, at, ordinal
        elif field == DIMENSIONS:
            at = _dimensions(buffer, at, end, rules, names)
            spans[1, 0], spans[1, 1], spans[1, 2] = first, at, ordinal
        elif field == TIMESTAMP:
            at, time = timestamp(buffer, at, end, rules.multiplier, rules.divisor)
        else:
            at, found = number(buffer, at, end)
        if at < 0:
            return 0, time, found
        ordinal += 1
        at = _blank(buffer, at, end)
        if at >= end or buffer[at] != COMMA:
            break
    if at >= end or buffer[at] != CLOSE or _blank(buffer, at + 1, end) != end:
        return 0, time, found
    return seen, time, found


@inlined
def _key(spans, has_dimensions, key, second_key):
    """Write the span(s) of the series' bytes.

    The metric alone, the metric before the dimensions (``"m","dimensions":{..}``), the dimensions
    before the metric (``{..},"metric":"m"``), or the two apart, which `join_keys` turns to the
    second. Whichever it is can be read off the bytes, so equal bytes mean an equal identity.
    """
    key[0], key[1] = spans[0, 0], spans[0, 1]
    second_key[0], second_key[1] = 0, 0
    if has_dimensions:
        if abs(spans[0, 2] - spans[1, 2]) == 1:
            key[0] = min(spans[0, 0], spans[1, 0])
            key[1] = max(spans[0, 1], spans[1, 1])
        else:
            second_key[0], second_key[1] = spans[1, 0], spans[1, 1]


@inlined
def _blank(buffer, at, end):
    while at < end and (
        buffer[at] == 0x20 or buffer[at] == 0x0A or buffer[at] == 0x0D or buffer[at] == 0x09
    ):
        at += 1
    return at


@inlined
def _text(buffer, at, end):
    """Return the position behind the plain string that begins at `at`, or -1."""
    if at >= end or buffer[at] != QUOTE:
        return -1
    at += 1
    while at < end and PLAIN[buffer[at]]:
        at += 1
    return at + 1 if at < end and buffer[at] == QUOTE else -1


@inlined
def _field(buffer, at, end):
    """Return the field that ``buffer[at:end]`` spells, 0 if none."""
    size = end - at
    if size > 10:
        return 0
    for i in range(size):
        if buffer[at + i] != NAMES[size, i]:
            return 0
    if size == 6:
        return METRIC
    if size == 5:
        return VALUE
    if size == 9:
        return TIMESTAMP
    return DIMENSIONS if size == 10 else 0


@inlined
def _equal(left, left_at, left_end, right, right_at, right_end):
    if left_end - left_at != right_end - right_at:
        return False
    for i in range(left_end - left_at):
        if left[left_at + i] != right[right_at + i]:
            return False
    return True


@inlined
def _dimensions(buffer, at, end, rules, names):  # noqa: PLR0911
    """Return the position behind the object of strings that begins at `at`, or -1."""
    if at >= end or buffer[at] != OPEN:
        return -1
    at = _blank(buffer, at + 1, end)
    if at < end and buffer[at] == CLOSE:
        return at + 1
    count = 0
    while count < min(rules.dimensions_max, DIMENSIONS_MAX):
        name = at + 1
        at = _text(buffer, at, end)
        name_size = at - 1 - name
        if name_size < 1 or name_size > rules.name_max_bytes:
            return -1
        if buffer[name] == UNDERSCORE and buffer[name + 1] == UNDERSCORE:
            return -1
        for i in range(count):
            if _equal(buffer, name, at - 1, buffer, names[i, 0], names[i, 1]):
                return -1
        names[count, 0], names[count, 1] = name, at - 1
        count += 1
        at = _blank(buffer, at, end)
        if at >= end or buffer[at] != COLON:
            return -1
        first = _blank(buffer, at + 1, end)
        at = _text(buffer, first, end)
        if at < 0 or at - first - 2 > rules.dimension_value_max_bytes:
            return -1
        at = _blank(buffer, at, end)
        if at < end and buffer[at] == CLOSE:
            return at + 1
        if at >= end or buffer[at] != COMMA:
            return -1
        at = _blank(buffer, at + 1, end)
    return -1
