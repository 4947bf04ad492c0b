"""The period of the series of a history, in points; a day or a week where it is about one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdet.backtest.history import History
from streamdet.backtest.summary import DAY_US
from streamdet.config import PERIODS_PER_RING, RING_LENGTH_MAX
from streamdet.kernels.period import find_period, scratch_points

_SERIES_MAX = 100
"""Series that are asked; more would hardly change a majority."""
_CALENDAR = {"a day": DAY_US, "a week": 7 * DAY_US}
_CALENDAR_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True)
class FoundPeriod:
    """The period that most of some series have."""

    period: int
    """Points; 0: most have none, or they do not agree."""
    name: str
    """`a day`, `a week`, or empty."""
    votes: int
    asked: int
    """Series that have it, of those that were asked."""


def series_rows(history: History) -> list[NDArray[np.int64]]:
    """Return the rows of each series that have a value, by time."""
    usable = np.flatnonzero(~np.isnan(history.value))
    order = usable[np.lexsort((history.time_us[usable], history.series[usable]))]
    bounds = np.searchsorted(history.series[order], np.arange(1, len(history.keys)))
    return np.split(order, bounds)


def usual_period(
    history: History, rows: Sequence[NDArray[np.int64]], series: Sequence[int]
) -> FoundPeriod:
    """Return the period that more than half of `series` have, as far as it can be found.

    Parameters
    ----------
    rows
        Of every series, as `series_rows` gives them.
    """
    asked = list(series)[:_SERIES_MAX]
    votes = Counter(_period_of(history, rows[number]) for number in asked)
    (period, name), most = votes.most_common(1)[0] if votes else ((0, ""), 0)
    if 2 * most <= len(asked):
        period, name = 0, ""
    return FoundPeriod(period, name, most, len(asked))


def _period_of(history: History, rows: NDArray[np.int64]) -> tuple[int, str]:
    """Return the period of one series in points of its own grid, and its name in the calendar."""
    time_us, first = np.unique(history.time_us[rows], return_index=True)
    if len(time_us) < 2:
        return 0, ""
    interval_us = float(np.median(np.diff(time_us)))
    back = np.rint((time_us[-1] - time_us) / interval_us).astype(np.int64)
    newest = back < RING_LENGTH_MAX
    values = np.full(int(back[newest].max()) + 1, np.nan, np.float32)
    value = history.value[rows[first[newest]]]
    # float32 holds no small change of a large number
    values[len(values) - 1 - back[newest]] = value - np.median(value)
    scratch = np.empty(scratch_points(len(values)), np.float32)
    found = int(find_period(values, scratch)[0])
    for name, length_us in _CALENDAR.items():
        points = length_us / interval_us
        if abs(found - points) <= _CALENDAR_TOLERANCE * points and points == round(points):
            found = round(points)
            return (found, name) if found * PERIODS_PER_RING <= RING_LENGTH_MAX else (0, "")
    return (found, "") if found * PERIODS_PER_RING <= RING_LENGTH_MAX else (0, "")
