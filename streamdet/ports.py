"""What streamdet needs of the outside, as Protocols: consumer, reader and producer of records.

`kafka` implements them for real brokers, `testing` in memory; one contract suite
(tests/contracts/test_ports.py) runs over both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from streamdet.types import OutgoingRecord, Partition, RecordBatch


class RebalanceListener(Protocol):
    """Told of partitions coming and going, always from within `RecordConsumer.poll` or `close`.

    And of records that are gone before they were read.
    """

    def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Take over `partitions`; reading starts at their committed offsets."""

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit what was done on `partitions`, then let go of them; they are still ours."""

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        """Let go of `partitions` without committing; they may be another worker's already."""

    def on_gap(self, partition: Partition, expected: int, start: int) -> None:
        """Reading goes on at offset `start`: the record at `expected` is not there any more.

        `start` is larger where retention has taken what was before it, and smaller where the topic
        was deleted and made anew. Told after the records that `poll` returned before.
        """


class RecordConsumer(Protocol):
    """A member of a consumer group."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group for `topics` (a name, or a pattern that starts with ``^``)."""

    def poll(self, records_max: int, timeout_s: float) -> Sequence[RecordBatch]:
        """Return up to `records_max` records, one batch a partition, each in offset order.

        Returns early with what has arrived; empty after `timeout_s`. Calls the listener.
        Only partitions that are assigned on return are in the answer.

        Raises
        ------
        RetriableError
            The brokers are away; poll again.
        FatalError
            A right or a topic is missing.
        """

    def group_metadata(self) -> object:
        """Return what the producer must show to commit offsets in a transaction."""

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit `next_offsets` and wait for the answer (at_least_once).

        Raises
        ------
        TransactionAborted
            The partitions are another member's by now: discard the work, rewind, go on.
        FatalError
            No answer within the time.
        """

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the committed offsets of those of `partitions` that have one."""

    def rewind(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Read `partitions` again from their committed offsets; return those offsets.

        A partition that has no committed offset goes back to where reading it began.
        """

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of `partitions`, which stay assigned, until `resume`."""

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return records of `partitions` again, from where they were paused."""

    def start_over(self, partition: Partition) -> None:
        """Read `partition` from where a group without offsets begins.

        Raises
        ------
        RetriableError
            The brokers are away; call it again.
        """

    def topic_id(self, topic: str) -> str | None:
        """Return an id of `topic` that another one of its name, made later, does not have.

        As it was some seconds ago, empty where brokers do not tell, None where they have
        not answered yet. Waits for nobody.
        """

    def end_offset(self, partition: Partition) -> int | None:
        """Return the newest known end of `partition`; None while unknown. Asks nobody."""

    def position(self, partition: Partition) -> int | None:
        """Return the offset below which `poll` has returned all records; None while unknown.

        It passes over a transaction's marker at the end of `partition` where the consumer was
        made to tell ends, as nothing else does.
        """

    def close(self) -> None:
        """Leave the group. The listener's `on_revoked` is called first. May be called twice."""


class RecordReader(Protocol):
    """The records that a topic held when this was made. It joins no group and commits nothing."""

    n_records: int
    """At most so many will come."""
    starts: Mapping[Partition, int]
    """The offset that it begins at: as it was asked for, or later where retention took more."""
    ends: Mapping[Partition, int]
    """The offset before which it stops, of each partition that holds anything."""

    def poll(self, records_max: int) -> Sequence[RecordBatch] | None:
        """Return what has arrived, up to `records_max` records, soon; None once that was all.

        Raises
        ------
        FatalError
            As `batches`.
        """

    def batches(self, records_max: int) -> Iterator[RecordBatch]:
        """Yield all records, up to `records_max` at once; those of a partition in offset order.

        Raises
        ------
        FatalError
            The brokers are away, or a topic or a right is missing.
        """

    def close(self) -> None:
        """Let go of the connection. May be called twice."""


Span = tuple[int, int | None]
"""Offsets: the first to read, and the one to stop before; None: the end as it is now."""

OpenReader = Callable[[str, Mapping[int, Span]], RecordReader]
"""Topic, and of each partition to read its span -> a reader."""


class RecordProducer(Protocol):
    """A producer, transactional or not; see `transactional`."""

    transactional: bool

    def begin(self) -> None:
        """Open a transaction unless one is open. Without effect when not transactional."""

    def send(self, records: Iterable[OutgoingRecord]) -> None:
        """Hand over `records`; they count as delivered only after `flush` or `commit`."""

    def flush(self, timeout_s: float) -> None:
        """Wait until everything sent is delivered.

        Raises
        ------
        TransactionAborted
            A record was refused, or the time ran out: call `abort`.
        """

    def commit(
        self, next_offsets: Mapping[Partition, int], group_metadata: object, timeout_s: float
    ) -> None:
        """Put `next_offsets` into the open transaction and commit it.

        `group_metadata` is the consumer's; without offsets it has no meaning.

        Raises
        ------
        TransactionAborted
            It cannot be committed, or nobody knows whether it was: call `abort`, which finds out,
            rewind, go on.
        FatalError
            A right is missing.
        """

    def abort(self) -> None:
        """Give up the open transaction and what was sent in it. Without one, no effect.

        On return it is decided whether the last commit counts, also where its answer was lost or
        the brokers have fenced this producer: another one of its transactional id takes its place.
        Where there are no transactions, what was not delivered yet is dropped.

        Raises
        ------
        RetriableError
            No broker answers: call it again.
        FatalError
            A right is missing.
        """

    def reaches(self, topic: str) -> bool:
        """Return whether the brokers answer, and know `topic` as one that we may write to.

        False is certain; whether a record is taken, only sending it tells.
        """

    def close(self) -> None:
        """Abort what is open and let go of the connection. May be called twice."""
