"""One series before the detector `forecast`, as the worker has it: settings, row, ring."""

from __future__ import annotations

import numpy as np

from streamdet.config import DetectionConfig
from streamdet.detectors import DETECTORS
from streamdet.kernels.header import JUDGE, RESTART
from streamdet.state.store import Pool
from streamdet.types import IncidentState, Verdicts

FORECAST = DETECTORS["forecast"]


class Series:
    """A series of its own; `settings` by the names of the configuration."""

    def __init__(self, **settings):
        self.pool = Pool(FORECAST.layout, FORECAST.ring_points(DetectionConfig(**settings)))
        (self.slot,) = self.pool.take(["series"], self.pool.blank()).tolist()
        self.configure(**settings)

    def configure(self, **settings) -> None:
        FORECAST.configure(self.pool.rows, self.slot, DetectionConfig(**settings))

    @property
    def row(self) -> np.void:
        return self.pool.rows[self.slot]

    @property
    def season(self) -> np.void:
        return self.row["season"]

    def judge(self, value, step=None, use=None) -> Verdicts:
        """Judge the next values; `step` is RESTART for the very first and else 1, if not given."""
        n = len(value)
        if step is None:
            step = np.ones(n, np.int32)
            if n and self.row["count"] == 0:
                step[0] = RESTART
        return FORECAST.run(
            self.pool.rows,
            self.pool.ring,
            np.full(n, self.slot, np.int64),
            np.asarray(step, np.int32),
            np.asarray(value, np.float64),
            np.full(n, JUDGE, np.uint8) if use is None else np.asarray(use, np.uint8),
        )


def judged(value, step=None, use=None, **settings) -> Verdicts:
    """What a series of its own says to `value`."""
    return Series(**settings).judge(value, step, use)


def onsets(verdicts: Verdicts) -> list[int]:
    return np.flatnonzero(verdicts.state == IncidentState.ONSET).tolist()


def recoveries(verdicts: Verdicts) -> list[int]:
    return np.flatnonzero(verdicts.state == IncidentState.RECOVERED).tolist()


def noise(n, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=n)
