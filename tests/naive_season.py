"""Slow, obvious twin of `kernels.season`: the slots are a list, and nothing is kept in place."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np

from streamdet.kernels.period import find_period, scratch_points
from tests.naive import f32

NAN = math.nan
NOTHING, CYCLE, WEEK = "nothing", "cycle", "week"


def middle(numbers: list[float]) -> float:
    """Return the median of those that are not NaN; NaN of none."""
    known = [each for each in numbers if not math.isnan(each)]
    return float(np.median(known)) if known else NAN


@dataclass
class Usual:
    """What earlier periods did at the phase of one slot."""

    cycle: float = NAN
    week: float = NAN
    spread: float = 0.0


@dataclass
class Season:
    """The ring of one series and what is read from it."""

    length: int
    level: float
    period: int = 0
    given: bool = False
    stride: int = 1
    slots: list[float] = field(default_factory=list)  # newest last
    position: int = 0
    rounds: int = 0
    within: list[float] = field(default_factory=list)  # of the slot being filled; NaN: no value
    name: str = "series"
    slot_sum: float = 0.0
    use: str = NOTHING
    known: bool = False
    usual: list[Usual] = field(default_factory=lambda: [Usual(), Usual(), Usual()])
    error_level: float = 0.0
    error_cycle: float = 0.0
    error_week: float | None = None

    def __post_init__(self) -> None:
        self.stagger = zlib.crc32(self.name.encode()) % 64
        self.search_at = 192 + self.stagger

    def now(self) -> float:
        """Return the usual deviation at the next point."""
        if self.use == NOTHING:
            return NAN
        before, here, after = (u.week if self.use == WEEK else u.cycle for u in self.usual)
        centre = (self.stride - 1) / 2
        towards = before if len(self.within) < centre else after
        if self.stride == 1 or math.isnan(towards):
            return here
        share = abs(len(self.within) - centre) / self.stride
        return here + share * (towards - here)

    def spread(self) -> float:
        return max(u.spread for u in self.usual) if self.use == WEEK else 0.0

    def error(self) -> float:
        return self.error_week if self.use == WEEK else self.error_cycle

    def speaks(self) -> bool:
        return self.use != NOTHING and self.error() < 0.35 * self.error_level

    def ago(self, periods: int, ahead: int) -> float:
        behind = round(periods * self.period / self.stride) - ahead
        return self.slots[-behind] if 1 <= behind <= len(self.slots) else NAN

    def on(self, hours: int) -> float:
        """Return the usual deviation so many 24ths of a period after the next point."""
        points = self.period / 24
        if points < 1:
            return NAN
        at = (len(self.within) + 0.5 + hours * points) / self.stride - 0.5
        periods = (7, 14) if self.use == WEEK else (1, 2, 3)
        slots = {math.floor(at), math.ceil(at)}
        usual = [f32(middle([self.ago(k, slot) for k in periods])) for slot in sorted(slots)]
        return usual[0] + (at - math.floor(at)) * (usual[-1] - usual[0])

    def look(self, ahead: int) -> Usual:
        """Read what is usual so many slots after the one that is being filled."""

        cycle = f32(middle([self.ago(k, ahead) for k in (1, 2, 3)]))
        one, two = self.ago(7, ahead), self.ago(14, ahead)
        only_one = math.isnan(two)
        two = cycle if only_one else two
        if math.isnan(one) or math.isnan(two):
            return Usual(cycle, one)
        before, apart = self.usual[-1].week, abs(one - two)
        disagree = self.error_week is not None and apart / 2 > 4 * self.error_week
        if disagree and not only_one and not math.isnan(before):
            return Usual(cycle, min(two, one, key=lambda each: abs(each - before)), f32(apart))
        return Usual(cycle, f32((one + two) / 2), f32(apart / 2))

    def look_again(self) -> None:
        for ahead in (-1, 0, 1):
            self.usual = [*self.usual[1:], self.look(ahead)]

    def add(self, deviation: float) -> str:
        """Take in one grid point; NaN: it has no value. Returns what changed, or nothing."""
        self.within.append(deviation)
        if not math.isnan(deviation):
            self.slot_sum = f32(self.slot_sum + deviation)
        return self.close_slot() if len(self.within) == self.stride else ""

    def fill(self, value: float, back: int) -> None:
        """Put a value `back` points before the next one; not where another is."""
        slots = math.ceil((back - len(self.within)) / self.stride)
        if 1 <= slots <= len(self.slots) and math.isnan(self.slots[-slots]):
            self.slots[-slots] = f32(value - self.level)
            if self.period > 0:
                self.look_again()

    def rewind(self, points: int) -> None:
        """Forget the newest points. Of a slot that is left in part, each had the mean."""
        points = min(points, len(self.slots) * self.stride + len(self.within))
        known = [each for each in self.within if not math.isnan(each)]
        mean, values = (self.slot_sum / len(known) if known else NAN), len(known)
        left = len(self.within)
        while points > left:
            points -= left
            full = len(self.slots) == self.length
            mean, values = self.slots.pop(), self.stride
            if full:
                self.slots.insert(0, NAN)
            if self.position == 0:
                self.rounds -= 1
            self.position = (self.position - 1) % self.length
            left = self.stride
        left -= points
        values = 0 if math.isnan(mean) else min(values, left)
        self.within = [mean] * values + [NAN] * (left - values)
        self.slot_sum = f32(values * mean) if values else 0.0
        if self.period > 0:
            self.look_again()

    def close_slot(self) -> str:
        values = sum(not math.isnan(each) for each in self.within)
        deviation = f32(self.slot_sum / values) if values else NAN
        if self.known:
            self.compare(deviation)
        self.slots = [*self.slots, deviation][-self.length :]
        self.within, self.slot_sum = [], 0.0
        self.position = (self.position + 1) % self.length
        round_is_full = self.position == 0
        if round_is_full:
            self.rounds += 1
        if self.period > 0:
            self.usual = [*self.usual[1:], self.look(1)]
        if self.given:
            due = self.period > 0 and not self.known and len(self.slots) > self.period
            if due and self.know(self.period):
                return "other period"
        elif self.is_due() and self.search():
            return "other period"
        if round_is_full and self.wants_longer_memory():
            self.halve()
        if self.known and self.position % 16 == 0 and self.choose():
            return "week begins"
        return ""

    def compare(self, deviation: float) -> None:
        usual = self.usual[1]
        if math.isnan(deviation) or math.isnan(usual.cycle):
            return
        rate = min(self.stride / (4 * self.period), 0.1)

        def follow(error: float, by: float) -> float:
            return f32(error + rate * ((min(by, 5 * error) if error > 0 else by) - error))

        self.error_level = follow(self.error_level, abs(deviation))
        self.error_cycle = follow(self.error_cycle, f32(abs(deviation - usual.cycle)))
        if not math.isnan(usual.week):
            if self.error_week is None:
                self.error_week = self.error_cycle
            self.error_week = follow(self.error_week, f32(abs(deviation - usual.week)))

    def choose(self) -> bool:
        before = self.use
        self.use = CYCLE
        if self.error_week is not None and not math.isnan(self.usual[1].week):
            bar = 1.0 if before == WEEK else 0.95
            if self.error_week < bar * self.error_cycle:
                self.use = WEEK
        bar = 0.75 if before == NOTHING else 0.85
        if not self.given and self.error() > bar * self.error_level:
            self.use = NOTHING
        return before == CYCLE and self.use == WEEK

    def in_round(self) -> int:
        half = self.length // 2
        return half + 1 + self.stagger * (half - 1) // 64

    def is_due(self) -> bool:
        """Return whether a period is looked for after this slot."""
        if self.position != self.search_at or (self.use != NOTHING and self.rounds % 4 != 0):
            return False
        self.search_at *= 2
        if len(self.slots) == self.length or self.search_at >= self.length:
            self.search_at = self.in_round()
        return True

    def search(self) -> bool:
        scratch = np.empty(scratch_points(self.length), np.float32)
        slots, strength = find_period(np.array(self.slots, np.float32), scratch)
        found = int(slots) * self.stride
        used = self.use != NOTHING
        if strength < 0.5 or (used and found == self.period):
            return False
        if used and abs(found - self.period) <= 0.1 * self.period:
            self.period = found
            self.look_again()
            return False
        return self.know(int(slots))

    def know(self, slots: int) -> bool:
        """Use a period of so many slots, if it explains enough."""
        deviations, level = led(self.slots, slots)
        by_level, by_cycle = errors(deviations, slots)
        enough = 0.75 * by_level
        if self.use != NOTHING:
            enough = by_level * self.error_cycle / self.error_level
        if not self.given and by_cycle >= enough:
            return False
        self.slots = deviations
        self.period = slots * self.stride
        self.level += level
        values = sum(not math.isnan(each) for each in self.within)
        self.slot_sum = f32(self.slot_sum - values * level)
        self.known = True
        self.error_level, self.error_cycle, self.error_week = f32(by_level), f32(by_cycle), None
        self.use = NOTHING
        self.look_again()
        self.choose()
        return True

    def wants_longer_memory(self) -> bool:
        if self.stride >= 64:
            return False
        if self.use == NOTHING:
            return not self.given
        reaches = self.length * self.stride
        return self.period >= 48 * self.stride and reaches < 15 * self.period

    def halve(self) -> None:
        kept = self.slots[len(self.slots) % 2 :]
        pairs = zip(kept[::2], kept[1::2], strict=True)
        self.slots = [f32(np.nanmean(p)) if np.isfinite(p).any() else NAN for p in pairs]
        self.stride *= 2
        self.position = len(self.slots)
        self.search_at = self.in_round()
        if self.period > 0:
            self.look_again()


def led(slots: list[float], period: int) -> tuple[list[float], float]:
    """Return the deviations from a level with one period's memory, and that level at the end.

    It goes through the first period twice: to settle, and then for good.
    """
    first = slots[:period]
    level, rate, deviations = 0.0, min(1 / period, 0.5), []
    for k, held in enumerate([*first, *slots]):
        if k >= len(first):
            deviations.append(f32(held - level))
        if not math.isnan(held):
            level += max(rate, 1 / (k + 1)) * (held - level)
    return deviations, level


def errors(deviations: list[float], period: int) -> tuple[float, float]:
    """Return the mean absolute deviation, and that from the two periods before."""
    by_level, by_cycle = [0.0], [0.0]
    for k in range(period, len(deviations)):
        two = deviations[k - 2 * period] if k >= 2 * period else NAN
        left = deviations[k] - middle([deviations[k - period], two])
        if not math.isnan(left):
            by_level.append(abs(deviations[k]))
            by_cycle.append(abs(left))
    compared = max(len(by_level) - 1, 1)
    return sum(by_level) / compared, sum(by_cycle) / compared
