"""`streamdet state inspect`: what there is of each input partition, and what cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streamdet.cluster import Offsets, Untold
from streamdet.state.record import ChunkRecord, PartitionRecord
from streamdet.state_topic.contents import (
    AHEAD,
    GONE,
    MISSING,
    Access,
    Contents,
    Stored,
    Unusable,
    read_contents,
)
from streamdet.types import Partition

_UNITS = ("B", "KiB", "MiB", "GiB")


@dataclass(slots=True)
class PoolSummary:
    """The chunks of one detector and ring length that a worker would load."""

    oldest_offset: int
    newest_offset: int
    n_chunks: int = 0
    n_series: int = 0
    n_pending: int = 0
    stored_bytes: int = 0
    """In the topic, compressed."""
    rows_bytes: int = 0
    rings_bytes: int = 0
    names_bytes: int = 0

    @property
    def memory_bytes(self) -> int:
        """Rows and rings."""
        return self.rows_bytes + self.rings_bytes

    def add(self, chunk: ChunkRecord, stored_bytes: int) -> None:
        """Count a chunk."""
        self.oldest_offset = min(self.oldest_offset, chunk.offset)
        self.newest_offset = max(self.newest_offset, chunk.offset)
        self.n_chunks += 1
        self.n_series += len(chunk.names)
        self.n_pending += len(chunk.pending)
        self.stored_bytes += stored_bytes
        self.rows_bytes += chunk.rows.nbytes
        self.rings_bytes += chunk.ring.nbytes
        self.names_bytes += sum(map(len, chunk.names))


@dataclass(slots=True)
class PartitionSummary:
    """The state of one input partition."""

    input: Partition
    n_records: int
    """In the topic, older ones too, as the next."""
    size_bytes: int
    newest_bytes: int
    own: PartitionRecord | None = None
    """What the partition's record says; None: there is none that can be read."""
    pools: dict[tuple[str, int], PoolSummary] = field(default_factory=dict)
    """By detector and ring length."""
    unusable: list[Unusable] = field(default_factory=list)
    offsets: Offsets | None = None
    """Of the input; None: the brokers did not tell."""

    @staticmethod
    def of(stored: Stored) -> PartitionSummary:
        """Look into every record that a worker would load."""
        made = PartitionSummary(
            stored.input, stored.n_records, stored.size_bytes, stored.newest_bytes
        )
        own = stored.partition()
        if isinstance(own, Unusable):
            made.unusable.append(own)
        elif own is None and any(True for _ in stored.chunks()):
            made.unusable.append(Unusable(MISSING, "the partition's own record is not there"))
        if isinstance(own, PartitionRecord):
            made.own = own
            for chunk in stored.used_chunks(own):
                made._add(chunk, stored)
        return made

    def _add(self, chunk: ChunkRecord | Unusable, stored: Stored) -> None:
        if isinstance(chunk, Unusable):
            self.unusable.append(chunk)
            return
        kind = chunk.key.detector, chunk.key.ring_length
        if kind not in self.pools:
            self.pools[kind] = PoolSummary(chunk.offset, chunk.offset)
        self.pools[kind].add(chunk, stored.size_bytes_of(chunk.key))

    @property
    def committed(self) -> int | None:
        """The group's offset; None: it has none, or the brokers did not tell."""
        return None if self.offsets is None else self.offsets.committed

    @property
    def n_replayed(self) -> int | None:
        """How many offsets a restart would read again; None: not known."""
        if self.own is None or self.committed is None:
            return None
        return max(0, self.committed - self.own.replay_from)

    def compare(self, offsets: Offsets, *, exactly_once: bool) -> None:
        """Judge the state by the offsets of its input, as a worker would."""
        self.offsets = offsets
        if self.own is None or offsets.committed is None:
            return
        if exactly_once and self.own.next_offset > offsets.committed:
            text = (
                f"the state is of offset {self.own.next_offset}, and the group's offset is "
                f"{offsets.committed}: it was set back, or the topic made anew"
            )
            self.unusable.append(Unusable(AHEAD, text))
        elif self.own.replay_from < min(offsets.first, offsets.committed):
            text = f"input from {self.own.replay_from} to {offsets.first} was deleted"
            self.unusable.append(Unusable(GONE, f"{text}, and a replay needs it"))

    def document(self) -> dict[str, object]:
        """Return it for a script."""
        own = self.own
        return {
            "topic": self.input.topic,
            "partition": self.input.index,
            "nextOffset": own and own.next_offset,
            "replayFrom": own and own.replay_from,
            "committed": self.committed,
            "replayedOffsets": self.n_replayed,
            "firstOffset": self.offsets and self.offsets.first,
            "topicId": own and own.topic_id,
            "configHash": own and own.config_hash,
            "madeBy": own and own.made_by,
            "records": self.n_records,
            "bytes": self.size_bytes,
            "newestBytes": self.newest_bytes,
            "pools": [
                {
                    "detector": detector,
                    "ringLength": ring_length,
                    "chunks": pool.n_chunks,
                    "series": pool.n_series,
                    "pending": pool.n_pending,
                    "oldestOffset": pool.oldest_offset,
                    "newestOffset": pool.newest_offset,
                    "bytes": pool.stored_bytes,
                    "memoryBytes": pool.memory_bytes,
                    "rowsBytes": pool.rows_bytes,
                    "ringsBytes": pool.rings_bytes,
                    "namesBytes": pool.names_bytes,
                }
                for (detector, ring_length), pool in sorted(self.pools.items())
            ],
            "unusable": [each._asdict() for each in self.unusable],
        }


