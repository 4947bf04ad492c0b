"""The detector `forecast`: level and season, with a calibrated tail. See `kernels.forecast`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.kernels.forecast import ANEW, ROW, detect
from streamdet.types import StateLayout, Verdicts

NAME = "forecast"
LAYOUT = StateLayout(row=ROW)


def configure(rows: NDArray[np.void], slot: int, settings: DetectionConfig) -> None:
    """Write `settings` into a row; they hold from the next point on.

    With another period the series begins anew: what it learnt has another meaning then.

    Parameters
    ----------
    rows : ROW[s]
        Changed in place at `slot`.
    """
    row = rows[slot]
    if row["count"] > 0 and row["period"] != settings.period:
        row["seasonal"] = ANEW
    row["interval_us"] = settings.interval_us
    row["period"] = settings.period
    row["sensitivity"] = settings.sensitivity
    row["warmup"] = settings.warmup


def run(
    rows: NDArray[np.void],
    ring: NDArray[np.float32],
    slot: NDArray[np.int64],
    step: NDArray[np.int32],
    value: NDArray[np.float64],
    outcome: NDArray[np.uint8],
) -> Verdicts:
    """Judge and learn n points of one pool, in order; see `kernels.forecast.detect`."""
    n = len(slot)
    expected_value, upper_margin, lower_margin = np.empty(n), np.empty(n), np.empty(n)
    score, is_anomaly = np.empty(n), np.empty(n, np.bool_)
    detect(
        rows, ring, slot, step, value, outcome,
        expected_value, upper_margin, lower_margin, score, is_anomaly,
    )  # fmt: skip
    return Verdicts(
        outcome=outcome,
        expected_value=expected_value,
        upper_margin=upper_margin,
        lower_margin=lower_margin,
        score=score,
        is_anomaly=is_anomaly,
        sensitivity=rows["sensitivity"][slot],
        period=rows["period"][slot],
    )
