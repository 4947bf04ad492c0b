"""What of a variable the others do not tell: rows of values to residuals of unit size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamdet.multivariate.model import F64, I64, Model

CLIP = 25.0  # usual distances: beyond it a value says no more about the others
_CURVED_MAX = 64  # variables: of more, no bent term of each single one
_BENT_AT = 5.0
_LEVEL_STEPS = 16  # times a window that the level of a residual is looked at again
_FAR = 30.0


def standardised(model: Model, value: F64) -> F64:
    """Return values as usual distances from the usual value, shape (n, m)."""
    with np.errstate(over="ignore", invalid="ignore"):
        away = (value - model.center) / model.scale
    return np.clip(np.nan_to_num(away, nan=0.0, posinf=CLIP, neginf=-CLIP), -CLIP, CLIP)


def shifted(rows: F64, lag: int) -> F64:
    """Return the rows of `lag` rows ago; before the first one, the first."""
    if not lag:
        return rows
    moved = np.empty_like(rows)
    moved[:lag] = rows[0]
    moved[lag:] = rows[:-lag]
    return moved


def delayed(z: F64, channel: I64) -> F64:
    """Return what each channel is about, shape (n, c)."""
    about = z[:, channel[:, 0]]
    for delay in np.unique(channel[:, 1]):
        if delay:
            those = channel[:, 1] == delay
            about[:, those] = shifted(z[:, channel[those, 0]], int(delay))
    return about


def raw_residuals(model: Model, z: F64, clean: F64) -> tuple[F64, F64]:
    """Return the residuals of each channel, and how far from the middle it is at each row.

    Both have the shape (n, c). Far is where the strongest directions are far out, or what is
    expected is.

    Parameters
    ----------
    z
        Shape (n, m): what is judged.
    clean
        Shape (n, m): what it is judged by: `z`, less what is known to be anomalous.
    """
    predicted = np.broadcast_to(model.offset, (len(z), len(model.channel))).copy()
    for k, lag in enumerate(model.lags):
        predicted += shifted(clean, int(lag)) @ model.weight[k]
    about = delayed(z, model.channel)
    strongest = clean @ model.basis
    for c in np.flatnonzero(np.any(model.curved != 0, axis=0)):
        j, delay = model.channel[c]
        terms = bent_terms(
            shifted(clean, int(delay)),
            shifted(strongest, int(delay)),
            model.basis,
            int(j),
            predicted[:, c],
        )
        predicted[:, c] += terms @ model.curved[:, c] + model.curved_offset[c]
    residual = about - predicted
    return residual, distance_of(strongest, predicted, residual, model.basis, model.channel)


def distance_of(strongest: F64, predicted: F64, residual: F64, basis: F64, channel: I64) -> F64:
    """Return how far from the middle each channel is expected, shape (n, c).

    By others alone: a value that is far out itself must not make itself usual.
    """
    far: F64 = np.abs(predicted)
    for q in range(basis.shape[1]):
        without = strongest[:, [q]] - residual * basis[channel[:, 0], q]
        np.maximum(far, np.abs(without), out=far)
    return far


def bent_terms(z: F64, strongest: F64, basis: F64, j: int, predicted: F64) -> F64:
    """Return functions of the others that are no straight lines, shape (n, p).

    They are of the strongest directions, of what is predicted of variable j, and of each other
    variable. Variable j itself has no part in them: in the directions its prediction stands for it.
    """
    away = np.clip(predicted, -_BENT_AT, _BENT_AT)
    directions = strongest + np.outer(away - z[:, j], basis[j])
    directions = np.clip(directions, -_BENT_AT, _BENT_AT)
    columns = [away**2, np.abs(away), np.tanh(away), away**3 / 5]
    for a in range(directions.shape[1]):
        one = directions[:, a]
        columns += [one**2, np.abs(one), np.tanh(one), np.tanh(2 * one)]
        columns += [one * directions[:, b] for b in range(a)]
    terms = np.stack(columns, axis=1)
    if z.shape[1] > _CURVED_MAX:
        return terms
    single = np.clip(z, -_BENT_AT, _BENT_AT)
    single[:, j] = 0.0
    return np.hstack([terms, single**2, np.abs(single)])


def spread_of(distances: F64, spread: F64, distance: F64) -> F64:
    """Return the usual residual of each channel at each row, shape (n, c).

    Between the distances of the training by straight lines, and beyond them in proportion: what
    is expected where nothing was seen is a guess.
    """
    usual = np.broadcast_to(spread[0], distance.shape).copy()
    for low in range(len(distances) - 1):
        width = distances[low + 1] - distances[low]
        part = np.clip((distance - distances[low]) / width, 0.0, 1.0)
        usual += part * (spread[low + 1] - spread[low])
    usual *= np.maximum(1.0, distance / np.maximum(distances[-1], 1.0))
    return usual


def levelled(residual: F64, window: int, anomalous: NDArray[np.bool_] | None = None) -> F64:
    """Return residuals less their median over the window before each row.

    Relations move slowly where variables wander: what is judged is how far a residual is from
    where it has been lately. The newest eighth of the window is left out, so that an anomaly that
    begins is not at once the usual, and so is what is known as `anomalous`, shape of `residual`.
    """
    level = np.zeros(residual.shape[1])
    step = max(1, window // _LEVEL_STEPS)
    out, usual = residual.copy(), residual.copy()
    for begin in range(0, len(residual), step):
        if begin:
            past = usual[max(0, begin - window) : max(1, begin - window // 8)]
            # of few rows the median says little: it counts by how much of a window there is
            level = np.median(past, axis=0) * min(1.0, len(past) / window)
        rows = slice(begin, begin + step)
        out[rows] -= level
        if anomalous is not None:
            usual[rows] = np.where(anomalous[rows], level, usual[rows])
    return out


def shocks(residual: F64, memory: F64, shock: F64) -> F64:
    """Return what of each residual the last ones did not tell, of unit size."""
    near = np.clip(residual, -_FAR, _FAR)
    left = near.copy()
    for lag, part in enumerate(memory, start=1):
        left -= shifted(near, lag) * part
    return left / shock
