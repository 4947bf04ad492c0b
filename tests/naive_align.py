"""Slow, obvious twin of the stage `align`: one partition, one point at a time, plain Python.

What the kernels do lazily, when a series' next point or the end of a batch comes, is done here for
every series after every point. The two agree only if the cut into batches decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from streamdet.config import DetectionConfig, LimitsConfig
from streamdet.detectors import DETECTORS
from streamdet.state.store import RING_LENGTHS
from streamdet.types import Outcome
from tests.naive import Grid, f32
from tests.naive_grid import Lines, Zone

JUDGE, LEARN, FILL, ABSENT, RETURNED = range(5)
RESTART = -(2**31)
ESTABLISHED = 12  # points of a series whose absence is news
VALUE_MAX = 1e30


class Released(NamedTuple):
    """One row of what goes on to the detector."""

    use: int
    time_us: int
    value: float
    step: int
    offset: int


@dataclass
class Present:
    """Where most points of the partition are."""

    max_future_us: int
    now_us: int | None = None
    votes: int = 0
    first_us: int = 0
    lowest_us: int = 0

    def move(self, time_us: int, record_us: int | None) -> None:
        if self.now_us is None:
            self.now_us = time_us
        elif abs(time_us - self.now_us) <= self.max_future_us:
            self.votes = max(self.votes - 1, 0)
            self.now_us = max(self.now_us, time_us)
        elif time_us > self.now_us or self.near(time_us, record_us):
            self.vote(time_us)

    def near(self, time_us: int, record_us: int | None) -> bool:
        return record_us is not None and abs(record_us - time_us) <= self.max_future_us

    def vote(self, time_us: int) -> None:
        if self.votes == 0:
            self.first_us = self.lowest_us = time_us
        self.votes = min(self.votes + 1, 64)
        self.lowest_us = min(self.lowest_us, time_us)
        progress_us = abs(time_us - self.first_us)
        if self.votes >= 16 and progress_us * 1440 >= self.max_future_us:
            self.now_us, self.votes = self.lowest_us, 0


@dataclass
class Pending:
    """The points of one time, held back."""

    time_us: int
    values: list[float]
    offset: int

    def merge(self, rule: str, value: float, offset: int) -> None:
        if rule == "last":
            self.values, self.offset = [value], offset
        elif rule in ("mean", "sum"):
            self.values = sorted([*self.values, value])
            self.offset = offset

    def value(self, rule: str) -> float:
        """Return the one value for all; equal ones have themselves as their mean, exactly."""
        total = self.values[0]
        for value in self.values[1:]:
            total += value
        if rule == "mean" and self.values[0] != self.values[-1]:
            return total / len(self.values)
        return total if rule == "sum" else self.values[0]


def of_window(function: str, points: list[tuple[int, float]]) -> float:
    """Return one value for the points (time, value) of a window, in order."""
    values = [value for _, value in points]
    if function[0] == "p":
        ordered, at = sorted(values), int(function[1:]) / 100 * (len(values) - 1)
        low, part = ordered[int(at)], at - int(at)
        return low + (ordered[math.ceil(at)] - low) * part
    total = values[0]
    for value in values[1:]:
        total += value
    return {
        "mean": total / len(values),
        "sum": total,
        "min": min(values),
        "max": max(values),
        "count": float(len(values)),
        "last": values[-1],
    }[function]


def of_counter(points: list[tuple[int, float]]) -> float:
    """Return the increase per second, NaN of one point; a counter that falls began anew at 0."""
    if len(points) < 2:
        return math.nan
    increase = 0.0
    for (_, before), (_, value) in pairwise(points):
        increase += value if value < before else value - before
    per_second = increase / ((points[-1][0] - points[0][0]) / 1e6)
    return max(-VALUE_MAX, min(VALUE_MAX, per_second))


class Series:
    """One series: what it holds back, what it released."""

    def __init__(self, options: DetectionConfig, owner: NaiveAligner) -> None:
        self.options, self.owner = options, owner
        self.function = options.aggregate.function if options.aggregate else None
        self.counts = "rate" in (self.function, options.transform)
        self.held = bool(
            options.allowed_lateness_us or self.function or options.duplicates != "first"
        )
        needed = DETECTORS[options.detector].ring_points(options)
        self.ring_length = next(n for n in RING_LENGTHS if n >= needed)
        self.zone = Zone(options.timezone)
        self.released: list[Released] = []
        self.pending: list[Pending] = []
        self.spoke_us = 0
        self.offset = -1
        """Of the record that came last."""
        self.begin()

    def begin(self) -> None:
        """Forget what came before, but what is held back."""
        self.newest_us: int | None = None
        """Newest released; of windows, and of counters, also where there was no value."""
        self.seen_us: int | None = None
        """Time of the newest point that was taken."""
        self.value: float | None = None
        """Newest released."""
        self.counter: tuple[int, float] | None = None
        """Newest point of a counter."""
        self.absent = False
        self.arrived = 0
        """Points, also those that were not taken."""
        self.found = Grid()
        self.missing_share = 0.0

    @property
    def lines(self) -> Lines | None:
        options = self.options
        if options.calendar or options.grid_interval:
            return Lines(options.grid_interval, options.calendar, self.zone)
        return Lines(self.found.interval, False, self.zone) if self.found.interval else None

    def add(self, time_us: int, value: float, offset: int) -> Outcome:
        if self.seen_us is None or self.idle(time_us):
            self.begin()
        if self.absent:
            self.absent = False
            self.note(RETURNED, time_us)
        self.spoke_us = self.owner.spoken(self.options.absent_after_us)
        self.offset, self.arrived = offset, self.arrived + 1
        if self.options.tolerance is not None:
            time_us, off_us = self.lines.snap(time_us)
            if off_us > self.options.tolerance_us:
                return Outcome.OFF_GRID
        start_us = self.lines.window(time_us)[0] if self.function else time_us
        if self.newest_us is not None and start_us <= self.newest_us:
            if start_us == self.newest_us and not self.function:
                return Outcome.DUPLICATE
            self.fill(time_us, value, offset)
            return Outcome.LATE
        self.seen_us = time_us if self.seen_us is None else max(self.seen_us, time_us)
        return self.hold(time_us, value, offset)

    def idle(self, time_us: int | None = None) -> bool:
        """Return whether the series begins anew, with a point at `time_us` if that is given.

        One that may be absent is reported first; one that holds back points is not idle.
        """
        ttl_us = self.owner.ttl_us
        if not ttl_us or self.seen_us is None or self.pending:
            return False
        if self.options.absent_after_us and not self.absent:
            return False
        if time_us is not None:  # how far others moved the time was looked at with their points
            return time_us - self.seen_us > ttl_us
        return self.owner.spoken(self.options.absent_after_us) - self.spoke_us > ttl_us

    def hold(self, time_us: int, value: float, offset: int) -> Outcome:
        outcome = Outcome.OK
        for point in self.pending:
            if point.time_us == time_us:
                outcome = Outcome.DUPLICATE
                point.merge(self.options.duplicates, value, offset)
        if outcome == Outcome.OK:
            self.pending.append(Pending(time_us, [value], offset))
            self.pending.sort(key=lambda point: point.time_us)
        self.release_due()
        if sum(len(point.values) for point in self.pending) > self.owner.max_pending:
            self.release_oldest()
        return outcome

    def fill(self, time_us: int, value: float, offset: int) -> None:
        """Give a late point to the ring, if it is a value of its own and has a slot there."""
        if self.options.late != "fill" or self.function or self.counts or not self.lines:
            return
        back = self.lines.steps(time_us, self.newest_us)
        if 0 < back < self.ring_length:
            self.released.append(Released(FILL, time_us, value, back + 1, offset))

    def due(self, point: Pending) -> bool:
        lateness_us = self.options.allowed_lateness_us
        if self.function:
            return self.owner.now_us >= self.lines.window(point.time_us)[1] + lateness_us
        return not self.held or self.owner.now_us > point.time_us + lateness_us

    def release_due(self) -> None:
        while self.pending and self.due(self.pending[0]):
            self.release_oldest()

    def release_oldest(self) -> None:
        if not self.function:
            point = self.pending.pop(0)
            self.release(point.time_us, self.merged(point), point.offset)
            return
        start_us, points = self.lines.window(self.pending[0].time_us)[0], []
        while self.pending and self.lines.window(self.pending[0].time_us)[0] == start_us:
            points.append(self.pending.pop(0))
        pairs = [(point.time_us, self.merged(point)) for point in points]
        if self.function == "rate":
            counter, self.counter = self.counter, pairs[-1]
            value = of_counter(([counter] if counter else []) + pairs)
        else:
            value = of_window(self.function, pairs)
        self.release(start_us, value, max(point.offset for point in points))

    def merged(self, point: Pending) -> float:
        return point.value(self.options.duplicates)

    def release(self, time_us: int, value: float, offset: int) -> None:
        step = self.step(time_us)
        if self.options.transform == "rate":
            counter, self.counter = self.counter, (time_us, value)
            known = counter is not None and step != RESTART
            value = of_counter([counter, self.counter]) if known else math.nan
        if math.isnan(value):
            self.newest_us, self.value = time_us, None
            return
        if self.value is None or step == RESTART:
            step, self.missing_share = RESTART, 0.0
        else:
            step = self.impute(time_us, step, value)
        self.newest_us, self.value = time_us, value
        self.released.append(Released(JUDGE, time_us, value, step, offset))

    def step(self, time_us: int) -> int:
        if self.newest_us is None:
            return RESTART
        if not self.options.grid_interval and self.found.vote(time_us - self.newest_us):
            return RESTART
        return self.lines.steps(self.newest_us, time_us) if self.lines else 1

    def impute(self, time_us: int, step: int, value: float) -> int:
        """Fill the gap before a value; return the steps that remain."""
        missing, mode = step - 1, self.options.impute_mode
        if mode == "auto":
            mode = "linear" if self.missing_share > 0.1 else "notFill"
        self.count_missing(missing)
        if mode == "notFill" or not 0 < missing <= self.ring_length:
            return step
        for k in range(1, step):
            filled = {
                "previous": self.value,
                "zero": 0.0,
                "fixed": self.options.impute_fixed_value,
                "linear": self.value + (value - self.value) * (k / step),
            }[mode]
            at_us = self.newest_us + (time_us - self.newest_us) * k // step
            self.released.append(Released(LEARN, at_us, filled, 1, -1))
        return 1

    def count_missing(self, missing: int) -> None:
        """Let the share that is missing decay, by slots, and then by the one of the value."""
        share = self.missing_share
        for _ in range(min(missing, 2048)):
            share += (1.0 - share) / 256
        self.missing_share = f32(share - share / 256)

    def look_for_absence(self) -> None:
        after_us = self.options.absent_after_us
        if not after_us or self.absent or self.arrived < ESTABLISHED or self.seen_us is None:
            return
        if self.owner.spoken(after_us) - self.spoke_us > after_us:
            self.absent = True
            self.note(ABSENT, self.seen_us + after_us)

    def note(self, use: int, time_us: int) -> None:
        self.released.append(Released(use, time_us, math.nan, 1, self.offset))


class NaiveAligner:
    """The stage for one partition.

    Parameters
    ----------
    options : dict of str to DetectionConfig
        By name of the series.
    """

    def __init__(self, options: dict[str, DetectionConfig], limits: LimitsConfig) -> None:
        self.ttl_us, self.max_pending = limits.series_ttl_us, limits.max_pending_points
        self.present = Present(limits.max_future_us)
        self.series = {name: Series(each, self) for name, each in options.items()}
        self._progress: list[int] = []

    @property
    def now_us(self) -> int:
        """The watermark."""
        return self.present.now_us

    def add(
        self, name: str, time_us: int, value: float, offset: int, record_us: int | None = None
    ) -> Outcome:
        """Take one point; return what became of it."""
        before_us = self.present.now_us
        self.present.move(time_us, record_us)
        if before_us is not None:
            self._progress.append(self.now_us - before_us)
        for series in self.series.values():
            series.release_due()
        outcome = self.series[name].add(time_us, value, offset)
        for series in self.series.values():
            series.look_for_absence()
            if series.idle():
                series.begin()
        return outcome

    def spoken(self, absent_after_us: int) -> int:
        """Return for how long the partition spoke: its progress without holes, or leaps."""
        hole_us = absent_after_us // 2 or self.present.max_future_us
        return sum(p for p in self._progress if 0 < p <= hole_us)
