"""The broker in memory: logs, consumer groups, transactions, and the failures a test plans.

What `MemoryBroker` offers to a test comes first in the class; what the clients call follows.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Literal, NamedTuple

from streamdet.errors import TransactionAborted
from streamdet.types import OutgoingRecord, Partition, Record

if TYPE_CHECKING:
    from streamdet.testing.clients import MemoryConsumer, MemoryProducer

Isolation = Literal["read_committed", "read_uncommitted"]

_START_MS = 1_600_000_000_000  # the time of the first record that brings none; then 1 ms each


class CrashPoint(BaseException):
    """Raised where a test wants the process to die; no ``except Exception`` stops it."""


@dataclass(slots=True)
class Transaction:
    """One producer's transaction and the partitions it wrote to."""

    state: Literal["open", "committed", "aborted"] = "open"
    written: set[Partition] = field(default_factory=set)


class Membership(NamedTuple):
    """What a consumer is in its group; another one after it was expelled."""

    group: str
    member: int


class _Entry(NamedTuple):
    record: Record | None
    """None: the marker that ends a transaction; it has an offset, and no reader gets it."""
    transaction: Transaction | None


@dataclass(slots=True)
class _PlannedFailure:
    call: str
    error: BaseException
    after: bool
    skip: int


class MemoryBroker:
    """Topics, consumer groups and transactions of one test.

    Parameters
    ----------
    topics
        Names and numbers of partitions.
    record_bytes_max
        A record with a larger key and value together is refused.
    """

    def __init__(
        self, topics: Mapping[str, int] | None = None, record_bytes_max: int = 1_000_000
    ) -> None:
        self.record_bytes_max = record_bytes_max
        self.producers: dict[str, MemoryProducer] = {}
        """The newest producer of each transactional id; it alone is not fenced."""
        self._logs: dict[str, list[list[_Entry]]] = {}
        self._lives: dict[str, int] = {}
        self._firsts: dict[Partition, int] = {}
        self._groups: dict[str, Group] = {}
        self._failures: list[_PlannedFailure] = []
        self._written = count()
        for name, partitions in (topics or {}).items():
            self.create_topic(name, partitions)

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic; groups whose pattern it matches take it up."""
        self._logs[name] = [[] for _ in range(partitions)]
        self._lives[name] = 1
        for group in self._groups.values():
            group.balance()

    def append(self, record: OutgoingRecord, partition: int | None = None) -> Partition:
        """Write `record` outside of any transaction; return where it went."""
        return self.write(record, None, partition)

    def read(self, topic: str, isolation: Isolation = "read_committed") -> list[Record]:
        """Return the records of `topic` that such a reader gets, partition after partition."""
        partitions = [Partition(topic, index) for index in range(len(self._logs[topic]))]
        return [record for p in partitions for record in self.records(p, 0, isolation)]

    def delete_before(self, partition: Partition, offset: int) -> None:
        """Delete the records of `partition` before `offset`, as retention would."""
        self._firsts[partition] = offset

    def make_anew(self, name: str) -> None:
        """Delete a topic, and make it again with as many partitions; groups keep their offsets."""
        self._logs[name] = [[] for _ in self._logs[name]]
        self._lives[name] += 1
        self._firsts = {p: first for p, first in self._firsts.items() if p.topic != name}

    def committed(self, group: str) -> Mapping[Partition, int]:
        """Return the committed offsets of `group`: the next to read, by partition."""
        return dict(self.group(group).offsets)

    def fail_at(
        self, call: str, error: BaseException, *, after: bool = False, skip: int = 0
    ) -> None:
        """Raise `error` at a coming `call`, once.

        Parameters
        ----------
        call
            ``consumer.`` or ``producer.`` and the name of a method of the port that talks to the
            broker: poll, commit, rewind; begin, send, flush, commit, abort.
        error
            An error of `streamdet.errors`, or a `CrashPoint`.
        after
            False: the call does nothing. True: it has its effect and then raises, as when the
            answer is lost or the process dies just then.
        skip
            How many such calls go well before.
        """
        self._failures.append(_PlannedFailure(call, error, after, skip))

    def assign(self, group: str, members: Mapping[MemoryConsumer, Sequence[Partition]]) -> None:
        """Deal out the partitions of `group` by hand; holds until a member comes or goes."""
        self.group(group).target = {member: list(ps) for member, ps in members.items()}

    def expel(self, consumer: MemoryConsumer) -> None:
        """Take `consumer` for dead: others may have its partitions; it learns at its next poll."""
        self.group(consumer.group).leave(consumer)

    # What follows is for the clients.

    def exists(self, topic: str) -> bool:
        """Return whether there is such a topic."""
        return topic in self._logs

    def topic_id(self, topic: str) -> str:
        """Return an id of `topic` that it has until it is made anew."""
        return f"{topic}, life {self._lives[topic]}"

    def first_offset(self, partition: Partition) -> int:
        """Return the offset of the first record of `partition` that is left."""
        return self._firsts.get(partition, 0)

    def end_offset(self, partition: Partition) -> int:
        """Return the offset that the next record of `partition` gets."""
        return len(self._log(partition))

    def stable_end(self, partition: Partition) -> int:
        """Return the offset of the first record of an open transaction, else the end."""
        for offset, entry in enumerate(self._log(partition)):
            if entry.transaction is not None and entry.transaction.state == "open":
                return offset
        return self.end_offset(partition)

    def matching(self, topics: Sequence[str]) -> list[Partition]:
        """Return the partitions of `topics`: names, or patterns that start with ``^``."""
        patterns = [topic for topic in topics if topic.startswith("^")]
        return [
            Partition(name, index)
            for name, logs in self._logs.items()
            if name in topics or any(re.match(pattern, name) for pattern in patterns)
            for index in range(len(logs))
        ]

    def group(self, name: str) -> Group:
        """Return the group of that name, made when it is new."""
        return self._groups.setdefault(name, Group(self))

    def write(
        self, record: OutgoingRecord, transaction: Transaction | None, index: int | None = None
    ) -> Partition:
        """Append `record`, to partition `index`, its own, or the one its key stands for."""
        number = next(self._written)
        index = record.partition if index is None else index
        if index is None:
            by_key = number if record.key is None else zlib.crc32(record.key)
            index = by_key % len(self._logs[record.topic])
        partition = Partition(record.topic, index)
        time_ms = _START_MS + number if record.timestamp_ms is None else record.timestamp_ms
        offset = self.end_offset(partition)
        stored = Record(partition, offset, time_ms, record.key, record.value, record.headers)
        self._log(partition).append(_Entry(stored, transaction))
        if transaction is not None:
            transaction.written.add(partition)
        return partition

    def end(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        """End `transaction`; as with Kafka this takes an offset of each partition it wrote to."""
        transaction.state = state
        for partition in transaction.written:
            self._log(partition).append(_Entry(None, None))

    def records(
        self, partition: Partition, offset: int, isolation: Isolation = "read_committed"
    ) -> Iterator[Record]:
        """Yield what such a reader gets from `offset` on; an open transaction stops it."""
        offset = max(offset, self.first_offset(partition))
        for entry in self._log(partition)[offset:]:
            if isolation == "read_committed" and entry.transaction is not None:
                if entry.transaction.state == "open":
                    return
                if entry.transaction.state == "aborted":
                    continue
            if entry.record is not None:
                yield entry.record

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Make the planned failure of call `name`, if one is due, before or after the body."""
        planned = next((failure for failure in self._failures if failure.call == name), None)
        if planned is None or planned.skip > 0:
            if planned is not None:
                planned.skip -= 1
            yield
            return
        self._failures.remove(planned)
        if planned.after:
            yield
        raise planned.error

    def _log(self, partition: Partition) -> list[_Entry]:
        return self._logs[partition.topic][partition.index]


