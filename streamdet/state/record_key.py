"""Keys of state records, and what their headers are read with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from streamdet.errors import Damage, StateCorrupt

_INT64 = np.iinfo(np.int64)
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=int(_INT64.max))]
Time = Annotated[int, msgspec.Meta(ge=int(_INT64.min), le=int(_INT64.max))]

_Header = TypeVar("_Header", bound=msgspec.Struct)

_PARTITION = "partition"
_HEADER_MAX_BYTES = 4 << 20  # three bytes of it can become a hundred in memory


@dataclass(frozen=True, slots=True)
class ChunkKey:
    """Which chunk of a group's input topic, detector and ring length; the number counts from 0."""

    group: str
    topic: str
    detector: str
    ring_length: int
    number: int


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """The record of a partition of a group's input topic; which one, its own partition says."""

    group: str
    topic: str


def encode_key(key: ChunkKey | PartitionKey) -> bytes:
    """Return the key of a record: a JSON array."""
    parts: list[str | int] = [key.group, key.topic]
    if isinstance(key, ChunkKey):
        parts += [key.detector, key.ring_length, key.number]
    else:
        parts.append(_PARTITION)
    return msgspec.json.encode(parts)


def key_start(group: str, topic: str) -> bytes:
    """Return what the keys of all records of a group's input topic begin with, and no others."""
    return msgspec.json.encode([group, topic])[:-1] + b","


def decode_key(key: bytes | None) -> ChunkKey | PartitionKey:
    """Return what a record's key says, also that of a tombstone. Raises StateCorrupt."""
    found: ChunkKey | PartitionKey | None = None
    try:
        parts = msgspec.json.decode(key or b"", type=list[str | Count])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        parts = []
    match parts:
        case [str(group), str(topic), "partition"]:
            found = PartitionKey(group, topic)
        case [str(group), str(topic), str(detector), int(ring_length), int(number)]:
            found = ChunkKey(group, topic, detector, ring_length, number)
    if found is None or encode_key(found) != key:
        raise StateCorrupt(Damage.FOREIGN, f"{shown_key(key)} is not the key of a state record")
    return found


def shown_key(key: bytes | None) -> str:
    """Return a key as a message may show it."""
    return "without a key" if key is None else repr(key[:200].decode(errors="replace"))


def read_header(packed: bytes, form: type[_Header]) -> _Header:
    """Return the header of a record. Raises StateCorrupt."""
    if len(packed) > _HEADER_MAX_BYTES:
        raise StateCorrupt(
            Damage.TOO_LARGE,
            f"its header has {len(packed)} bytes, and at most {_HEADER_MAX_BYTES} are taken",
        )
    try:
        return msgspec.msgpack.decode(packed, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise inconsistent(f"its header cannot be read: {error}") from None


def inconsistent(message: str) -> StateCorrupt:
    """Return the error that says what cannot be."""
    return StateCorrupt(Damage.INCONSISTENT, message)
