"""How well flags meet labelled segments, counted by event: precision, recall, F1.

A *segment* is a run of labelled points of one series. It counts as found when one of its first
`DELAY` + 1 points is flagged: what is seen later is seen too late. An *alarm* is a run of flags of
one series, gaps of up to `GAP` points joined. It counts as right when it touches a segment.

    recall = found segments / segments        precision = right alarms / alarms

Source: the delay rule of the AIOps challenge (2018), k = 7, which the AIOps KPI results in
print use. Deviation: there a found segment counts with every one of its points, so one long outage
outweighs a month of spikes; here it counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DELAY = 7
"""Points after a segment's first within which a flag still finds it."""
GAP = 5
"""Points: flags this far apart are one alarm."""
SENSITIVITIES = tuple(range(100))

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Segments and alarms of one series, or of many together."""

    segments: int
    found: int
    alarms: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the segments that were found; NaN when there is none."""
        return self.found / self.segments if self.segments else float("nan")

    @property
    def precision(self) -> float:
        """Share of the alarms that were right; NaN when there is none."""
        return self.right / self.alarms if self.alarms else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two, 0 when nothing was found; NaN without a segment."""
        if not self.segments:
            return float("nan")
        both = self.right * self.segments + self.found * self.alarms
        return 2 * self.right * self.found / both if both else 0.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Flags against labels."""

    total: Tally
    series: tuple[Tally, ...]
    """In the order of `History.keys`."""
    curve: tuple[Tally, ...]
    """`curve[s]`: of the same scores, were every series judged at sensitivity s. What was learnt
    does not depend on the sensitivity, but a verdict may on more than the score (rules of
    direction or deviation): the curve is the score's alone."""
    normal_points: int
    false_flags: int
    """Points outside segments, and how many of them are flagged."""

    @property
    def best(self) -> int:
        """The sensitivity with the highest F1 on the curve; of equal ones the lowest."""
        f1 = [tally.f1 for tally in self.curve]
        return int(np.argmax(np.nan_to_num(f1)))


class Segments:
    """The labelled segments of n points, sorted by series, to count flags against.

    Parameters
    ----------
    series : int[n]
        Ascending; points of one series in the order of time.
    label : bool[n]
    """

    def __init__(self, series: Counts, label: Flags) -> None:
        self._series = series
        begins = np.ones(len(series), np.bool_)
        begins[1:] = series[1:] != series[:-1]
        after = np.zeros_like(label)
        after[1:] = label[:-1]
        self._first = np.flatnonzero(label & (begins | ~after))
        closes = np.ones(len(series), np.bool_)
        closes[:-1] = begins[1:] | ~label[1:]
        self._end = np.flatnonzero(label & closes) + 1
        self._labelled = _running_count(label)

    def bounds(self) -> tuple[Counts, Counts]:
        """Return the index of each segment's first point, and of the point after its last."""
        return self._first, self._end

    def count(self, flags: Flags, n_series: int) -> Counts:
        """Return, shape (n_series, 4), segments, found, alarms and right ones of each series."""
        flagged = _running_count(flags)
        found = flagged[np.minimum(self._first + DELAY + 1, self._end)] > flagged[self._first]
        at = np.flatnonzero(flags)
        begins = np.ones(len(at), np.bool_)
        begins[1:] = (np.diff(at) > GAP) | (np.diff(self._series[at]) != 0)
        first = at[begins]
        last = at[np.append(begins[1:], True)] if len(at) else at
        right = self._labelled[last + 1] > self._labelled[first]
        of_segment, of_alarm = self._series[self._first], self._series[first]
        kinds = (of_segment, of_segment[found], of_alarm, of_alarm[right])
        return np.stack([np.bincount(kind, minlength=n_series) for kind in kinds], axis=1)


def evaluate(
    series: Counts,
    label: Flags,
    flags: Flags,
    score: NDArray[np.float64],
    n_series: int,
    threshold: Callable[[float], float | NDArray[np.float64]],
) -> Evaluation:
    """Count `flags`, and what flags at every other sensitivity would be, against `label`.

    Parameters
    ----------
    series : int[n]
        Points in the order of time within a series; series may be mixed.
    label, flags : bool[n]
    score : float[n]
        NaN: not judged, never flagged.
    n_series : int
        Series there are; one without a point has a tally of zeros.
    threshold
        The detector's: sensitivity -> the score above which a point is an anomaly, of all series
        or, shape (n_series,), of each.

    Notes
    -----
    About 20 ns a point and sensitivity.
    """
    order = np.argsort(series, kind="stable")
    series, label, flags, score = series[order], label[order], flags[order], score[order]
    segments = Segments(series, label)
    counts = segments.count(flags, n_series)
    curve = []
    for sensitivity in SENSITIVITIES:
        level = threshold(sensitivity)
        above = score > (level[series] if isinstance(level, np.ndarray) else level)
        curve.append(_tally(segments.count(above, n_series).sum(axis=0)))
    return Evaluation(
        total=_tally(counts.sum(axis=0)),
        series=tuple(_tally(row) for row in counts),
        curve=tuple(curve),
        normal_points=int(np.count_nonzero(~label)),
        false_flags=int(np.count_nonzero(flags & ~label)),
    )


def _tally(counts: Counts) -> Tally:
    return Tally(*counts.tolist())


def _running_count(flags: Flags) -> Counts:
    """Return, shape (n + 1,), how many of the first i are set."""
    counts = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=counts[1:])
    return counts
