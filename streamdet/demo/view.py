"""What the demo shows while it runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import msgspec
import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamdet.demo.signals import Kind
from streamdet.metrics import severity_class
from streamdet.types import SeriesId

_ROWS = 12
_WIDE = 110  # columns; below, the band and the kind have no room
_BAR = 5  # characters
_PLAIN_EVERY_S = 5.0
_PLAIN_ANOMALIES = 3  # lines between two lines of figures, of different series
_COLOURS = {"low": "yellow", "medium": "dark_orange", "high": "red"}


class Anomaly(msgspec.Struct, frozen=True, rename="camel"):
    """What the view needs of an event's body."""

    metric: str
    dimensions: dict[str, str]
    timestamp: str
    value: float
    expected_value: float
    upper_boundary: float
    lower_boundary: float
    is_positive_anomaly: bool
    severity: float
    incident: str
    """Id of the event that it began with."""

    @property
    def series(self) -> SeriesId:
        """The series it belongs to."""
        return SeriesId.of(self.metric, self.dimensions)

    @property
    def time_us(self) -> int:
        """Microseconds since 1970."""
        return int(np.datetime64(self.timestamp.removesuffix("Z"), "us").astype(np.int64))


@dataclass(frozen=True, slots=True)
class Shown:
    """An anomaly, and the injected kind it belongs to; None: it is a false one."""

    anomaly: Anomaly
    kind: Kind | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The figures of one moment."""

    address: str
    elapsed_s: float
    points: int
    """Records that the worker has committed."""
    rate: float
    """Committed records/s."""
    lag: int
    """Records produced and not yet committed."""
    events: int
    dead_letters: int
    event_time_us: int
    share: float
    """Share of all records that is committed, 0 to 1."""


class View(Protocol):
    """Where the demo shows itself; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; what was shown last stays."""

    def show(self, progress: Progress, new: Iterable[Shown]) -> None:
        """Show the figures and the anomalies that are new, oldest first."""


def view_for(console: Console, *, plain: bool) -> View:
    """Return the live view where it can be seen, else plain lines (pipe, dumb, NO_COLOR)."""
    alive = console.is_terminal and not console.is_dumb_terminal and not console.no_color
    return LiveView(console) if alive and not plain else PlainView(console)


class LiveView:
    """Figures, and a table of the newest anomalies, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._newest: dict[SeriesId, tuple[Shown, int]] = {}
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress, new: Iterable[Shown]) -> None:
        """Redraw."""
        for shown in new:
            self._take(shown)
        self._live.update(self.frame(progress), refresh=True)

    def frame(self, progress: Progress) -> RenderableType:
        """Return what is drawn."""
        wide = self._console.width >= _WIDE
        return Group(_header(progress), _table(self._newest.values(), wide=wide))

    def _take(self, shown: Shown) -> None:
        """Put `shown` on top, in place of the one before of its series."""
        series = shown.anomaly.series
        count = 1
        if before := self._newest.pop(series, None):
            if shown.anomaly.incident == before[0].anomaly.incident:
                count += before[1]
        elif len(self._newest) == _ROWS:
            del self._newest[next(iter(self._newest))]
        self._newest[series] = (shown, count)


