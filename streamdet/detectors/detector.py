"""What a detector is: a state layout, parameters, a kernel. See `streamdet.detectors.DETECTORS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdet.config import DetectionConfig
from streamdet.detectors import conditions
from streamdet.types import StateLayout, Verdicts


@dataclass(frozen=True, slots=True)
class Detector:
    """One way to judge series. Its state is in the rows and rings that it is handed.

    tests/contracts/test_detectors.py says what every detector keeps to.
    """

    layout: StateLayout
    """Its name, and the row: fields of HEADER, CONDITIONS and INCIDENT, and `sensitivity`."""
    kernel: Callable[..., None]
    """As `kernels.forecast.detect`, with the same parameters."""
    ring_points: Callable[[DetectionConfig], int]
    """Least length of a series' ring under these settings; 0: none is used."""
    parameters: Callable[[np.void, DetectionConfig], None]
    """Writes the parameters of its own into a row; they hold from the next point on."""
    threshold: Callable[[float], float]
    """Sensitivity -> the score above which a point may be an anomaly; falls with sensitivity."""
    severity: Callable[[float], float]
    """Score of an anomaly -> how bad it is, 0 to 1."""
    history: Callable[[np.void, NDArray[np.float32]], NDArray[np.float64]]
    """A series' row and ring -> what the ring holds, the oldest first; NaN where a value is
    missing."""

    @property
    def name(self) -> str:
        """What `detection.detector` calls it, and `detector` in events."""
        return self.layout.detector

    def configure(self, rows: NDArray[np.void], slot: int, settings: DetectionConfig) -> None:
        """Write `settings` into row `slot` of `rows`; they hold from the next point on."""
        row = rows[slot]
        self.parameters(row, settings)
        row["sensitivity"] = settings.sensitivity
        conditions.configure(row, settings)

    def run(
        self,
        rows: NDArray[np.void],
        ring: NDArray[np.float32],
        slot: NDArray[np.int64],
        step: NDArray[np.int32],
        value: NDArray[np.float64],
        use: NDArray[np.uint8],
    ) -> Verdicts:
        """Judge and learn n points of one pool, in order.

        Parameters
        ----------
        rows : record[s]
            State, changed in place.
        ring : float32[s, length]
            State, changed in place; length at least `ring_points`.
        slot : int64[n]
            Row of the point's series.
        step : int32[n]
            Grid steps since the series' previous point; `kernels.header.RESTART` where it begins.
        value : float64[n]
            Finite, but for notes.
        use : uint8[n]
            JUDGE, LEARN, FILL or a note, see `kernels.header`. But for JUDGE nothing is said: what
            would be found is NaN, False or 0.
        """
        n = len(slot)
        expected_value, upper_margin, lower_margin = np.empty(n), np.empty(n), np.empty(n)
        score, alert, severity = np.empty(n), np.empty(n), np.zeros(n)
        is_anomaly, state = np.empty(n, np.bool_), np.empty(n, np.uint8)
        period = np.empty(n, np.int32)
        self.kernel(
            rows, ring, slot, step, value, use,
            expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
        )  # fmt: skip
        # One by one, for the same bits everywhere: numpy's exp depends on the processor.
        severity[is_anomaly] = [self.severity(each) for each in score[is_anomaly].tolist()]
        return Verdicts(
            value=value,
            expected_value=expected_value,
            upper_margin=upper_margin,
            lower_margin=lower_margin,
            score=score,
            severity=severity,
            is_anomaly=is_anomaly,
            state=state,
            alert=alert,
            sensitivity=rows["sensitivity"][slot],
            period=period,
        )
