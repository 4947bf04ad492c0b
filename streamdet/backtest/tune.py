"""`streamdet tune`: a sensitivity and a period for each rule, from a history of its series.

What a detector learns does not depend on the sensitivity. So one backtest at the highest tells
what every other would flag, and a second one, with the periods that were found, whether they help.
A last one, with everything that is suggested, gives the figures to expect.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from streamdet.backtest import FileInput
from streamdet.backtest.evaluation import SENSITIVITIES, Evaluation, Tally, evaluate
from streamdet.backtest.history import History
from streamdet.backtest.labels import read_labels
from streamdet.backtest.rows import RowVerdicts
from streamdet.backtest.season import FoundPeriod, series_rows, usual_period
from streamdet.backtest.summary import DAY_US
from streamdet.backtest.verdicts import judge
from streamdet.config import PERIODS_PER_RING, Config, DetectionConfig, RuleConfig
from streamdet.config.yaml_file import write_yaml
from streamdet.detectors import DETECTORS
from streamdet.types import IncidentState, SeriesId, Verdicts

ALERTS_PER_SERIES_AND_DAY = 1 / 7
"""What a person reads without getting used to it: one alert a week from each series."""

_HELPS_BELOW = 0.95
"""A period is worth a setting when the error of the forecast falls to this share, or lower."""
PASSES = 4
"""Times that every point is judged, at most."""

_WIDEST = {"sensitivity": SENSITIVITIES[-1]}

Changes = dict[str, Any]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is suggested for the series of one rule."""

    rule: dict[str, Any]
    """As it stands in a configuration: match and set."""
    series: int
    reasons: tuple[str, ...]
    """What to expect, and why this sensitivity and this period, or none."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The series of one rule, and their rows."""

    match: dict[str, Any]
    set: Changes
    settings: DetectionConfig
    series: list[int]
    rows: NDArray[np.int64]

    def rule(self, changes: Changes, ring_length: int | None) -> dict[str, Any]:
        """Return the rule with `changes`; a ring too short for the period is left to streamdet."""
        changed = {**self.set, **changes}
        ring_length = changed.get("ring_length", ring_length)
        if ring_length is not None and ring_length < PERIODS_PER_RING * (
            changed.get("period") or 0
        ):
            changed["ring_length"] = None
        return {"match": self.match, "set": changed}


@dataclass(frozen=True, slots=True)
class _Choice:
    """A sensitivity, by what would be flagged at it and at every other."""

    sensitivity: int
    curve: tuple[Tally, ...]
    days: float

    @property
    def f1(self) -> float:
        """By event; NaN without labels."""
        return self.curve[self.sensitivity].f1


class _Goal:
    """What makes a sensitivity the best: labels, alerts a day, or both."""

    def __init__(self, label: Flags | None, max_alerts_per_day: float | None) -> None:
        self._label = label
        self._max_alerts_per_day = max_alerts_per_day

    def alerts_per_day(self, group: _Group) -> float:
        """Return how many alerts the rule may give a day."""
        if self._max_alerts_per_day is not None:
            return self._max_alerts_per_day
        return ALERTS_PER_SERIES_AND_DAY * len(group.series)

    def labels_of(self, rows: NDArray[np.int64]) -> Flags:
        """Return which of `rows` are labelled."""
        return np.zeros(len(rows), np.bool_) if self._label is None else self._label[rows]

    def choose(self, history: History, verdicts: Verdicts, group: _Group) -> _Choice:
        """Return the best sensitivity for a rule, by its verdicts at the highest."""
        rows = group.rows
        days = _days(history, verdicts, rows)
        flags = verdicts.is_anomaly[rows]
        score = np.where(flags, verdicts.score[rows], np.nan)
        labels = self.labels_of(rows)
        curve = _evaluation(history, group, labels, flags, score).curve
        # Flags that grow together are one alarm: fewer at a higher sensitivity are no comfort.
        alarms = np.maximum.accumulate([tally.alarms for tally in curve])
        allowed = alarms <= self.alerts_per_day(group) * days
        if not labels.any():
            return _Choice(max(int(allowed.sum()) - 1, 0), curve, days)
        if self._max_alerts_per_day is None:
            allowed[:] = True
        f1 = np.where(allowed, [tally.f1 for tally in curve], -1.0)
        return _Choice(int(f1.argmax()), curve, days)


