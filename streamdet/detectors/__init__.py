"""Detectors: each is a state layout, parameters and a kernel. This is the list of them."""

from __future__ import annotations

from streamdet.detectors.bounds import THRESHOLD
from streamdet.detectors.detector import Detector
from streamdet.detectors.forecast import FORECAST
from streamdet.detectors.spectral_residual import SPECTRAL_RESIDUAL

DETECTORS = {each.name: each for each in (FORECAST, SPECTRAL_RESIDUAL, THRESHOLD)}
"""By the name that `detection.detector` has for it."""

__all__ = ["DETECTORS", "Detector"]
