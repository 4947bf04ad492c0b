"""What a backtest says of each row: the verdict of a worker, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from streamdet.backtest.history import History
from streamdet.types import Outcome, Released, Verdicts


class Status(IntEnum):
    """What became of a row: the numbers of `types.Outcome`, and more."""

    OK = Outcome.OK
    LATE = Outcome.LATE
    DUPLICATE = Outcome.DUPLICATE
    DEAD_LETTERED = Outcome.DEAD_LETTERED
    DROPPED_SERIES_LIMIT = Outcome.DROPPED_SERIES_LIMIT
    TOMBSTONE = Outcome.TOMBSTONE
    OFF_GRID = Outcome.OFF_GRID
    WARMING = 7  # of use, before there was a band
    INCOMPLETE = 8  # judged, while many values of its series are missing
    MISSING = 9  # the row has no value, so nobody was asked
    PENDING = 10  # held back when the input ended


STATUSES = tuple(status.name.lower() for status in Status)
"""As the column `status` has them, in the order of their numbers."""
JUDGED = ("ok", "warming", "incomplete")
"""Those of rows that were of use."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where n rows come from that are not just those of the input."""

    history: History
    """The input."""
    source: NDArray[np.int64]
    """Shape (n,): the row of the input; of a window that of the last of its points."""
    window_us: NDArray[np.int64]
    """Shape (n,): how long its window is, at most; 0 of a point."""
    into: NDArray[np.int64]
    """Shape (series of the input,): what each is rolled up into; -1: nothing."""


@dataclass(slots=True)
class RowVerdicts(Verdicts):
    """Verdicts of n rows. Where there is none all is NaN, 0 or False, but for `value`."""

    history: History
    """The rows."""
    status: NDArray[np.uint8]
    """Shape (n,): `Status`."""
    absences: int = 0
    """Times that a series was silent for longer than its `absent_after`."""
    origin: Origin | None = None
    """None: the rows are those of the input."""
    notes: tuple[str, ...] = ()
    """What became of points that have no row, in words."""

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Shape (n,): the row was of use, see `JUDGED`."""
        found: NDArray[np.bool_] = np.isin(self.status, [STATUSES.index(name) for name in JUDGED])
        return found

    def labelled(self, label: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows are labelled, where `label` says which rows of the input are.

        A window is if one of its points is.
        """
        origin = self.origin
        if origin is None:
            return label
        history = self.history
        found: NDArray[np.bool_] = label[origin.source] & (origin.window_us == 0)
        windows, at = np.flatnonzero(origin.window_us), np.flatnonzero(label)
        if not len(windows) or not len(at):
            return found
        own = origin.history.series[at]
        time_us = np.concatenate([history.time_us[windows], *[origin.history.time_us[at]] * 2])
        series = np.concatenate([history.series[windows], own, origin.into[own]])
        is_point = np.arange(len(series)) >= len(windows)
        order = np.lexsort((is_point, time_us, series))
        place = np.where(is_point[order], 0, np.arange(len(order)))
        before = order[np.maximum.accumulate(place)]  # the window before each, or at it
        inside = is_point[order] & ~is_point[before] & (series[before] == series[order])
        before, point = before[inside], order[inside]
        since_us = time_us[point] - time_us[before]
        row = windows[before]
        found[row[since_us < origin.window_us[row]]] = True
        return found


def unjudged(history: History, status: int) -> RowVerdicts:
    """Return the rows of `history` without a verdict, all with `status`."""
    n = len(history.value)
    return RowVerdicts(
        value=history.value.copy(),
        expected_value=np.full(n, np.nan),
        upper_margin=np.full(n, np.nan),
        lower_margin=np.full(n, np.nan),
        score=np.full(n, np.nan),
        severity=np.zeros(n),
        is_anomaly=np.zeros(n, np.bool_),
        state=np.zeros(n, np.uint8),
        alert=np.full(n, np.nan),
        sensitivity=np.zeros(n, np.uint8),
        period=np.zeros(n, np.int32),
        history=history,
        status=np.full(n, status, np.uint8),
    )


def statuses(released: Released, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Return `Status` of values that were judged."""
    found = np.where(released.incomplete, np.uint8(Status.INCOMPLETE), np.uint8(Status.OK))
    found[np.isnan(verdicts.expected_value)] = Status.WARMING
    return found