def suggest(
    history: History,
    config: Config,
    *,
    label: Flags | None = None,
    max_alerts_per_day: float | None = None,
    on_progress: Callable[[int], None] = lambda points: None,
) -> list[Suggestion]:
    """Return what is suggested for each rule of `config`, and each metric that no rule is for.

    Without labels the sensitivity is the highest that keeps to the alerts a day; with labels it
    is the one with the best F1 by event, among those that keep to `max_alerts_per_day` if given.

    Parameters
    ----------
    label : bool[n], optional
        Rows that are known to be anomalous.
    max_alerts_per_day : float, optional
        For each rule; None: `ALERTS_PER_SERIES_AND_DAY` for each of its series.
    on_progress
        Called with the number of points judged since the last call; `PASSES` times all, at most.

    Notes
    -----
    Flags at another sensitivity are those of the highest that have the score for it. Where flags
    depend on earlier ones (suppressCondition, maxAnomalyRatio) that is close and not exact; the
    figures in the reasons are exact, since they come from a backtest with what is suggested.
    """
    before = judge(history, config, on_progress=on_progress)
    rows, label = before.history, None if label is None else before.labelled(label)
    groups = _groups(before, config)
    ring_length = config.detection.ring_length

    def judged(changes: Sequence[Changes]) -> Verdicts:
        rules = [
            RuleConfig.model_validate(group.rule(change, ring_length))
            for group, change in zip(groups, changes, strict=True)
        ]
        changed = config.model_copy(update={"rules": tuple(rules)})
        return judge(history, changed, on_progress=on_progress)

    by_series = series_rows(rows)
    found = [usual_period(rows, by_series, group.series) for group in groups]
    wanted = [
        {"period": each.period} if each.period not in (0, group.settings.period) else {}
        for group, each in zip(groups, found, strict=True)
    ]
    plain = judged([_WIDEST] * len(groups))
    seasonal = judged([_WIDEST | each for each in wanted]) if any(wanted) else plain

    goal = _Goal(label, max_alerts_per_day)
    changes, reasons = [], []
    for group, period, change in zip(groups, found, wanted, strict=True):
        verdicts = (plain, seasonal) if change else (plain,)
        decided, why = _decide(rows, verdicts, group, goal, period)
        changes.append(decided)
        reasons.append(why)
    after = judged(changes)
    return [
        Suggestion(
            group.rule(change, ring_length),
            len(group.series),
            (*_expected(rows, before, after, group, goal), *why),
        )
        for group, change, why in zip(groups, changes, reasons, strict=True)
    ]


def _decide(
    history: History,
    verdicts: Sequence[Verdicts],
    group: _Group,
    goal: _Goal,
    found: FoundPeriod,
) -> tuple[Changes, list[str]]:
    """Return what to change for the series of a rule, and why.

    verdicts : at the highest sensitivity, as configured and, where it is to be tried, with the
    period that was found.
    """
    if not _days(history, verdicts[0], group.rows):
        return {}, ["left as it is: no point of its series could be judged"]
    threshold = DETECTORS[group.settings.detector].threshold
    if threshold(SENSITIVITIES[0]) == threshold(SENSITIVITIES[-1]):
        return {}, [f"left as it is: {group.settings.detector} has no use for a sensitivity"]
    choice = goal.choose(history, verdicts[0], group)
    why = _period_reason(found, group)
    changes = {}
    if len(verdicts) > 1:
        other = goal.choose(history, verdicts[1], group)
        error = _error_share(history, verdicts[0], verdicts[1], group.rows)
        why += f"; with it the forecast's error is {error:.0%} of what it was"
        if other.f1 > choice.f1 or (error < _HELPS_BELOW and not other.f1 < choice.f1):
            choice, changes = other, {"period": found.period}
        else:
            why += ": left out"
    return (
        {"sensitivity": choice.sensitivity, **changes},
        [_sensitivity_reason(choice, goal, group), why],
    )


def _groups(before: RowVerdicts, config: Config) -> list[_Group]:
    """Return a group for each rule, and one for each metric of the series that no rule fits.

    A series that others are rolled up into is of their group. Rows are those that were of use, by
    time.
    """
    history = before.history
    rules = [(rule, rule.over(config.detection)) for rule in config.rules]
    others: dict[str, int] = {}
    of_series = np.empty(len(history.keys), np.int64)
    for number in range(len(history.keys)):
        series = SeriesId.parse(history.keys[history.leaves.get(number, number)].decode())
        fitting = [at for at, (rule, _) in enumerate(rules) if rule.match.fits(series)]
        of_series[number] = (
            fitting[0] if fitting else len(rules) + others.setdefault(series.metric, len(others))
        )
    dumped = [
        rule.model_dump(mode="json", by_alias=True, exclude_unset=True) for rule in config.rules
    ]
    described = [
        (each["match"], each["set"], settings)
        for each, (_, settings) in zip(dumped, rules, strict=True)
    ]
    described += [({"metric": glob.escape(metric)}, {}, config.detection) for metric in others]
    of_row = of_series[history.series]
    order = np.flatnonzero(before.judged)
    order = order[np.lexsort((history.time_us[order], of_row[order]))]
    rows = np.split(order, np.searchsorted(of_row[order], np.arange(1, len(described))))
    return [
        _Group(match, set_, settings, np.flatnonzero(of_series == at).tolist(), rows[at])
        for at, (match, set_, settings) in enumerate(described)
    ]


def _days(history: History, verdicts: Verdicts, rows: NDArray[np.int64]) -> float:
    """Return the days from the first judged row to the last, at least 1; 0 without any."""
    time_us = history.time_us[rows[~np.isnan(verdicts.score[rows])]]
    if not len(time_us):
        return 0.0
    return max(1.0, float(time_us.max() - time_us.min()) / DAY_US)


