"""In which order the rows of a file are played, since nobody noted when each of them came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.backtest.history import History
from streamdet.kernels.header import NEVER
from streamdet.kernels.jit import kernel

_LAST = np.iinfo(np.int64).max


def play_order(history: History) -> NDArray[np.int64]:
    """Return the rows that have a value in the order in which they may have come.

    Each comes right after the row above it, as far as its own series allows: not before its event
    time, nor before that of a row of its series above it, and not after the time of the next newer
    one. So a file that stands as its points came is played as it stands, late and doubled ones
    included, while no series lags behind the others by more than its interval. And a file that
    has one series after the other is played as if they had come together.
    """
    rows = np.flatnonzero(~np.isnan(history.value))
    n_series = len(history.keys)
    played_us, next_us = np.empty((2, len(rows)), np.int64)
    _play(
        history.series[rows],
        history.time_us[rows],
        np.full(n_series, NEVER),
        np.full(n_series, _LAST),
        next_us,
        played_us,
    )
    return rows[np.argsort(played_us, kind="stable")]


@kernel
def _play(series, time_us, before, after, next_us, played_us):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Find when each row is played, in event time.

    series : int64[n]
    time_us : int64[n]
    before : int64[s]         NEVER
    after : int64[s]          the highest
    next_us : int64[n]        scratch
    played_us : int64[n]      out
    """
    n = len(series)
    for i in range(n):
        newest_us = before[series[i]]
        next_us[i] = max(newest_us, time_us[i])
        played_us[i] = time_us[i] > newest_us
        before[series[i]] = next_us[i]
    for i in range(n - 1, -1, -1):
        newest_us = next_us[i]
        next_us[i] = after[series[i]]
        if played_us[i] == 1:
            after[series[i]] = time_us[i]
        played_us[i] = newest_us
    before[:] = NEVER
    at_us = NEVER
    for i in range(n):
        first = before[series[i]] == NEVER
        least_us = max(played_us[i], before[series[i]])
        at_us = least_us if first else min(max(at_us, least_us), next_us[i])
        played_us[i] = before[series[i]] = at_us
