"""The detection that one writes first: how many deviations a value is from its running mean.

Weighted exponentially, as long as a window of 60 points, after twelve points to begin with. It is
simpler than streamdet's forecast (no season, no tail, no incidents): easy on the peers.
"""

from __future__ import annotations

ALPHA = 2 / 61
WARM_UP = 12
THRESHOLD = 6.0


def judge(state: list[float] | None, value: float) -> tuple[list[float], bool]:
    """Return the new state [points, mean, variance] of a series, and whether `value` is strange."""
    if state is None:
        return [1.0, value, 0.0], False
    n, mean, variance = state
    off = value - mean
    strange = n >= WARM_UP and off * off > THRESHOLD * THRESHOLD * variance
    if not strange:
        alpha = max(ALPHA, 1 / (n + 1))
        mean += alpha * off
        variance = (1 - alpha) * (variance + alpha * off * off)
    return [n + 1, mean, variance], strange
