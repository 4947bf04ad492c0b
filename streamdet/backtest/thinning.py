"""Which rows of a long series a chart draws, so that it looks as if it drew them all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamdet.backtest.summary import Incident

_AROUND = 60
"""Rows before and after an incident that are drawn with it."""
_LONG = 240
"""Rows: of a longer incident the beginning is drawn in full."""
_AROUND_SHARE = 0.4
"""Of all rows drawn, the most that incidents and what is around them take."""


def thinned(
    lows: Sequence[NDArray[np.float64]],
    highs: Sequence[NDArray[np.float64]],
    strangest: NDArray[np.int64],
    incidents: Sequence[Incident],
    most: int,
) -> NDArray[np.int64]:
    """Return, ascending, the about `most` rows of a series that a chart draws.

    Kept are the anomalies (the first third of `most` of them), the rows around the first
    incidents, and of each of as many equal stretches as there is then room for the rows where a
    line of `lows` is lowest and one of `highs` highest: what a pixel's column would show anyway.

    Parameters
    ----------
    lows, highs : sequences of float[n]
        What is drawn against time; NaN is not.
    strangest
        Rows of the anomalies, and `incidents` of the series: those that matter most first.
    """
    n = len(lows[0])
    if n <= most:
        return np.arange(n)
    keep = np.zeros(n, np.bool_)
    keep[[0, n - 1]] = True
    keep[strangest[: most // 3]] = True
    room = int(_AROUND_SHARE * most)
    for incident in incidents:
        end = min(incident.last, incident.first + _LONG) + _AROUND + 1
        around = slice(max(incident.first - _AROUND, 0), end)
        room -= keep[around].size
        if room < 0:
            break
        keep[around] = True
    stretches = max((most - int(keep.sum())) // (len(lows) + len(highs)), 1)
    begins = np.unique(np.linspace(0, n, stretches, endpoint=False).astype(np.int64))
    for line in [*(-low for low in lows), *highs]:
        known = np.where(np.isnan(line), -np.inf, line)
        highest = np.repeat(np.maximum.reduceat(known, begins), np.diff(np.append(begins, n)))
        at = np.flatnonzero(known == highest)
        stretch = np.searchsorted(begins, at, "right")
        keep[at[np.append(True, stretch[1:] != stretch[:-1])]] = True
    return np.flatnonzero(keep)
