"""A clock held by hand."""

from __future__ import annotations


class ManualClock:
    """A `streamdet.clock.Clock` that moves only when told.

    Parameters
    ----------
    time_s
        Where it begins, in seconds since 1970.
    """

    def __init__(self, time_s: float = 1_600_000_000.0) -> None:
        self._time_s = time_s
        self._monotonic_s = 0.0

    def time_s(self) -> float:
        """Return seconds since 1970."""
        return self._time_s

    def monotonic_s(self) -> float:
        """Return seconds since this clock was made."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._time_s += seconds
        self._monotonic_s += seconds
