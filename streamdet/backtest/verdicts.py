"""A history through route, align and detect, as a worker would take it; verdicts row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import VERDICT_COLUMNS, History
from streamdet.config import Config
from streamdet.serde.event import MARGIN_SCALE
from streamdet.task import Task, place, unjudged
from streamdet.types import IncidentState, Outcome, Overrides, Partition, Points, SeriesId, Verdicts

_CHUNK_POINTS = 50_000
_NO_VALUE = 255
"""Beside the outcomes of `types.Outcome`: the row has no value, so nobody was asked."""


def judge(
    history: History,
    config: Config,
    *,
    chunk_points: int = _CHUNK_POINTS,
    on_progress: Callable[[int], None] = lambda points: None,
) -> Verdicts:
    """Return the verdicts of `history`, row by row; outcome 255 where a row has no value.

    Points of a file are played in the order of event time, as a topic would bring many series at
    once; those of one series stay in the order of the file, so what is late there is late here.
    Points of a topic are played in the order of their records, partition by partition.

    Parameters
    ----------
    chunk_points
        Points given to the detector at once; decides nothing.
    on_progress
        Called with the number of points judged since the last call.
    """
    n = len(history.value)
    verdicts = unjudged(n, _NO_VALUE)
    buffer = np.frombuffer(b"".join(history.keys), np.uint8)
    size = np.array([len(key) for key in history.keys], np.int32)
    start = np.cumsum(size, dtype=np.int64) - size
    runs = [_play_order(history)] if history.partitions is None else history.partitions
    for index, run in enumerate(runs):
        task = Task(Partition("backtest", index), config)
        for begin in range(0, len(run), chunk_points):
            rows = run[begin : begin + chunk_points]
            series = history.series[rows]
            points = Points(
                record=np.arange(len(rows), dtype=np.int32),
                element=np.full(len(rows), -1, np.int32),
                time_us=history.time_us[rows],
                value=history.value[rows],
                buffer=buffer,
                key_start=start[series],
                key_size=size[series],
                raw=np.zeros(len(rows), np.bool_),
                overrides=_overrides_at(history, rows),
            )
            place(task.detect(points, task.route(points, _never_asked)), rows, verdicts)
            task.evict()
            on_progress(len(rows))
    return verdicts


def _statuses(verdicts: Verdicts) -> pa.DictionaryArray:
    """Return what became of each row: `ok`, `warming`, `missing`, or another outcome's name."""
    names = [outcome.name.lower() for outcome in Outcome] + ["warming", "missing"]
    codes = verdicts.outcome.astype(np.int32)
    codes[(codes == Outcome.OK) & np.isnan(verdicts.expected_value)] = names.index("warming")
    codes[codes == _NO_VALUE] = names.index("missing")
    return pa.DictionaryArray.from_arrays(codes, names)


def _states(verdicts: Verdicts) -> pa.DictionaryArray:
    """Return where each row stands in an incident: `onset`, `ongoing`, `recovered`, or null."""
    names = [state.name.lower() for state in IncidentState if state]
    codes = verdicts.state.astype(np.int32) - 1
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), names)


def result(history: History, verdicts: Verdicts) -> pa.Table:
    """Return the rows of `history` with their verdicts beside them; null where there is none.

    The value of a counter's row is its rate, which is what was judged, as in an event.
    """
    width = 100 - MARGIN_SCALE  # as in `serde.event.boundaries`
    upper = verdicts.expected_value + width * verdicts.upper_margin
    lower = verdicts.expected_value - width * verdicts.lower_margin
    above, below = verdicts.value > upper, verdicts.value < lower
    anomalous = above | below
    unjudged = np.isin(verdicts.outcome, (_NO_VALUE, Outcome.DROPPED_SERIES_LIMIT))
    found = {
        "expectedValue": pa.array(verdicts.expected_value, from_pandas=True),
        "lowerBoundary": pa.array(lower, from_pandas=True),
        "upperBoundary": pa.array(upper, from_pandas=True),
        "score": pa.array(verdicts.score, from_pandas=True),
        "severity": pa.array(verdicts.severity),
        "isAnomaly": pa.array(anomalous),
        "isPositiveAnomaly": pa.array(above),
        "isNegativeAnomaly": pa.array(below),
        "alert": pa.array(verdicts.alert, from_pandas=True),
        "period": pa.array(verdicts.period, mask=unjudged),
        "sensitivity": pa.array(verdicts.sensitivity, mask=unjudged),
        "state": _states(verdicts),
        "status": _statuses(verdicts),
    }
    table = history.table
    rated = (verdicts.outcome == Outcome.OK) & (verdicts.value != history.value)
    if rated.any():  # `transform: rate`; the first point of a counter has none
        value = pa.array(np.where(rated, verdicts.value, history.value), from_pandas=True)
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


def _never_asked(record: int) -> SeriesId:
    raise AssertionError("keys are the identities' own text")


def _play_order(history: History) -> NDArray[np.int64]:
    """Return the rows that have a value, by their series' newest event time so far."""
    rows = np.flatnonzero(~np.isnan(history.value))
    series = history.series[rows]
    by_series = np.argsort(series, kind="stable")
    newest_us = history.time_us[rows[by_series]]
    for part in np.split(newest_us, np.flatnonzero(np.diff(series[by_series])) + 1):
        np.maximum.accumulate(part, out=part)  # a view
    played_us = np.empty(len(rows), np.int64)
    played_us[by_series] = newest_us
    return rows[np.argsort(played_us, kind="stable")]
