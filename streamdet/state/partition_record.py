"""What the chunks of a partition have in common, as header of a record, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamdet.errors import Damage, StateCorrupt
from streamdet.kernels.present import PRESENT
from streamdet.state.record_key import (
    Count,
    Offset,
    PartitionKey,
    Time,
    inconsistent,
    read_header,
)


class ChunkPosition(NamedTuple):
    """A chunk that exists, and the offset of its newest record."""

    detector: str
    ring_length: Count
    number: Count
    offset: Offset


@dataclass(slots=True)
class PartitionRecord:
    """What the series of a partition have in common."""

    key: PartitionKey
    next_offset: int
    """Of the input, at the commit that this belongs to."""
    replay_from: int
    """Offset at which a replay begins. A chunk with an older record has not changed since."""
    present: NDArray[np.void]
    """Shape (1,): PRESENT as it was before the record at `replay_from`."""
    spoke: dict[int, int]
    """absent_after in microseconds -> speaking time then, microseconds."""
    swept: tuple[int, dict[int, int]] | None
    """Watermark and speaking times at which silent series were last looked at; None: never."""
    chunks: list[ChunkPosition]
    """Every chunk that exists."""
    config_hash: str
    topic_id: str
    """Kafka's id of the input topic, a UUID, which another topic of its name does not have; empty:
    unknown."""
    made_by: str
    """Version of streamdet, for people who look."""


class _PartitionHeader(msgspec.Struct, forbid_unknown_fields=True):
    next_offset: Offset
    replay_from: Offset
    present: dict[str, Time]
    spoke: list[tuple[Offset, Offset]]
    swept: tuple[Time, list[tuple[Offset, Offset]]] | None
    chunks: list[ChunkPosition]
    config_hash: str
    topic_id: str
    made_by: str


def partition_header(record: PartitionRecord) -> bytes:
    """Return the header of a record."""
    wrong = next(_partition_disagreements(record), None)
    assert wrong is None, wrong
    header = _PartitionHeader(
        next_offset=record.next_offset,
        replay_from=record.replay_from,
        present={name: int(record.present[name][0]) for name in PRESENT.names or ()},
        spoke=sorted(record.spoke.items()),
        swept=record.swept and (record.swept[0], sorted(record.swept[1].items())),
        chunks=record.chunks,
        config_hash=record.config_hash,
        topic_id=record.topic_id,
        made_by=record.made_by,
    )
    return msgspec.msgpack.encode(header)


def partition_record(key: PartitionKey, packed: bytes) -> PartitionRecord:
    """Return the record of a key and header. Raises StateCorrupt."""
    header = read_header(packed, _PartitionHeader)
    names = PRESENT.names or ()
    if odd := tuple(sorted(header.present.keys() ^ set(names))):
        differs = tuple(f"{name}: only {'here' if name in names else 'there'}" for name in odd)
        text = "its present is another than this version's: " + "; ".join(differs)
        raise StateCorrupt(Damage.LAYOUT, text, differs)
    present = np.zeros(1, PRESENT)
    for name, number in header.present.items():
        present[name] = number
    swept = header.swept and (header.swept[0], _speaking(header.swept[1]))
    record = PartitionRecord(
        key=key,
        next_offset=header.next_offset,
        replay_from=header.replay_from,
        present=present,
        spoke=_speaking(header.spoke),
        swept=swept,
        chunks=header.chunks,
        config_hash=header.config_hash,
        topic_id=header.topic_id,
        made_by=header.made_by,
    )
    if wrong := next(_partition_disagreements(record), None):
        raise inconsistent(wrong)
    return record


def _speaking(times: list[tuple[int, int]]) -> dict[int, int]:
    spoke = dict(times)
    if len(spoke) < len(times):
        raise inconsistent("a speaking time is there twice")
    return spoke


def _partition_disagreements(record: PartitionRecord) -> Iterator[str]:
    first, end = record.replay_from, record.next_offset
    if first > end:
        yield f"a replay would begin at {first}, after the next offset, {end}"
    for each in record.chunks:
        if each.offset > end:
            yield f"{each} is from after the next offset, {end}"
    if len({each[:3] for each in record.chunks}) < len(record.chunks):
        yield "a chunk is there twice"
