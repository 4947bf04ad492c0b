"""The newest records of a topic, decoded as a worker decodes them, and what they are like."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config, DetectionConfig
from streamdet.errors import RecordError, StreamdetError
from streamdet.kernels.header import NEVER
from streamdet.kernels.present import PRESENT, advance
from streamdet.ports import RecordReader
from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.types import Reason, RecordBatch, Reject, SeriesId

_BATCH_RECORDS = 500
_POINTS_MAX = 1_000_000  # a record may hold thousands

Column = NDArray[np.int64]


@dataclass(slots=True)
class SeriesSample:
    """One series of a sample."""

    text: str
    detection: DetectionConfig
    partitions: frozenset[int]
    n_points: int
    spacing_us: int
    """Median distance of its points; 0 where it has but one."""


@dataclass(slots=True)
class TopicSample:
    """What the newest records of a topic hold; columns of n points, in the order of each partition.

    The columns are those of `types.Points` with the partition, the series (index in `series`) and
    the partition's time once the point was there.
    """

    topic: str
    n_records: int = 0
    n_keyless: int = 0
    n_shared_keys: int = 0
    """Keys with points of several series."""
    n_tombstones: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    """Records, and points of records."""
    first_refused: dict[Reason, str] = field(default_factory=dict)
    """Where the first of each is, and what is wrong with it."""
    newest_ms: int | None = None
    """Newest time of a record of its own."""
    cut_short: str = ""
    """Why not all was read that was to be; empty: it was."""
    series: list[SeriesSample] = field(default_factory=list)
    partition: Column = field(default_factory=lambda: np.empty(0, np.int64))
    of: Column = field(default_factory=lambda: np.empty(0, np.int64))
    time_us: Column = field(default_factory=lambda: np.empty(0, np.int64))
    record_us: Column = field(default_factory=lambda: np.empty(0, np.int64))
    present_us: Column = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def points(self) -> int:
        """How many were decoded."""
        return len(self.time_us)


class Sampler:
    """Takes batches of one topic; `finish` tells what they were like."""

    def __init__(self, topic: str, config: Config) -> None:
        self._config = config
        self._unit = config.input.timestamp_unit_for(topic)
        self._decoder = Decoder(DecodeLimits.of(config.limits))
        self._sample = TopicSample(topic)
        self._numbers: dict[bytes, int] = {}  # of spellings
        self._series: dict[SeriesId, int] = {}
        self._series_of_key: dict[bytes, set[int]] = {}
        self._presents: dict[int, NDArray[np.void]] = {}
        self._columns: list[tuple[Column, ...]] = []
        self.points = 0

    def add(self, batch: RecordBatch) -> None:
        """Decode `batch`, the next of its partition."""
        sample = self._sample
        points = self._decoder.decode(batch, self._unit)
        sample.n_records += len(batch.values)
        sample.n_tombstones += points.tombstones
        sample.newest_ms = max(sample.newest_ms or 0, int(batch.timestamps_ms.max()))
        of = np.full(len(points), -1, np.int64)
        for i, spelling in enumerate(points.keys()):
            number = self._numbers.get(spelling)
            if number is None:
                try:
                    text = self._decoder.identify(spelling, bool(points.raw[i]))
                    number = self._number(SeriesId.parse(text))
                except RecordError as error:
                    record = int(points.record[i])
                    points.rejects.append(Reject(record, None, error.reason, error.message))
                    continue
                self._numbers[spelling] = number
            of[i] = number
        self._note_keys(batch, points.record.tolist(), of.tolist())
        self._note_rejects(batch, points.rejects)
        good = of >= 0
        time_us, record_us = points.time_us[good], points.record_us[good]
        here = np.full(len(time_us), batch.partition.index, np.int64)
        present_us = self._present(batch.partition.index, time_us, record_us)
        self._columns.append((here, of[good], time_us, record_us, present_us))
        self.points += len(time_us)

    def finish(self) -> TopicSample:
        """Return what all batches were like."""
        sample = self._sample
        sample.n_shared_keys = sum(len(each) > 1 for each in self._series_of_key.values())
        if self._columns:
            columns = (np.concatenate(column) for column in zip(*self._columns, strict=True))
            (sample.partition, sample.of, sample.time_us, sample.record_us,
             sample.present_us) = columns  # fmt: skip
        order = np.lexsort((sample.time_us, sample.of))
        ends = np.searchsorted(sample.of[order], np.arange(len(self._series) + 1))
        for series, number in self._series.items():
            its = order[ends[number] : ends[number + 1]]
            apart = np.diff(sample.time_us[its])
            apart = apart[apart > 0]
            sample.series.append(
                SeriesSample(
                    str(series),
                    self._config.detection_lookup(series),
                    frozenset(sample.partition[its].tolist()),
                    len(its),
                    int(np.median(apart)) if len(apart) else 0,
                )
            )
        return sample

    def _number(self, series: SeriesId) -> int:
        return self._series.setdefault(series, len(self._series))

    def _note_keys(self, batch: RecordBatch, records: list[int], of: list[int]) -> None:
        keys = [batch.record(record).key for record in range(len(batch.values))]
        self._sample.n_keyless += keys.count(None)
        for record, number in zip(records, of, strict=True):
            key = keys[record]
            if key is not None and number >= 0:
                self._series_of_key.setdefault(key, set()).add(number)

    def _note_rejects(self, batch: RecordBatch, rejects: list[Reject]) -> None:
        for reject in rejects:
            self._sample.refused[reject.reason] += 1
            self._sample.first_refused.setdefault(
                reject.reason,
                f"{batch.partition} offset {batch.offsets[reject.record]}: {reject.message}",
            )

    def _present(self, partition: int, time_us: Column, record_us: Column) -> Column:
        """Return the partition's time after each point, by the worker's own rule."""
        if partition not in self._presents:
            self._presents[partition] = np.zeros(1, PRESENT)
            self._presents[partition]["time_us"] = NEVER
        n, none = len(time_us), np.empty(0, np.int64)
        present_us = np.empty(n, np.int64)
        before, spoken = np.empty((0, n), np.int64), np.empty((0, n), np.int64)
        advance(
            self._presents[partition],
            time_us,
            record_us,
            self._config.limits.max_future_us,
            present_us,
            none,
            none,
            before,
            spoken,
        )
        return present_us


def take_sample(reader: RecordReader, sampler: Sampler, until_s: float) -> TopicSample:
    """Return what `reader` has, or as much as can be read until `until_s` (of `time.monotonic`)."""
    cut_short = ""
    try:
        for batch in reader.batches(_BATCH_RECORDS):
            sampler.add(batch)
            if time.monotonic() >= until_s:
                cut_short = "the time was over"
            elif sampler.points >= _POINTS_MAX:
                cut_short = f"{_POINTS_MAX:,} points are enough"
            if cut_short:
                break
    except StreamdetError as error:
        cut_short = str(error)
    sample = sampler.finish()
    sample.cut_short = cut_short
    return sample
