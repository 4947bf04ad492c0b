"""State to records of the state topic and back: what a commit writes, what an assignment loads.

State is a function of the input, so it need not be written whole, nor all at one offset. Each chunk
record says up to which offset the input is in it; what came later is replayed. A partition's own
record says from where on, what the time was there, and which chunks there have to be.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamdet import __version__
from streamdet.clock import Clock
from streamdet.config import Config
from streamdet.detectors import DETECTORS
from streamdet.errors import StateCorrupt
from streamdet.event_time import Swept, TimePosition
from streamdet.metrics import Metrics
from streamdet.state.ledger import Chunk, chunk_slots
from streamdet.state.record import (
    HELD,
    ChunkKey,
    ChunkPosition,
    ChunkRecord,
    PartitionKey,
    PartitionRecord,
    decode,
    decode_key,
    encode,
    encode_key,
    key_start,
)
from streamdet.state.store import ring_length_for
from streamdet.task import Task
from streamdet.types import OutgoingRecord, Record

log = logging.getLogger(__name__)

RECORD_MAX_BYTES = 15 << 20
"""Larger ones are not written. Most have a tenth of a mebibyte; points held back add to them."""

_SINCE_MAX_S = 5.0
_CHUNKS_A_STEP = 16
"""Of `load`: some 50 ms. 100,000 series with rings of 288 are 600 chunks, and two seconds."""

LAYOUTS = {name: detector.layout.row for name, detector in DETECTORS.items()}


class Snapshots:
    """Shares out what a worker may write to the state topic among its partitions."""

    def __init__(self, config: Config, metrics: Metrics, clock: Clock) -> None:
        self._topic = config.state.topic
        self._bytes_per_second = config.state.bytes_per_second
        self._metrics = metrics
        self._clock = clock
        self._taken_s = clock.monotonic_s()

    def take(self, tasks: Sequence[Task]) -> Iterator[OutgoingRecord]:
        """Yield what goes to the state topic with a commit of `tasks`; see the function `take`."""
        now_s = self._clock.monotonic_s()
        since_s, self._taken_s = min(now_s - self._taken_s, _SINCE_MAX_S), now_s
        changed = [task for task in tasks if task.changed]
        if self._topic is None:
            for task in changed:  # nobody comes back to them
                task.past.forget(task.next_offset or 0)
            return
        for task in changed:
            budget_bytes = int(self._bytes_per_second * since_s / len(changed))
            for record in take(task, self._topic, budget_bytes):
                self._metrics.state_bytes.inc(len(record.value or b""))
                yield record
            task.changed = False


def take(task: Task, topic: str, budget_bytes: int) -> Iterator[OutgoingRecord]:
    """Yield what the state topic is to have of a partition with the next commit.

    Of the chunks that it is behind with, the oldest, until `budget_bytes` are reached, and at last
    the partition's own record. They count as written at once: if the commit fails, the task is
    thrown away with all that it knows.

    Where series are rolled up into others, all dirty chunks are written: what such a series takes
    from its leaves depends on theirs, so they have to be of one offset.
    """
    next_offset = task.next_offset
    if next_offset is None:
        return
    size_bytes = 0
    for chunk in list(task.ledger.dirty()):
        if size_bytes >= budget_bytes and not task.roster.rolls_up:
            break
        key, value = _chunk(task, chunk, next_offset)
        if len(value or b"") > RECORD_MAX_BYTES:  # it stays dirty, and is replayed
            log.error(
                "%s: the state of %s is %d bytes and is not written, so the input from its last "
                "record on is replayed at a restart; lower limits.max_pending_points",
                task.partition, _place(task, chunk), len(value or b""),
            )  # fmt: skip
            continue
        size_bytes += len(value or b"")
        yield OutgoingRecord(topic, key, value, partition=task.partition.index)
        if value is None:
            task.ledger.gone(chunk)
        else:
            task.ledger.saved(chunk, next_offset)
    replay_from = task.ledger.replay_from(next_offset)
    position = task.past.at(replay_from) or task.event_time.position()
    task.past.forget(replay_from)
    key, value = encode(
        PartitionRecord(
            key=PartitionKey(task.config.kafka.group_id, task.partition.topic),
            next_offset=next_offset,
            replay_from=replay_from,
            present=position.present,
            spoke=position.spoke,
            swept=task.event_time.swept,
            chunks=[
                # A larger one is of a commit that a crash left half done.
                ChunkPosition(*_place(task, chunk), min(offset, next_offset))
                for chunk, offset in task.ledger.exists()
            ],
            config_hash=task.config.detection_hash,
            topic_id=task.topic_id,
            made_by=__version__,
        )
    )
    yield OutgoingRecord(topic, key, value, partition=task.partition.index)


def _place(task: Task, chunk: Chunk) -> tuple[str, int, int]:
    pool = task.store.pools[chunk.pool]
    return pool.layout.detector, pool.ring_length, chunk.number


def _chunk(task: Task, chunk: Chunk, next_offset: int) -> tuple[bytes, bytes | None]:
    """Return key and value of a chunk's record; no value: it holds no series."""
    pool = task.store.pools[chunk.pool]
    capacity = chunk_slots(pool)
    first = chunk.number * capacity
    at = pool.names.taken(first, first + capacity)
    key = ChunkKey(task.config.kafka.group_id, task.partition.topic, *_place(task, chunk))
    if len(at) == 0:
        return encode_key(key), None
    handles = (chunk.pool << 32) | at
    points = task.event_time.held(pool, at)
    pending = np.empty(len(points), HELD)
    for name in HELD.names or ():
        pending[name] = points[name]
    return encode(
        ChunkRecord(
            key=key,
            offset=next_offset,
            config_hash=task.config.detection_hash,
            capacity=capacity,
            slots=(at - first).astype(np.int32),
            names=[task.store.name(handle) for handle in handles.tolist()],
            overrides=[task.roster.overrides(handle) for handle in handles.tolist()],
            rolled_up=np.array([task.roster.is_rolled_up(h) for h in handles.tolist()], np.bool_),
            rows=pool.rows[at],
            ring=pool.ring[at],
            pending=pending,
        )
    )


