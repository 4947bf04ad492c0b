"""A backtest in numbers: of every series, of every day, and every incident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import History

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series."""

    name: str
    points: int
    anomalies: int
    incidents: int
    """Rows that begin one: what a person is alerted to."""
    days: float
    """From its first row to its last; at least 1, so that a rate a day means something."""
    max_score: float
    max_severity: float
    """Of its anomalies; 0 when there is none."""
    status: str
    """`ok`, or `warming` where nothing was judged; then how many rows were left out, and why."""

    @property
    def incidents_per_day(self) -> float:
        """Mean over `days`."""
        return self.incidents / self.days

    @property
    def strangeness(self) -> tuple[float, int, int]:
        """Orders series: the highest score first, then the most incidents, then anomalies."""
        return -self.max_score, -self.incidents, -self.anomalies


@dataclass(frozen=True, slots=True)
class Days:
    """Calendar days (UTC), each from the first to the last of the input."""

    first_us: int
    """The first day's midnight."""
    anomalies: NDArray[np.int64]
    incidents: NDArray[np.int64]
    """Shape (days,): counts over all series."""
    quiet_share: float
    """Of all days on which a series has a row, the share without an incident of it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything."""

    series: tuple[SeriesSummary, ...]
    """In the order of `History.keys`."""
    strangest: tuple[int, ...]
    """The same by strangeness: indices into `series`."""
    days: Days
    first_us: int
    last_us: int
    """Of all rows; 0 without one."""

    @property
    def points(self) -> int:
        """Rows, whatever became of them."""
        return sum(one.points for one in self.series)

    @property
    def anomalies(self) -> int:
        """Rows that are anomalies."""
        return sum(one.anomalies for one in self.series)

    @property
    def incidents(self) -> int:
        """Incidents that began."""
        return sum(one.incidents for one in self.series)

    @property
    def incidents_per_day(self) -> float:
        """Mean over the whole input; less than a day counts as one."""
        return self.incidents / max((self.last_us - self.first_us) / DAY_US, 1.0)


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident of a series: its rows, as places among the series' own rows."""

    first: int
    last: int
    """The row of the recovery, or the last there is."""
    max_score: float


def summarize(history: History, verdicts: pa.Table) -> Summary:
    """Return the numbers of `verdicts`, a table of `verdicts.result`."""
    n = len(history.keys)
    anomaly = verdicts.column("isAnomaly").to_numpy()
    onset = coded(verdicts, "state", "onset")
    most = {}
    for name in ("score", "severity"):
        most[name] = np.zeros(n)
        np.maximum.at(most[name], history.series[anomaly], floats(verdicts, name)[anomaly])
    first_us, last_us = np.full(n, np.iinfo(np.int64).max), np.zeros(n, np.int64)
    np.minimum.at(first_us, history.series, history.time_us)
    np.maximum.at(last_us, history.series, history.time_us)
    counts = [
        np.bincount(rows, minlength=n).tolist()
        for rows in (history.series, history.series[anomaly], history.series[onset])
    ]
    series = tuple(
        SeriesSummary(key.decode(), points, anomalies, incidents, max(days, 1.0), *rest)
        for key, points, anomalies, incidents, days, *rest in zip(
            history.keys,
            *counts,
            ((last_us - first_us) / DAY_US).tolist(),
            most["score"].tolist(),
            most["severity"].tolist(),
            _statuses(history, verdicts),
            strict=True,
        )
    )
    order = sorted(range(n), key=lambda at: (series[at].strangeness, series[at].name))
    return Summary(
        series=series,
        strangest=tuple(order),
        days=_days(history, anomaly, onset),
        first_us=int(first_us.min()) if n else 0,
        last_us=int(last_us.max(initial=0)),
    )


def incidents(state: Sequence[str | None], score: NDArray[np.float64]) -> list[Incident]:
    """Return the incidents of one series from its rows' column `state`, the highest score first.

    Parameters
    ----------
    score : float[n]
        NaN where it is not known.
    """
    found: list[Incident] = []
    first = None
    rows = [(at, one) for at, one in enumerate(state) if one is not None]
    for place, (at, one) in enumerate(rows):
        if one == "onset":
            first = at
        closes = place + 1 == len(rows) or rows[place + 1][1] == "onset"
        if first is not None and (closes or one == "recovered"):
            most = float(np.nanmax(score[first : at + 1]))
            found.append(Incident(first, at, most))
            first = None
    return sorted(found, key=lambda one: (-one.max_score, one.first))


def floats(verdicts: pa.Table, name: str) -> NDArray[np.float64]:
    """Return a column of numbers, NaN where there is none."""
    found: NDArray[np.float64] = verdicts.column(name).to_numpy()
    return found.astype(np.float64, copy=False)


def coded(verdicts: pa.Table, name: str, *texts: str) -> NDArray[np.bool_]:
    """Return in which rows a column of texts holds one of `texts`."""
    column = verdicts.column(name).combine_chunks()
    known = column.dictionary.to_pylist()
    codes = column.indices.fill_null(-1).to_numpy()
    return np.isin(codes, [known.index(text) for text in texts])


def _statuses(history: History, verdicts: pa.Table) -> list[str]:
    column = verdicts.column("status").combine_chunks()
    names = column.dictionary.to_pylist()
    codes = column.indices.to_numpy().astype(np.int64)
    n = len(history.keys)
    counts = np.bincount(history.series * len(names) + codes, minlength=n * len(names))
    found = []
    for row in counts.reshape(n, len(names)).tolist():
        of = {name: count for name, count in zip(names, row, strict=True) if count}
        judged, warming = of.pop("ok", 0), of.pop("warming", 0)
        parts = ["ok"] if judged else ["warming"] if warming else []
        found.append(", ".join(parts + [f"{count:,} {name}" for name, count in of.items()]))
    return found


def _days(history: History, anomaly: NDArray[np.bool_], onset: NDArray[np.bool_]) -> Days:
    if not len(history.time_us):
        none = np.zeros(0, np.int64)
        return Days(0, none, none, 1.0)
    day = history.time_us // DAY_US
    first = int(day.min())
    day -= first
    n = int(day.max()) + 1
    of_series = history.series * n + day
    seen = len(np.unique(of_series))
    return Days(
        first_us=first * DAY_US,
        anomalies=np.bincount(day[anomaly], minlength=n),
        incidents=np.bincount(day[onset], minlength=n),
        quiet_share=1.0 - len(np.unique(of_series[onset])) / seen,
    )
