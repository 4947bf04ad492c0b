"""Slow, obvious twins of the kernels: plain Python, one series, one point at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

OK, LATE, DUPLICATE = 0, 1, 2


def f32(x: float) -> float:
    """Round to float32, as a field of the row does."""
    return float(np.float32(x))


@dataclass
class Tail:
    """Five floats: see `kernels.tail`."""

    quantile: float = 0.0
    extreme: float = 0.0
    excess_sum: float = 60.0
    excess_weight: float = 200.0

    def start(self, mean_abs: float) -> None:
        self.quantile = f32(math.log(max(1.6449 / 0.7979 * mean_abs, 1e-30)))
        self.extreme = f32(math.log(max(2.5758 / 0.7979 * mean_abs, 1e-30)))
        self.excess_sum, self.excess_weight = 60.0, 200.0

    def unit(self, floor: float) -> float:
        return max(math.exp(self.quantile) + 0.1 * math.exp(self.extreme), floor)

    def index(self) -> float:
        return max(f32(self.excess_sum / self.excess_weight), 0.02)

    def score(self, residual: float, unit: float, xi: float) -> float:
        l0 = -math.log(0.1)
        if residual <= unit:
            return l0 * residual / unit
        return min(l0 + math.log(residual / unit) / xi, 100.0)

    def inverse(self, score: float, unit: float, xi: float) -> float:
        return unit * math.exp(xi * (score + math.log(0.1)))

    def learn(self, residual: float, unit: float, xi: float, count: int) -> None:
        if count >= 500:
            residual = min(residual, self.inverse(7.0, unit, xi))
        a = math.log(max(residual, 1e-30))
        n = min(count + 64, 8192)
        eta = 0.1 if n * 0.1 <= 30 else min(0.3, 3 / (n * 0.1))
        if a > self.quantile:
            self.excess_sum = f32(self.excess_sum + min(a - self.quantile, 30.0))
            self.excess_weight = f32(self.excess_weight + 1)
            self.quantile = f32(self.quantile + eta * 0.9)
        else:
            self.quantile = f32(self.quantile - eta * 0.1)
        n_slow = min(count + 64, 5 * 8192) * 0.01
        eta_slow = 0.1 if n_slow <= 30 else min(0.3, 3 / n_slow)
        step = eta_slow * 0.99 if a > self.extreme else -eta_slow * 0.01
        self.extreme = f32(self.extreme + step)
        keep = 1 - 1 / 8192
        self.excess_sum = f32(60 + (self.excess_sum - 60) * keep)
        self.excess_weight = f32(200 + (self.excess_weight - 200) * keep)


@dataclass
class Forecast:
    """One series of the detector `forecast`: see `kernels.forecast`."""

    period: int = 0
    sensitivity: int = 75
    warmup: int = 12
    deviations: list[float] = field(default_factory=list)
    level: float = 0.0
    recent_apart: float = 0.0
    scale: float = 0.0
    count: int = 0
    run: int = 0
    seasonal: bool = False
    tail: Tail = field(default_factory=Tail)

    def season(self) -> float:
        found = []
        for cycle in (1, 2, 3):
            behind = cycle * self.period
            if behind <= len(self.deviations):
                found.append(self.deviations[-behind])
        found = [d for d in found if not math.isnan(d)]
        return float(np.median(found)) if found else math.nan

    def know_season(self) -> None:
        """Give the first period's values a level that has settled, and forget the rest."""
        rate = min(0.5, 1 / self.period)
        distances = self.deviations[-self.period :]
        level = 0.0
        for settled in (False, True):
            for k, d in enumerate(distances):
                if math.isnan(d):
                    continue
                if settled:
                    self.deviations[len(self.deviations) - self.period + k] = f32(d - level)
                level += max(rate, 1 / (k + settled * self.period + 1)) * (d - level)
        self.level += level
        self.seasonal = True
        self.count = self.run = 0
        self.scale = self.recent_apart = 0.0

    def judge(self, x: float, missing: int = 0) -> tuple[float, float, float, float, bool]:
        """Return expected value, margins, score, verdict of the next value; then learn it."""
        nothing = (math.nan, math.nan, math.nan, math.nan, False)
        if not self.deviations:
            self.level = x
        for _ in range(missing):
            usual = self.season() if self.seasonal else math.nan
            if not math.isnan(usual):
                self.level += min(0.5, 1 / self.period) * usual
            self.deviations.append(math.nan)
        usual = 0.0
        if self.period:
            usual = self.season()
            if not self.seasonal and not math.isnan(usual):
                self.know_season()
                usual = self.season()
            elif self.seasonal and math.isnan(usual):
                self.deviations.append(f32(x - self.level))
                return nothing
            usual = 0.0 if math.isnan(usual) else usual
        centre = self.level + usual
        if self.period and not self.seasonal:
            centre = self.level + self.recent_apart
        other = self.level + self.recent_apart + usual
        low, high = sorted((centre, other))
        residual = max(x - high, low - x, 0.0)
        if self.count <= 64:
            self.tail.start(self.scale)
        unit = self.tail.unit(1e-9 * max(abs(x), abs(centre)) + 1e-300)
        xi = self.tail.index()
        verdict = nothing
        if self.count >= max(self.warmup, self.period) and (self.seasonal or not self.period):
            half = self.tail.inverse(14 - 0.1 * self.sensitivity, unit, xi)
            up, down = high - centre + half, centre - low + half
            score = self.tail.score(residual, unit, xi)
            verdict = (centre, up, down, score, x > centre + up or x < centre - down)
        self.learn(x, centre, residual)
        if self.count > 64:
            self.tail.learn(residual, unit, xi, self.count)
        self.count += 1
        return verdict

    def learn(self, x: float, centre: float, residual: float) -> None:
        away, sigma, clean = x - centre, 1.2533 * self.scale, x
        guarded = self.seasonal or not self.period
        if guarded and self.count >= 12 and abs(away) > 8 * sigma:
            self.run += 1
            if self.run >= (self.period if self.seasonal else 30):
                self.level += away
                self.recent_apart = 0.0
                self.run = 0
            else:
                clean = centre + math.copysign(0.5 * sigma, away)
        else:
            self.run = 0
        clipped = residual
        if self.count >= 12 and self.scale > 0:
            clipped = min(clipped, 5 * sigma)
        self.scale = f32(self.scale + max(0.0007, 1 / (self.count + 1)) * (clipped - self.scale))
        self.deviations.append(f32(x - self.level))
        if self.seasonal:
            step = min(0.5, 8 / self.period) * (away - self.recent_apart)
            self.recent_apart = f32(self.recent_apart + step)
            self.level += min(0.5, 1 / self.period) * (clean - self.level)
            return
        rate = max(0.5, 1 / (self.count + 1))
        recent = self.level + self.recent_apart
        recent += rate * (x - recent)
        if not self.period:
            self.level += rate * (clean - self.level)
        self.recent_apart = f32(recent - self.level)


def align(points: list[tuple[int, int]], ttl_us: int = 0) -> list[int]:
    """Outcome of (series, time) pairs in record order."""
    newest: dict[int, int] = {}
    partition_newest = -(2**62)
    outcomes = []
    for series, time in points:
        partition_newest = max(partition_newest, time)
        last = newest.get(series)
        if last is None or (ttl_us and partition_newest - last > ttl_us):
            outcomes.append(OK)
            newest[series] = time
        elif time < last:
            outcomes.append(LATE)
        elif time == last:
            outcomes.append(DUPLICATE)
        else:
            outcomes.append(OK)
            newest[series] = time
    return outcomes
