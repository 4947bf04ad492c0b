"""The partitions of a worker: each a task, from its assignment to its end.

A partition that was assigned is restored, a step at a time, while the others are worked on. One
with a dead letter that the brokers do not take is worked on up to that record, and waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from streamdet.batch import BatchPart, parts
from streamdet.clock import Clock
from streamdet.config import Config
from streamdet.errors import RetriableError
from streamdet.lifecycle import State
from streamdet.metrics import Metrics
from streamdet.ports import OpenReader, RecordConsumer, RecordProducer
from streamdet.restoration import Restoration
from streamdet.serde.decoder import Decoder
from streamdet.task import Task
from streamdet.types import Partition, PartitionStatus, RecordBatch

log = logging.getLogger(__name__)

_PART_BYTES = 8 << 20
"""Of values: a second's work or so."""
_HELD_START_S = 10.0
_HELD_MAX_S = 300.0


class Assignment:
    """The tasks of the partitions that the group has assigned to this worker.

    The consumer keeps those paused that are not worked on.

    Parameters
    ----------
    config : Config
    consumer : RecordConsumer
    open_reader : callable
        Opens what a restoration reads.
    decoder : Decoder
    metrics : Metrics
    clock : Clock
    """

    def __init__(
        self,
        config: Config,
        consumer: RecordConsumer,
        open_reader: OpenReader,
        decoder: Decoder,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.tasks: dict[Partition, Task] = {}
        self._config = config
        self._consumer = consumer
        self._open_reader = open_reader
        self._decoder = decoder
        self._metrics = metrics
        self._clock = clock
        self._restorations: dict[Partition, tuple[Restoration, float]] = {}
        self._held: dict[Partition, int] = {}
        self._held_s = 0.0
        self._held_until_s = 0.0

    @property
    def committable(self) -> list[Task]:
        """The tasks whose work a commit makes final."""
        wanted = (State.RUNNING, State.REVOKING)
        return [task for task in self.tasks.values() if task.state in wanted]

    @property
    def problem(self) -> str | None:
        """Why the worker is not ready because of its partitions; None: it is."""
        states = (State.ASSIGNED, State.RESTORING)
        left = [partition for partition, task in self.tasks.items() if task.state in states]
        if left:
            return f"restores the state of {', '.join(map(str, sorted(left)))}"
        if self._held:
            places = ", ".join(f"{p} before offset {at}" for p, at in sorted(self._held.items()))
            wait = "wait" if len(self._held) > 1 else "waits"
            return (
                f"{self._config.output.dead_letters} takes no dead letter: {places} {wait} for it"
            )
        return None

    @property
    def restoring(self) -> bool:
        """Whether `step` has work to do, or waits itself for records to come."""
        return bool(self._restorations)

    def running(self, partition: Partition) -> Task | None:
        """Return the task of a partition that is worked on; None: it is not."""
        task = self.tasks.get(partition)
        return task if task is not None and task.state is State.RUNNING else None

    def work(self, batches: Iterable[RecordBatch]) -> Iterator[tuple[Task, RecordBatch]]:
        """Yield what is to be worked on, with its task: batches, or parts of large ones.

        Between two of them a transaction may be committed, so that none is open for long.
        """
        for batch in batches:
            for part in parts(batch, _PART_BYTES):
                task, wanted = self.running(batch.partition), self._wanted(part)
                if task is not None and wanted is not None:
                    yield task, wanted

    # ------------------------------------------------------------------- coming and going

    def add(self, partitions: Iterable[Partition]) -> None:
        """Begin with partitions that are ours from now on. Asks nobody."""
        partitions = list(partitions)
        self._consumer.pause(partitions)
        for partition in partitions:
            assert partition not in self.tasks, f"{partition} is assigned once"
            self.tasks[partition] = Task(partition, self._config)

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Make ready for the last commit of partitions that are ours until `close`."""
        for partition in partitions:
            if task := self.running(partition):
                task.enter(State.REVOKING)

    def lose(self, partitions: Iterable[Partition]) -> None:
        """Give partitions up that may be another worker's already."""
        partitions = list(partitions)
        for partition in partitions:
            if task := self.tasks.get(partition):
                task.enter(State.LOST)
        self.close(partitions)

    def close(self, partitions: Iterable[Partition]) -> None:
        """Be done with partitions."""
        for partition in partitions:
            self._held.pop(partition, None)
            if task := self.tasks.pop(partition, None):
                task.enter(State.CLOSED)
            if partition in self._restorations:
                self._restorations.pop(partition)[0].close()

    def begin_again(self, partitions: Iterable[Partition] | None = None) -> None:
        """Throw the tasks of partitions, of all by default, away, and begin with new ones."""
        partitions = list(self.tasks if partitions is None else partitions)
        held = {p: at for p, at in self._held.items() if p in partitions}
        self.close(partitions)
        self.add(partitions)
        self._held.update(held)

    def face_gap(self, partition: Partition, expected: int, start: int) -> None:
        """Say what is gone of a partition whose reading goes on at `start`, not at `expected`."""
        task = self.running(partition)
        if task is None:
            return
        if start >= expected:
            task.tally.lost += start - expected
            log.error(
                "%s: the records from offset %d to %d were gone before they were read; give the "
                "topic a longer retention, or more workers",
                partition, expected, start - 1,
            )  # fmt: skip
            return
        log.error("%s ends before offset %d, where it was to be read", partition, expected)
        self._made_anew(task)

    def _made_anew(self, task: Task) -> None:
        """Begin with a topic that was deleted and made again, of which `task` knows nothing."""
        partition = task.partition
        log.error(
            "%s: the topic was made anew; it is read from where %s begins, and its series begin "
            "cold", partition, self._config.kafka.group_id,
        )  # fmt: skip
        self._metrics.state_problems.inc()
        self.close([partition])
        successor = Task(partition, self._config)
        successor.topic_id = self._consumer.topic_id(partition.topic) or ""
        successor.tally = task.take_tally()
        successor.enter(State.RUNNING)
        self.tasks[partition] = successor

    # --------------------------------------------------------------------------- restoring

    def step(self) -> bool:
        """Do some of what is to be done before partitions can be worked on; tell if any began.

        Raises
        ------
        RetriableError
            The brokers are away; call it again.
        """
        began = self._begin()
        for partition, (restoration, began_s) in list(self._restorations.items()):
            try:
                if not restoration.step():
                    continue
                # What the consumer may have taken in before it was paused was given to nobody.
                if restoration.found.made_anew:
                    restoration.task.next_offset = None
                    self._consumer.start_over(partition)
                else:
                    self._consumer.rewind([partition])
            except RetriableError:
                self.begin_again([partition])
                raise
            del self._restorations[partition]
            self._metrics.state_problems.inc(len(restoration.found.problems))
            self._metrics.restore_seconds.observe(self._clock.monotonic_s() - began_s)
            self._run(restoration.task)
            began = True
        return began

    def _begin(self) -> bool:
        """Begin to restore what was assigned; run what has no state."""
        waiting = [p for p, task in sorted(self.tasks.items()) if task.state is State.ASSIGNED]
        if not waiting:
            return False
        committed = self._consumer.committed(waiting)
        for partition in waiting:
            task, offset = self.tasks[partition], committed.get(partition)
            topic_id = self._consumer.topic_id(partition.topic)
            task.next_offset, task.topic_id = offset, topic_id or ""
            if offset is None or self._config.state.topic is None:
                self._consumer.rewind([partition])
                self._run(task)
                continue
            if topic_id is None:  # told soon: state has to be of the topic that there is now
                continue
            task.enter(State.RESTORING)
            restoration = Restoration(task, offset, self._open_reader, self._decoder)
            self._restorations[partition] = restoration, self._clock.monotonic_s()
        return True

    def _run(self, task: Task) -> None:
        task.enter(State.RUNNING)
        self._consumer.resume([task.partition])

    # ------------------------------------- dead letters that the brokers do not take

    def hold(self) -> None:
        """Have partitions wait before a record whose dead letter was not taken.

        Those whose tasks have sent dead letters since the last commit: which of them was refused,
        nobody knows.
        """
        self._held_s = min(2 * self._held_s, _HELD_MAX_S) if self._held_s else _HELD_START_S
        self._held_until_s = self._clock.monotonic_s() + self._held_s
        for partition, task in sorted(self.tasks.items()):
            if task.dead_letter_from is None:
                continue
            self._held[partition] = task.dead_letter_from
            log.error(
                "%s waits before offset %d: its dead letter cannot be written to %s. Other "
                "partitions go on, nothing is lost; tried again in %g s",
                partition, task.dead_letter_from, self._config.output.dead_letters, self._held_s,
            )  # fmt: skip

    def _wanted(self, batch: RecordBatch) -> RecordBatch | None:
        end = self._held.get(batch.partition)
        if end is None or batch.offsets[-1] < end:
            return batch
        self._consumer.pause([batch.partition])
        n_records = int(batch.offsets.searchsorted(end))
        return BatchPart(batch, 0, n_records) if n_records else None

    def attend(self, producer: RecordProducer) -> None:
        """Look after what changes outside: the dead-letter topic, and the input topics themselves.

        To be called when everything is committed: reading goes back to the group's offsets.

        Raises
        ------
        RetriableError
            The brokers are away; call it again.
        """
        for task in self.committable:
            topic_id = self._consumer.topic_id(task.partition.topic) or task.topic_id
            if task.topic_id in ("", topic_id):
                task.topic_id = topic_id
            else:
                self._consumer.start_over(task.partition)
                self._made_anew(task)
        if not self._held or self._clock.monotonic_s() < self._held_until_s:
            return
        self._held_until_s = self._clock.monotonic_s() + self._held_s
        if not producer.reaches(self._config.output.dead_letters):
            return
        its = [partition for partition in self._held if self.running(partition)]
        self._consumer.rewind(its)
        self._consumer.resume(its)
        self._held.clear()

    def committed(self) -> None:
        """Take note that everything done is final, and let go of idle series."""
        for task in self.committable:
            task.evict()
            if task.dead_letter_from is not None:
                task.dead_letter_from = None
                self._held_s = 0.0

    def status(self, now_s: float) -> tuple[PartitionStatus, ...]:
        """Return what /metrics shows of each partition."""
        return tuple(
            replace(
                task.status(self._consumer.end_offset(partition), now_s),
                held=partition in self._held,
            )
            for partition, task in sorted(self.tasks.items())
        )
