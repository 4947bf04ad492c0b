"""The bars that the project set itself, and what was measured of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure to be reached."""

    title: str
    must: float | None = None
    """None: no bar, the figure is told for its own sake."""
    aim: float | None = None
    less_is_better: bool = False
    unit: str = ""

    def word(self, figure: float) -> str:
        """Return how `figure` does, in a word."""
        if self.must is None or self.aim is None:
            return ""
        sign = -1 if self.less_is_better else 1
        if sign * figure >= sign * self.aim:
            return "aim met"
        return "met" if sign * figure >= sign * self.must else "MISSED"

    def share(self, figure: float) -> float | None:
        """Return how far above what must be `figure` is; 1: just there, more is better."""
        if self.must is None:
            return None
        return self.must / figure if self.less_is_better else figure / self.must


@dataclass(slots=True)
class Measured:
    """The figures of the rounds of one bar."""

    bar: Bar
    figures: list[float] = field(default_factory=list)
    how: str = ""
    """What was measured beside what, and the absolute figures."""

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.figures)

    def cells(self) -> list[str]:
        """Return the cells of a row: bar, must, aim, measured, spread, word, how."""
        bar = self.bar
        if not self.figures:
            return [bar.title, _text(bar.must), _text(bar.aim), "-", "-", "FAILED", self.how]
        spread = f"{_text(min(self.figures))} to {_text(max(self.figures))}"
        measured = f"{_text(self.median)}{bar.unit}"
        limits = [
            "-" if limit is None else f"{'<= ' if bar.less_is_better else ''}{_text(limit)}"
            for limit in (bar.must, bar.aim)
        ]
        return [bar.title, *limits, measured, spread, bar.word(self.median), self.how]


def rates(name: str, found: list[float]) -> str:
    """Return a contender's rates in words: `bare 1,450,000/s`, the median."""
    return f"{name} {statistics.median(found):,.0f}/s"


def _text(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"
