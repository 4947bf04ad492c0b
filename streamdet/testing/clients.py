"""Consumer and producer in memory; each call's promise stands in `streamdet.ports`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from streamdet.batch import sizes_of
from streamdet.errors import FatalError, TransactionAborted
from streamdet.ports import RebalanceListener, Span
from streamdet.testing.broker import Membership, MemoryBroker, Transaction
from streamdet.types import OutgoingRecord, Partition, Record


class MemoryBatch:
    """Records of one partition; a `streamdet.types.RecordBatch`."""

    def __init__(self, partition: Partition, records: Sequence[Record]) -> None:
        self.partition = partition
        self.values = [record.value for record in records]
        self.sizes = sizes_of(self.values)
        self.offsets = np.array([record.offset for record in records], np.int64)
        self.timestamps_ms = np.array([record.timestamp_ms for record in records], np.int64)
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> Record:
        """Return record `index` whole."""
        return self._records[index]


class MemoryConsumer:
    """A `streamdet.ports.RecordConsumer` on a `MemoryBroker`. `poll` never waits."""

    def __init__(self, broker: MemoryBroker, group: str) -> None:
        self.group = group
        self.topics: list[str] = []
        self._broker = broker
        self._group = broker.group(group)
        self._listener: RebalanceListener | None = None
        self._position: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._began: dict[Partition, int] = {}
        self._closed = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group for `topics`: names, or patterns that start with ``^``."""
        self.topics = list(topics)
        self._listener = listener
        self._group.join(self)

    def poll(self, records_max: int, timeout_s: float) -> Sequence[MemoryBatch]:
        """Move partitions as the group wants, then return up to `records_max` records."""
        with self._broker.call("consumer.poll"):
            self._follow_group()
            batches: list[MemoryBatch] = []
            left = records_max
            for partition in sorted(self._position.keys() - self._paused):
                records = self._take(partition, left)
                if records:
                    batches.append(MemoryBatch(partition, records))
                    left -= len(records)
        return batches

    def group_metadata(self) -> object:
        """Return what `MemoryProducer.commit` shows to the group."""
        return self._membership()

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit `next_offsets`.

        Raises
        ------
        TransactionAborted
            This consumer was expelled.
        """
        with self._broker.call("consumer.commit"):
            self._group.check(self._membership())
            self._group.offsets.update(next_offsets)

    def rewind(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Read `partitions` again from their committed offsets; return those offsets."""
        with self._broker.call("consumer.rewind"):
            back = {
                partition: self._group.offsets.get(partition, self._began[partition])
                for partition in partitions
                if partition in self._position
            }
            self._position.update(back)
        return back

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the committed offsets of those of `partitions` that have one."""
        offsets = self._group.offsets
        return {p: offsets[p] for p in partitions if p in offsets}

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of `partitions` until `resume`."""
        self._paused.update(partitions)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return records of `partitions` again."""
        self._paused.difference_update(partitions)

    def start_over(self, partition: Partition) -> None:
        """Read `partition` from its first record."""
        if partition in self._position:
            self._position[partition] = self._broker.first_offset(partition)
            self._began[partition] = self._position[partition]

    def topic_id(self, topic: str) -> str | None:
        """Return the broker's id of `topic`."""
        return self._broker.topic_id(topic)

    def end_offset(self, partition: Partition) -> int | None:
        """Return the end of `partition`; None when it is not assigned."""
        return self._broker.end_offset(partition) if partition in self._position else None

    def position(self, partition: Partition) -> int | None:
        """Return the offset below which `poll` has returned all records; None: not assigned."""
        if partition not in self._position:
            return None
        at = self._position[partition]
        left = next(self._broker.records(partition, at), None)
        return at if left is not None else max(at, self._broker.stable_end(partition))

    def close(self) -> None:
        """Leave the group; the listener's `on_revoked` comes first. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._give_up(sorted(self._position))
        finally:
            self._group.leave(self)

    def _membership(self) -> Membership:
        return Membership(self.group, self._group.members.get(self, 0))

    def _take(self, partition: Partition, records_max: int) -> list[Record]:
        records: list[Record] = []
        at, first = self._position[partition], self._broker.first_offset(partition)
        if at < first or at > self._broker.end_offset(partition):
            assert self._listener is not None, "subscribe() comes before poll()"
            self._position[partition] = self._began[partition] = first
            self._listener.on_gap(partition, at, first)
            return records
        for record in self._broker.records(partition, self._position[partition]):
            if len(records) == records_max:
                break
            records.append(record)
        if records:
            self._position[partition] = records[-1].offset + 1
        return records

    def _follow_group(self) -> None:
        assert self._listener is not None, "subscribe() comes before poll()"
        for topic in self.topics:
            if not topic.startswith("^") and not self._broker.exists(topic):
                raise FatalError(f"reading: topic {topic!r} does not exist")
        if self not in self._group.members:  # expelled
            self._group.join(self)
            lost = sorted(self._position)
            self._position.clear()
            self._paused.clear()
            if lost:
                self._listener.on_lost(lost)
        target = self._group.target.get(self, [])
        self._give_up(
            [partition for partition in sorted(self._position) if partition not in target]
        )
        gained = [partition for partition in target if partition not in self._group.owner]
        for partition in gained:
            self._group.owner[partition] = self
            first = self._broker.first_offset(partition)
            self._began[partition] = self._group.offsets.get(partition, first)
            self._position[partition] = self._began[partition]
        if gained:
            self._listener.on_assigned(gained)

    def _give_up(self, partitions: list[Partition]) -> None:
        if not partitions or self._listener is None:
            return
        try:
            self._listener.on_revoked(partitions)
        finally:
            for partition in partitions:
                del self._position[partition]
                self._paused.discard(partition)
                if self._group.owner.get(partition) is self:
                    del self._group.owner[partition]


class MemoryReader:
    """A `streamdet.ports.RecordReader` on a `MemoryBroker`; `spans` as in `ports.OpenReader`."""

    def __init__(self, broker: MemoryBroker, topic: str, spans: Mapping[int, Span]) -> None:
        self._broker = broker
        self.starts = {
            place: max(start, broker.first_offset(place))
            for index, (start, _) in spans.items()
            for place in [Partition(topic, index)]
        }
        ends = {
            Partition(topic, index): broker.stable_end(Partition(topic, index)) for index in spans
        }
        for index, (_, end) in spans.items():
            if end is not None:
                ends[Partition(topic, index)] = end
        self.ends = {p: end for p, end in ends.items() if end > self.starts[p]}
        self.n_records = sum(end - self.starts[p] for p, end in self.ends.items())
        self._batches: Iterator[MemoryBatch] | None = None

    def poll(self, records_max: int) -> list[MemoryBatch] | None:
        """Return the next records; None: there are no more."""
        if self._batches is None:
            self._batches = self.batches(records_max)
        batch = next(self._batches, None)
        return None if batch is None else [batch]

    def batches(self, records_max: int) -> Iterator[MemoryBatch]:
        """Yield all records, partition by partition."""
        for partition, end in self.ends.items():
            found = self._broker.records(partition, self.starts[partition])
            records = [record for record in found if record.offset < end]
            for start in range(0, len(records), records_max):
                yield MemoryBatch(partition, records[start : start + records_max])

    def close(self) -> None:
        """Let go of nothing."""


class MemoryProducer:
    """A `streamdet.ports.RecordProducer` on a `MemoryBroker`.

    One made later with the same `transactional_id` fences this one. None: not transactional.
    """

    def __init__(self, broker: MemoryBroker, transactional_id: str | None = None) -> None:
        self.transactional = transactional_id is not None
        self._broker = broker
        self._transactional_id = transactional_id
        self._transaction: Transaction | None = None
        self._refused: TransactionAborted | None = None
        if transactional_id is not None:
            if before := broker.producers.get(transactional_id):
                before.close()
            broker.producers[transactional_id] = self

    def begin(self) -> None:
        """Open a transaction unless one is open, or this producer has none."""
        with self._broker.call("producer.begin"):
            self._raise_fenced()
            if self.transactional and self._transaction is None:
                self._transaction = Transaction()

    def send(self, records: Iterable[OutgoingRecord]) -> None:
        """Write `records`, into the open transaction when transactional.

        Raises
        ------
        TransactionAborted
            A record is too large, or another producer has our id.
        """
        with self._broker.call("producer.send"):
            self._raise_fenced()
            assert self._transaction or not self.transactional, "begin() comes before send()"
            for record in records:
                topic = record.topic
                if not self._broker.exists(topic):
                    self._refused = TransactionAborted(f"topic {topic!r} does not exist", topic)
                elif _size_bytes(record) > self._broker.record_bytes_max:
                    self._refused = TransactionAborted(
                        f"a record for {topic!r} is too large", topic
                    )
                    self._raise_refused()
                else:
                    self._broker.write(record, self._transaction)

    def flush(self, timeout_s: float) -> None:
        """Raise what befell the records sent."""
        with self._broker.call("producer.flush"):
            self._raise_refused()

    def commit(
        self, next_offsets: Mapping[Partition, int], group_metadata: object, timeout_s: float
    ) -> None:
        """Make the records of the open transaction and `next_offsets` count, together."""
        assert self.transactional, "only a transactional producer commits"
        with self._broker.call("producer.commit"):
            self._raise_fenced()
            self._raise_refused()
            if next_offsets:
                assert isinstance(group_metadata, Membership)
                group = self._broker.group(group_metadata.group)
                group.check(group_metadata)
                group.offsets.update(next_offsets)
            if self._transaction is not None:
                self._broker.end(self._transaction, "committed")
            self._transaction = None

    def abort(self) -> None:
        """Give up the open transaction and what was sent in it, and take the id back."""
        with self._broker.call("producer.abort"):
            self.close()
            if self._transactional_id is not None:
                newest = self._broker.producers[self._transactional_id]
                if newest is not self:
                    newest.close()
                self._broker.producers[self._transactional_id] = self

    def reaches(self, topic: str) -> bool:
        """Return whether there is such a topic."""
        return self._broker.exists(topic)

    def close(self) -> None:
        """Abort what is open. May be called twice."""
        if self._transaction is not None and self._transaction.state == "open":
            self._broker.end(self._transaction, "aborted")
        self._transaction = None
        self._refused = None

    def _raise_fenced(self) -> None:
        if self._transactional_id is None:
            return
        if self._broker.producers[self._transactional_id] is not self:
            raise TransactionAborted(f"another producer took over {self._transactional_id!r}")

    def _raise_refused(self) -> None:
        if self._refused is not None:
            raise self._refused


def _size_bytes(record: OutgoingRecord) -> int:
    return len(record.key or b"") + len(record.value or b"")