class Group:
    """A consumer group: committed offsets, who owns a partition, and who shall (`target`)."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.offsets: dict[Partition, int] = {}
        self.members: dict[MemoryConsumer, int] = {}
        self.owner: dict[Partition, MemoryConsumer] = {}
        self.target: dict[MemoryConsumer, list[Partition]] = {}
        self._broker = broker
        self._member_ids = count(1)

    def join(self, member: MemoryConsumer) -> None:
        """Take `member` in."""
        self.members[member] = next(self._member_ids)
        self.balance()

    def leave(self, member: MemoryConsumer) -> None:
        """Strike `member` off; what it owned is free at once."""
        self.members.pop(member, None)
        self.owner = {p: owner for p, owner in self.owner.items() if owner is not member}
        self.balance()

    def balance(self) -> None:
        """Deal the partitions out evenly; an owner keeps what it may."""
        self.target = {member: [] for member in self.members}
        wanted = {member: self._broker.matching(member.topics) for member in self.members}
        partitions = sorted({partition for some in wanted.values() for partition in some})
        share = -(-len(partitions) // max(len(self.members), 1))
        free = []
        for partition in partitions:
            owner = self.owner.get(partition)
            if owner in self.target and len(self.target[owner]) < share:
                self.target[owner].append(partition)
            else:
                free.append(partition)
        for partition in free:
            takers = [self.target[m] for m in self.members if partition in wanted[m]]
            min(takers, key=len).append(partition)

    def check(self, membership: Membership) -> None:
        """Refuse a commit by who is no member any more.

        Raises
        ------
        TransactionAborted
        """
        if membership.member not in self.members.values():
            raise TransactionAborted("the group has given our partitions to another member")
