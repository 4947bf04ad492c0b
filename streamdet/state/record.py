"""Records of the state topic: what is in them, to bytes and back. docs/state.md has each byte.

Two kinds: of each chunk of series its state, and of each partition what its chunks have in common.
A record is of use only if all of it is: whatever is not as it should be raises StateCorrupt.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from streamdet.errors import Damage, StateCorrupt
from streamdet.state.chunk_record import HELD, ChunkRecord, chunk_parts, chunk_record
from streamdet.state.envelope import SIZE_MAX_BYTES, seal, unseal
from streamdet.state.partition_record import (
    ChunkPosition,
    PartitionRecord,
    partition_header,
    partition_record,
)
from streamdet.state.record_key import (
    ChunkKey,
    PartitionKey,
    decode_key,
    encode_key,
    inconsistent,
    key_start,
    shown_key,
)

_LENGTH = struct.Struct("<I")
_MESSAGE_MAX = 1000  # characters; a message may quote what the record says


def encode(record: ChunkRecord | PartitionRecord) -> tuple[bytes, bytes]:
    """Return key and value of a record. O(bytes).

    The same record gives the same payload; how it is compressed may change with zstandard.
    """
    key = encode_key(record.key)
    if isinstance(record, ChunkRecord):
        header, arrays = chunk_parts(record)
    else:
        header, arrays = partition_header(record), b""
    parts = [_LENGTH.pack(len(key)), key, _LENGTH.pack(len(header)), header, arrays]
    return key, seal(b"".join(parts))


def decode(
    key: bytes | None,
    value: bytes,
    layouts: Mapping[str, np.dtype[np.void]],
    size_max_bytes: int = SIZE_MAX_BYTES,
) -> ChunkRecord | PartitionRecord:
    """Return the record of a key and value.

    Parameters
    ----------
    key, value : bytes
        As Kafka has them; a tombstone, which has no value, is the caller's.
    layouts : mapping
        Name of each detector -> dtype of its rows, as it is now.
    size_max_bytes : int
        A record that declares more, uncompressed, is refused; memory is a few times this at most.

    Raises
    ------
    StateCorrupt
        Anything is not as `encode` leaves it.
    """
    named = decode_key(key)
    try:
        payload = unseal(value, size_max_bytes)
        belongs, at = _sized(payload, 0, "key")
        if belongs != key:
            raise inconsistent(f"it was written under the key {shown_key(belongs)}")
        packed, at = _sized(payload, at, "header")
        if isinstance(named, PartitionKey):
            if at != len(payload):
                raise inconsistent(f"{len(payload) - at} bytes follow its header")
            return partition_record(named, packed)
        return chunk_record(named, packed, payload[at:], layouts)
    except StateCorrupt as error:
        text = f"state record {shown_key(key)}: {str(error)[:_MESSAGE_MAX]}"
        raise StateCorrupt(error.damage, text, error.differs) from None


def _sized(payload: bytes, at: int, what: str) -> tuple[bytes, int]:
    """Return the bytes at `at` that come after their length, and where they end."""
    start = at + _LENGTH.size
    if start > len(payload):
        raise StateCorrupt(Damage.TORN, f"its payload ends before its {what}")
    end = start + _LENGTH.unpack_from(payload, at)[0]
    if end > len(payload):
        raise StateCorrupt(Damage.TORN, f"its payload ends within its {what}")
    return payload[start:end], end


__all__ = [
    "HELD",
    "ChunkKey",
    "ChunkPosition",
    "ChunkRecord",
    "PartitionKey",
    "PartitionRecord",
    "decode",
    "decode_key",
    "encode",
    "encode_key",
    "key_start",
]
