"""From an assignment to the first new verdict: load the state, replay what it lacks.

A step at a time, so that the partitions that stay are worked on meanwhile. Replay is the ordinary
way of a record with its output thrown away: it was published before.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from functools import partial

from streamdet.clock import Clock
from streamdet.config import Config
from streamdet.errors import FatalError, RetriableError
from streamdet.metrics import Metrics, Tally
from streamdet.ports import OpenReader, RecordConsumer
from streamdet.serde.decoder import Decoder
from streamdet.snapshot import Restored, load
from streamdet.task import Task
from streamdet.types import Partition, Record, RecordBatch

log = logging.getLogger(__name__)

_STATE_RECORDS = 100


class Restoration:
    """Brings a new task to the group's offset.

    Parameters
    ----------
    task : Task
        Changed in place; it may be used once `step` has returned True.
    committed : int
        The group's offset.
    open_reader : callable
    decoder : Decoder
    """

    def __init__(
        self, task: Task, committed: int, open_reader: OpenReader, decoder: Decoder
    ) -> None:
        self.task = task
        self.found = Restored(committed)
        """What the state topic had."""
        self._committed = committed
        self._open_reader = open_reader
        self._decoder = decoder
        self._steps = self._run()

    def step(self) -> bool:
        """Do some of the work; return whether it is done. Not to be called after an error.

        Raises
        ------
        FatalError
            Input that is needed is gone and `state.on_gap` is fail; a topic or right is missing.
        RetriableError
            The brokers are away; begin anew, with a new task.
        """
        return next(self._steps)

    def close(self) -> None:
        """Give up what is left to do, and its connections."""
        self._steps.close()

    def _run(self) -> Generator[bool, None, None]:
        topic = self.task.config.state.topic
        assert topic is not None, "without a state topic nothing is restored"
        records: list[Record] = []
        for batch in self._read(topic, 0, None, _STATE_RECORDS):
            if batch is not None:
                records += [batch.record(i) for i in range(len(batch.values))]
            yield False
        for found in load(self.task, records, self._committed):
            self.found = found
            yield False
        del records
        for problem in self.found.problems:
            log.error("%s: %s; its series begin cold", self.task.partition, problem)
        if self.found.replay_from < self._committed:
            yield from self._replay()
        self.task.tally = Tally()
        log.info(
            "%s: restored %d series from %d bytes of state, replayed offsets %d to %d",
            self.task.partition, self.found.n_series, self.found.size_bytes,
            self.found.replay_from, self._committed,
        )  # fmt: skip
        yield True

    def _replay(self) -> Iterator[bool]:
        config, topic = self.task.config, self.task.partition.topic
        unit = config.input.timestamp_unit_for(topic)
        first, end = self.found.replay_from, self._committed
        for batch in self._read(topic, first, end, config.limits.batch_records):
            if batch is not None:
                points = self._decoder.decode(batch, unit)
                handles = self.task.route(points, partial(self._decoder.identify, batch))
                self.task.keep_onsets(self.task.detect(points, handles))
            yield False

    def _read(
        self, topic: str, first: int, end: int | None, records_max: int
    ) -> Iterator[RecordBatch | None]:
        """Yield batches, and None where none has come for a moment."""
        partition = Partition(topic, self.task.partition.index)
        reader = self._open_reader(topic, {partition.index: (first, end)})
        try:
            if end is not None and reader.starts[partition] > first:
                self._face_gap(first, reader.starts[partition])
            while (arrived := reader.poll(records_max)) is not None:
                yield from arrived or (None,)
        finally:
            reader.close()

    def _face_gap(self, first: int, start: int) -> None:
        """Say that input from `first` to `start` is gone, and go on or not, as the settings say."""
        lost = (
            f"{self.task.partition}: its state needs the input from offset {first} on, and "
            f"retention has taken what was before {start}; the state lacks those records"
        )
        if self.task.config.state.on_gap == "fail":
            raise FatalError(
                f"{lost}. Give the topic a longer retention, or set state.on_gap: continue"
            )
        log.error("%s, and goes on (state.on_gap)", lost)
        self.found.problems.append(lost)


class Restorations:
    """The partitions of a worker that were assigned and are not worked on yet.

    The consumer keeps them paused. First it is asked for their committed offsets; a partition that
    has none, or no state topic to restore from, is done then.
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
        self._config = config
        self._consumer = consumer
        self._open_reader = open_reader
        self._decoder = decoder
        self._metrics = metrics
        self._clock = clock
        self._waiting: set[Partition] = set()
        self._under_way: dict[Partition, tuple[Restoration, float]] = {}

    @property
    def under_way(self) -> bool:
        """Whether `step` has work to do, or waits itself for records to come."""
        return bool(self._under_way)

    @property
    def problem(self) -> str | None:
        """Why the worker is not ready because of them; None: there are none."""
        left = sorted([*self._waiting, *self._under_way])
        return f"restores the state of {', '.join(map(str, left))}" if left else None

    def add(self, partitions: Iterable[Partition]) -> None:
        """Begin with partitions that were assigned or rewound. Asks nobody."""
        partitions = list(partitions)
        self.drop(partitions)
        self._consumer.pause(partitions)
        self._waiting.update(partitions)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Give partitions up that are no longer ours."""
        for partition in partitions:
            self._waiting.discard(partition)
            if partition in self._under_way:
                self._under_way.pop(partition)[0].close()

    def step(self) -> Iterator[Task]:
        """Do some of the work; yield the task of each partition that is begun, or ready, now.

        Raises
        ------
        RetriableError
            The brokers are away; call it again.
        """
        if self._waiting:
            yield from self._begin()
        for partition, (restoration, began_s) in list(self._under_way.items()):
            try:
                if not restoration.step():
                    continue
                # What the consumer may have taken in before it was paused was given to nobody.
                self._consumer.rewind([partition])
            except RetriableError:
                self.add([partition])
                raise
            del self._under_way[partition]
            self._metrics.state_problems.inc(len(restoration.found.problems))
            self._metrics.restore_seconds.observe(self._clock.monotonic_s() - began_s)
            yield self._resumed(restoration.task)

    def _begin(self) -> Iterator[Task]:
        committed = self._consumer.committed(sorted(self._waiting))
        for partition in sorted(self._waiting):
            offset = committed.get(partition)
            task = Task(partition, self._config, offset)
            if offset is None or self._config.state.topic is None:
                self._consumer.rewind([partition])
                self._waiting.discard(partition)
                yield self._resumed(task)
                continue
            self._waiting.discard(partition)
            restoration = Restoration(task, offset, self._open_reader, self._decoder)
            self._under_way[partition] = restoration, self._clock.monotonic_s()
            yield task

    def _resumed(self, task: Task) -> Task:
        task.ready = True
        self._consumer.resume([task.partition])
        return task
