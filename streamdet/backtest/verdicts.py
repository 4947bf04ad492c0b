"""A history through route, align and detect, as a worker would take it; verdicts row by row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import VERDICT_COLUMNS, History
from streamdet.config import Config
from streamdet.detectors import severity
from streamdet.serde.event import MARGIN_SCALE
from streamdet.task import Task, place, unjudged
from streamdet.types import Outcome, Partition, Points, SeriesId, Verdicts

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

    Points are played in the order of event time, as a topic would bring many series at once;
    those of one series stay in the order of the file, so what is late there is late here.

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
    task = Task(Partition("backtest", 0), config)
    order = _play_order(history)
    for begin in range(0, len(order), chunk_points):
        rows = order[begin : begin + chunk_points]
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


def result(history: History, verdicts: Verdicts) -> pa.Table:
    """Return the rows of `history` with their verdicts beside them; null where there is none."""
    width = 100 - MARGIN_SCALE  # as in `serde.event.boundaries`
    upper = verdicts.expected_value + width * verdicts.upper_margin
    lower = verdicts.expected_value - width * verdicts.lower_margin
    above, below = history.value > upper, history.value < lower
    anomalous = above | below
    severities = np.zeros(len(upper))
    severities[anomalous] = [severity(score) for score in verdicts.score[anomalous].tolist()]
    unjudged = np.isin(verdicts.outcome, (_NO_VALUE, Outcome.DROPPED_SERIES_LIMIT))
    found = {
        "expectedValue": pa.array(verdicts.expected_value, from_pandas=True),
        "lowerBoundary": pa.array(lower, from_pandas=True),
        "upperBoundary": pa.array(upper, from_pandas=True),
        "score": pa.array(verdicts.score, from_pandas=True),
        "severity": pa.array(severities),
        "isAnomaly": pa.array(anomalous),
        "isPositiveAnomaly": pa.array(above),
        "isNegativeAnomaly": pa.array(below),
        "period": pa.array(verdicts.period, mask=unjudged),
        "sensitivity": pa.array(verdicts.sensitivity, mask=unjudged),
        "status": _statuses(verdicts),
    }
    table = history.table
    for name in VERDICT_COLUMNS:
        table = table.append_column(name, found[name])
    return table


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
