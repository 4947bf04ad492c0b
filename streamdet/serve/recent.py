"""The newest verdicts of a series, as a chart wants them: a ring of fixed size."""

from __future__ import annotations

import math

import numpy as np

from streamdet.serde.event import STATES, boundaries
from streamdet.serde.instant import format_instant
from streamdet.types import JsonObject, Verdict

_ROW = np.dtype(
    [
        ("time_us", np.int64),
        ("value", np.float64),
        ("expected", np.float64),
        ("upper", np.float64),
        ("lower", np.float64),
        ("severity", np.float64),
        ("score", np.float64),
        ("state", np.uint8),
        ("is_anomaly", np.bool_),
    ],
    align=True,
)
_FIRST_ROWS = 16


class Recent:
    """The ring of one series, which takes memory as it fills.

    Parameters
    ----------
    length
        Verdicts that are kept.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._rows = np.empty(min(length, _FIRST_ROWS), _ROW)
        self._n = 0

    @property
    def newest_us(self) -> int | None:
        """Event time of the newest verdict; None: there is none."""
        return int(self._rows["time_us"][(self._n - 1) % self._length]) if self._n else None

    def add(self, verdict: Verdict) -> None:
        """Take a verdict in; the oldest goes."""
        place = self._n % self._length
        if place == len(self._rows):
            rows = np.empty(min(self._length, 2 * place), _ROW)
            rows[:place] = self._rows
            self._rows = rows
        upper, lower = boundaries(
            verdict.expected_value, verdict.upper_margin, verdict.lower_margin
        )
        self._rows[place] = (
            verdict.time_us, verdict.value, verdict.expected_value, upper, lower,
            verdict.severity, verdict.score, verdict.state, verdict.is_anomaly,
        )  # fmt: skip
        self._n += 1

    def rows(self) -> list[JsonObject]:
        """Return the verdicts, oldest first; a band that there is not yet is null."""
        first = max(0, self._n - self._length)
        order = [at % self._length for at in range(first, self._n)]
        return [_told(row) for row in self._rows[order].tolist()]


def _told(row: tuple[int, float, float, float, float, float, float, int, bool]) -> JsonObject:
    time_us, value, expected, upper, lower, severity, score, state, is_anomaly = row
    return {
        "timestamp": format_instant(time_us),
        "value": value,
        "expectedValue": _number(expected),
        "upperBoundary": _number(upper),
        "lowerBoundary": _number(lower),
        "isAnomaly": is_anomaly,
        "severity": severity,
        "score": _number(score),
        "state": STATES[state],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
