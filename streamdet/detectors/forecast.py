"""The detector `forecast`: level and season, with a calibrated tail. See `kernels.forecast`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.detectors.detector import Detector
from streamdet.kernels.forecast import ROW, detect
from streamdet.types import StateLayout


def _ring_points(settings: DetectionConfig) -> int:
    return settings.ring_points


def _parameters(row: np.void, settings: DetectionConfig) -> None:
    """With another period the series begins anew: what it learnt has another meaning then."""
    season = row["season"]
    given = settings.period is not None
    if season["given"] != given or (given and season["period"] != settings.period):
        row["anew"] = 1
        season["given"] = given
        season["period"] = settings.period or 0
    row["warmup"] = settings.warmup


def threshold(sensitivity: float) -> float:
    """Return the score above which a point is an anomaly: ``14 - sensitivity / 10``.

    Ten steps of sensitivity are a factor of e in how rare a point has to be: 6.5 at the default
    of 75, 4.1 at 99. `kernels.forecast` has the same line, and draws the band from it.
    """
    return 14.0 - 0.1 * sensitivity


def severity(score: float) -> float:
    """Return how bad an anomaly with `score` is, 0 to 1: ``1 - exp(-score / 10)``.

    A function of the score alone, so one scale for every series and sensitivity: 0.48 at the
    default threshold of 6.5, 0.75 at about 14, 0.95 at 30.
    """
    return 1.0 - math.exp(-score / 10.0)


def _history(row: np.void, ring: NDArray[np.float32]) -> NDArray[np.float64]:
    """Slots: deviations from the slow level, each the mean of `season.stride` points."""
    season = row["season"]
    filled = min(int(season["filled"]), len(ring))
    at = (int(season["position"]) - filled + np.arange(filled)) % max(len(ring), 1)
    return ring[at].astype(np.float64)


FORECAST = Detector(
    layout=StateLayout("forecast", ROW),
    kernel=detect,
    ring_points=_ring_points,
    parameters=_parameters,
    threshold=threshold,
    severity=severity,
    history=_history,
)
