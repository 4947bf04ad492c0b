"""Slow, obvious twins of the kernels: plain Python, one series, one point at a time.

Here what the others share, the tail model, and `align`; `naive_season` and `naive_forecast` hold
the rest of the detector `forecast`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

OK, LATE, DUPLICATE = 0, 1, 2


def f32(x: float) -> float:
    """Round to float32, as a field of the row does."""
    return float(np.float32(x))


@dataclass
class Tail:
    """Two quantiles and the mean log excess of residuals: see `kernels.tail`."""

    prior: float
    memory: float = 8192.0
    clamp_after: int = 500
    weight: float = 200.0
    quantile: float = f32(math.log(1e-30))
    extreme: float = f32(math.log(1e-30))
    mean: float = 0.0
    count: int = 0
    excess_sum: float = 0.0
    excess_weight: float = 0.0

    def __post_init__(self) -> None:
        self.excess_sum = f32(self.weight * self.prior)
        self.excess_weight = self.weight

    def expect(self, mean: float, count: int) -> None:
        mean = max(mean, 1e-30)
        self.quantile = f32(min(self.quantile, math.log(1.6449 / 0.7979 * mean)))
        self.extreme = f32(min(self.extreme, math.log(2.5758 / 0.7979 * mean)))
        self.excess_sum, self.excess_weight = f32(self.weight * self.prior), self.weight
        self.count = min(self.count, count)

    def unit(self, floor: float) -> float:
        return max(f32(math.exp(self.quantile)) + 0.1 * f32(math.exp(self.extreme)), floor)

    def index(self) -> float:
        return max(f32(self.excess_sum / self.excess_weight), 0.02)

    @staticmethod
    def score(residual: float, unit: float, xi: float) -> float:
        if residual <= unit:
            return math.log(10) * residual / unit
        return min(math.log(10) + math.log(residual / unit) / xi, 100.0)

    @staticmethod
    def residual(score: float, unit: float, xi: float) -> float:
        return unit * math.exp(xi * (score - math.log(10)))

    def learn(self, residual: float, floor: float) -> None:
        unit, xi, count = self.unit(floor), self.index(), self.count
        if count < 64:
            self.mean = f32(self.mean + (residual - self.mean) / (count + 1))
            self.quantile = f32(math.log(max(1.6449 / 0.7979 * self.mean, 1e-30)))
            self.extreme = f32(math.log(max(2.5758 / 0.7979 * self.mean, 1e-30)))
            self.count += 1
            return
        if unit <= floor:
            self.quantile = self.extreme = f32(math.log(floor / 1.1))
        if count >= self.clamp_after:
            residual = min(residual, self.residual(7.0, unit, xi))
        excess = math.log(max(residual, 1e-30)) - self.quantile
        if excess > 0:
            self.excess_sum = f32(self.excess_sum + min(excess, 12.0))
            self.excess_weight = f32(self.excess_weight + 1)
        remembered = 0.1 * min(count, self.memory)
        self.quantile = quantile_step(self.quantile, residual, min(0.1, 1 / remembered), 0.1)
        remembered = 0.01 * min(count, 5 * self.memory)
        self.extreme = quantile_step(self.extreme, residual, min(0.1, 3 / remembered), 0.01)
        keep, prior_sum = 1 - 1 / self.memory, self.weight * self.prior
        self.excess_sum = f32(prior_sum + (self.excess_sum - prior_sum) * keep)
        self.excess_weight = f32(self.weight + (self.excess_weight - self.weight) * keep)
        if count < 10 * self.memory:
            self.count += 1


def quantile_step(log_quantile: float, residual: float, step: float, p: float) -> float:
    """Return the log quantile after a step: a share of p of the residuals is to lie above it."""
    above = math.log(max(residual, 1e-30)) > log_quantile
    return f32(log_quantile + (step * (1 - p) if above else -step * p))


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


@dataclass
class Grid:
    """The distance that most points of a series have, found by a majority vote."""

    interval: int = 0
    spacing: int = 0
    votes: int = 0

    def steps(self, gap: int) -> int:
        """Return how many steps a point goes on; 0: the series begins anew."""
        if self.vote(gap):
            return 0
        return max(1, (gap + self.interval // 2) // self.interval) if self.interval else 1

    def vote(self, gap: int) -> bool:
        if not self.votes:
            self.spacing, self.votes = gap, 1
            return False
        if 8 * abs(gap - self.spacing) > self.spacing:
            self.votes -= 1
            return False
        self.spacing += (gap - self.spacing) // 4
        self.votes = min(self.votes + 1, 32)
        before = self.interval
        if self.votes < 8 or (before and 4 * abs(self.spacing - before) <= before):
            return False
        self.interval = self.meant()
        return before > 0

    def meant(self) -> int:
        for unit in (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000):
            whole = (self.spacing + unit // 2) // unit * unit
            if whole and 50 * abs(whole - self.spacing) <= self.spacing:
                return whole
        return self.spacing
