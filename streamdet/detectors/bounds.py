"""The detector `threshold`: hard bounds, and nothing learnt. See `kernels.threshold`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.detectors.detector import Detector
from streamdet.kernels.threshold import ROW, detect
from streamdet.types import StateLayout


def _ring_points(settings: DetectionConfig) -> int:
    return 0


def _parameters(row: np.void, settings: DetectionConfig) -> None:
    """Bounds are options that every detector has; there are no others."""


def _threshold(sensitivity: float) -> float:
    return 0.0  # a value is beyond its bound or it is not, whatever the sensitivity


def _severity(score: float) -> float:
    return 1.0


def _history(row: np.void, ring: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.empty(0)


THRESHOLD = Detector(
    layout=StateLayout("threshold", ROW),
    kernel=detect,
    ring_points=_ring_points,
    parameters=_parameters,
    threshold=_threshold,
    severity=_severity,
    history=_history,
)
