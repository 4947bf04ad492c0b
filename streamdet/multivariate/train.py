"""From a table to a model."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from streamdet.multivariate.data import AlignPolicy, Frame
from streamdet.multivariate.evidence import (
    increments,
    limit_of,
    sums,
    tails,
    unlikeliness,
)
from streamdet.multivariate.model import F64, Model
from streamdet.multivariate.relations import autoregression, relate
from streamdet.multivariate.residuals import CLIP, delayed, distance_of, levelled, shocks, spread_of

ALARMS = 3e-5  # of the rows of a system in order
_MEMORY = 3
_BLOCK = 50
_CEILING_ROWS = 4  # settled rows that bring a statistic back from its ceiling to the limit
_NORMAL = 1.4826  # median deviation to standard deviation
_SPREAD_LEAST = 1e-3  # of a usual distance: numbers are rounded
_SPREAD_AT = (0.4, 0.8, 0.95, 0.99)  # quantiles of the distance from the middle
_JUMP_LEAST = 0.1  # usual distances
_SPREAD_RANGE = (1.0, 4.0)


def train(
    frame: Frame, sliding_window: int, policy: AlignPolicy, schema: str
) -> tuple[Model, dict[str, Any]]:
    """Return the model of a table, and Azure's `modelState` of its training.

    The state has one epoch: the mean squares of the residuals of rows fitted and held out, and
    the seconds it took.
    """
    started_s = time.monotonic()
    center, scale = _units(frame.value)
    z = np.clip((frame.value - center) / scale, -CLIP, CLIP)
    found = relate(z)
    begin = found.begin
    predicted = delayed(z, found.channel) - found.residual
    distance = distance_of(z @ found.basis, predicted, found.residual, found.basis, found.channel)
    distances, spread = _spread(found.residual[begin:], distance[begin:])
    e = found.residual[begin:] / spread_of(distances, spread, distance[begin:])
    e = levelled(e, sliding_window)
    memory = autoregression(np.clip(e, -5, 5), _MEMORY)
    shock = np.median(np.abs(shocks(e, memory, np.ones(e.shape[1]))), axis=0) * _NORMAL + 1e-9
    steps = increments(e, shocks(e, memory, shock))
    statistic = sums(steps)
    usual, rate = tails(statistic)
    evidence = unlikeliness(statistic, usual, rate).max(axis=(1, 2))
    limit = limit_of(evidence, _BLOCK, ALARMS)
    down = np.maximum(-np.median(steps, axis=0), 0.05)
    ceiling = usual + (limit + np.log(0.1)) / rate + _CEILING_ROWS * down
    ceiling[:, :2] = np.inf
    model = Model(
        variables=frame.variables, sliding_window=sliding_window, policy=policy, schema=schema,
        center=center, scale=scale, channel=found.channel, lags=found.lags, weight=found.weight,
        offset=found.offset, basis=found.basis, curved=found.curved,
        curved_offset=found.curved_offset, spread=spread, distances=distances, memory=memory,
        shock=shock, usual=usual, rate=rate, ceiling=ceiling, limit=np.array([limit]),
        jump=_jump(z),
    )  # fmt: skip
    return model, {
        "epochIds": [1],
        "trainLosses": [found.fitted],
        "validationLosses": [found.held_out],
        "latenciesInSeconds": [round(time.monotonic() - started_s, 3)],
    }


def _units(value: F64) -> tuple[F64, F64]:
    """Return each variable's usual value and usual distance from it; of a constant one, 1."""
    low, center, high = np.quantile(value, [0.25, 0.5, 0.75], axis=0)
    scale = (high - low) / 1.349
    deviation = np.sqrt(np.mean((value - center) ** 2, axis=0))
    # of values of which most are the same the quartiles say nothing
    scale = np.where(scale > 1e-6 * deviation, scale, deviation)
    return center, np.where(scale > 1e-12 * np.maximum(np.abs(center), 1e-300), scale, 1.0)


def _jump(z: F64) -> F64:
    """Return the step from row to row that no variable makes in order."""
    often, seldom = np.quantile(np.abs(np.diff(z, axis=0)), [0.99, 0.999], axis=0)
    jump: F64 = np.maximum(np.maximum(3 * often, 1.5 * seldom), _JUMP_LEAST)
    return jump


def _spread(residual: F64, distance: F64) -> tuple[F64, F64]:
    """Return distances from the middle, and the usual residual there, of each channel.

    Far from the middle a regression knows less, most of all one of bent terms.
    """
    whole = np.median(np.abs(residual), axis=0) * _NORMAL
    at = np.quantile(distance, _SPREAD_AT, axis=0)
    spread = []
    for low, high in itertools.pairwise(
        [np.zeros(len(whole)), *_between(at), distance.max(axis=0)]
    ):
        inside = (distance >= low) & (distance <= high)
        inside |= ~inside.any(axis=0)
        part = np.nanmedian(np.where(inside, np.abs(residual), np.nan), axis=0) * _NORMAL
        spread.append(whole * np.clip(part / np.maximum(whole, 1e-12), *_SPREAD_RANGE))
    increasing = np.maximum.accumulate(np.maximum(np.stack(spread), _SPREAD_LEAST), axis=0)
    return at + 1e-9 * np.arange(len(at))[:, None], increasing


def _between(at: F64) -> F64:
    """Return the middles of neighbouring distances."""
    middles: F64 = (at[1:] + at[:-1]) / 2
    return middles
