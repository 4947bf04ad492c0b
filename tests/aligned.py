"""A stream of points through the stage `align`: the task's, and its slow twin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamdet.config import Config
from streamdet.event_time import EventTime
from streamdet.task import Task
from streamdet.types import Outcome, Partition, Points, SeriesId, Verdicts
from tests.naive_align import ABSENT, JUDGE, NaiveAligner, Released

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Point(NamedTuple):
    """What a producer sent. The offset is the place in the stream, the record's time is `time_us`,
    unless the clock is wrong."""

    series: str
    time_us: int
    value: float
    record_us: int | None = None


@dataclass
class Aligned:
    """What became of a stream."""

    outcomes: list[Outcome]
    released: dict[str, list[Released]]
    """Of each series that released anything: values, in order, and notes, in order."""

    def shown(self) -> dict[str, list[str]]:
        """Return the rows as texts, notes last: they say all digits, and NaN is NaN."""
        rows = {name: sorted(self.released[name], key=is_note) for name in sorted(self.released)}
        return {name: [str(tuple(row)) for row in of_series] for name, of_series in rows.items()}

    def without_offsets(self) -> dict[str, list[str]]:
        """Return `shown` without where the points stood in the stream."""
        rows = {
            name: [row._replace(offset=0) for row in rows] for name, rows in self.released.items()
        }
        return Aligned([], rows).shown()

    def values(self, series: str) -> list[tuple[int, float]]:
        """Return time and value of what is judged of a series."""
        rows = self.released.get(series, [])
        return [(row.time_us, row.value) for row in rows if row.use == JUDGE]

    def notes(self, series: str) -> list[int]:
        return [row.use for row in self.released.get(series, []) if is_note(row)]


def is_note(row: Released) -> bool:
    return row.use >= ABSENT


def instant_us(text: str) -> int:
    """Return the microseconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def configured(rules: dict[str, dict] | None = None, limits: dict | None = None, **detection):
    """Return settings; `rules` by the metric they are for."""
    return Config.model_validate(
        {
            "detection": {"period": 0, "ring_length": 64, "imputeMode": "notFill"} | detection,
            "rules": [{"match": {"metric": m}, "set": s} for m, s in (rules or {}).items()],
            "limits": {"series_ttl": None} | (limits or {}),
        }
    )


def columns(stream: list[Point], first: int = 0) -> Points:
    """Return the points of a batch as decoding gives them, each a record of its own.

    first : offset of the first one
    """
    keys = [point.series.encode() for point in stream]
    size = np.array([len(key) for key in keys], np.int32)
    return Points(
        record=np.arange(len(stream), dtype=np.int32),
        element=np.full(len(stream), -1, np.int32),
        time_us=np.array([point.time_us for point in stream], np.int64),
        value=np.array([point.value for point in stream], np.float64),
        buffer=np.frombuffer(b"".join(keys), np.uint8),
        key_start=np.cumsum(size, dtype=np.int64) - size,
        key_size=size,
        raw=np.zeros(len(stream), np.bool_),
        offset=np.arange(first, first + len(stream)),
        record_us=np.array([record_us(point) for point in stream], np.int64),
    )


def batches(stream: list[Point], cuts: Iterable[int]):
    """Yield the stream in parts: offset of the first point, points."""
    for start, stop in pairwise([0, *sorted(cuts), len(stream)]):
        if stop > start:
            yield start, stream[start:stop]


def as_it_stands(key: bytes, raw: bool) -> str:
    return key.decode()


def record_us(point: Point) -> int:
    return point.time_us if point.record_us is None else point.record_us


def released(config: Config, stream: list[Point], cuts: Iterable[int] = ()) -> Aligned:
    """Return what the task makes of a stream that is cut into batches, all that is due included."""
    task = Task(Partition("t", 0), config)
    found = Aligned([], {})
    watch(task.event_time, found.released)
    for start, part in batches(stream, cuts):
        points = columns(part, start)
        judged = task.detect(points, task.route(points, as_it_stands))
        found.outcomes += [Outcome(code) for code in judged.outcome.tolist()]
        task.evict()
    list(task.sweep())
    return found


def judged(config: Config, stream: list[Point], cuts: Iterable[int] = ()) -> dict[str, dict]:
    """Return the verdicts on a stream that is cut into batches: columns of each series, bytes."""
    task = Task(Partition("t", 0), config)
    found: dict[str, dict[str, bytes]] = {}
    for start, part in batches(stream, cuts):
        points = columns(part, start)
        batch = task.detect(points, task.route(points, as_it_stands))
        of_values = [(batch.verdicts, column.name) for column in fields(Verdicts)]
        of_values += [(batch.released, name) for name in ("use", "time_us", "incomplete")]
        for handle in np.unique(batch.released.handle).tolist():
            rows = (batch.released.handle == handle) & (batch.released.use < ABSENT)
            of_series = found.setdefault(task.store.name(handle), {})
            for table, name in of_values:
                more = getattr(table, name)[rows].tobytes()
                of_series[name] = of_series.get(name, b"") + more
        task.evict()
    return found


def watch(event_time: EventTime, into: dict[str, list[Released]]) -> None:
    """Note all that is released, with the steps, which nobody but the detector is told."""

    def noting(release):
        def noted(pool, *args):
            for some in release(pool, *args):
                rows = (some.use, some.time_us, some.value, some.step, some.offset)
                for slot, *row in zip(some.slot.tolist(), *(c.tolist() for c in rows), strict=True):
                    into.setdefault(pool.names[slot], []).append(Released(*row))
                yield some

        return noted

    event_time.align = noting(event_time.align)
    event_time.sweep = noting(event_time.sweep)


def naively(config: Config, stream: list[Point]) -> Aligned:
    """Return what the twin makes of a stream."""
    names = list(dict.fromkeys(point.series for point in stream))
    options = {name: config.detection_for(SeriesId.parse(name)) for name in names}
    twin = NaiveAligner(options, config.limits)
    outcomes = [
        twin.add(point.series, point.time_us, point.value, offset, record_us(point))
        for offset, point in enumerate(stream)
    ]
    every = {name: twin.series[name].released for name in names}
    return Aligned(outcomes, {name: rows for name, rows in every.items() if rows})
