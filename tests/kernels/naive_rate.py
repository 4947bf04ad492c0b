"""Slow, obvious twin of `kernels.rate`."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Counter:
    """One series: its newest point, and whether a rate was given since it began."""

    value: float | None = None
    time_us: int = 0
    rated: bool = False

    def rate(self, value: float, time_us: int, begins: bool) -> tuple[float, bool]:
        """Return the increase per second (NaN: none yet), and whether it is the first one."""
        before, since_us = self.value, self.time_us
        self.value, self.time_us = value, time_us
        if begins or before is None:
            self.rated = False
            return math.nan, begins
        first, self.rated = not self.rated, True
        increase = value if value < before else value - before
        per_second = increase / ((time_us - since_us) / 1e6)
        return max(-1e30, min(1e30, per_second)), first
