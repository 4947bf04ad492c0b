"""A history through route, align and detect, as a worker would take it; verdicts row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import VERDICT_COLUMNS, History
from streamdet.backtest.order import play_order
from streamdet.backtest.rows import STATUSES, RowVerdicts, Status, statuses, unjudged
from streamdet.backtest.windows import Windows
from streamdet.config import Config
from streamdet.kernels.header import ABSENT, NEVER
from streamdet.serde.event import MARGIN_SCALE
from streamdet.task import Task
from streamdet.types import (
    IncidentState,
    Outcome,
    Overrides,
    Partition,
    Points,
    Released,
    SeriesId,
    Verdicts,
)

_CHUNK_POINTS = 50_000
_LAST = np.iinfo(np.int64).max


def judge(
    history: History,
    config: Config,
    *,
    chunk_points: int = _CHUNK_POINTS,
    on_progress: Callable[[int], None] = lambda points: None,
) -> RowVerdicts:
    """Return the verdicts of `history`, row by row, with windows in place of what they are made of.

    Points of a file are played by event time, as a topic would bring many series at once (see
    `order.play_order`); points of a topic in the order of their records, partition by partition.
    At the end nothing is released before its time: what a worker would still hold back is pending.

    Parameters
    ----------
    chunk_points
        Points given to the detector at once; decides nothing.
    on_progress
        Called with the number of points judged since the last call.
    """
    runs = [play_order(history)] if history.partitions is None else history.partitions
    play = _Play(history, config)
    for index, run in enumerate(runs):
        task = Task(Partition("backtest", index), config)
        for begin in range(0, len(run), chunk_points):
            rows = run[begin : begin + chunk_points]
            play.chunk(task, rows)
            task.evict()
            on_progress(len(rows))
        play.end(task, run)
    return play.found()


class _Play:
    """The rows of a history on their way through the tasks of its partitions."""

    def __init__(self, history: History, config: Config) -> None:
        self._history, self._config = history, config
        self._rows = unjudged(history, Status.MISSING)
        self._windows = Windows(history, config)
        self._buffer = np.frombuffer(b"".join(history.keys), np.uint8)
        self._size = np.array([len(key) for key in history.keys], np.int32)
        self._start = np.cumsum(self._size, dtype=np.int64) - self._size

    def chunk(self, task: Task, rows: NDArray[np.int64]) -> None:
        """Let `task` judge `rows`, of its partition."""
        history = self._history
        series = history.series[rows]
        points = Points(
            record=np.arange(len(rows), dtype=np.int32),
            element=np.full(len(rows), -1, np.int32),
            time_us=history.time_us[rows],
            value=history.value[rows],
            buffer=self._buffer,
            key_start=self._start[series],
            key_size=self._size[series],
            raw=np.zeros(len(rows), np.bool_),
            offset=rows,
            record_us=(
                np.full(len(rows), NEVER) if history.record_us is None else history.record_us[rows]
            ),
            overrides=_overrides_at(history, rows),
        )
        handles = task.route(points, _as_it_stands)
        judged = task.detect(points, handles)
        self._rows.status[rows] = np.where(
            judged.outcome == Outcome.OK, Status.PENDING, judged.outcome
        )
        self._windows.follow(task, handles, series)
        self._take(task, judged.released, judged.verdicts)

    def end(self, task: Task, run: NDArray[np.int64]) -> None:
        """Take what is due by the end of a partition, `run`, and say what is still held back."""
        for released, verdicts in task.sweep():
            self._take(task, released, verdicts)
        self._windows.end(task)
        left = run[self._rows.status[run] == Status.PENDING]
        left = left[~self._windows.aggregated[self._history.series[left]]]
        if len(left):
            self._settle(task, left, run)

    def found(self) -> RowVerdicts:
        """Return what was found."""
        rows = self._windows.in_place(self._rows)
        if rows.absences:
            times = "absence" if rows.absences == 1 else "absences"
            silent = "a series was silent for longer than its absent_after"
            said = f"{rows.absences:,} {times}: {silent}"
            rows.notes = (*rows.notes, said)
        return rows

    def _take(self, task: Task, released: Released, verdicts: Verdicts) -> None:
        """Put verdicts to the rows that they are of."""
        self._rows.absences += int(np.count_nonzero(released.use == ABSENT))
        index = self._windows.take(task, released, verdicts)
        rows = released.offset[index]
        for column in fields(Verdicts):
            getattr(self._rows, column.name)[rows] = getattr(verdicts, column.name)[index]
        self._rows.status[rows] = statuses(released, verdicts)[index]

    def _settle(self, task: Task, left: NDArray[np.int64], run: NDArray[np.int64]) -> None:
        """Tell apart the rows `left` of the partition `run`, which were used but have no verdict.

        They are held back; or another row of the same time has their verdict; or they are of a
        counter that had no rate yet.
        """
        history, rows = self._history, self._rows
        numbers, at = np.unique(history.series[left], return_inverse=True)
        counter, merged = np.zeros((2, len(numbers)), np.bool_)
        released_us = np.full(len(numbers), _LAST)
        handles = task.store.table.find(self._buffer, self._start[numbers], self._size[numbers])
        for i, (number, handle) in enumerate(zip(numbers.tolist(), handles.tolist(), strict=True)):
            settings = self._config.detection_for(SeriesId.parse(history.keys[number].decode()))
            counter[i] = settings.transform == "rate"
            merged[i] = settings.duplicates != "first"
            if handle >= 0:
                pool, slot = task.store.at(handle)
                if pool.header["n_pending"][slot]:
                    off_us = max(settings.tolerance_us, 0)  # from the line that it was moved to
                    released_us[i] = pool.header["time_us"][slot] + off_us
        waits = history.time_us[left] > released_us[at]
        doubled = merged[at]
        if (counter & merged).any():
            others = run[np.isin(history.series[run], numbers[counter & merged])]
            doubled &= np.isin(
                _moments(history, left), _moments(history, others[rows.judged[others]])
            )
        unrated = left[~waits & ~doubled]
        rows.status[left[~waits & doubled]] = Status.DUPLICATE
        rows.status[unrated] = Status.WARMING
        rows.value[unrated] = np.nan


def _moments(history: History, rows: NDArray[np.int64]) -> NDArray[np.void]:
    """Return series and time of `rows` as one value each."""
    return np.rec.fromarrays([history.series[rows], history.time_us[rows]])


def _states(rows: RowVerdicts) -> pa.DictionaryArray:
    """Return where each row stands in an incident: `onset`, `ongoing`, `recovered`, or null."""
    names = [state.name.lower() for state in IncidentState if state]
    codes = rows.state.astype(np.int32) - 1
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), names)


def result(rows: RowVerdicts) -> pa.Table:
    """Return the rows with their verdicts beside them; null where there is none.

    The value is what was judged, as in an event: of a counter its rate, of points of one time
    that are merged what they became.
    """
    width = 100 - MARGIN_SCALE  # as in `serde.event.boundaries`
    upper = rows.expected_value + width * rows.upper_margin
    lower = rows.expected_value - width * rows.lower_margin
    above, below = rows.value > upper, rows.value < lower
    unjudged = ~rows.judged | np.isnan(rows.value)
    found = {
        "expectedValue": pa.array(rows.expected_value, from_pandas=True),
        "lowerBoundary": pa.array(lower, from_pandas=True),
        "upperBoundary": pa.array(upper, from_pandas=True),
        "score": pa.array(rows.score, from_pandas=True),
        "severity": pa.array(rows.severity),
        "isAnomaly": pa.array(above | below),
        "isPositiveAnomaly": pa.array(above),
        "isNegativeAnomaly": pa.array(below),
        "alert": pa.array(rows.alert, from_pandas=True),
        "period": pa.array(rows.period, mask=unjudged),
        "sensitivity": pa.array(rows.sensitivity, mask=unjudged),
        "state": _states(rows),
        "status": pa.DictionaryArray.from_arrays(rows.status.astype(np.int32), STATUSES),
    }
    table = rows.history.table
    if not np.array_equal(rows.value, rows.history.value, equal_nan=True):
        value = pa.array(rows.value, from_pandas=True)
        table = table.set_column(table.column_names.index("value"), "value", value)
    for name in VERDICT_COLUMNS:
        table = table.append_column(name, found[name])
    return table


def _overrides_at(history: History, rows: NDArray[np.int64]) -> dict[int, Overrides]:
    """Return the parameters that came with `rows`, by their place among them."""
    if not history.overrides:
        return {}
    places = np.flatnonzero(np.isin(rows, list(history.overrides)))
    return {
        i: history.overrides[row]
        for i, row in zip(places.tolist(), rows[places].tolist(), strict=True)
    }


def _as_it_stands(key: bytes, raw: bool) -> str:
    return key.decode()
