"""Records of one topic made into records of others, exactly once: poll, make, produce, commit.

The loop of `streamdet rekey`, `answer` and `dlq replay`; what is made of a record is theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from threading import Event
from typing import Generic, Protocol, Self, TypeVar

from streamdet.batch import BatchLimit, BatchPart
from streamdet.clock import Clock
from streamdet.commit import commit
from streamdet.config import Config
from streamdet.errors import ConfigError, RetriableError, TransactionAborted
from streamdet.ports import RecordConsumer, RecordProducer
from streamdet.types import OutgoingRecord, Partition, RecordBatch

log = logging.getLogger(__name__)

_POLL_TIMEOUT_S = 0.1
_BACKOFF_START_S = 0.2
_BACKOFF_MAX_S = 10.0
_PROGRESS_EVERY_S = 10.0


class Tally(Protocol):
    """What became of records; `tally()` is one of none."""

    @property
    def records(self) -> int:
        """Read."""

    @property
    def written(self) -> int:
        """Made of them."""

    def add(self, other: Self) -> None:
        """Count what `other` counts too."""


Counted = TypeVar("Counted", bound=Tally)


@dataclass(slots=True, kw_only=True)
class Numbers:
    """A tally that is but numbers, those of the class that has them; see `Tally`."""

    records: int = 0
    """Read."""
    written: int = 0
    """Made of them."""
    tombstones: int = 0

    def add(self, other: Self) -> None:
        """Count what `other` counts too."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Transfer(Generic[Counted]):
    """Reads, writes what is made of it, commits.

    It keeps no state but offsets, so after an abort it goes back to the committed ones and on.

    Parameters
    ----------
    source
        The topic to read.
    make
        Returns the records that a batch becomes, in their order, and what became of it.
    tally
        Makes a tally of nothing.
    config : Config
    consumer, producer : ports
    clock : Clock
    ends
        Stop when the group has committed these offsets, and leave what lies behind them for
        another time, as all of a partition that is not named. None: go on until stopped.
    """

    def __init__(
        self,
        source: str,
        make: Callable[[RecordBatch], tuple[Sequence[OutgoingRecord], Counted]],
        tally: Callable[[], Counted],
        config: Config,
        *,
        consumer: RecordConsumer,
        producer: RecordProducer,
        clock: Clock,
        ends: Mapping[Partition, int] | None = None,
    ) -> None:
        self._source = source
        self._make = make
        self._tally = tally
        self._config = config
        self._consumer = consumer
        self._producer = producer
        self._clock = clock
        self._ends = ends
        self._next: dict[Partition, int | None] = {}  # of what is assigned; None: nothing read
        self._dirty = False
        self._aborted = False
        self._limit = BatchLimit(config.limits.batch_records)
        self._commit_interval_s = config.commit_interval.total_seconds()
        self._commit_timeout_s = config.transaction_timeout.total_seconds() / 2
        self._committed_s = clock.monotonic_s() - self._commit_interval_s
        self._told_s = clock.monotonic_s()
        self._backoff_s = _BACKOFF_START_S
        self._problem: str | None = None
        self._open = tally()
        self.done = tally()
        """What is committed."""
        self.finished = False
        """Whether all of `ends` is committed."""

    def run(self, stop: Event) -> Counted:
        """Go on until `stop` is set, or `ends` are reached; then commit and leave the group."""
        self._consumer.subscribe([self._source], self)
        try:
            while not stop.is_set() and not self.finished:
                try:
                    self.step()
                except (TransactionAborted, RetriableError) as error:
                    self._discard(error)
                    stop.wait(self._backoff_s)
                    self._backoff_s = min(2 * self._backoff_s, _BACKOFF_MAX_S)
            self._commit_if_dirty()
        except BaseException:
            self._aborted = True  # a batch may be half done: leaving must not commit it
            raise
        finally:
            self._consumer.close()
            self._producer.close()
        return self.done

    def step(self) -> None:
        """One turn of the loop."""
        small = self._limit.is_low
        batches = self._poll()
        if self._aborted:  # in a callback of poll: the batches are from beyond what was rewound
            raise TransactionAborted("partitions were lost with work on them uncommitted")
        for batch in filter(None, map(self._wanted, batches)):
            self._dirty = True
            self._producer.begin()
            records, tally = self._make(batch)
            self._producer.send(records)
            self._open.add(tally)
        for partition, before in self._next.items():
            position = self._consumer.position(partition)
            if position is not None and self._ends is not None:
                position = min(position, self._ends.get(partition, 0)) or None
            if position is not None and position != before:
                self._next[partition] = position
                self._dirty = True
        if small or self._clock.monotonic_s() - self._committed_s >= self._commit_interval_s:
            self._commit_if_dirty()
            left = self._left()
            self.finished = left == 0
            self._tell(left)

    def _wanted(self, batch: RecordBatch) -> RecordBatch | None:
        """Return of `batch` what lies before the ends; None: nothing."""
        end = None if self._ends is None else self._ends.get(batch.partition, 0)
        if end is None or batch.offsets[-1] < end:
            return batch
        n_records = int(batch.offsets.searchsorted(end))
        return BatchPart(batch, 0, n_records) if n_records else None

    def _poll(self) -> Sequence[RecordBatch]:
        try:
            batches = self._consumer.poll(self._limit.records, _POLL_TIMEOUT_S)
        except RetriableError as error:
            if self._problem != str(error):
                self._problem = str(error)
                log.warning("waiting: %s", error)
            return ()
        if batches:
            self._problem = None
        return batches

    def _commit_if_dirty(self) -> None:
        self._committed_s = self._clock.monotonic_s()
        if not self._dirty or self._aborted:
            return
        next_offsets = {p: offset for p, offset in self._next.items() if offset is not None}
        commit(next_offsets, (), self._producer, self._consumer, self._commit_timeout_s)
        self._dirty = False
        self._backoff_s = _BACKOFF_START_S
        self._limit.double()
        self.done.add(self._open)
        self._open = self._tally()

    def _left(self) -> int | None:
        """Return how many offsets are not committed up to the ends, by whichever member."""
        if self._ends is None:
            return None
        try:
            committed = self._consumer.committed(list(self._ends))
        except RetriableError:
            return None  # asked again after the next commit
        return sum(max(0, end - committed.get(p, 0)) for p, end in self._ends.items())

    def _tell(self, left: int | None) -> None:
        if self._clock.monotonic_s() - self._told_s < _PROGRESS_EVERY_S:
            return
        self._told_s = self._clock.monotonic_s()
        more = "" if left is None else f", {left:,} offsets left"
        read, written = f"{self.done.records:,}", f"{self.done.written:,}"
        log.info("%s records read, %s written%s", read, written, more)

    def _discard(self, error: TransactionAborted | RetriableError) -> None:
        """Give up what was written since the last commit, and go back to its offsets."""
        log.error("transaction aborted, going back to the committed offsets: %s", error)
        self._aborted, self._dirty, self._open = True, False, self._tally()
        self._limit.halve()
        try:
            self._producer.abort()
            self._consumer.rewind(list(self._next))
        except RetriableError:
            return  # still aborted: the next turn comes back here
        self._aborted = False
        self._next = dict.fromkeys(self._next)

    # ------------------------------------------------------- partitions coming and going

    def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Take note of `partitions`."""
        log.info("assigned: %s", ", ".join(map(str, sorted(partitions))))
        self._next.update(dict.fromkeys(partitions))

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit while the partitions are still ours, then let go of them."""
        try:
            self._commit_if_dirty()
        except TransactionAborted as error:
            log.warning("the commit before giving partitions back failed: %s", error)
            self._aborted = True
        self._drop(partitions)

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        """Let go of partitions that may be another's already, and of all work not final."""
        log.warning("lost: %s", ", ".join(map(str, sorted(partitions))))
        self._aborted = self._aborted or self._dirty
        self._drop(partitions)

    def on_gap(self, partition: Partition, expected: int, start: int) -> None:
        """Say that records are gone."""
        log.error(
            "%s: the record at offset %d is gone, copying goes on at %d",
            partition, expected, start,
        )  # fmt: skip

    def _drop(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._next.pop(partition, None)


def check_topics(source: str, target: str) -> None:
    """Refuse what would read its own output.

    Raises
    ------
    ConfigError
        The message names the option to correct.
    """
    if source.startswith("^"):
        raise ConfigError(f"--from {source}: must be one topic, not a pattern")
    if source == target:
        raise ConfigError(f"--to {target}: is the topic of --from; the two must differ")


def check_units(config: Config, source: str, target: str) -> None:
    """Refuse a copy that would change what integer timestamps mean.

    Raises
    ------
    ConfigError
        The message names both units.
    """
    unit, targets = map(config.input.timestamp_unit_for, (source, target))
    if unit != targets:
        raise ConfigError(
            f"integer timestamps are read as {unit} from {source} and as {targets} from "
            f"{target}, but records are copied as they are; give both one timestamp_unit, "
            f"for example with --set input.timestamp_unit={targets}"
        )
