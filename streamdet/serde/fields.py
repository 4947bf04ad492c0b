"""Fields of a JSON object, one at a time, each refusal with its reason and the field's name.

The texts of numbers are read here and not by msgspec's converters, so that what counts as a
number is written down in one place and a dead letter's message can say what was found.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from functools import lru_cache
from typing import TypeVar

import msgspec

from streamdet.errors import RecordError
from streamdet.types import Reason

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)

_INTEGER = re.compile(rb"-?[0-9]+")
_NUMBER_START = frozenset(b"-0123456789")
_INTEGER_MAX_DIGITS = 20  # longer ones are beyond every range; Python's int() is quadratic

_STRING_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_KINDS = {
    ord("{"): "an object",
    ord("["): "an array",
    ord('"'): "a string",
    ord("t"): "a boolean",
    ord("f"): "a boolean",
    ord("n"): "null",
}

Decoded = TypeVar("Decoded")

Json = bytes
"""The text of one JSON value, without blanks around it, already known to be sound."""


def check_text(value: bytes) -> None:
    """Refuse what is not UTF-8; msgspec looks only at the strings that it turns to `str`."""
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise RecordError(Reason.DECODE, f"not UTF-8 at byte {error.start}") from None


def members(value: Json, what: str) -> dict[str, Json]:
    """Return the fields of the object `value`, which messages call `what`.

    Raises
    ------
    RecordError
        `decode` for broken JSON, `schema` for another kind of value or a field that is repeated.
    """
    raw = _decoded(_OBJECT, value, f"{what} must be an object")
    found = {name: bytes(field) for name, field in raw.items()}
    # msgspec keeps the last of repeated fields; the strings of the others are then missed here
    strings = _strings(value)
    for field in found.values():
        strings -= _strings(field)
    if strings != len(found):
        raise RecordError(Reason.SCHEMA, f"{what} has a field more than once")
    return found


def items(value: Json, what: str) -> list[msgspec.Raw]:
    """Return the elements of the array `value`; raises as `members` does."""
    return _decoded(_ARRAY, value, f"{what} must be an array")


def refuse_unknown(found: Collection[str], known: Collection[str], what: str) -> None:
    """Refuse a field that `what` does not have, with a suggestion when one is near."""
    for name in found:
        if name not in known:
            near = _suggestion(name, tuple(known))
            raise RecordError(Reason.SCHEMA, f"{what} has no field {shown(name)}{near}")


def text(value: Json, name: str, reason: Reason = Reason.SCHEMA) -> str:
    """Return the string `value` of field `name`."""
    if value[0] != ord('"'):
        raise RecordError(reason, f"{name} must be a string")
    return _decoded(_STRING, value, f"{name} must be a string")


def number(value: Json, name: str, reason: Reason = Reason.SCHEMA) -> float:
    """Return the nearest double of the finite number `value` of field `name`."""
    if value[0] not in _NUMBER_START:
        raise RecordError(reason, f"{name} must be a number, not {_kind(value)}")
    nearest = float(value)
    if math.isinf(nearest):
        raise RecordError(reason, f"{name} is beyond the range of a double")
    return nearest


def integer(value: Json, name: str, reason: Reason = Reason.SCHEMA) -> int:
    """Return the integer `value` of field `name`; 5.0 and 5e0 are none."""
    if not _INTEGER.fullmatch(value):
        fault = (
            "without fraction or exponent" if value[0] in _NUMBER_START else f"not {_kind(value)}"
        )
        raise RecordError(reason, f"{name} must be an integer, {fault}")
    if len(value) > _INTEGER_MAX_DIGITS:
        raise RecordError(reason, f"{name} has {len(value)} digits")
    return int(value)


def _kind(value: Json) -> str:
    return _KINDS.get(value[0], "a number with a fraction or exponent")


def shown(name: str) -> str:
    """Return a name of the producer's so that it cannot disturb a log line or a header."""
    return ascii(name if len(name) <= 64 else name[:64] + "...")


def _decoded(decoder: msgspec.json.Decoder[Decoded], value: Json, otherwise: str) -> Decoded:
    try:
        return decoder.decode(value)
    except msgspec.ValidationError:
        raise RecordError(Reason.SCHEMA, otherwise) from None
    except msgspec.DecodeError as error:
        raise RecordError(Reason.DECODE, str(error)) from None
    except RecursionError:
        raise RecordError(Reason.DECODE, "nested too deeply") from None


def _strings(value: Json) -> int:
    return len(_STRING_TEXT.findall(value)) if b"\\" in value else value.count(b'"') // 2


@lru_cache(maxsize=1_024)
def _suggestion(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= 64 else []
    return f"; did you mean {near[0]!r}?" if near else ""
