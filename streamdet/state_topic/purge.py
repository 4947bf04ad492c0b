"""`streamdet state purge`: series out of the state topic for good.

A chunk is written again without them, at the offset that it has: what it says of the others, and
where a replay begins, stay as they are. A chunk that would be empty becomes a tombstone, and the
partition's own record no longer names it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from streamdet.cluster import Untold
from streamdet.errors import FatalError
from streamdet.ports import RecordProducer
from streamdet.state.record import ChunkKey, ChunkRecord, PartitionRecord, encode, encode_key
from streamdet.state_topic.contents import Access, Stored, Unusable, read_contents
from streamdet.state_topic.selection import Selection
from streamdet.types import OutgoingRecord, Partition

log = logging.getLogger(__name__)


class Gone(NamedTuple):
    """A series that was found, and where."""

    name: str
    input: Partition
    chunk: ChunkKey


@dataclass(slots=True)
class Purge:
    """What was removed, or would be."""

    series: list[Gone] = field(default_factory=list)
    n_rewritten: int = 0
    """Chunks written again without them."""
    n_emptied: int = 0
    """Chunks that have no series left."""
    unread: list[Unusable] = field(default_factory=list)
    """Records that may hold them and cannot be read."""


def purge(
    access: Access, group: str, selection: Selection, timeout_s: float, *, dry_run: bool
) -> Purge:
    """Remove the state of series from the topic, all of it in one transaction if there are any.

    Parameters
    ----------
    access : Access
    group
        Whose state.
    selection : Selection
    timeout_s
        For the commit.
    dry_run
        Only say what would go; workers may run.

    Raises
    ------
    FatalError
        Workers run, or it cannot be told whether they do. Or one began to run meanwhile, and may
        have written series back: what was removed is then to be removed again.
    TransactionAborted
        The brokers refuse the records; nothing was changed.
    """
    done = Purge()
    if dry_run:
        for _ in _changes(access, group, selection, done):
            pass
        return done
    _refuse_workers(access, group, "they would write it back: stop them, then purge")
    with contextlib.closing(access.open_producer()) as producer:
        wrote = False
        for records in _changes(access, group, selection, done):
            producer.begin()
            producer.send(records)
            wrote = True
        if not wrote:
            return done
        _commit(producer, timeout_s)
    _refuse_workers(
        access,
        group,
        "it began to run while the topic was written, and may write series back that it had "
        "loaded before: stop it, then purge again",
    )
    return done


def _commit(producer: RecordProducer, timeout_s: float) -> None:
    if producer.transactional:
        producer.commit({}, None, timeout_s)
    else:
        producer.flush(timeout_s)


def _refuse_workers(access: Access, group: str, why: str) -> None:
    found = access.ask_group()
    if isinstance(found, Untold):
        raise FatalError(f"whether workers of group {group!r} run cannot be told: {found.why}")
    if found.members:
        who = ", ".join(found.members)
        raise FatalError(
            f"group {group!r} has members: {who}; {why}. One that was killed is a member until "
            "its session ends"
        )


def _changes(
    access: Access, group: str, selection: Selection, done: Purge
) -> Iterator[list[OutgoingRecord]]:
    """Yield what has to be written, of one partition at a time; count it."""
    for contents in read_contents(access, group):
        for stored in contents.own.values():
            emptied: set[ChunkKey] = set()
            records = list(_chunks_without(stored, selection, done, emptied))
            partition = stored.partition()
            if isinstance(partition, Unusable):
                log.warning("%s: nothing of its state is used: %s", stored.input, partition.message)
            elif partition is not None and emptied:
                records.append(_without(partition, emptied))
            if records:
                to = contents.index
                yield [OutgoingRecord(access.topic, *each, partition=to) for each in records]


def _chunks_without(
    stored: Stored, selection: Selection, done: Purge, emptied: set[ChunkKey]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield key and value of each chunk that changes; no value where no series is left."""
    for chunk in stored.chunks():
        if isinstance(chunk, Unusable):
            done.unread.append(chunk)
            continue
        keep = np.array([not selection.takes(name) for name in chunk.names], np.bool_)
        if keep.all():
            continue
        gone = np.flatnonzero(~keep).tolist()
        done.series += [Gone(chunk.names[k], stored.input, chunk.key) for k in gone]
        if keep.any():
            done.n_rewritten += 1
            yield encode(_kept(chunk, keep))
        else:
            done.n_emptied += 1
            emptied.add(chunk.key)
            yield encode_key(chunk.key), None


def _kept(chunk: ChunkRecord, keep: np.ndarray) -> ChunkRecord:
    """Return a chunk with some of its series only, each in its place."""
    which = np.flatnonzero(keep).tolist()
    return replace(
        chunk,
        slots=chunk.slots[keep],
        names=[chunk.names[k] for k in which],
        overrides=[chunk.overrides[k] for k in which],
        rolled_up=chunk.rolled_up[keep],
        rows=chunk.rows[keep],
        ring=chunk.ring[keep],
        pending=chunk.pending[np.repeat(keep, chunk.rows["n_pending"])],
    )


def _without(partition: PartitionRecord, emptied: set[ChunkKey]) -> tuple[bytes, bytes | None]:
    gone = {(key.detector, key.ring_length, key.number) for key in emptied}
    kept = [place for place in partition.chunks if place[:3] not in gone]
    return encode(replace(partition, chunks=kept))
