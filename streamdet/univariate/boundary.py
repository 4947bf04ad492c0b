"""Margins around the expected values, and how severe an anomaly is, by version.

    V1       a share of the expected value: (100 - sensitivity) %
    V2, V3   unit x F[sensitivity]; the unit is half the trend here and half its mean

A value that is no anomaly lies inside its margins, whatever they would be without it; one that was
flagged and lies inside is no anomaly.

Source: systems.md 4.1 (V1), 4.2 (V2 and table F).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdet.univariate.outcome import Outcome
from streamdet.univariate.request import BoundaryVersion

_UNIT_MIN = 0.3
_NIL = 1e-8


def _margin_factors() -> NDArray[np.float64]:
    """Return table F: by how many units a margin is wide, for sensitivity 0 to 100."""
    factors = np.empty(101)
    for sensitivity in range(93):
        i = sensitivity + 5
        if i < 30:
            factor = 0.8 * (i - 30) ** 2 + 32
        elif i < 50:
            factor = 67.5 - 1.25 * i
        elif i < 60:
            factor = 25 - 0.4 * i
        elif i < 70:
            factor = 3.4 - 0.04 * i
        elif i < 80:
            factor = 2.7 - 0.03 * i
        elif sensitivity < 85:
            factor = 1.5 - 0.015 * i
        else:
            factor = (1.335 - 0.013 * i) / 1.1
        factors[sensitivity] = factor
    factors[93:] = 0.04363636364, 0.012, 0.008, 0.006075, 0.00415, 0.002225, 0.0003, 0.0
    return factors


MARGIN_FACTORS = _margin_factors()


@dataclass(frozen=True, slots=True, eq=False)
class Boundary:
    """Margins (at least 0) and verdicts, a value each."""

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    severity: NDArray[np.float64]


def boundary(outcome: Outcome, sensitivity: int, version: BoundaryVersion) -> Boundary:
    """Return margins and verdicts for what a model says of a series."""
    if version == "V1":
        return _by_share(outcome, sensitivity)
    return _by_unit(outcome, sensitivity)


def _by_unit(outcome: Outcome, sensitivity: int) -> Boundary:
    units = _units(outcome)
    delta = units * MARGIN_FACTORS[sensitivity]
    off = outcome.values - outcome.expected
    distance = np.abs(off)
    margin = delta.copy()
    if sensitivity == 99:
        close = (0.0001 * delta < distance) & (distance < delta)
        margin[close] = 0.5 * distance[close]
    is_anomaly = outcome.flagged & (distance > margin)
    own_side = distance + 0.5 * delta
    upper = np.where(is_anomaly, margin, np.where(off >= 0, own_side, own_side / 3))
    lower = np.where(is_anomaly, margin, np.where(off < 0, own_side, own_side / 3))
    severity = np.where(is_anomaly, anomaly_score(distance / units) / 100, 0.0)
    return Boundary(upper, lower, is_anomaly, severity)


def _units(outcome: Outcome) -> NDArray[np.float64]:
    size = np.abs(outcome.trend)
    normal = size[~outcome.flagged]
    if len(normal) == 0 or normal.max() < _NIL:
        return np.full(len(size), _UNIT_MIN)
    return np.asarray(np.maximum(0.5 * size + 0.5 * normal.mean(), _UNIT_MIN))


def anomaly_score(units_off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how anomalous, 0 to 100: 100 less the highest sensitivity that would leave it out."""
    return np.asarray(np.interp(-units_off, -MARGIN_FACTORS, np.arange(100.0, -1, -1)))


def _by_share(outcome: Outcome, sensitivity: int) -> Boundary:
    values, expected = outcome.values, outcome.expected
    off = values - expected
    distance = np.abs(off)
    margin = _shares(outcome, sensitivity)
    highest = max(values.max(), expected.max())
    lowest = min(values.min(), expected.min())
    upper = np.minimum(margin, highest - expected)
    lower = np.minimum(margin, expected - lowest)
    outside = (off > upper) | (-off > lower)
    is_anomaly = outcome.flagged & (outside if sensitivity < 100 else True)
    if sensitivity == 100:
        upper, lower = (np.where(is_anomaly, 0.0, each) for each in (upper, lower))
    beyond = ~is_anomaly & outside
    upper, lower = (np.where(beyond, 1.01 * distance, each) for each in (upper, lower))
    scale = np.where(np.abs(expected) <= _NIL, _UNIT_MIN, np.abs(expected))
    severity = np.where(is_anomaly, np.minimum(distance / scale, 1.0), 0.0)
    return Boundary(upper, lower, is_anomaly, severity)


def _shares(outcome: Outcome, sensitivity: int) -> NDArray[np.float64]:
    if outcome.scores is None:
        return np.abs(outcome.expected) * (100 - sensitivity) / 100
    calm = outcome.values[outcome.scores < _NIL]
    width = 0.01 * (calm.max() - calm.min()) if len(calm) else 0.0
    distance = np.abs(outcome.values - outcome.expected)
    scores = np.where(outcome.flagged, np.maximum(outcome.scores, _NIL), 1.0)
    return np.where(outcome.flagged, distance / scores * (1 - sensitivity / 100), width)
