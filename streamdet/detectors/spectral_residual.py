"""The detector `spectral_residual`: Azure's service method. See `kernels.spectral_residual`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.detectors.detector import Detector
from streamdet.kernels.spectral_residual import RING_FLOATS, ROW, SCORE_MAX, detect
from streamdet.types import StateLayout


def _ring_points(settings: DetectionConfig) -> int:
    return RING_FLOATS


def _parameters(row: np.void, settings: DetectionConfig) -> None:
    row["warmup"] = settings.warmup


def threshold(sensitivity: float) -> float:
    """Return the score above which a point may be an anomaly: ``11 - sensitivity / 10``.

    3.5, the service's own, at the default of 75. `kernels.spectral_residual` has the same line.
    """
    return 11.0 - 0.1 * sensitivity


def severity(score: float) -> float:
    """Return how bad an anomaly with `score` is, 0 to 1: as a share of the largest score."""
    return min(score / SCORE_MAX, 1.0)


def _history(row: np.void, ring: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values of the series."""
    values = np.ascontiguousarray(ring[:RING_FLOATS]).view(np.float64)
    known = min(int(row["count"]), len(values))
    at = (int(row["position"]) - known + np.arange(known)) % max(len(values), 1)
    return values[at]


SPECTRAL_RESIDUAL = Detector(
    layout=StateLayout("spectral_residual", ROW),
    kernel=detect,
    ring_points=_ring_points,
    parameters=_parameters,
    threshold=threshold,
    severity=severity,
    history=_history,
)
