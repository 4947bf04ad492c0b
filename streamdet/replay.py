"""`streamdet replay`: a file of points to a topic, as any producer would send them.

A line is read by the worker's own decoder first, so what is sent here is no dead letter there,
and what is refused is known by file and line.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rich.console import Console
from rich.progress import Progress

from streamdet.clock import Clock, SystemClock
from streamdet.config import Config, LimitsConfig, TimestampUnit
from streamdet.errors import ConfigError, RecordError
from streamdet.log import escaped
from streamdet.ports import RecordProducer
from streamdet.serde.limits import DecodeLimits
from streamdet.serde.point import PointTime, RecordDecoder
from streamdet.types import OutgoingRecord, Reason

COLUMNS = ("metric", "timestamp", "value")

_BATCH_POINTS = 1000
_BATCHES_PER_S = 20  # at a rate; more would be lumpy, fewer cost nothing
_FLUSH_TIMEOUT_S = 30.0
_FAULTS_SHOWN = 20
_INTEGER = re.compile(r"-?\d{1,20}")


class Line(NamedTuple):
    """One line of the file: the native point that it holds, or why it holds none."""

    number: int
    value: bytes = b""
    fault: str = ""


@dataclass
class Summary:
    """What became of a file."""

    points: int = 0
    refused: int = 0
    series: set[bytes] = field(default_factory=set)
    elapsed_s: float = 0.0


class PointFile:
    """A file of points: ``.csv``, or ``.jsonl`` / ``.ndjson`` with a native point a line.

    Parameters
    ----------
    path
        The file.
    columns
        For CSV, which columns hold metric, timestamp and value, where they are called otherwise.
        Every other column is a dimension; an empty cell is no dimension.
    metric
        For CSV, the metric of every line, when no column holds it.

    Raises
    ------
    ConfigError
        It cannot be read, or its kind or columns are not known.
    """

    def __init__(
        self, path: Path, columns: Mapping[str, str] | None = None, metric: str | None = None
    ) -> None:
        if path.suffix not in (".csv", ".jsonl", ".ndjson"):
            raise ConfigError(f"{path}: must end in .csv, .jsonl or .ndjson, to tell what it holds")
        self.path = path
        self._columns = {name: name for name in COLUMNS} | dict(columns or {})
        self._metric = metric
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size

    @property
    def position_bytes(self) -> int:
        """How much of it was read."""
        return self._file.tell()

    def lines(self) -> Iterator[Line]:
        """Yield each line that is not empty, in order; close the file after the last.

        Raises
        ------
        ConfigError
            The header lacks a column.
        """
        with self._file:
            yield from self._csv_lines() if self.path.suffix == ".csv" else self._json_lines()

    def _json_lines(self) -> Iterator[Line]:
        for number, line in enumerate(self._file, start=1):
            if value := line.strip():
                yield Line(number, value)

    def _csv_lines(self) -> Iterator[Line]:
        # Surrogates carry bytes that are no UTF-8 as far as the line that is then refused.
        with io.TextIOWrapper(self._file, "utf-8-sig", "surrogateescape", newline="") as text:
            rows = csv.reader(text, strict=True)
            header = self._header(rows)
            while True:
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    yield Line(rows.line_num, fault=f"is no CSV: {error}")
                    continue
                if row is None:
                    return
                if len(row) == len(header):
                    yield self._point(rows.line_num, dict(zip(header, row, strict=True)))
                elif row:
                    fault = f"has {len(row)} cells where the header has {len(header)}"
                    yield Line(rows.line_num, fault=fault)

    def _header(self, rows: Iterator[list[str]]) -> Sequence[str]:
        try:
            header = next(rows, [])
        except csv.Error as error:
            raise ConfigError(f"{self.path}:1: is no CSV: {error}") from None
        needed = {what: column for what, column in self._columns.items() if not self._given(what)}
        if len(set(needed.values())) < len(needed):
            raise ConfigError("--map: metric, timestamp and value must be three columns")
        missing = [what for what, column in needed.items() if column not in header]
        if missing:
            what = missing[0]
            hint = f"name it with --map {what}=COLUMN"
            if what == "metric":
                hint += ", or the metric itself with --metric NAME"
            found = ", ".join(header) or "nothing"
            raise ConfigError(
                f"{self.path}:1: no column {needed[what]!r} for the {what}; {hint} (found: {found})"
            )
        if len(set(header)) < len(header):
            raise ConfigError(f"{self.path}:1: two columns have one name; rename one")
        return header

    def _given(self, what: str) -> bool:
        return what == "metric" and self._metric is not None

    def _point(self, number: int, cells: dict[str, str]) -> Line:
        timestamp = cells.pop(self._columns["timestamp"])
        value = cells.pop(self._columns["value"])
        metric = self._metric or cells.pop(self._columns["metric"])
        point = {
            "metric": metric,
            "dimensions": {name: cell for name, cell in cells.items() if cell},
            "timestamp": int(timestamp) if _INTEGER.fullmatch(timestamp) else timestamp,
        }
        if not _is_finite(value):
            return Line(number, fault="value must be a finite number")
        text = json.dumps(point | {"value": float(value)}, ensure_ascii=False)
        try:
            return Line(number, text.encode())
        except UnicodeEncodeError:
            return Line(number, fault="is not UTF-8 text")


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def column_map(texts: Sequence[str]) -> dict[str, str]:
    """Return ``field=COLUMN`` texts as a mapping.

    Raises
    ------
    ConfigError
        A field is none of metric, timestamp and value.
    """
    columns = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not equals or name not in COLUMNS:
            forms = ", ".join(f"{name}=COLUMN" for name in COLUMNS)
            raise ConfigError(f"--map {text}: must be one of {forms}")
        columns[name] = column
    return columns


class Checker:
    """Tells the series of a point, by the rules of the worker that will read it.

    Parameters
    ----------
    unit
        Unit of integer timestamps on the topic.
    """

    def __init__(self, limits: LimitsConfig, unit: TimestampUnit, clock: Clock) -> None:
        self._decoder = RecordDecoder(DecodeLimits.of(limits))
        self._max_future_us = limits.max_future_us
        self._unit = unit
        self._clock = clock

    def key(self, line: Line) -> bytes:
        """Return the series identity of the point in `line`, which is the key of its record.

        Raises
        ------
        RecordError
            It is no native point, or one that a worker would refuse.
        """
        if line.fault:
            raise RecordError(Reason.DECODE, line.fault)
        now_us = int(self._clock.time_s() * 1e6)
        record = self._decoder.open(line.value, lambda: None)
        if not record.single:
            raise RecordError(Reason.SCHEMA, "must be one native point, not an array or a request")
        times = PointTime(now_us, now_us + self._max_future_us, self._unit)
        return self._decoder.point(record.points[0], None, times)[2].key


def run(
    points: PointFile,
    topic: str,
    producer: RecordProducer | None,
    config: Config,
    *,
    points_per_s: float | None,
    strict: bool,
) -> int:
    """Replay with a progress bar, where there is a terminal; return the number of bad lines.

    Parameters and errors are those of `replay`.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    clock = SystemClock()
    checker = Checker(config.limits, config.input.timestamp_unit_for(topic), clock)
    bad = 0

    def on_fault(number: int, fault: str) -> None:
        nonlocal bad
        bad += 1
        if bad <= _FAULTS_SHOWN:
            console.print(escaped(f"{points.path}:{number}: {fault}"))

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(topic, total=points.size_bytes)
        summary = replay(
            points,
            topic,
            producer,
            checker,
            clock,
            points_per_s=points_per_s,
            strict=strict,
            on_fault=on_fault,
            on_progress=lambda done_bytes: progress.update(bar, completed=done_bytes),
        )
    if bad > _FAULTS_SHOWN:
        console.print(f"... and {bad - _FAULTS_SHOWN:,} more bad lines")
    per_s = summary.points / summary.elapsed_s if summary.elapsed_s else 0.0
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"{'sent' if producer else 'would send'} {summary.points:,} points of "
        f"{len(summary.series):,} series to {topic} in {summary.elapsed_s:.1f} s "
        f"({per_s:,.0f} points/s); bad lines: {summary.refused:,}"
    )
    return summary.refused


