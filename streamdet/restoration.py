"""From an assignment to the first new verdict: load the state, replay what it lacks.

A step at a time, so that the partitions that stay are worked on meanwhile. Replay is the ordinary
way of a record with its output thrown away: it was published before.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator

from streamdet.errors import FatalError
from streamdet.metrics import Tally
from streamdet.ports import OpenReader
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
        self.task.event_time.replays = True
        if self.found.replay_from < self._committed:
            yield from self._replay()
        self.task.end_replay()
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
                handles = self.task.route(points, self._decoder.identify)
                self.task.selection.keep_onsets(self.task.detect(points, handles))
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