@dataclass(slots=True)
class Summary:
    """What a group's state topic holds."""

    topic: str
    group: str
    partitions: list[PartitionSummary] = field(default_factory=list)
    other_records: Counter[str] = field(default_factory=Counter)
    """Of other groups, by their name."""
    other_bytes: Counter[str] = field(default_factory=Counter)
    foreign: list[Unusable] = field(default_factory=list)
    """Records that are no state of anybody."""
    offsets_untold: str | None = None
    """Why the offsets of the input are not known; None: they are."""

    def add(self, contents: Contents) -> None:
        """Count one partition of the topic."""
        self.partitions += [PartitionSummary.of(stored) for stored in contents.own.values()]
        self.other_records += contents.other_records
        self.other_bytes += contents.other_bytes
        place = Partition(self.topic, contents.index)
        self.foreign += [
            Unusable(each.damage, f"{place} {each.message}") for each in contents.foreign
        ]

    @property
    def sound(self) -> bool:
        """Whether all of the group's state can be used."""
        return not any(each.unusable for each in self.partitions)

    def document(self) -> dict[str, object]:
        """Return it for a script."""
        return {
            "topic": self.topic,
            "group": self.group,
            "sound": self.sound,
            "partitions": [each.document() for each in self.partitions],
            "otherGroups": [
                {"group": name, "records": count, "bytes": self.other_bytes[name]}
                for name, count in sorted(self.other_records.items())
            ],
            "foreign": [each._asdict() for each in self.foreign],
            "offsetsUntold": self.offsets_untold,
        }

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the table's cells: a line for each detector and ring length of a partition."""
        for each in self.partitions:
            own, n_replayed = each.own, each.n_replayed
            first = (
                str(each.input),
                "-" if own is None else f"{own.next_offset:,}",
                "-" if n_replayed is None else f"{n_replayed:,}",
            )
            if not each.pools:
                yield (*first, "-", "-", "0", "0", "0", "-", _size(each.newest_bytes), "-")
            for (detector, ring_length), pool in sorted(each.pools.items()):
                yield (
                    *first,
                    detector,
                    f"{ring_length:,}",
                    f"{pool.n_chunks:,}",
                    f"{pool.n_series:,}",
                    f"{pool.n_pending:,}",
                    f"{pool.oldest_offset:,} to {pool.newest_offset:,}",
                    _size(pool.stored_bytes),
                    _size(pool.memory_bytes),
                )
                first = ("", "", "")

    def lines(self) -> Iterator[str]:
        """Yield what stands below the table: what cannot be used, and who else is there."""
        for each in self.partitions:
            for why in each.unusable:
                yield f"{each.input}: {why.damage}: {why.message}"
        for name, count in sorted(self.other_records.items()):
            yield f"group {name!r}: {count:,} records, {self.other_bytes[name]:,} bytes"
        for why in self.foreign:
            yield f"{why.damage}: {why.message}"
        if self.offsets_untold is not None:
            yield f"the offsets of the input are not known: {self.offsets_untold}"


def summarize(access: Access, group: str, *, exactly_once: bool) -> Summary:
    """Return what the topic holds of a group's state, compared with the offsets of its input."""
    summary = Summary(access.topic, group)
    for contents in read_contents(access, group):
        summary.add(contents)
    summary.partitions.sort(key=lambda each: each.input)
    asked: Mapping[Partition, Offsets] | Untold = access.ask_offsets(
        [each.input for each in summary.partitions]
    )
    if isinstance(asked, Untold):
        summary.offsets_untold = asked.why
        return summary
    for each in summary.partitions:
        if each.input in asked:
            each.compare(asked[each.input], exactly_once=exactly_once)
    return summary


def _size(size_bytes: int) -> str:
    """Return a size as people say it: `1.5 MiB`."""
    power = min(max(size_bytes.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{size_bytes / 1024**power:,.1f} {_UNITS[power]}" if power else f"{size_bytes} B"