@dataclass
class Restored:
    """What an assignment found in the state topic."""

    replay_from: int
    n_series: int = 0
    size_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """What could not be used, in words; its series begin cold."""
    made_anew: bool = False
    """Whether it is of another topic of that name, as the group's offset may be too."""


def load(task: Task, records: Iterable[Record], committed: int) -> Iterator[Restored]:
    """Put into a task, which must be new, what the state topic has of its partition.

    A few chunks at a time, so that other partitions are worked on in between.

    Parameters
    ----------
    task : Task
        Changed in place: series, and the time as it was at the offset to replay from.
    records
        Of the state topic's partition, all, in order; those of other groups and topics are passed
        over.
    committed : int
        The group's offset; replay goes up to it.

    Yields
    ------
    Restored
        The same object after each step; complete with the last. It tells from where to replay.
        Nothing raises: what is not sound is left out, and said.
    """
    newest: dict[bytes, Record] = {}
    found = Restored(committed)
    group, topic = task.config.kafka.group_id, task.partition.topic
    start = key_start(group, topic)
    for record in records:
        key = record.key or b""
        if key.startswith(start):
            newest[key] = record
            found.size_bytes += len(key) + len(record.value or b"")
    partition = _own(task, newest, found, committed)
    if partition is not None:
        found.replay_from = partition.replay_from
        # A series that has moved may be in two records; it is taken from the newer one.
        chunks = sorted(partition.chunks, key=lambda place: place.offset, reverse=True)
        for number, place in enumerate(chunks, start=1):
            _load_chunk(task, place, newest, committed, found)
            if number % _CHUNKS_A_STEP == 0:
                yield found
        for pool in task.store.pools:
            pool.find_free()
        task.roster.roll_up_again()
        task.event_time.go_to(TimePosition(partition.present, partition.spoke))
        if partition.swept and partition.next_offset <= committed:  # else some is told once more
            task.event_time.swept = Swept(*partition.swept)
        task.contains_before = partition.replay_from
    yield found


