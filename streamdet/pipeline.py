"""THE file: the way of a record, top to bottom, with the partitions' coming and going beside it.

    poll -> decode -> route -> align, detect -> encode -> produce -> commit

A batch is the records of one partition; every stage works on a whole batch, as columns. Only the
few points that become events or dead letters are ever looked at one by one. What a batch changed
is final with the commit; after an abort all state in memory is thrown away and reading goes back
to the committed offsets.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event

from streamdet.assignment import Assignment
from streamdet.batch import BatchLimit
from streamdet.clock import Clock
from streamdet.commit import commit
from streamdet.config import Config
from streamdet.errors import RetriableError, TransactionAborted
from streamdet.metrics import Metrics
from streamdet.ports import OpenReader, RecordConsumer, RecordProducer
from streamdet.serde.dead_letter import dead_letters, late_records
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.snapshot import Snapshots
from streamdet.task import Task
from streamdet.types import Partition, RecordBatch, WorkerStatus

log = logging.getLogger(__name__)

_POLL_TIMEOUT_S = 0.1
_BACKOFF_START_S, _BACKOFF_MAX_S = 0.2, 10.0


class Pipeline:
    """Reads points, detects, publishes anomalies, commits; one per process.

    Parameters
    ----------
    config : Config
    consumer, producer : ports
    decoder : Decoder
    events : EventEncoder
    clock : Clock, which decides when to commit; never what to say of a point
    """

    def __init__(
        self,
        config: Config,
        *,
        consumer: RecordConsumer,
        producer: RecordProducer,
        decoder: Decoder,
        events: EventEncoder,
        clock: Clock,
        open_reader: OpenReader,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._producer = producer
        self._decoder = decoder
        self._events = events
        self._clock = clock
        self._dirty = self._awaited = self._aborted = False
        self._limit = BatchLimit(config.limits.batch_records)
        # Work and commit together stay well below the time after which the brokers abort a
        # transaction by themselves.
        timeout_s = config.transaction_timeout.total_seconds()
        self._commit_interval_s = min(config.commit_interval.total_seconds(), timeout_s / 4)
        self._commit_timeout_s = timeout_s / 2
        self._committed_s = clock.monotonic_s()
        self._backoff_s = _BACKOFF_START_S
        self.heartbeat_s = clock.monotonic_s()
        """When the loop last turned; a loop that stands still is not alive."""
        self._problem: str | None = "has not joined its consumer group yet"
        self.status = WorkerStatus(self._problem)
        self.metrics = Metrics(lambda: self.status, clock)
        self._snapshots = Snapshots(config, self.metrics, clock)
        self._assignment = Assignment(config, consumer, open_reader, decoder, self.metrics, clock)

    def run(self, stop: Event) -> None:
        """Work until `stop` is set, then commit and leave the group."""
        topics = [topic.name for topic in self._config.input.topics]
        self._consumer.subscribe(topics, self)
        try:
            while not stop.is_set():
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

    def step(self) -> None:
        """One turn of the loop. Everything the service does is called from here."""
        self.heartbeat_s = self._clock.monotonic_s()
        batches = self._poll()
        if self._aborted:  # in a callback of poll: the batches are from beyond what was rewound
            raise TransactionAborted("partitions were lost with work on them uncommitted")
        small = self._limit.is_low
        for task, batch in self._assignment.work(batches):
            self._process(task, batch)
            self._commit_if_due(at_once=small)
        self._restore()
        self._commit_if_due(at_once=self._awaited)

    def _poll(self) -> Sequence[RecordBatch]:
        timeout_s = 0 if self._assignment.restoring else _POLL_TIMEOUT_S
        try:
            batches = self._consumer.poll(self._limit.records, timeout_s)
        except RetriableError as error:
            self._show_problem(str(error))
            return ()
        if batches:
            self._problem = None
        return batches

    def _restore(self) -> None:
        """Go on with partitions that cannot be worked on yet; the others are not kept waiting."""
        try:
            if self._assignment.step():
                self._publish_status()
        except RetriableError as error:
            self._show_problem(str(error))

    def _process(self, task: Task, batch: RecordBatch) -> None:
        """Take one batch of one partition all the way to the producer."""
        self._dirty = True
        task.heard_s = self._clock.monotonic_s()
        self._producer.begin()
        output = self._config.output
        unit = self._config.input.timestamp_unit_for(batch.partition.topic)
        stage = self.metrics.stage_seconds
        self.metrics.batch_records.observe(len(batch.values))

        with stage.labels("decode").time():  # bytes -> columns
            points = self._decoder.decode(batch, unit)
            consumed = len(points) + len(points.rejects) + points.tombstones
        with stage.labels("route").time():  # series -> slot
            handles = task.route(points, self._decoder.identify)
        with stage.labels("detect").time():  # align, kernel: columns -> columns, state in place
            judged = task.detect(points, handles)
        task.note_dead_letters(batch, points)
        with stage.labels("produce").time():  # the few rows that leave
            events = [self._events.encode(each, output.anomalies) for each in task.select(judged)]
            letters = dead_letters(batch, points.rejects, output.dead_letters)
            late = late_records(batch, task.late(points, handles, judged), output.late)
            if told := [*events, *letters, *late]:
                self._producer.send(told)
                self._awaited = self._config.commit_mode == "eager"
        task.count(batch, points, judged, consumed)

    def _commit_if_due(self, *, at_once: bool = False) -> None:
        if at_once or self._clock.monotonic_s() - self._committed_s >= self._commit_interval_s:
            self._commit_if_dirty()
            self._assignment.attend(self._producer)

    def _commit_if_dirty(self) -> None:
        """Make what was done final, count it, and show it."""
        self._committed_s = self._clock.monotonic_s()
        if self._dirty and not self._aborted:
            tasks = self._assignment.committable
            next_offsets = {t.partition: t.next_offset for t in tasks if t.next_offset is not None}
            with self.metrics.commit_seconds.time():
                state = self._snapshots.take(tasks)
                commit(next_offsets, state, self._producer, self._consumer, self._commit_timeout_s)
            self._dirty = self._awaited = False
            self._backoff_s = _BACKOFF_START_S
            self._limit.double()
            self.metrics.transactions.labels("committed").inc()
            self._assignment.committed()
            self.metrics.record({task.partition: task.take_tally() for task in tasks})
        self._publish_status()

    def _publish_status(self) -> None:
        partitions = self._assignment.status(self._clock.monotonic_s())
        self.status = WorkerStatus(self._problem or self._assignment.problem, partitions)

    def _show_problem(self, problem: str) -> None:
        if self._problem != problem:
            log.warning("not ready: %s", problem)
        self._problem = problem
        self._publish_status()

    # ------------------------------------------------------- partitions coming and going

    def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Start a task for each new partition, which is restored before it is worked on."""
        self.metrics.rebalances.labels("assigned").inc(len(partitions))
        log.info("assigned: %s", _listed(partitions))
        self._assignment.add(partitions)
        self._problem = None
        self._publish_status()

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit while the partitions are still ours, then let go of them."""
        self.metrics.rebalances.labels("revoked").inc(len(partitions))
        log.info("revoked: %s", _listed(partitions))
        self._assignment.revoke(partitions)
        try:
            self._commit_if_dirty()
        except (TransactionAborted, RetriableError) as error:
            log.warning("the commit before giving partitions back failed: %s", error)
            self._aborted = True
        self._assignment.close(partitions)
        self._publish_status()

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        """Let go of partitions that may be another worker's already, and of all work not final."""
        self.metrics.rebalances.labels("lost").inc(len(partitions))
        log.warning("lost: %s", _listed(partitions))
        self._aborted = self._aborted or self._dirty
        self._assignment.lose(partitions)
        self._publish_status()

    def on_gap(self, partition: Partition, expected: int, start: int) -> None:
        """Go on behind records that are gone; in a topic that was made anew, with new series."""
        self._assignment.face_gap(partition, expected, start)
        self._dirty = True

    def _discard(self, error: TransactionAborted | RetriableError) -> None:
        """Throw away everything since the last commit: output, offsets, and all state."""
        log.error("transaction aborted, going back to the committed offsets: %s", error)
        self.metrics.transactions.labels("aborted").inc()
        self._aborted, self._dirty, self._awaited = True, False, False
        self._limit.halve()
        refused_by = error.topic if isinstance(error, TransactionAborted) else None
        if refused_by == self._config.output.dead_letters:
            self._assignment.hold()
        self._show_problem(str(error))
        try:
            self._producer.abort()
        except RetriableError:
            return  # still aborted: the next turn comes back here
        self._aborted = False
        self._assignment.begin_again()


def _listed(partitions: Sequence[Partition]) -> str:
    return ", ".join(str(partition) for partition in sorted(partitions)) or "none"
