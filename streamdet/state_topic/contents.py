"""What the state topic holds: of each partition the newest records, by whose they are.

A partition of it is read whole and kept as it was written, compressed; its chunks are decoded one
after the other. So it takes what a worker takes at a restart of that partition.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamdet.cluster import GroupState, Offsets, Untold
from streamdet.errors import StateCorrupt
from streamdet.ports import OpenReader, RecordProducer
from streamdet.snapshot import LAYOUTS
from streamdet.state.record import (
    ChunkKey,
    ChunkRecord,
    PartitionKey,
    PartitionRecord,
    decode,
    decode_key,
    encode_key,
)
from streamdet.types import Partition, Record

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 10.0
_BATCH_RECORDS = 100

MISSING = "missing"
OLDER = "older"
AHEAD = "ahead"
GONE = "gone"
"""What is wrong with state beside `errors.Damage`: a chunk is not there, or only one from before;
the group's offset lies before the state; input that a replay needs was deleted."""


@dataclass(frozen=True, slots=True)
class Access:
    """The state topic, and whom to ask about what belongs to it."""

    topic: str
    n_partitions: int
    open_reader: OpenReader
    ask_group: Callable[[], GroupState | Untold]
    """Returns the group that the workers are members of."""
    ask_offsets: Callable[[Sequence[Partition]], Mapping[Partition, Offsets] | Untold]
    """Returns where partitions of the input begin and end, and what the group has committed."""
    open_producer: Callable[[], RecordProducer]


class Unusable(NamedTuple):
    """Why a part of the state is not used when it is restored."""

    damage: str
    """Of `errors.Damage`, or one of those above."""
    message: str


@dataclass(slots=True)
class Stored:
    """The records of one partition of an input topic, as one group has written them."""

    input: Partition
    key: PartitionKey
    newest: dict[bytes, Record] = field(default_factory=dict)
    """By key, tombstones too."""
    n_records: int = 0
    """All, older ones too, as `size_bytes`."""
    size_bytes: int = 0

    def add(self, record: Record) -> None:
        """Take in a record; those of a key come in their order."""
        self.newest[record.key or b""] = record
        self.n_records += 1
        self.size_bytes += _size_bytes(record)

    @property
    def newest_bytes(self) -> int:
        """What compaction leaves."""
        return sum(map(_size_bytes, self.newest.values()))

    def partition(self) -> PartitionRecord | Unusable | None:
        """Return the partition's own record; None: it was never written, or deleted."""
        record = self.newest.get(encode_key(self.key))
        if record is None or record.value is None:
            return None
        found = _decoded(record)
        assert not isinstance(found, ChunkRecord), "its key says what it is"
        return found

    def chunks(self) -> Iterator[ChunkRecord | Unusable]:
        """Yield every chunk that has a record, whether the partition's own names it or not."""
        own = encode_key(self.key)
        for key, record in self.newest.items():
            if key != own and record.value is not None:
                found = _decoded(record)
                assert not isinstance(found, PartitionRecord), "its key says what it is"
                yield found

    def used_chunks(self, partition: PartitionRecord) -> Iterator[ChunkRecord | Unusable]:
        """Yield the chunks that a worker would load, and of the others why not."""
        for place in partition.chunks:
            key = ChunkKey(self.key.group, self.key.topic, *place[:3])
            record = self.newest.get(encode_key(key))
            if record is None or record.value is None:
                yield Unusable(MISSING, f"{chunk_text(key)}: it is not there")
                continue
            found = _decoded(record)
            if isinstance(found, ChunkRecord) and found.offset < place.offset:
                text = f"it is from offset {found.offset}, and must be from {place.offset}"
                found = Unusable(OLDER, f"{chunk_text(key)}: {text}")
            assert not isinstance(found, PartitionRecord), "its key says what it is"
            yield found

    def size_bytes_of(self, key: ChunkKey) -> int:
        """Return how large the newest record of a chunk is, with its key."""
        return _size_bytes(self.newest[encode_key(key)])


@dataclass(slots=True)
class Contents:
    """One partition of the state topic."""

    index: int
    own: dict[str, Stored] = field(default_factory=dict)
    """By input topic."""
    other_records: Counter[str] = field(default_factory=Counter)
    """Of other groups, by their name; older ones too, as the next."""
    other_bytes: Counter[str] = field(default_factory=Counter)
    foreign: list[Unusable] = field(default_factory=list)
    """Newest of each key that nobody knows."""

    def add(self, record: Record, group: str) -> None:
        """Sort in a record; `group` is our own."""
        try:
            key = decode_key(record.key)
        except StateCorrupt as error:
            self.foreign.append(Unusable(error.damage, f"offset {record.offset}: {error}"))
            return
        if key.group != group:
            self.other_records[key.group] += 1
            self.other_bytes[key.group] += _size_bytes(record)
            return
        if key.topic not in self.own:
            place = Partition(key.topic, self.index)
            self.own[key.topic] = Stored(place, PartitionKey(group, key.topic))
        self.own[key.topic].add(record)


def read_contents(access: Access, group: str) -> Iterator[Contents]:
    """Yield what each partition of the state topic holds now; one at a time is in memory.

    Raises
    ------
    FatalError
        The brokers are away, or the topic or a right is missing.
    """
    told_s = time.monotonic()
    for index in range(access.n_partitions):
        contents = Contents(index)
        with contextlib.closing(access.open_reader(access.topic, {index: (0, None)})) as reader:
            for batch in reader.batches(_BATCH_RECORDS):
                for i in range(len(batch.values)):
                    contents.add(batch.record(i), group)
        yield contents
        if time.monotonic() - told_s >= PROGRESS_EVERY_S:
            told_s = time.monotonic()
            log.info("%d of %d partitions of %s", index + 1, access.n_partitions, access.topic)


def chunk_text(key: ChunkKey) -> str:
    """Return a chunk's name for people."""
    return f"chunk {key.number} of {key.detector}, ring {key.ring_length}"


def _decoded(record: Record) -> ChunkRecord | PartitionRecord | Unusable:
    try:
        return decode(record.key, record.value or b"", LAYOUTS)
    except StateCorrupt as error:
        return Unusable(error.damage, str(error))


def _size_bytes(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")
