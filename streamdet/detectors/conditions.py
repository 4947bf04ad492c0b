"""The options that every detector has, from the settings into a row. See `kernels.conditions`."""

from __future__ import annotations

import math

import numpy as np

from streamdet.config import DetectionConfig
from streamdet.kernels.conditions import LOWER_BOUND, ONLY_DOWN, ONLY_UP, UPPER_BOUND

_DIRECTIONS = {"both": 0, "up": ONLY_UP, "down": ONLY_DOWN}


def configure(row: np.void, settings: DetectionConfig) -> None:
    """Write the options of `settings` into `row`; they hold from the next point on.

    row : a row with the fields CONDITIONS; changed in place. What it counts goes on.
    """
    options = _DIRECTIONS[settings.direction]
    for bit, name, bound in (
        (UPPER_BOUND, "upper_bound", settings.upper_bound),
        (LOWER_BOUND, "lower_bound", settings.lower_bound),
    ):
        row[name] = 0.0 if bound is None else bound
        options |= 0 if bound is None else bit
    row["options"] = options
    row["min_deviation"] = settings.min_deviation.absolute
    row["min_deviation_share"] = settings.min_deviation.relative
    row["anomaly_share_max"] = settings.max_anomaly_ratio
    row["anomaly_share_rate"] = 1.0 / settings.ring_points
    suppress = settings.suppress_condition
    row["min_number"] = suppress.min_number
    # The product of two round numbers may come out an ulp above the whole number that it is.
    row["min_outside"] = math.ceil(suppress.min_number * suppress.min_ratio / 100 - 1e-9)
