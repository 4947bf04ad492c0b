"""What the report's charts draw, as values that JSON can hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.evaluation import Evaluation, Segments
from streamdet.backtest.findings import Findings
from streamdet.backtest.rows import JUDGED
from streamdet.backtest.summary import DAY_US, Days, Incident, coded, floats, incidents
from streamdet.backtest.thinning import thinned
from streamdet.types import JsonObject

ROWS_ALL_CHARTS = 128_000
"""Rows drawn in all charts together: some 40 bytes each, so about 5 MB, as much as the script.
Twenty charts of three weeks of five-minute points are drawn whole."""
ROWS_A_CHART = 8_000
_SPANS_MAX = 1_000
"""Incidents, and labelled segments, shaded in one chart."""
_GAP_STEPS = 5.0
"""A line breaks where two rows are further apart than so many usual steps."""
_DRAWN = (*JUDGED, "missing")
"""What rows must be; nobody knows what to expect of the others."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One series' chart."""

    drawn: JsonObject
    """For the page's script; times are (`begin_ms` + `tick_ms` * t)."""
    incidents: tuple[tuple[int, int], ...]
    """First and last time in microseconds, the highest score first."""
    rows: int
    rows_drawn: int
    anomalies: int
    anomalies_drawn: int


class SeriesRows:
    """The rows of every series, as a chart shows them: in time order, less what was left out."""

    def __init__(self, found: Findings) -> None:
        rows = np.flatnonzero(coded(found.verdicts, "status", *_DRAWN))
        self._rows = rows[np.lexsort((found.history.time_us[rows], found.history.series[rows]))]
        n = len(found.history.keys)
        self._begins = np.searchsorted(found.history.series[self._rows], np.arange(n + 1))
        self._found = found

    def chart(self, series: int, most: int) -> Chart:
        """Return the chart of `series`, of at most about `most` rows."""
        rows = self._rows[self._begins[series] : self._begins[series + 1]]
        found = self._found
        of = found.verdicts.take(pa.array(rows))
        time_us, value = found.history.time_us[rows], floats(of, "value")
        score = floats(of, "score")
        spans = incidents(of.column("state").to_pylist(), score)
        anomalies = np.flatnonzero(of.column("isAnomaly").to_numpy())
        anomalies = anomalies[np.argsort(-score[anomalies], kind="stable")]
        lower, upper = (_finite(floats(of, f"{side}Boundary")) for side in ("lower", "upper"))
        kept = thinned((value, lower), (value, upper, score), anomalies, spans, most)
        lines = {
            "value": value,
            "expectedValue": floats(of, "expectedValue"),
            "lowerBoundary": lower,
            "upperBoundary": upper,
        }
        at = np.flatnonzero(np.isin(kept, anomalies))
        begin_us = int(time_us[0]) if len(rows) else 0
        tick_us = int(np.gcd.reduce(time_us - begin_us)) or 1
        ticks = (time_us - begin_us) // tick_us
        decimals = _decimals(value, upper - lower)
        severity = np.round(floats(of, "severity")[kept][at], 3)
        sensitivity = of.column("sensitivity").drop_null()[-1:].to_pylist()
        drawn = {
            "begin_ms": begin_us / 1_000,
            "tick_ms": tick_us / 1_000,
            "step_ms": float(np.median(np.diff(ticks))) * tick_us / 1_000 if len(rows) > 1 else 0,
            "t": ticks[kept].tolist(),
            **{name: _numbers(line[kept], decimals) for name, line in lines.items()},
            "score": _numbers(score[kept], 2),
            "anomalies": at.tolist(),
            "severity": severity.tolist(),
            "breaks": _breaks(ticks, kept).tolist(),
            "threshold": _level(found, series, sensitivity),
            "incidents": _spans(ticks, spans[:_SPANS_MAX]),
            "segments": self._segments(rows, ticks),
        }
        times = ((int(time_us[one.first]), int(time_us[one.last])) for one in spans)
        return Chart(drawn, tuple(times), len(rows), len(kept), len(anomalies), len(at))

    def _segments(self, rows: NDArray[np.int64], ticks: NDArray[np.int64]) -> list[list[int]]:
        if self._found.labels is None:
            return []
        label = self._found.labels.label[rows]
        first, end = Segments(np.zeros(len(rows), np.int64), label).bounds()
        pairs = zip(first[:_SPANS_MAX].tolist(), (end[:_SPANS_MAX] - 1).tolist(), strict=True)
        return [[int(ticks[begin]), int(ticks[last])] for begin, last in pairs]


def days_drawn(days: Days) -> JsonObject:
    """Return the bars of every day."""
    return {
        "begin_ms": days.first_us // 1_000,
        "tick_ms": DAY_US // 1_000,
        "anomalies": days.anomalies.tolist(),
        "incidents": days.incidents.tolist(),
    }


def curve_drawn(evaluation: Evaluation, chosen: int | None) -> JsonObject:
    """Return the curve over sensitivity; `chosen` is this run's, None where rules differ."""
    curve = evaluation.curve
    return {
        "precision": _numbers(np.array([tally.precision for tally in curve]), 4),
        "recall": _numbers(np.array([tally.recall for tally in curve]), 4),
        "f1": _numbers(np.array([tally.f1 for tally in curve]), 4),
        "alarms": [tally.alarms for tally in curve],
        "found": [tally.found for tally in curve],
        "segments": evaluation.total.segments,
        "chosen": chosen,
    }


def _level(found: Findings, series: int, sensitivity: list[int]) -> float | None:
    """Return the threshold of the score, by the sensitivity that held at last."""
    return float(found.judges.thresholds(sensitivity[0])[series]) if sensitivity else None


def _spans(ticks: NDArray[np.int64], found: list[Incident]) -> list[list[int]]:
    return [[int(ticks[one.first]), int(ticks[one.last])] for one in found]


def _breaks(ticks: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places among the `kept` rows before which the series was silent."""
    steps = np.diff(ticks)
    if not len(steps):
        return steps
    silent = np.flatnonzero(steps > _GAP_STEPS * np.median(steps)) + 1
    return np.unique(np.searchsorted(kept, silent))


def _finite(line: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(line), line, np.nan)


def _decimals(value: NDArray[np.float64], width: NDArray[np.float64]) -> int:
    """Return how many digits after the point tell a value, and the band's edges, apart."""
    known = value[~np.isnan(value)]
    spans = [float(np.ptp(known)) * 1e-4 if len(known) else 0.0]
    if not np.isnan(width).all():
        spans.append(float(np.nanmedian(width)) * 1e-2)
    steps = [span for span in spans if span > 0 and math.isfinite(span)]
    return min(15, max(0, 1 - math.floor(math.log10(min(steps))))) if steps else 6


def _numbers(line: NDArray[np.float64], decimals: int) -> list[float | int | None]:
    """Return `line` for JSON: rounded, whole numbers as such, null for NaN."""
    numbers = np.round(line, decimals).tolist()
    return [
        None if x != x else int(x) if x.is_integer() and abs(x) < 1e15 else x  # noqa: PLR0124
        for x in numbers
    ]
