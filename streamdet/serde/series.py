"""The identity of a series from the texts of its two fields."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeVar

from streamdet.errors import RecordError
from streamdet.serde.fields import Json, members, shown, text
from streamdet.serde.limits import DecodeLimits
from streamdet.types import Reason, SeriesId

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_REMEMBERED_MAX = 10_000
_REMEMBERED_MAX_BYTES = 1_024

Key = TypeVar("Key")
Known = TypeVar("Known")


# Bare names and values without escapes: what these spell is put into the text of the identity by
# other punctuation alone.
_PLAIN_PAIR = re.compile(rb'"([A-Za-z_:][A-Za-z0-9_:./-]*)":("[ !#-\[\]-~]*")')
_PLAIN_PAIRS = re.sub(rb"\((?!\?)", rb"(?:", _PLAIN_PAIR.pattern)
_PLAIN_KEY = re.compile(
    rb'"([A-Za-z_:][A-Za-z0-9_:./-]*)"(?:,"dimensions":\{(%b(?:,%b)*)\})?'
    % (_PLAIN_PAIRS, _PLAIN_PAIRS)
)


class Identity(NamedTuple):
    """A series and the bytes of its text."""

    series: SeriesId
    key: bytes


def plain_text_of(key: bytes) -> str | None:
    """Return the text of the series that `key` spells, a key that the parser found, if it is plain.

    The parser has checked lengths, reserved names, and that no dimension comes twice. A twentieth
    of the time of decoding it.
    """
    found = _PLAIN_KEY.fullmatch(key)
    if found is None:
        return None
    metric, pairs = found.groups()
    if pairs is None:
        return str(metric, "ascii")
    each = sorted(_PLAIN_PAIR.findall(pairs))
    return str(b"%b{%b}" % (metric, b",".join([b"%b=%b" % pair for pair in each])), "ascii")


class IdentityReader:
    """Reads and checks identities; remembers the latest, since batches repeat theirs."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._remembered: dict[tuple[str | Json, Json | None], Identity] = {}

    def read(self, metric: str | Json, dimensions: Json | None) -> Identity:
        """Return the identity of `metric` (a string, or its JSON text) with `dimensions`.

        Raises
        ------
        RecordError
            `schema` for what is no string or object of strings, `dimensions` for names and
            values over the limits, empty names, reserved names (``__``), control characters.
        """
        spelling = metric, dimensions
        known = self._remembered.get(spelling)
        if known is None:
            known = self._read(metric, dimensions)
            remember(self._remembered, spelling, known, len(metric) + len(dimensions or b""))
        return known

    def _read(self, metric: str | Json, dimensions: Json | None) -> Identity:
        name = metric if isinstance(metric, str) else text(metric, "metric")
        if fault := self._name_fault(name):
            raise _refusal(f"metric {fault}")
        found = self._dimensions(dimensions) if dimensions is not None else {}
        series = SeriesId.of(name, found)
        return Identity(series, str(series).encode())

    def _dimensions(self, dimensions: Json) -> dict[str, str]:
        if dimensions[0] != ord("{"):
            raise RecordError(Reason.SCHEMA, "dimensions must be an object of strings")
        raw = members(dimensions, "dimensions")
        most = self._limits.max_dimensions
        if len(raw) > most:
            raise _refusal(f"{len(raw)} dimensions; at most {most} are accepted")
        found = {}
        for name, value in raw.items():
            if fault := self._name_fault(name):
                raise _refusal(f"the name of a dimension {fault}")
            if name.startswith("__"):
                raise _refusal(f"dimension {shown(name)}: names that begin with __ are reserved")
            if value[0] != ord('"'):
                raise RecordError(Reason.SCHEMA, f"dimension {shown(name)} must be a string")
            found[name] = text(value, "a dimension")
            if fault := _fault(found[name], self._limits.dimension_value_max_bytes):
                raise _refusal(f"dimension {shown(name)} {fault}")
        return found

    def _name_fault(self, name: str) -> str | None:
        return _fault(name, self._limits.name_max_bytes) if name else "is empty"


def remember(memory: dict[Key, Known], key: Key, known: Known, size_bytes: int) -> None:
    """Put `known` into `memory` unless it is large; a full memory starts anew.

    So its size has a bound, whatever producers send, and a look-up costs no bookkeeping.
    """
    if size_bytes > _REMEMBERED_MAX_BYTES:
        return
    if len(memory) >= _REMEMBERED_MAX:
        memory.clear()
    memory[key] = known


def _fault(value: str, max_bytes: int) -> str | None:
    size = len(value.encode())
    if size > max_bytes:
        return f"has {size} bytes; at most {max_bytes} are accepted"
    return "has a control character" if _CONTROL.search(value) else None


def _refusal(message: str) -> RecordError:
    return RecordError(Reason.DIMENSIONS, message)