def _error_share(
    history: History, plain: Verdicts, seasonal: Verdicts, rows: NDArray[np.int64]
) -> float:
    """Return how large the forecast's error is with the period, as a share of that without.

    The median over the series, so that one of huge values does not decide for all.
    """
    error, other = (
        np.abs(verdicts.value[rows] - verdicts.expected_value[rows])
        for verdicts in (plain, seasonal)
    )
    both = ~np.isnan(error + other)
    if not both.any():
        return 1.0
    series = np.unique(history.series[rows[both]], return_inverse=True)[1]
    total, others = np.bincount(series, error[both]), np.bincount(series, other[both])
    return float(np.median(np.divide(others, total, out=np.ones_like(total), where=total > 0)))


def _period_reason(found: FoundPeriod, group: _Group) -> str:
    if not found.period:
        return f"no period: most of {found.asked} series have none, or they do not agree"
    points = f"{found.period} points" + (f" ({found.name})" if found.name else "")
    kept = "as it is set, " if found.period == group.settings.period else ""
    return f"period {points}, {kept}found in {found.votes} of {found.asked} series"


def _sensitivity_reason(choice: _Choice, goal: _Goal, group: _Group) -> str:
    chosen, was = choice.sensitivity, group.settings.sensitivity
    if not np.isnan(choice.f1):
        return (
            f"sensitivity {chosen} has the best F1 by event, {choice.f1:.2f}; "
            f"{was}, as before, has {choice.curve[was].f1:.2f}"
        )
    per_day = goal.alerts_per_day(group)
    alarms = [tally.alarms for tally in choice.curve]
    at_most = f"at most {per_day:.3g} alerts a day, {int(per_day * choice.days):,} in all"
    if alarms[chosen] > per_day * choice.days:
        return f"no sensitivity has {at_most}; look at minDeviation or suppressCondition"
    if chosen == SENSITIVITIES[-1]:
        return f"sensitivity {chosen}, the highest there is, has {at_most}"
    more = alarms[chosen + 1]
    return f"sensitivity {chosen} is the highest with {at_most}; {chosen + 1} has {more:,}"


def _expected(
    history: History, before: Verdicts, after: Verdicts, group: _Group, goal: _Goal
) -> list[str]:
    """Return the figures of the last backtest, against that of the configuration as it was."""
    days = _days(history, after, group.rows)
    if not days:
        return []
    alerts, were = (
        int(np.count_nonzero(verdicts.state[group.rows] == IncidentState.ONSET))
        for verdicts in (after, before)
    )
    said = [f"{alerts:,} alerts in {days:.1f} days, {alerts / days:.3g} a day (before: {were:,})"]
    labels = goal.labels_of(group.rows)
    if labels.any():
        flags, score = after.is_anomaly[group.rows], after.score[group.rows]
        total = _evaluation(history, group, labels, flags, score).total
        said.append(
            f"F1 {total.f1:.2f}: {total.found} of {total.segments} labelled events found, "
            f"{total.right} of {total.alarms} alarms right"
        )
    return said


def _evaluation(
    history: History, group: _Group, labels: Flags, flags: Flags, score: NDArray[np.float64]
) -> Evaluation:
    numbers = np.zeros(len(history.keys), np.int64)
    numbers[group.series] = np.arange(len(group.series))
    threshold = DETECTORS[group.settings.detector].threshold
    series = numbers[history.series[group.rows]]
    return evaluate(series, labels, flags, score, len(group.series), threshold)


def as_yaml(suggestions: Sequence[Suggestion], heading: str) -> str:
    """Return the suggestions as the section `rules` of a configuration, reasons as comments."""
    lines = [f"# {heading}", "# Alerts are onsets of incidents.", "rules:"]
    if not suggestions:
        lines[-1] += " []"
    for each in suggestions:
        lines.append(f"  # {each.series:,} series")
        lines += [f"  # {reason}" for reason in each.reasons]
        rule = write_yaml({"rules": [each.rule]}).splitlines()[1:]
        lines += [f"  {line}" for line in rule]
    return "\n".join(lines) + "\n"


def run(
    source: FileInput, config: Config, labels: Path | None, max_alerts_per_day: float | None
) -> str:
    """Read `source`, with a progress bar where there is a terminal; return the YAML.

    Errors are those of reading.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        history = source.read(config, progress)
        label = None
        if labels is not None:
            found = read_labels(labels, history, source.columns, source.metric, config)
            label = found.label
            if found.left_out:
                console.print(
                    f"{found.first_left_out}: holds no point of the input; left out, as are "
                    f"{found.left_out - 1:,} other labels"
                )
        bar = progress.add_task(source.name, total=PASSES * len(history.value))
        suggestions = suggest(
            history,
            config,
            label=label,
            max_alerts_per_day=max_alerts_per_day,
            on_progress=lambda n: progress.advance(bar, n),
        )
    points, series = len(history.value), len(history.keys)
    return as_yaml(suggestions, f"{source.name}: {points:,} points of {series:,} series")
