"""Slow, obvious twins of `kernels.conditions` and `kernels.incident`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.naive import f32


@dataclass
class Conditions:
    """The options of one series: what is outside is decided first, the margins follow."""

    upper_bound: float = math.inf
    lower_bound: float = -math.inf
    direction: str = "both"
    min_deviation: float = 0.0
    min_deviation_share: float = 0.0
    n: int = 1
    k: int = 1
    ratio: float = 0.0  # 0: no limit
    points: int = 64
    outsides: list[bool] = field(default_factory=list)
    share: float = 0.0

    def judge(
        self, value: float, expected: float, upper: float, lower: float
    ) -> tuple[float, float, float, bool]:
        """Return expected value, upper and lower boundary, and the verdict."""
        above, below = value > self.upper_bound, value < self.lower_bound
        if math.isnan(expected):
            bound = self.upper_bound if above else self.lower_bound if below else math.nan
            return bound, bound, bound, above or below
        least = max(f32(self.min_deviation), f32(self.min_deviation_share) * abs(expected))
        high = self.clip(expected + max(upper, least))
        low = self.clip(expected - max(lower, least))
        strange = {
            "both": value > high or value < low,
            "up": value > high,
            "down": value < low,
        }[self.direction] or above or below  # fmt: skip
        self.outsides.append(strange)
        persists = sum(self.outsides[-self.n :]) >= self.k
        allowed = self.ratio == 0 or self.share < f32(self.ratio)
        anomaly = above or below or (strange and persists and allowed)
        self.share = f32(self.share + f32(1 / self.points) * (anomaly - self.share))
        if not anomaly:
            high, low = max(high, value), min(low, value)
        return self.clip(expected), high, low, anomaly

    def clip(self, number: float) -> float:
        return max(min(number, self.upper_bound), self.lower_bound)


@dataclass
class Incidents:
    """The states of one series, from all of its points so far."""

    open: bool = False
    since: list[bool] = field(default_factory=list)

    def follow(self, is_anomaly: bool, settled: bool) -> str:
        """Return none, onset, ongoing or recovered."""
        if not self.open:
            self.open = is_anomaly
            self.since = []
            return "onset" if is_anomaly else "none"
        self.since.append(settled and not is_anomaly)
        self.open = not (len(self.since) >= 5 and all(self.since[-5:]))
        return "ongoing" if self.open else "recovered"
