"""The detector without Kafka: what a worker must make of a topic, whatever happened to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from streamdet.batch import sizes_of
from streamdet.config import Config
from streamdet.serde.dead_letter import dead_letters
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.limits import DecodeLimits
from streamdet.task import Task
from streamdet.types import Outcome, OutgoingRecord, Partition, Record

_BATCH_RECORDS = 997
"""Unlike any batch that a broker gives: how records are grouped must not matter."""


@dataclass
class Offline:
    """What leaves, and what became of the points."""

    events: list[OutgoingRecord] = field(default_factory=list)
    dead_letters: list[OutgoingRecord] = field(default_factory=list)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    tasks: dict[Partition, Task] = field(default_factory=dict)
    """Each partition's, with the state that it ends with."""


def detect(config: Config, records: Sequence[Record]) -> Offline:
    """Return what is made of `records`, which stand in the order of their partitions and offsets.

    Each partition begins cold, as at a worker's first assignment.
    """
    decoder, encoder, found = Decoder(DecodeLimits()), EventEncoder(), Offline()
    for partition, its_records in groupby(records, key=lambda record: record.partition):
        task, own = Task(partition, config), list(its_records)
        unit = config.input.timestamp_unit_for(partition.topic)
        for start in range(0, len(own), _BATCH_RECORDS):
            batch = Batch(partition, own[start : start + _BATCH_RECORDS])
            points = decoder.decode(batch, unit)
            consumed = len(points) + len(points.rejects) + points.tombstones
            handles = task.route(points, decoder.identify)
            judged = task.detect(points, handles)
            found.events += [
                encoder.encode(verdict, config.output.anomalies) for verdict in task.select(judged)
            ]
            found.dead_letters += dead_letters(batch, points.rejects, config.output.dead_letters)
            task.count(batch, points, judged, consumed)
        found.outcomes += task.tally.outcomes
        found.tasks[partition] = task
    return found


class Batch:
    """Records as a batch, as a consumer gives it."""

    def __init__(self, partition: Partition, records: Sequence[Record]) -> None:
        self.partition = partition
        self.values = [record.value for record in records]
        self.sizes = sizes_of(self.values)
        self.offsets = np.array([record.offset for record in records], np.int64)
        self.timestamps_ms = np.array([record.timestamp_ms for record in records], np.int64)
        self._records = records

    def record(self, index: int) -> Record:
        return self._records[index]