def replay(
    points: PointFile,
    topic: str,
    producer: RecordProducer | None,
    checker: Checker,
    clock: Clock,
    *,
    points_per_s: float | None = None,
    strict: bool = False,
    on_fault: Callable[[int, str], None],
    on_progress: Callable[[int], None] = lambda position_bytes: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Summary:
    """Send the good lines of `points` to `topic`, keyed by series; return what became of them.

    Parameters
    ----------
    producer
        None: a dry run.
    points_per_s
        None: as fast as it goes.
    strict
        Stop at the first bad line; what stands before it is sent.
    on_fault
        Called with the number of a bad line and what is wrong with it.
    on_progress
        Called with the number of bytes read.

    Raises
    ------
    FatalError
        The brokers refuse a record, or are away.
    """
    summary, began_s = Summary(), clock.monotonic_s()
    lines = points.lines()
    at_once = _BATCH_POINTS
    if points_per_s is not None:
        at_once = max(1, min(at_once, int(points_per_s / _BATCHES_PER_S)))
    while not (strict and summary.refused) and (batch := list(islice(lines, at_once))):
        records = []
        for line in batch:
            try:
                records.append(OutgoingRecord(topic, checker.key(line), line.value))
            except RecordError as error:
                summary.refused += 1
                on_fault(line.number, error.message)
                if strict:
                    break
        summary.points += len(records)
        summary.series.update(record.key or b"" for record in records)
        if producer is not None:
            producer.send(records)
        on_progress(points.size_bytes if len(batch) < at_once else points.position_bytes)
        if points_per_s is not None and producer is not None:
            due_s = began_s + summary.points / points_per_s
            sleep(max(0.0, due_s - clock.monotonic_s()))
    if producer is not None:
        producer.flush(_FLUSH_TIMEOUT_S)
    summary.elapsed_s = clock.monotonic_s() - began_s
    return summary
