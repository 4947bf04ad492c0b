"""Slow, obvious twin of the detector `forecast`: `kernels.forecast` and `kernels.novelty`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from streamdet.kernels.header import FILL, JUDGE, LEARN, RESTART
from tests.kernels.naive_conditions import Incidents
from tests.naive import Tail, f32
from tests.naive_season import NOTHING, Season

NAN = math.nan
SIGMA = 1.2533  # of the mean absolute value


def between(low: float, x: float, high: float) -> float:
    return min(max(x, low), high)


@dataclass
class Range:
    """Where something has ever been."""

    low: float = 0.0
    high: float = 0.0
    points: int = 0

    def excess(self, at: float, warm: int) -> float:
        """Take `at` in and return how new it is."""
        if self.points <= warm:
            self.low = f32(min(self.low, at)) if self.points else f32(at)
            self.high = f32(max(self.high, at)) if self.points else f32(at)
            self.points += 1
            return 0.0
        width = self.high - self.low
        by = max(at - self.high, self.low - at, 0.0)
        if at > self.high:
            self.high = f32(self.high + by / 2)
        elif at < self.low:
            self.low = f32(self.low - by / 2)
        return math.log1p(200 * by / (width + 1e-9 * by)) if by else 0.0


@dataclass
class Novelty:
    """The onset score."""

    origin: float
    mean: float = 0.0
    long_mean: float = 0.0
    deviation: float = 0.0
    refractory: float = 0.0
    values: Range = field(default_factory=Range)
    means: Range = field(default_factory=Range)
    deviations: Range = field(default_factory=Range)
    long: Tail = field(default_factory=lambda: Tail(0.3))

    def season_begins(self) -> None:
        self.deviation, self.deviations.points = 0.0, 0

    def alert(self, x: float, deviation: float, period: int, floor: float) -> float:
        at = x - self.origin
        views = [1.5 * self.values.excess(at, 120)]
        self.mean = f32(self.mean + 2 / 21 * (at - self.mean))
        views.append(self.means.excess(self.mean, 120))
        if not math.isnan(deviation):
            rate = min(48 / (period + 24), 1.0)
            self.deviation = f32(self.deviation + rate * (deviation - self.deviation))
            views.append(0.75 * self.deviations.excess(self.deviation, max(120, int(1.7 * period))))
        far = abs(at - self.long_mean)
        if self.values.points > 120:
            views.append(
                0.3 * min(self.long.score(far, self.long.unit(floor), self.long.index()), 30)
            )
        self.long.learn(far, floor)
        self.long_mean = f32(self.long_mean + 2 / 1001 * (at - self.long_mean))
        self.refractory = f32(self.refractory * 0.5**0.01)
        if max(views) <= 1.2 * self.refractory:
            return 0.0
        self.refractory = f32(max(views))
        return max(views)


@dataclass
class Judged:
    expected: float = NAN
    upper: float = NAN
    lower: float = NAN
    score: float = NAN
    is_anomaly: bool = False
    state: str = "none"
    alert: float = NAN
    period: int = 0


@dataclass
class Forecast:
    """One series. `period` None: to be found."""

    length: int = 64
    period: int | None = None
    sensitivity: int = 75
    warmup: int = 12
    season: Season | None = None

    def begin(self, x: float) -> None:
        given = self.period is not None
        self.season = Season(self.length, x, period=self.period or 0, given=given)
        self.novelty = Novelty(x)
        self.fast = Tail(0.3)
        self.slow = Tail(0.2, 2048.0, 100, 70.0)
        self.recent = self.usual = self.last = x
        self.scale = self.resolution = 0.0
        self.count = self.run = self.slow_run = self.moved = 0
        self.season_before = NAN
        self.gain_with = self.gain_of = 0.0

    def judge(self, x: float, step: int = 1, use: int = JUDGE) -> Judged:
        """Judge the next value and learn it, or what else `use` says; `step` grid points on."""
        if use == FILL and self.season is not None:
            self.season.fill(x, step)
        if use > LEARN:
            return Judged()
        if step == RESTART:
            self.incidents = Incidents()
        if step == RESTART or step > self.length * self.season.stride:
            self.begin(x)
        elif step < 1:
            self.season.rewind(1 - step)
        else:
            self.pass_over(step - 1)
        judged = Judged(period=self.season.period if self.season.use != NOTHING else 0)
        seasonal = self.season.now()
        self.drift(x, seasonal)
        floor = max(4e-15 * max(abs(x), abs(self.usual)), self.resolution / 2, 1e-300)
        centre = self.season.level + seasonal
        settled = self.draw_band(judged, x, centre, floor)
        alert = self.novelty.alert(x, x - centre, self.season.period, floor)
        low, high = sorted((self.recent, self.usual))
        self.learn_fast(x, max(x - high, low - x, 0.0), floor)
        self.learn_slow(x, x - centre, floor)
        if self.count >= self.warmup:
            judged.alert = alert
            above = x > judged.expected + judged.upper
            judged.is_anomaly = above or x < judged.expected - judged.lower
        self.count += 1
        if use == LEARN:
            return Judged()
        judged.state = self.incidents.follow(judged.is_anomaly, settled)
        return judged

    def pass_over(self, points: int) -> None:
        """Pass over grid points without a value; within a slot the season counts as constant."""
        season = self.season
        usual = season.now()
        for _ in range(points):
            if not season.within:
                usual = season.now()
            if season.known and not math.isnan(usual):
                season.level += min(1 / season.period, 0.5) * usual
            self.take_in(NAN)
        if points >= 12 and self.slow_is_ready() and not math.isnan(season.now()):
            self.recent = self.usual = season.level + season.now()
            self.season_before = f32(season.now())
            self.run = 0

    def take_in(self, deviation: float) -> None:
        change = self.season.add(deviation)
        if not self.season.within:
            self.moved -= (self.moved > 0) - (self.moved < 0)
        if change == "week begins":
            self.slow.expect(self.season.error_week, self.slow_needs())
        elif change == "other period":
            self.slow = Tail(0.2, 2048.0, 100, 70.0)
            self.novelty.season_begins()
            self.season_before = NAN
            self.slow_run = self.moved = 0

    def slow_needs(self) -> int:
        return max(7 * min(self.season.period, 24), 64)

    def slow_is_ready(self) -> bool:
        return self.season.speaks() and self.slow.count >= self.slow_needs()

    def drift(self, x: float, seasonal: float) -> None:
        moved, self.season_before = seasonal - self.season_before, f32(seasonal)
        if math.isnan(moved) or self.scale == 0:
            return
        gain = between(0.0, self.gain_with / (self.gain_of + 30), 1.0)
        step = between(-1000, moved / self.scale, 1000)
        away = between(-5 * SIGMA, (x - self.recent) / self.scale, 5 * SIGMA)
        self.gain_with = f32(self.gain_with + (step * away - 0.001 * self.gain_with))
        self.gain_of = f32(self.gain_of + (step * step - 0.001 * self.gain_of))
        self.recent += gain * moved
        self.usual += gain * moved

    def spread(self) -> float:
        return max(self.season.spread() - f32(math.exp(self.slow.quantile)), 0.0)

    def draw_band(self, judged: Judged, x: float, centre: float, floor: float) -> bool:
        """Fill in expected value, margins, score; return whether the value fits what is usual."""
        low, high = sorted((self.recent, self.usual))
        unit, xi = self.slow.unit(floor), self.slow.index()
        speaks = self.slow_is_ready() and not math.isnan(centre)
        if speaks and not (
            low - self.spread() - 2 * unit <= centre <= high + self.spread() + 2 * unit
        ):
            low, high = min(low, centre), max(high, centre)
        normal = [centre - self.spread(), centre + self.spread()]
        if speaks and self.moved:
            moved = self.season.level + self.season.on(1 if self.moved > 0 else -1)
            if not math.isnan(moved):
                low, high = min(low, moved), max(high, moved)
                normal.append(moved)
        threshold = 14 - 0.1 * self.sensitivity
        half = self.fast.residual(threshold, self.fast.unit(floor), self.fast.index())
        settled = self.usual - half <= x <= self.usual + half
        if self.count < self.warmup:
            return settled
        residual = max(x - high, low - x, 0.0)
        score = self.fast.score(residual, self.fast.unit(floor), self.fast.index())
        intervals = [(low - half, high + half)]
        if speaks:
            slow_half = self.slow.residual(threshold / 0.75, unit, xi)
            intervals.append((min(normal) - slow_half, max(normal) + slow_half))
            left = max(x - max(normal), min(normal) - x, 0.0)
            score = max(score, 0.75 * self.slow.score(left, unit, xi))
            if abs(x - centre) - self.spread() > 2 * unit:
                self.see_move(x, centre, unit, score)
        lowest, highest = max(i[0] for i in intervals), min(i[1] for i in intervals)
        inside = [each for each in (self.usual, self.recent) if lowest <= each <= highest]
        judged.expected = [*inside, centre][0]
        judged.upper = max(highest - judged.expected, 0.0)
        judged.lower = max(judged.expected - lowest, 0.0)
        judged.score = score
        return settled

    def see_move(self, x: float, centre: float, unit: float, score: float) -> None:
        """Learn from a value that the season does not explain whether that has moved."""
        lasts = 5 * (self.season.period // self.season.stride) // 4

        def explains(hours: int, units: int) -> bool:
            moved = self.season.level + self.season.on(hours)
            low, high = sorted((moved, centre))
            return low - units * unit <= x <= high + units * unit

        if self.moved and explains(1 if self.moved > 0 else -1, 2):
            self.moved = lasts if self.moved > 0 else -lasts
        elif score >= 6.5 and explains(1, 1) != explains(-1, 1):
            self.moved = lasts if explains(1, 1) else -lasts

    def learn_fast(self, x: float, residual: float, floor: float) -> None:
        sigma, away = SIGMA * self.scale, x - self.usual
        distance = abs(x - self.recent)
        if self.count >= 12 and sigma > 0:
            distance = min(distance, 5 * sigma)
        rate = max(0.3, 1 / max(self.count, 1))
        if self.count >= 12 and abs(away) > max(8 * sigma, floor):
            self.run += 1
            used = self.season.use != NOTHING
            if self.run >= (between(30, self.season.period, 240) if used else 240):
                self.usual, self.run = x, 0
            else:
                self.usual += 0.3 * math.copysign(0.1 * sigma, away)
        else:
            self.run = 0
            self.usual += rate * away
        self.recent += rate * (x - self.recent)
        if self.count >= 2:
            rate = max(0.0007, 1 / (self.count - 1))
            self.scale = f32(self.scale + rate * (distance - self.scale))
            self.fast.learn(residual, floor)
        step = abs(x - self.last) if self.count >= 2 else 0.0
        if step > 0 and self.resolution == 0:
            self.resolution = f32(step)
        elif step > 0:
            self.resolution = f32(self.resolution * (1.0305 if step > self.resolution else 0.7634))
        self.last = x

    def learn_slow(self, x: float, deviation: float, floor: float) -> None:
        season = self.season
        held = x - season.level
        if season.known:
            follows = held
            if not math.isnan(deviation):
                follows = self.cleaned(x, deviation, floor)
                every = max(season.period // 24, 1)
                if (self.count + self.count // season.period) % every == 0:
                    self.slow.learn(max(abs(deviation) - self.spread(), 0.0), floor)
            season.level += min(1 / season.period, 0.5) * follows
        self.take_in(held)

    def cleaned(self, x: float, deviation: float, floor: float) -> float:
        """Return what of a value the slow level follows; accepts a deviation that stays."""
        season, limit = self.season, 2 * self.slow.unit(floor)
        held = x - season.level
        if self.slow.count < 64 or abs(deviation) <= limit:
            self.slow_run = 0
            return held
        self.slow_run += 1
        if self.slow_run < season.period:
            return held - deviation + math.copysign(limit, deviation)
        season.level += deviation
        self.slow_run = 0
        return held - deviation