def _own(
    task: Task, newest: Mapping[bytes, Record], found: Restored, committed: int
) -> PartitionRecord | None:
    """Return the partition's own record; None: there is none, or none that can be used."""
    own = newest.get(encode_key(PartitionKey(task.config.kafka.group_id, task.partition.topic)))
    if own is None or own.value is None:
        return None
    try:
        partition = decode(own.key, own.value, LAYOUTS)
    except StateCorrupt as error:
        found.problems.append(str(error))
        return None
    assert isinstance(partition, PartitionRecord)
    if partition.topic_id and task.topic_id and partition.topic_id != task.topic_id:
        found.problems.append(
            f"the state is of the topic with id {partition.topic_id}, and this one has "
            f"{task.topic_id}: the topic was made anew; nothing of the state is used"
        )
        found.made_anew = True
        return None
    if partition.next_offset > committed and task.config.delivery == "exactly_once":
        found.problems.append(
            f"the state is of offset {partition.next_offset} and the group's offset {committed}: "
            "it was set back, or the topic made anew; nothing of the state is used"
        )
        return None
    return partition


def _load_chunk(
    task: Task,
    place: ChunkPosition,
    newest: Mapping[bytes, Record],
    committed: int,
    found: Restored,
) -> None:
    key = ChunkKey(task.config.kafka.group_id, task.partition.topic, *place[:3])
    stored = newest.get(encode_key(key))
    if stored is None or stored.value is None:
        found.problems.append(f"state of {key} is missing")
        return
    try:
        chunk = decode(stored.key, stored.value, LAYOUTS)
    except StateCorrupt as error:
        found.problems.append(str(error))
        return
    assert isinstance(chunk, ChunkRecord)
    if chunk.offset < place.offset:
        found.problems.append(f"state of {key} is from {chunk.offset}, not {place.offset}")
        return
    found.n_series += _put(task, chunk, committed, found.problems)


def _put(task: Task, chunk: ChunkRecord, committed: int, problems: list[str]) -> int:
    """Put the series of a chunk into the store; return how many. Those of others begin cold."""
    detector = DETECTORS[chunk.key.detector]
    number = task.store.pool_for(detector.layout, chunk.key.ring_length)
    pool = task.store.pools[number]
    if chunk.capacity != chunk_slots(pool):
        problems.append(f"state of {chunk.key} is in chunks of {chunk.capacity} series")
        return 0
    settings = [
        task.roster.restored_settings(name, overrides)
        for name, overrides in zip(chunk.names, chunk.overrides, strict=True)
    ]
    length = pool.ring_length
    fits = {
        identity: each.detector == detector.name
        and ring_length_for(detector.ring_points(each)) <= length  # a longer one is no harm
        for identity, each in {id(each): each for each in settings}.items()
    }
    wanted = chunk.rolled_up | [fits[id(each)] for each in settings]
    elsewhere = task.store.knows(chunk.names)
    room = task.config.limits.max_series - task.store.n_series
    keep = np.flatnonzero(wanted & ~elsewhere)[: max(room, 0)]
    if len(keep) + elsewhere.sum() < len(wanted):
        n_cold = len(wanted) - len(keep) - elsewhere.sum()
        problems.append(f"{n_cold} series of {chunk.key} have other settings now")
    first = chunk.key.number * chunk.capacity
    names = [chunk.names[k] for k in keep.tolist()]
    pool.put(first, chunk.slots[keep], names, chunk.rows[keep], chunk.ring[keep])
    task.store.take_back((number << 32) | (first + chunk.slots[keep].astype(np.int64)), names)
    at = first + chunk.slots[keep].astype(np.int64)
    changed = chunk.config_hash != task.config.detection_hash
    plain = np.array(
        [
            not changed and not chunk.rolled_up[k] and chunk.overrides[k] is None
            for k in keep.tolist()
        ],
        np.bool_,
    )
    unchanged = [settings[k] for k in keep[plain].tolist()]
    task.roster.restore_unchanged(number, at[plain], unchanged)
    for k, slot in zip(keep[~plain].tolist(), at[~plain].tolist(), strict=True):
        handle, rolled_up = (number << 32) | slot, bool(chunk.rolled_up[k])
        task.roster.restore(handle, settings[k], chunk.overrides[k], rolled_up=rolled_up)
    counts = chunk.rows["n_pending"]
    kept = np.zeros(len(counts), np.bool_)
    kept[keep] = True
    pool.header["n_pending"][at] = 0
    task.event_time.hold(pool, np.repeat(at, counts[keep]), chunk.pending[np.repeat(kept, counts)])
    task.ledger.restored(number, pool, chunk.key.number, at, chunk.offset)
    if len(keep) < len(wanted):  # its record is of more series than there are
        task.ledger.mark(number, pool, np.array([first]), committed)
    return len(keep)


__all__ = ["Restored", "decode_key", "load", "take"]
