"""Names, strings and dimensions in JSON text, for the point parser.

Text is read a word of eight bytes at a time (`words`); byte by byte it took twice as long. A word
may reach beyond the message, never what is taken of it.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import inlined
from streamdet.kernels.words import WORD_BYTES, first_byte, not_plain, word_at

QUOTE, COMMA, COLON, OPEN, CLOSE = ord('"'), ord(","), ord(":"), ord("{"), ord("}")
UNDERSCORE = ord("_")

METRIC, DIMENSIONS, TIMESTAMP, VALUE, SERIES = 1, 2, 4, 8, 16
"""Bits of the fields."""

DIMENSIONS_MAX = 32  # repeated names are looked for pair by pair; more go the careful way


def _word(text):
    """Return the word that begins with `text`, and the mask of its bytes."""
    size = min(len(text), WORD_BYTES)
    word = int.from_bytes(text[:WORD_BYTES], "little")
    return np.uint64(word), np.uint64((1 << (8 * size)) - 1)


_METRIC, _SIX = _word(b"metric")
_SERIES, _ = _word(b"series")
_VALUE, _FIVE = _word(b"value")
_TIMESTAM, _ = _word(b"timestam")
_P, _ONE = _word(b"p")
_DIMENSIO, _ = _word(b"dimensio")
_NS, _TWO = _word(b"ns")
_END_OF_NAME, _ = _word(b'":')


@inlined
def skip_blank(buffer, at, end):
    """Return the first position from `at` on without a blank, `end` at most."""
    while (
        at < end
        and buffer[at] <= 0x20
        and (buffer[at] == 0x20 or buffer[at] == 0x0A or buffer[at] == 0x0D or buffer[at] == 0x09)
    ):
        at += 1
    return at


@inlined
def plain_text(buffer, at, end):
    """Return the position behind the plain string that begins at `at`, or -1."""
    if at >= end or buffer[at] != QUOTE:
        return -1
    at += 1
    while at < end:
        marks = not_plain(word_at(buffer, at))
        if marks != 0:
            at += first_byte(marks)
            break
        at += WORD_BYTES
    return at + 1 if at < end and buffer[at] == QUOTE else -1


@inlined
def field_at(buffer, at, end):
    """Return the field whose name begins at `at`, and the position behind its colon; 0 if none."""
    if at >= end or buffer[at] != QUOTE:
        return 0, at
    field, behind = _known_field(buffer, at + 1)
    if field != 0:
        return (field, behind) if behind < end else (0, at)
    behind = plain_text(buffer, at, end)
    if behind < 0:
        return 0, at
    # Once more without what stood between quote and colon.
    size = behind - 2 - at
    field, colon = _known_name(buffer, at + 1)
    at = skip_blank(buffer, behind, end)
    if field == 0 or colon != size or at >= end or buffer[at] != COLON:
        return 0, at
    return field, at + 1


@inlined
def _known_field(buffer, at):
    """Return the field that ``name":`` spells, and the position behind it; 0 if none."""
    field, size = _known_name(buffer, at)
    if field != 0 and word_at(buffer, at + size) & _TWO == _END_OF_NAME:
        return field, at + size + 2
    return 0, at


@inlined
def _known_name(buffer, at):
    """Return the field whose name the text at `at` begins with, and the name's size; 0 if none."""
    word = word_at(buffer, at)
    if word & _FIVE == _VALUE:
        return VALUE, 5
    if word & _SIX == _METRIC:
        return METRIC, 6
    # The eight bytes are there, so a word more can be read.
    if word == _TIMESTAM and word_at(buffer, at + WORD_BYTES) & _ONE == _P:
        return TIMESTAMP, 9
    if word == _DIMENSIO and word_at(buffer, at + WORD_BYTES) & _TWO == _NS:
        return DIMENSIONS, 10
    return (SERIES, 6) if word & _SIX == _SERIES else (0, 0)


@inlined
def _equal(left, left_at, left_end, right, right_at, right_end):
    if left_end - left_at != right_end - right_at:
        return False
    for i in range(left_end - left_at):
        if left[left_at + i] != right[right_at + i]:
            return False
    return True


@inlined
def dimensions_at(buffer, at, end, rules, names):  # noqa: PLR0911
    """Return the position behind the object of strings that begins at `at`, or -1."""
    if at >= end or buffer[at] != OPEN:
        return -1
    at = skip_blank(buffer, at + 1, end)
    if at < end and buffer[at] == CLOSE:
        return at + 1
    count = 0
    while count < min(rules.dimensions_max, DIMENSIONS_MAX):
        name = at + 1
        at = plain_text(buffer, at, end)
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
        at = skip_blank(buffer, at, end)
        if at >= end or buffer[at] != COLON:
            return -1
        first = skip_blank(buffer, at + 1, end)
        at = plain_text(buffer, first, end)
        if at < 0 or at - first - 2 > rules.dimension_value_max_bytes:
            return -1
        at = skip_blank(buffer, at, end)
        if at < end and buffer[at] == CLOSE:
            return at + 1
        if at >= end or buffer[at] != COMMA:
            return -1
        at = skip_blank(buffer, at + 1, end)
    return -1
