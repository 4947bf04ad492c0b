"""What a backtest found, with labels or without: what the terminal and the report tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.evaluation import Evaluation, evaluate
from streamdet.backtest.history import History
from streamdet.backtest.labels import Labels
from streamdet.backtest.rows import JUDGED
from streamdet.backtest.summary import Summary, coded, floats, summarize
from streamdet.config import Config
from streamdet.detectors import DETECTORS
from streamdet.types import SeriesId

_SHOWN = 10
"""Series that the terminal shows."""


class Judges:
    """Which detector judged each series."""

    def __init__(self, history: History, config: Config) -> None:
        rules = [history.keys[history.leaves.get(i, i)] for i in range(len(history.keys))]
        names = [config.detection_for(SeriesId.parse(key.decode())).detector for key in rules]
        self.names = sorted(set(names))
        """Of those that judged any."""
        self._index = np.array([self.names.index(name) for name in names], np.int64)

    def thresholds(self, sensitivity: float) -> NDArray[np.float64]:
        """Return, of each series, the score above which a point may be an anomaly."""
        each = [DETECTORS[name].threshold(sensitivity) for name in self.names]
        return np.array(each, np.float64)[self._index]


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that is told of a backtest."""

    source: str
    """What was judged, as a person calls it: a file's name or a topic's."""
    history: History
    verdicts: pa.Table
    config: Config
    judges: Judges
    summary: Summary
    labels: Labels | None
    evaluation: Evaluation | None
    """Both or none."""
    notes: tuple[str, ...]
    """What is not to be seen in the rows; see `rows.RowVerdicts`."""

    @staticmethod
    def of(
        source: str,
        history: History,
        verdicts: pa.Table,
        config: Config,
        labels: Labels | None,
        notes: tuple[str, ...] = (),
    ) -> Findings:
        """Return what is found in `verdicts`, a table of `verdicts.result` for `history`."""
        judges = Judges(history, config)
        evaluation = None
        if labels is not None:
            rows = np.flatnonzero(coded(verdicts, "status", *JUDGED))
            rows = rows[np.argsort(history.time_us[rows], kind="stable")]
            evaluation = evaluate(
                history.series[rows],
                labels.label[rows],
                verdicts.column("isAnomaly").to_numpy()[rows],
                floats(verdicts, "score")[rows],
                len(history.keys),
                judges.thresholds,
            )
        summary = summarize(history, verdicts)
        return Findings(
            source, history, verdicts, config, judges, summary, labels, evaluation, notes
        )

    def lines(self) -> Iterator[str]:
        """Yield what the terminal shows: the strangest series, and how the labels were met."""
        yield from self.notes
        strange = [self.summary.series[at] for at in self.summary.strangest]
        shown = [one for one in strange[:_SHOWN] if one.anomalies]
        if shown:
            width = min(max(len(one.name) for one in shown), 60)
            yield f"{'strangest series':{width}}  points  anomalies  incidents  severity"
            for one in shown:
                name = one.name if len(one.name) <= width else one.name[: width - 1] + "…"
                yield (
                    f"{name:{width}}  {one.points:6,}  {one.anomalies:9,}  {one.incidents:9,}  "
                    f"{one.max_severity:8.2f}"
                )
        if self.labels is not None and self.evaluation is not None:
            if self.labels.left_out:
                yield (
                    f"{self.labels.left_out:,} labels hold no point of their series and are left "
                    f"out; the first is {self.labels.first_left_out}"
                )
            yield from _met(self.evaluation)


def _met(evaluation: Evaluation) -> Iterator[str]:
    now, best = evaluation.total, evaluation.best
    yield f"{'by event':26}  recall  precision     F1"
    named = (("this run", now), (f"best, at sensitivity {best}", evaluation.curve[best]))
    for name, tally in named:
        yield f"{name:26}  {tally.recall:6.3f}  {tally.precision:9.3f}  {tally.f1:5.3f}"
    yield (
        f"{now.found:,} of {now.segments:,} labelled segments found, "
        f"{now.right:,} of {now.alarms:,} alarms right"
    )
