"""What the demo found, against what it knows it hid: arithmetic first, then the words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamdet.demo.fleet import Label
from streamdet.demo.signals import Kind
from streamdet.types import SeriesId

_MISSED_SHOWN_MAX = 5


class Scoreboard:
    """Compares events with labels, as they come in.

    An anomaly is found by at least one event within its label. What a person is called for is an
    alert: the first event of an incident. It is false when it lies within no label of its series
    and no label's aftermath (`Label.settled_us`); what follows in its incident is neither.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self.labels = tuple(labels)
        self.found: set[Label] = set()
        self.n_events = 0
        self.n_false = 0
        """False alerts."""
        self._kinds: dict[str, Kind | None] = {}
        self._of_series: dict[SeriesId, list[Label]] = {}
        for label in labels:
            self._of_series.setdefault(label.series, []).append(label)

    @property
    def n_alerts(self) -> int:
        """Number of incidents."""
        return len(self._kinds)

    def see(self, series: SeriesId, time_us: int, incident: str) -> Kind | None:
        """Count one event; return the kind of the anomaly it belongs to, None if to none."""
        self.n_events += 1
        kind = None
        for label in self._of_series.get(series, ()):
            if label.first_us <= time_us <= label.settled_us:
                kind = label.kind
                if time_us <= label.last_us:
                    self.found.add(label)
        if incident not in self._kinds:
            self._kinds[incident] = kind
            self.n_false += kind is None
        return kind or self._kinds[incident]

    def by_kind(self) -> dict[Kind, tuple[int, int]]:
        """Return kind -> (injected, found)."""
        injected = Counter(label.kind for label in self.labels)
        found = Counter(label.kind for label in self.found)
        return {kind: (injected[kind], found[kind]) for kind in Kind if injected[kind]}


@dataclass(frozen=True, slots=True)
class Account:
    """What was sent and what became of it, by the worker's own counters and by the topics."""

    records_produced: int
    points_produced: int
    malformed_produced: int
    records_consumed: int
    outcomes: Mapping[str, int]
    """Outcome of a point -> how many, as the worker counts."""
    anomalies_counted: int
    """As the worker counts."""
    events_read: int
    dead_letters_read: int
    worker_exit_code: int | None
    """None: it did not end in time."""

    def problems(self) -> list[str]:
        """Return what does not add up, in words; empty when everything does."""
        pairs = (
            ("records consumed", self.records_consumed, self.records_produced),
            ("points judged", self.outcomes.get("ok", 0), self.points_produced),
            ("dead letters", self.outcomes.get("dead_lettered", 0), self.malformed_produced),
            ("dead letters read", self.dead_letters_read, self.malformed_produced),
            ("points", sum(self.outcomes.values()), self.records_produced),
            ("events read", self.events_read, self.anomalies_counted),
        )
        found = [f"{what}: {is_:,}, not {to_be:,}" for what, is_, to_be in pairs if is_ != to_be]
        if self.worker_exit_code is None:
            found.append("the worker did not end when asked to and was killed")
        elif self.worker_exit_code != 0:
            found.append(f"the worker ended with exit code {self.worker_exit_code}, not 0")
        return found


@dataclass(slots=True)
class Timing:
    """When things happened, in seconds of the monotonic clock."""

    started_s: float
    produced_from_s: float = 0.0
    finished_s: float = 0.0
    first_anomaly_s: float | None = None
    """The first event that belongs to an injected anomaly."""
    committed: list[tuple[float, int]] = field(default_factory=list)
    """Looks at the worker: when, and how many records were committed."""

    def rate(self, window_s: float = 2.0) -> float:
        """Return records/s committed over the last `window_s`."""
        if len(self.committed) < 2:
            return 0.0
        now_s, now = self.committed[-1]
        at = np.searchsorted([time_s for time_s, _ in self.committed], now_s - window_s)
        then_s, then = self.committed[min(int(at), len(self.committed) - 2)]
        return (now - then) / max(now_s - then_s, 1e-9)

    def rate_max(self, window_s: float = 1.0) -> float:
        """Return the most records/s committed over any `window_s` or a little more."""
        times, counts = np.array(self.committed, dtype=float).reshape(-1, 2).T
        ends = np.searchsorted(times, times + window_s)
        inside = ends < len(times)
        if not inside.any():
            return 0.0
        spans = times[ends[inside]] - times[inside]
        return float(np.max((counts[ends[inside]] - counts[inside]) / spans))


def render(account: Account, board: Scoreboard, timing: Timing) -> RenderableType:
    """Return the summary for the terminal."""
    seconds = timing.finished_s - timing.produced_from_s
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(justify="right")
    rows.add_column(overflow="fold")
    others = {name: n for name, n in account.outcomes.items() if n and name != "ok"}
    became = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in others.items())
    rows.add_row(
        "points in",
        f"{sum(account.outcomes.values()):,}",
        f"{account.outcomes.get('ok', 0):,} judged{', ' if became else ''}{became}",
    )
    rows.add_row("events out", f"{account.events_read:,}", "read back from the anomaly topic")
    rows.add_row(
        "dead letters",
        f"{account.dead_letters_read:,}",
        f"{account.malformed_produced} expected: malformed records mixed in on purpose",
    )
    n_labels, n_found = len(board.labels), len(board.found)
    rows.add_row("injected anomalies found", f"{n_found} of {n_labels}", _share(n_found, n_labels))
    rows.add_row("alerts", f"{board.n_alerts:,}", "one for each incident, however many its events")
    rows.add_row("false alerts", f"{board.n_false:,}", _share(board.n_false, board.n_alerts))
    rows.add_row(
        "throughput",
        f"{account.records_consumed / max(seconds, 1e-9):,.0f}/s",
        f"points over {seconds:.0f} s, paced for the eye; {timing.rate_max():,.0f}/s at the peak",
    )
    if timing.first_anomaly_s is not None:
        after_s = timing.first_anomaly_s - timing.started_s
        rows.add_row("first anomaly shown", f"{after_s:.1f} s", "after the start of the demo")
    parts: list[RenderableType] = [Text("summary", style="bold underline"), rows, Text()]
    if n_labels:
        parts += [_kinds(board), *_missed(board)]
    parts += [
        Text(f"NOT AS IT SHOULD BE  {problem}", style="red") for problem in account.problems()
    ]
    return Group(*parts)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else ""


def _kinds(board: Scoreboard) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("kind")
    table.add_column("injected", justify="right")
    table.add_column("found", justify="right")
    for kind, (injected, found) in board.by_kind().items():
        table.add_row(kind, str(injected), str(found))
    return table


def _missed(board: Scoreboard) -> list[Text]:
    missed = [label for label in board.labels if label not in board.found]
    lines = [Text()] if missed else []
    for label in missed[:_MISSED_SHOWN_MAX]:
        moment = np.datetime_as_string(np.datetime64(label.first_us, "us"), unit="m")
        lines.append(Text(f"missed  {moment}Z  {label.kind}  {label.series}", style="dim"))
    if len(missed) > _MISSED_SHOWN_MAX:
        lines.append(Text(f"missed  {len(missed) - _MISSED_SHOWN_MAX} more", style="dim"))
    return lines
