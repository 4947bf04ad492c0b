"""Windows of aggregated and rolled up series: rows in place of points, or beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streamdet.backtest.history import History, as_given_back
from streamdet.backtest.rows import STATUSES, Origin, RowVerdicts, Status, statuses
from streamdet.config import Config, DetectionConfig
from streamdet.kernels.header import JUDGE
from streamdet.roster import ROLLUP
from streamdet.task import Task, joined
from streamdet.types import Released, SeriesId, Verdicts

_MONTH_MAX_US = 31 * 86_400_000_000
_CLOCKS_MOVE_US = 3_600_000_000


class Windows:
    """The windows of a history's series, as they are released.

    Parameters
    ----------
    history : History
    config : Config
    """

    def __init__(self, history: History, config: Config) -> None:
        n = len(history.keys)
        self.aggregated = np.zeros(n, np.bool_)
        """Shape (series,): its points have no row."""
        self._history = history
        self._window_us = np.zeros(n, np.int64)
        self._into = np.full(n, -1, np.int64)  # number of what each is rolled up into
        self._rolled_up: dict[bytes, int] = {}  # key -> number, from n on
        self._numbers: list[NDArray[np.int64]] = []
        self._parts: list[tuple[Released, Verdicts]] = []
        self._n_pending = 0
        self._rolls_up = any(settings.rollup is not None for settings in config.detections)
        if self._rolls_up or any(settings.window for settings in config.detections):
            for number, key in enumerate(history.keys):
                settings = config.detection_for(SeriesId.parse(key.decode()))
                self.aggregated[number] = settings.window > 0
                self._window_us[number] = _longest_us(settings)
        self._any = self._rolls_up or bool(self.aggregated.any())

    def follow(self, task: Task, handles: NDArray[np.int64], series: NDArray[np.int64]) -> None:
        """Note what the series of points that were just detected are rolled up into."""
        if not self._rolls_up:
            return
        into = task.roster.rollups(handles)
        new = (into >= 0) & (self._into[series] < 0)
        numbers, first = np.unique(series[new], return_index=True)
        for number, handle in zip(numbers.tolist(), into[new][first].tolist(), strict=True):
            key = task.store.name(handle).encode()
            at = len(self.aggregated) + len(self._rolled_up)
            self._into[number] = self._rolled_up.setdefault(key, at)

    def take(self, task: Task, released: Released, verdicts: Verdicts) -> NDArray[np.int64]:
        """Keep the windows of what was released. Returns the places of points with a verdict."""
        index = np.flatnonzero(released.use == JUDGE)
        if not self._any or not len(index):
            return index
        series = self._history.series[released.offset[index]]
        is_window = self.aggregated[series]
        if self._rolled_up:
            at = {task.store.table.get(key): number for key, number in self._rolled_up.items()}
            handles = np.array(sorted(at), np.int64)
            handle = released.handle[index]
            place = np.minimum(np.searchsorted(handles, handle), len(handles) - 1)
            here = handles[place] == handle
            series[here] = np.array([at[each] for each in handles.tolist()])[place[here]]
            is_window[here] = True
        chosen = index[is_window]
        self._numbers.append(series[is_window])
        self._parts.append((_some(released, chosen), _some(verdicts, chosen)))
        return index[~is_window]

    def end(self, task: Task) -> None:
        """Count the points that are held back at the end of a partition."""
        for number in np.flatnonzero(self.aggregated).tolist():
            handle = task.store.table.get(self._history.keys[number])
            if handle >= 0:
                pool, slot = task.store.at(handle)
                self._n_pending += int(pool.header["n_pending"][slot])

    def in_place(self, rows: RowVerdicts) -> RowVerdicts:
        """Return `rows`, of the input, with the windows in place of the points they are made of.

        A window stands where the last of its points stood, one of a rolled up series after it.
        """
        if not self._any:
            return rows
        history, n = self._history, len(self.aggregated)
        keys = sorted(self._rolled_up)  # so that nothing depends on which had a window first
        number_of = np.arange(n + len(keys) + 1)
        number_of[[self._rolled_up[key] for key in keys]] = np.arange(n, n + len(keys))
        number_of[-1] = -1
        into = number_of[self._into]
        released, verdicts = joined(self._parts)
        points = np.flatnonzero(~self.aggregated[history.series])
        numbers = [history.series[points], *(number_of[part] for part in self._numbers)]
        series, source = np.concatenate(numbers), np.concatenate([points, released.offset])
        order = np.lexsort((series >= n, source))
        series, source = series[order], source[order]

        def merged(of_rows: NDArray[Any], of_windows: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([of_rows[points], of_windows.astype(of_rows.dtype)])[order]

        time_us = merged(history.time_us, released.time_us)
        value = merged(history.value, verdicts.value)
        table = as_given_back(self._identities(source, series, keys), time_us, value)
        leaves = {
            number: int(np.flatnonzero(into == number)[0]) for number in range(n, n + len(keys))
        }
        length_us = np.append(self._window_us, self._window_us[list(leaves.values())])[series]
        length_us[order < len(points)] = 0
        return RowVerdicts(
            **{
                column.name: merged(getattr(rows, column.name), getattr(verdicts, column.name))
                for column in fields(Verdicts)
            },
            history=History(table, history.keys + keys, series, time_us, value, leaves=leaves),
            status=merged(rows.status, statuses(released, verdicts)),
            absences=rows.absences,
            origin=Origin(history, source, length_us, into),
            notes=tuple(self._notes(rows, series[order >= len(points)])),
        )

    def _identities(
        self, source: NDArray[np.int64], series: NDArray[np.int64], keys: list[bytes]
    ) -> pa.Table:
        """Return metric and dimensions of each row; of rolled up series those that they have."""
        table = self._history.table.drop_columns(["timestamp", "value"])
        targets = dict(
            enumerate((SeriesId.parse(key.decode()) for key in keys), len(self.aggregated))
        )
        dimensions = {number: dict(each.dimensions) for number, each in targets.items()}
        columns = {}
        for name in table.column_names:
            own = name.removeprefix("dimensions.")  # of topics, see `topic.read_topic`
            lost = [n for n, kept in dimensions.items() if not {name, own} & set(kept)]
            without = np.isin(series, lost) if name != "metric" else np.zeros(len(series), np.bool_)
            columns[name] = table.column(name).take(pa.array(source, mask=without))
        if self._rolls_up:
            functions = [kept[ROLLUP] for kept in dimensions.values()]
            at = pa.array(series - len(self.aggregated), mask=series < len(self.aggregated))
            given = pa.chunked_array([pa.array(functions, pa.string()).take(at)])
            if ROLLUP in columns:  # some series of the input are rolled up already
                given = pc.coalesce(given, columns[ROLLUP].cast(pa.string()))
            columns[ROLLUP] = given
        return pa.table(columns)

    def _notes(self, rows: RowVerdicts, windows: NDArray[np.int64]) -> Iterator[str]:
        """Yield what became of the points of aggregated series, and what was rolled up.

        windows : the series of each
        """
        gone = rows.status[self.aggregated[self._history.series]]
        if self.aggregated.any():
            counts = np.bincount(gone, minlength=len(Status))
            counts[Status.PENDING] = self._n_pending
            told = [f"{n:,} {STATUSES[at]}" for at, n in enumerate(counts) if n and at != Status.OK]
            made = int(np.count_nonzero(windows < len(self.aggregated)))
            of = f" ({', '.join(told)})" if told else ""
            yield f"{len(gone):,} points{of} aggregated into {made:,} windows"
        if self._rolls_up:
            rolled = int(np.count_nonzero(windows >= len(self.aggregated)))
            yield f"{rolled:,} windows of {len(self._rolled_up):,} rolled up series"


def _longest_us(settings: DetectionConfig) -> int:
    """Return how long a window of a series, or of one it is rolled up into, is at most."""
    length_us = settings.grid_interval * (_MONTH_MAX_US if settings.calendar else 1)
    return length_us + (_CLOCKS_MOVE_US if settings.timezone else 0)


_Columns = TypeVar("_Columns", Released, Verdicts)


def _some(of: _Columns, index: NDArray[np.int64]) -> _Columns:
    return type(of)(**{column.name: getattr(of, column.name)[index] for column in fields(of)})
