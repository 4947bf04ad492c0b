"""The parser twice, compiled and as plain Python, and the careful decoder beside them.

Machine code tells a fuzzer nothing of the branches it took. The same source run as plain Python
does, so that is what is instrumented; the compiled one is held to it, and both to the careful
decoder: bit for bit wherever they take a text at all.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numba
import numpy as np

UNITS = ("s", "ms", "us", "ns")
NOON_US = 1_614_686_400_000_000  # 2021-03-02T12:00:00Z, the records' own time
BETWEEN = b"\xff"  # of no JSON text
_TIMELESS, _NARROW = 4, 8
_NARROW_LIMITS = {
    "max_record_bytes": 300,
    "earliest_us": 0,
    "max_dimensions": 3,
    "name_max_bytes": 9,
    "dimension_value_max_bytes": 12,
    "points_max": 3,
}


class Modules(NamedTuple):
    """What was imported in one of the two ways."""

    columns: Any
    decoder: Any
    limits: Any
    point: Any
    scalars: Any
    parse: Any
    errors: Any


def load(*, compiled: bool, while_importing: AbstractContextManager[Any] | None = None) -> Modules:
    """Import the decoders anew, their kernels compiled or not.

    What is imported as `streamdet` afterwards is this copy; an earlier one lives on by itself.
    """
    for name in [name for name in sys.modules if name.split(".")[0] == "streamdet"]:
        del sys.modules[name]
    numba.config.DISABLE_JIT = not compiled
    numba.config.CACHE_DIR = _CACHE_FOLDER  # each copy puts its own folder below it
    names = ("serde.columns", "serde.decoder", "serde.limits", "serde.point")
    names += ("kernels.scalars", "kernels.parse", "errors")
    with while_importing or nullcontext():
        return Modules(*(importlib.import_module(f"streamdet.{name}") for name in names))


_CACHE_FOLDER = numba.config.CACHE_DIR


class Input(NamedTuple):
    """What one input of the fuzzer says: some messages, and how they are to be read."""

    messages: list[bytes]
    unit: str
    own_us: int | None
    narrow: bool
    """Limits are small, so that short messages come to them."""

    @staticmethod
    def of(data: bytes) -> Input:
        """Read an input: a byte of choices, then messages with BETWEEN between them."""
        choice = data[0] if data else 0
        own_us = None if choice & _TIMELESS else NOON_US
        messages = data[1:].split(BETWEEN)
        return Input(messages, UNITS[choice & 3], own_us, bool(choice & _NARROW))


def written(message: bytes, choice: int = 1) -> bytes:
    """Return the input of one message: in milliseconds, its own time known, usual limits."""
    return bytes([choice]) + message


class Reading:
    """One copy's view of an input."""

    def __init__(self, modules: Modules, given: Input) -> None:
        limits = _NARROW_LIMITS if given.narrow else {"earliest_us": 0}
        self._modules, self._given = modules, given
        self._limits = modules.limits.DecodeLimits(**limits)
        self._rules = modules.decoder.Decoder(self._limits)._rules[given.unit]
        last_us, no_time = modules.scalars.LAST_US, modules.scalars.NO_TIME
        self._own_us = no_time if given.own_us is None else given.own_us
        future_us = self._limits.max_future_us
        self._latest_us = last_us if given.own_us is None else given.own_us + future_us
        self._careful = modules.point.RecordDecoder(self._limits)

    def parsed(self, texts: list[bytes], named: list[bool], *, whole: bool) -> list[Any]:
        """Return of each text its form and points (element, time, bits of value, key), or None."""
        n = len(texts)
        modules = self._modules
        given = modules.columns.Texts(
            texts,
            np.array([len(text) for text in texts]),
            np.array(named),
            np.full(n, self._own_us),
            np.full(n, self._latest_us),
        )
        parsed = modules.columns.parse(
            given, self._rules, self._limits.max_record_bytes, whole=whole
        )
        found: list[Any] = [(int(form), []) for form in parsed.form]
        rows = parsed.rows
        columns = rows.record, rows.element, rows.time_us, rows.value.view(np.int64)
        for row, (record, *its) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            key = parsed.key_bytes(row) if named[record] else None
            found[record][1].append((*its, key))
        return [None if form == modules.parse.NOT_SURE else (form, its) for form, its in found]

    def point(self, text: bytes, identity: Any, *, may_lack_time: bool = True) -> tuple[Any, ...]:
        """Return time, bits of value and series as the careful decoder reads a point."""
        own_us = self._own_us if may_lack_time else self._modules.scalars.NO_TIME
        time = self._modules.point.PointTime(own_us, self._latest_us, self._given.unit)
        time_us, value, its = self._careful.point(text, identity, time)
        return time_us, int(np.float64(value).view(np.int64)), its.key

    def key_of(self, spelling: bytes) -> bytes:
        """Return the key of the series that the parser found spelled so."""
        return self._careful.identify_key(spelling).key

    def opened(self, message: bytes) -> Any:
        """Return the points of a message as the careful decoder finds them; None: it refuses."""
        try:
            return self._careful.open(message, lambda: None)
        except self._modules.errors.RecordError:
            return None


class Parsers:
    """Both copies."""

    def __init__(self, while_importing: AbstractContextManager[Any] | None = None) -> None:
        self._compiled = load(compiled=True)
        self.check(written(b'[{"metric":"m","value":1}]'), self._compiled)  # compiles
        self._plain = load(compiled=False, while_importing=while_importing)

    def check(self, data: bytes, plain: Modules | None = None) -> int:
        """Return how many messages the parser took of an input. Raises AssertionError."""
        given = Input.of(data)
        compiled, plain = Reading(self._compiled, given), Reading(plain or self._plain, given)
        messages = given.messages
        named = [True] * len(messages)
        found = compiled.parsed(messages, named, whole=True)
        assert found == plain.parsed(messages, named, whole=True), "two forms of one source"
        for message, its in zip(messages, found, strict=True):
            if its is not None:
                points = [(*rest, plain.key_of(key)) for *rest, key in its[1]]
                assert points == list(_carefully(plain, message, its[0])), message
        texts, identities = _points(plain, messages)
        named = [identity is None for identity in identities]
        if texts:
            alone = compiled.parsed(texts, named, whole=False)
            assert alone == plain.parsed(texts, named, whole=False), "two forms of one source"
            for text, identity, its in zip(texts, identities, alone, strict=True):
                if its is not None:
                    ((element, time_us, bits, key),) = its[1]
                    key = identity.key if key is None else plain.key_of(key)
                    assert (element, time_us, bits, key) == (-1, *plain.point(text, identity))
        return sum(its is not None for its in found)


def _points(reading: Reading, messages: list[bytes]) -> tuple[list[bytes], list[Any]]:
    """Return the points of all messages that the careful decoder opens, and their identities."""
    opened = [each for each in map(reading.opened, messages) if each is not None]
    texts = [text for each in opened for text in each.points]
    return texts, [each.identity for each in opened for _ in each.points]


def _carefully(reading: Reading, message: bytes, form: int) -> Iterator[tuple[Any, ...]]:
    """Yield the points of a message that the parser took, with the keys that it has to find."""
    point, request, array = 1, 2, 3
    opened = reading.opened(message)
    assert opened is not None, "the careful decoder refuses it"
    assert opened.overrides is None, "it has parameters"
    many = form in (request, array)
    assert (form == point, form == request) == (opened.single, opened.identity is not None)
    may_lack_time = form != request or len(opened.points) == 1
    for place, text in enumerate(opened.points):
        its = reading.point(text, opened.identity, may_lack_time=may_lack_time)
        yield place if many else -1, *its
