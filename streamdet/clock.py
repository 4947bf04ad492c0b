"""Time comes from outside, so that a test can hold it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks of a process. Neither decides a verdict: detection knows event time only."""

    def time_s(self) -> float:
        """Return seconds since 1970; may jump."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds from some start; never goes back. For intervals and deadlines."""
        ...


class SystemClock:
    """The machine's clocks."""

    def time_s(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds of the monotonic clock."""
        return time.monotonic()
