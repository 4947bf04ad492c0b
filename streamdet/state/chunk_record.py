"""The state of a chunk of series as header and arrays of a record, and back. docs/state.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamdet.errors import Damage, StateCorrupt
from streamdet.kernels.header import ROLLUP_UNKNOWN
from streamdet.state.layout import differences, fingerprint, from_planes, plane_count, to_planes
from streamdet.state.record_key import ChunkKey, Count, Offset, inconsistent, read_header
from streamdet.types import Overrides

HELD = np.dtype([("time_us", "<i8"), ("value", "<f8"), ("offset", "<i8"), ("element", "<i4")])
"""A point that is held back; see `kernels.pending.PENDING`."""

_PLACES = {"head": -1, "tail": -1, "alignment": 0}
_NOT_A_PLACE = "what is a place in memory must be blank"


@dataclass(slots=True)
class ChunkRecord:
    """The state of k series of one detector and ring length, as of one offset of the input."""

    key: ChunkKey
    offset: int
    """All of the input before it is contained, and nothing from it on."""
    config_hash: str
    """Of the detection settings that the state was made with."""
    capacity: int
    """Places that the chunk has, taken or not."""
    slots: NDArray[np.int32]
    """Shape (k,): place of the series in the chunk, each taken once."""
    names: list[str]
    """Of k series: `str(SeriesId)`."""
    overrides: list[Overrides | None]
    """Of k series: what requests set; None: nothing."""
    rolled_up: NDArray[np.bool_]
    """Shape (k,): the series is made of others."""
    rows: NDArray[np.void]
    """Shape (k,): of the detector's layout. The fields that are places in memory are blank once
    decoded, whatever was encoded: `head`, `tail` -1, `alignment` 0, `rollup` not a handle."""
    ring: NDArray[np.float32]
    """Shape (k, ring_length)."""
    pending: NDArray[np.void]
    """Shape (m,): HELD of the points held back, series after series, each in its list's order; how
    many each has is `n_pending` of its row."""


class _ChunkHeader(msgspec.Struct, forbid_unknown_fields=True):
    offset: Offset
    config_hash: str
    layout: list[str]
    capacity: Count
    n_series: Count
    n_pending: Count
    names_bytes: Count
    overrides: list[tuple[Count, dict[str, int | float | str]]]


def chunk_parts(record: ChunkRecord) -> tuple[bytes, bytes]:
    """Return the header and the arrays of a record."""
    # As bytes: a copy of records goes field by field.
    rows = np.ascontiguousarray(record.rows).view(np.uint8).copy().view(record.rows.dtype)
    for field, blank in _PLACES.items():
        rows[field] = blank
    rows["rollup"][rows["rollup"] >= 0] = ROLLUP_UNKNOWN
    encoded = [name.encode() for name in record.names]
    k = len(encoded)
    assert {len(record.slots), len(record.overrides), len(record.rolled_up), len(rows)} == {k}
    assert record.pending.dtype == HELD
    assert record.ring.shape == (k, record.key.ring_length), "rings of the key's length"
    wrong = next(_disagreements(record, rows), None)
    assert wrong is None, wrong  # else it could not be read back
    names = b"".join(encoded)
    header = _ChunkHeader(
        offset=record.offset,
        config_hash=record.config_hash,
        layout=list(fingerprint(rows.dtype)),
        capacity=record.capacity,
        n_series=k,
        n_pending=len(record.pending),
        names_bytes=len(names),
        overrides=[
            (i, {name: given for name, given in asdict(each).items() if given is not None})
            for i, each in enumerate(record.overrides)
            if each is not None
        ],
    )
    arrays = (
        rows,
        np.asarray(record.ring, "<f4"),
        record.pending,
        np.asarray(record.slots, "<i4"),
        np.asarray(record.rolled_up, np.uint8),
        np.fromiter(map(len, encoded), "<u4", k),
    )
    return msgspec.msgpack.encode(header), b"".join([*map(to_planes, arrays), names])


def chunk_record(
    key: ChunkKey,
    packed: bytes,
    arrays: bytes,
    layouts: Mapping[str, np.dtype[np.void]],
) -> ChunkRecord:
    """Return the record of a key, header and arrays. Raises StateCorrupt."""
    header = read_header(packed, _ChunkHeader)
    dtype = layouts.get(key.detector)
    if dtype is None:
        known = ", ".join(layouts)
        raise StateCorrupt(Damage.LAYOUT, f"no detector {key.detector!r}, only {known}")
    if differs := differences(header.layout, dtype):
        text = f"its rows are others than those of {key.detector} now: " + "; ".join(differs)
        raise StateCorrupt(Damage.LAYOUT, text, differs)
    k = header.n_series
    forms: dict[str, tuple[np.dtype[Any], int]] = {
        "rows": (dtype, k),
        "ring": (np.dtype("<f4"), k * key.ring_length),
        "pending": (HELD, header.n_pending),
        "slots": (np.dtype("<i4"), k),
        "rolled_up": (np.dtype(np.uint8), k),
        "name_sizes": (np.dtype("<u4"), k),
    }
    sizes = [plane_count(form) * count for form, count in forms.values()]
    if (total := sum(sizes) + header.names_bytes) != len(arrays):
        raise inconsistent(
            f"{k} series take {total} bytes after the header, there are {len(arrays)}"
        )
    found: dict[str, NDArray[Any]] = {}
    at = 0
    for (name, (form, count)), size in zip(forms.items(), sizes, strict=True):
        found[name] = from_planes(arrays[at : at + size], form, count)
        at += size
    if np.any(found["rolled_up"] > 1):
        raise inconsistent("rolled_up is neither 0 nor 1")
    record = ChunkRecord(
        key=key,
        offset=header.offset,
        config_hash=header.config_hash,
        capacity=header.capacity,
        slots=found["slots"],
        names=_names(arrays[at:], found["name_sizes"]),
        overrides=_overrides(header, k),
        rolled_up=found["rolled_up"].astype(np.bool_),
        rows=found["rows"],
        ring=found["ring"].reshape(k, key.ring_length),
        pending=found["pending"],
    )
    if wrong := next(_disagreements(record, record.rows), None):
        raise inconsistent(wrong)
    return record


def _names(text: bytes, sizes: NDArray[np.uint32]) -> list[str]:
    ends = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]
    if ends[-1] != len(text):
        raise inconsistent(f"its names have {len(text)} bytes, their sizes add up to {ends[-1]}")
    try:
        return [text[a:b].decode() for a, b in pairwise(ends)]
    except UnicodeDecodeError as error:
        raise inconsistent(f"a name is not UTF-8: {error.reason}") from None


def _overrides(header: _ChunkHeader, k: int) -> list[Overrides | None]:
    overrides: list[Overrides | None] = [None] * k
    for i, given in header.overrides:
        if i >= k or overrides[i] is not None:
            raise inconsistent(f"overrides of series {i} of {k}, or a second time")
        unknown = given.keys() - Overrides.__dataclass_fields__.keys()
        if unknown:
            raise inconsistent(f"overrides of series {i}: unknown {min(unknown)!r}")
        if not all(math.isfinite(each) for each in given.values() if isinstance(each, float)):
            raise inconsistent(f"overrides of series {i}: a number that is not finite")
        try:
            overrides[i] = msgspec.convert(given, Overrides)
        except msgspec.ValidationError as error:
            raise inconsistent(f"overrides of series {i}: {error}") from None
    return overrides


def _disagreements(record: ChunkRecord, rows: NDArray[np.void]) -> Iterator[str]:
    """Yield what cannot be in a chunk, to be taken one by one: each relies on those before it.

    The arrays have the lengths that they should.
    """
    slots, names, pending = record.slots, record.names, record.pending
    outside = (slots < 0) | (slots >= record.capacity)
    if outside.any():
        yield f"slot {slots[outside][0]} of a chunk with {record.capacity}"
    if len(np.unique(slots)) < len(slots):
        yield "a slot is taken twice"
    if len(set(names)) < len(names):
        yield "a name is there twice"
    if "" in names:
        yield "a series without a name"
    held = rows["n_pending"]
    if np.any(held < 0) or held.sum(dtype=np.int64) != len(pending):
        yield f"the rows hold back {held.sum(dtype=np.int64)} points, {len(pending)} are there"
    if np.any(pending["offset"] < 0) or np.any(pending["offset"] >= record.offset):
        yield f"a point is held back that is not from before offset {record.offset}"
    if np.any(pending["element"] < -1) or not np.isfinite(pending["value"]).all():
        yield "a point is held back whose element or value cannot be"
    series = np.repeat(np.arange(len(names)), held)  # bounded: by now the counts are known to fit
    earlier = pending["time_us"][1:] < pending["time_us"][:-1]
    if np.any(earlier & (series[1:] == series[:-1])):
        yield "the points that a series holds back are not in the order of their time"
    for field, blank in _PLACES.items():
        if np.any(rows[field] != blank):
            yield f"{field} of a row: {_NOT_A_PLACE}"
    if np.any((rows["rollup"] >= 0) | (rows["rollup"] < ROLLUP_UNKNOWN)):
        yield f"rollup of a row: {_NOT_A_PLACE}"
