"""Detectors: each declares its state and its parameters, and calls its kernel."""

from __future__ import annotations

import math


def severity(score: float) -> float:
    """Return how bad an anomaly with `score` is, 0 to 1: ``1 - exp(-score / 10)``.

    A function of the score alone, so one scale for every series and sensitivity: 0.48 at the
    default threshold of 6.5, 0.75 at about 14, 0.95 at 30.
    """
    return 1.0 - math.exp(-score / 10.0)
