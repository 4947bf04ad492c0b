"""A window of a topic as columns: decoded as a worker would, partition by partition."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import COLUMNS, VERDICT_COLUMNS, History, as_given_back
from streamdet.config import Config
from streamdet.errors import ConfigError, RecordError
from streamdet.kernels.table import MISSING
from streamdet.ports import RecordReader
from streamdet.serde.decoder import Decoder
from streamdet.serde.instant import parse_instant
from streamdet.serde.limits import DecodeLimits
from streamdet.state.table import SeriesTable
from streamdet.types import Overrides, Points, Reason, Reject, SeriesId

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Window(NamedTuple):
    """Event times from `start_us` to before `end_us`; None: without a bound."""

    start_us: int | None
    end_us: int | None

    @staticmethod
    def of(since: str | None, until: str | None) -> Window:
        """Return the window of two texts: ISO 8601 with a zone, or a date, its midnight in UTC.

        Raises
        ------
        ConfigError
            One is no time, or they are not in this order.
        """
        start_us, end_us = _instant_us("--from", since), _instant_us("--to", until)
        if start_us is not None and end_us is not None and start_us >= end_us:
            raise ConfigError(f"--to {until}: must be later than --from {since}")
        return Window(start_us, end_us)

    def records_since_ms(self, config: Config) -> int | None:
        """Return the record time before which no record can hold a point of the window.

        A point whose time is further than `limits.max_future` past its record's is refused. There
        is no such bound at the other end: an old point may come in a new record.
        """
        if self.start_us is None:
            return None
        return max(0, (self.start_us - config.limits.max_future_us) // 1_000)


@dataclass(slots=True)
class LeftOut:
    """What a topic held beside the points of the window."""

    refused: Counter[Reason] = field(default_factory=Counter)
    """Records, and points of records, that a worker would make dead letters of."""
    tombstones: int = 0
    outside: int = 0
    """Points before or after the window."""

    def __str__(self) -> str:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in self.refused.most_common())
        said = {
            f"{self.refused.total():,} bad records or points ({reasons})": self.refused.total(),
            f"{self.tombstones:,} tombstones": self.tombstones,
            f"{self.outside:,} points outside of the window": self.outside,
        }
        return "; ".join(text for text, n in said.items() if n)


def read_topic(
    reader: RecordReader,
    topic: str,
    window: Window,
    config: Config,
    on_progress: Callable[[int], None] = lambda records: None,
) -> tuple[History, LeftOut]:
    """Read the points of `window` that a topic holds.

    Rows stand partition after partition, in the order of their records, so that each partition's
    series are judged as the one worker that holds it judges them. They begin cold. A dimension
    that is called like a column of the verdicts gets `dimensions.` before its name.

    Parameters
    ----------
    on_progress
        Called with the number of records read since the last call.

    Raises
    ------
    FatalError
        The brokers are away, or a topic or a right is missing.
    """
    decoder = Decoder(DecodeLimits.of(config.limits))
    unit = config.input.timestamp_unit_for(topic)
    names, left_out = _Names(), LeftOut()
    found: dict[int, _Rows] = {}
    for batch in reader.batches(config.limits.batch_records):
        points = decoder.decode(batch, unit)
        series = names.numbers(points, decoder)
        left_out.refused.update(reject.reason for reject in points.rejects)
        left_out.tombstones += points.tombstones
        rows = found.setdefault(batch.partition.index, _Rows())
        left_out.outside += rows.add(points, series, window)
        on_progress(len(batch.values))
    return _history([found[index] for index in sorted(found)], names), left_out


class _Names:
    """The series seen so far, and every spelling of them."""

    def __init__(self) -> None:
        self.series: list[SeriesId] = []
        self._spellings = SeriesTable()

    def numbers(self, points: Points, decoder: Decoder) -> NDArray[np.int64]:
        """Return the number of each point's series; MISSING where it is refused after all.

        `points.rejects` grows by those.
        """
        found = self._spellings.find(points.buffer, points.key_start, points.key_size)
        for i in np.flatnonzero(found == MISSING).tolist():
            start = int(points.key_start[i])
            key = points.buffer[start : start + int(points.key_size[i])].tobytes()
            number = self._spellings.get(key)
            if number == MISSING:
                try:
                    text = decoder.identify(key, bool(points.raw[i]))
                except RecordError as error:
                    record = int(points.record[i])
                    points.rejects.append(Reject(record, None, error.reason, error.message))
                    continue
                number = self._take_in(SeriesId.parse(text), key)
            found[i] = number
        return found

    def _take_in(self, series: SeriesId, key: bytes) -> int:
        text = str(series).encode()
        number = self._spellings.get(text)
        if number == MISSING:
            number = len(self.series)
            self.series.append(series)
            self._spellings.insert(text, number)
        if key != text:
            self._spellings.insert(key, number)
        return number


class _Rows:
    """The points of one partition that are in the window."""

    def __init__(self) -> None:
        self.series: list[NDArray[np.int64]] = []
        self.time_us: list[NDArray[np.int64]] = []
        self.value: list[NDArray[np.float64]] = []
        self.record_us: list[NDArray[np.int64]] = []
        self.overrides: dict[int, Overrides] = {}
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, points: Points, series: NDArray[np.int64], window: Window) -> int:
        """Take in the points of a batch; return how many of them are not in the window."""
        usable = series != MISSING
        kept = usable.copy()
        if window.start_us is not None:
            kept &= points.time_us >= window.start_us
        if window.end_us is not None:
            kept &= points.time_us < window.end_us
        rows = np.flatnonzero(kept)
        for first, overrides in points.overrides.items():
            # parameters came with a record: they hold from the first of its points that is kept
            at = int(np.searchsorted(rows, first))
            if at < len(rows) and points.record[rows[at]] == points.record[first]:
                self.overrides[self._n + at] = overrides
        self.series.append(series[rows])
        self.time_us.append(points.time_us[rows])
        self.value.append(points.value[rows])
        self.record_us.append(points.record_us[rows])
        self._n += len(rows)
        return int(usable.sum()) - len(rows)


def _history(partitions: list[_Rows], names: _Names) -> History:
    series = _joined([column for rows in partitions for column in rows.series], np.int64)
    time_us = _joined([column for rows in partitions for column in rows.time_us], np.int64)
    value = _joined([column for rows in partitions for column in rows.value], np.float64)
    record_us = _joined([column for rows in partitions for column in rows.record_us], np.int64)
    ends = np.cumsum([len(rows) for rows in partitions], dtype=np.int64)
    starts = ends - np.array([len(rows) for rows in partitions], np.int64)
    overrides = {
        int(start) + row: parameters
        for start, rows in zip(starts, partitions, strict=True)
        for row, parameters in rows.overrides.items()
    }
    return History(
        as_given_back(_named_columns(names.series, series), time_us, value),
        [str(each).encode() for each in names.series],
        series,
        time_us,
        value,
        [np.arange(start, end) for start, end in zip(starts, ends, strict=True)],
        overrides,
        record_us,
    )


def _joined(columns: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *columns])


def _named_columns(names: list[SeriesId], series: NDArray[np.int64]) -> pa.Table:
    """Return metric and dimensions of each row; dimensions in the order of their names."""
    dimensions = sorted({name for each in names for name, _ in each.dimensions})
    texts: dict[str, list[str | None]] = {"metric": [each.metric for each in names]}
    for name in dimensions:
        column = name if name not in (*COLUMNS, *VERDICT_COLUMNS) else f"dimensions.{name}"
        texts[column] = [dict(each.dimensions).get(name) for each in names]
    row = pa.array(series)
    return pa.table(
        {
            name: pa.array(column, pa.string()).dictionary_encode().take(row)
            for name, column in texts.items()
        }
    )


def _instant_us(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except RecordError:
        form = "a date or a time with its zone: 2026-11-01 or 2026-11-01T08:00:00Z"
        raise ConfigError(f"{option} {text}: must be {form}") from None