class PlainView:
    """A line of figures every few seconds, and some anomalies in between; no control codes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0
        self._printed = 0
        self._held_back = 0
        self._last = ""  # incident

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self, progress: Progress, new: Iterable[Shown]) -> None:
        """Print what is due."""
        for shown in new:
            if self._printed < _PLAIN_ANOMALIES and shown.anomaly.incident != self._last:
                self._printed += 1
                self._last = shown.anomaly.incident
                self._line(_sentence(shown))
            else:
                self._held_back += 1
        if progress.elapsed_s < self._next_s:
            return
        if self._held_back:
            self._line(f"anomaly  and {self._held_back:,} more")
        self._line(
            f"{progress.elapsed_s:5.0f} s  points {progress.points:,}  rate {progress.rate:,.0f}/s"
            f"  lag {progress.lag:,}  events {progress.events:,}"
            f"  dead letters {progress.dead_letters}  event time {_moment(progress.event_time_us)}"
        )
        self._next_s = progress.elapsed_s + _PLAIN_EVERY_S
        self._printed = self._held_back = 0

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _header(progress: Progress) -> RenderableType:
    figures = Table.grid(expand=True)
    for _ in range(5):
        figures.add_column()
    figures.add_row(
        _figure("points", f"{progress.points:,}"),
        _figure("rate", f"{progress.rate:,.0f}/s"),
        _figure("lag", f"{progress.lag:,}"),
        _figure("events", f"{progress.events:,}"),
        _figure("dead letters", str(progress.dead_letters)),
    )
    way = Table.grid(padding=(0, 2), expand=True)
    way.add_column()
    way.add_column(ratio=1)
    way.add_column(justify="right")
    way.add_row(
        _figure("event time", _moment(progress.event_time_us)),
        ProgressBar(total=1.0, completed=progress.share),
        f"{progress.share:.0%}",
    )
    address = _figure("metrics", progress.address)
    return Panel(Group(address, figures, way), title="streamdet demo", title_align="left")


def _figure(name: str, value: str) -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"))


def _table(newest: Iterable[tuple[Shown, int]], *, wide: bool) -> RenderableType:
    table = Table(box=None, padding=(0, 1), pad_edge=False, expand=True)
    table.add_column("event time", no_wrap=True)
    table.add_column("series", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("expected", justify="right", no_wrap=True)
    if wide:
        table.add_column("normal from .. to", justify="right", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("points", justify="right", no_wrap=True)
    table.add_column("injected", no_wrap=True)
    for shown, count in reversed(list(newest)):
        table.add_row(*_row(shown, count, wide=wide))
    return table


def _row(shown: Shown, count: int, *, wide: bool) -> list[RenderableType]:
    anomaly = shown.anomaly
    colour = _COLOURS[severity_class(anomaly.severity)]
    up = anomaly.is_positive_anomaly
    row: list[RenderableType] = [
        _moment(anomaly.time_us)[5:],
        Text(_short(anomaly.series)),
        Text("▲" if up else "▼", style=colour),
        Text(number(anomaly.value), style="bold"),
        number(anomaly.expected_value),
    ]
    if wide:
        row.append(f"{number(anomaly.lower_boundary)} .. {number(anomaly.upper_boundary)}")
    bar = round(anomaly.severity * _BAR)
    row.append(Text.assemble(("█" * bar, colour), ("░" * (_BAR - bar), "dim")))
    row.append(str(count))
    match = ("no", "dim") if shown.kind is None else (shown.kind if wide else "yes", "green")
    row.append(Text.assemble(match))
    return row


def _sentence(shown: Shown) -> str:
    anomaly = shown.anomaly
    return (
        f"anomaly  {_moment(anomaly.time_us)}  {anomaly.series}"
        f"  value {number(anomaly.value)} ({'up' if anomaly.is_positive_anomaly else 'down'})"
        f"  expected {number(anomaly.expected_value)}, normal from"
        f" {number(anomaly.lower_boundary)} to {number(anomaly.upper_boundary)}"
        f"  severity {anomaly.severity:.2f}"
        f"  {f'injected {shown.kind}' if shown.kind else 'not injected'}"
    )


def _short(series: SeriesId) -> str:
    """Return the series with the values of its dimensions only: names repeat, room is scarce."""
    values = ",".join(value for _, value in series.dimensions)
    return f"{series.metric}{{{values}}}" if values else series.metric


def _moment(time_us: int) -> str:
    text: str = np.datetime_as_string(np.datetime64(time_us, "us"), unit="m")
    return text.replace("T", " ")


def number(value: float) -> str:
    """Return `value` with four digits that count, thousands set apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2g}"
