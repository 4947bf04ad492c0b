"""Which lags matter, and each variable's regression on all the others, robust and held out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamdet.multivariate.model import F64, I64
from streamdet.multivariate.residuals import bent_terms, delayed, shifted

LAG_MAX = 12
FOLDS = 5
_WHITENING = 4
_SIGNIFICANT = 5.0  # standard errors of a correlation; some m² x 25 are looked at
_STRONGER = 1.3  # than at the same time
_RIDGE, _CURVED_RIDGE = 3e-3, 2e-2  # of unit variance, a row
_TRIMMED = 0.015  # of the rows: the training may hold 1 % of anomalies
_WORTH = 0.94  # of the mean square: bent terms that bring less are left out
_DIRECTIONS = 4
_ENOUGH = 3000  # rows that show whether bent terms help
_MANY = 100  # variables: of more, fewer lags


@dataclass(frozen=True, slots=True)
class Relations:
    """The regressions of c channels, and what they left of rows that they were not fitted to."""

    channel: I64
    lags: I64
    weight: F64
    offset: F64
    basis: F64
    curved: F64
    curved_offset: F64
    residual: F64
    """Shape (n, c): of each row by the regressions of the other folds; 0 before `begin`."""
    begin: int
    fitted: float
    """Mean square of the residuals of the rows that were fitted, and of those held out."""
    held_out: float


def autoregression(rows: F64, order: int) -> F64:
    """Return each column's autoregression by Yule and Walker's equations, shape (order, c)."""
    n, _columns = rows.shape
    covariance = np.stack([np.mean(rows[lag:] * rows[: n - lag], 0) for lag in range(order + 1)])
    apart = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    matrix = covariance[apart].transpose(2, 0, 1)
    matrix = matrix + (1e-3 * covariance[0] + 1e-12)[:, None, None] * np.eye(order)
    return np.linalg.solve(matrix, covariance[1:].T[:, :, None])[:, :, 0].T


def relate(z: F64) -> Relations:
    """Regress every variable on all the others, at the lags that matter.

    Twice: the rows that the first regressions are farthest off at are left out of the second.
    """
    channel, parts, lags = _choose(z)
    design = np.hstack([*(shifted(z, int(lag)) for lag in lags), np.ones((len(z), 1))])
    about = delayed(z, channel)
    begin = min(int(max(lags.max(), channel[:, 1].max())) + 1, len(z) // 4)
    folds = [slice(a, b) for a, b in _pairs(np.linspace(begin, len(z), FOLDS + 1).astype(int))]
    kept = np.ones(len(z))
    for again in (True, False):
        solved, predicted = _regress(design, about, parts, folds, kept)
        residual = about - predicted
        residual[:begin] = 0.0
        if again:
            usual = np.median(np.abs(residual[begin:]), axis=0) + 1e-9
            worst = np.max(np.abs(residual) / usual, axis=1)
            kept = (worst <= np.quantile(worst[begin:], 1 - _TRIMMED)).astype(float)
    fitted = float(np.mean(kept[begin:, None] * (about - design @ solved)[begin:] ** 2))
    basis = _directions(z)
    curved, curved_offset = _bend(z, basis, channel, residual, about, folds, kept)
    m = z.shape[1]
    weight = solved[:-1].reshape(len(lags), m, len(channel))
    held_out = float(np.mean(kept[begin:, None] * residual[begin:] ** 2))
    return Relations(
        channel, lags, weight, solved[-1], basis, curved, curved_offset, residual, begin,
        fitted, held_out,
    )  # fmt: skip


def _pairs(edges: NDArray[np.int_]) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _lead(z: F64, longest: int) -> tuple[I64, F64]:
    """Return by how many rows k leads j (negative: follows), shape (k, j), and how surely.

    By the largest correlation of shocks: of the values themselves it would be wide.
    """
    near = np.clip(z, -5, 5)
    left = near.copy()
    for lag, part in enumerate(autoregression(near, _WHITENING), start=1):
        left -= shifted(near, lag) * part
    left = left[_WHITENING:] / (np.median(np.abs(left), axis=0) + 1e-9)
    left = np.clip(left, -6, 6)
    left = (left - left.mean(axis=0)) / (left.std(axis=0) + 1e-9)
    n = len(left)
    ahead = [left[: n - lag].T @ left[lag:] / n for lag in range(longest + 1)]
    size = np.abs(np.stack([*(each.T for each in ahead[:0:-1]), *ahead]))
    best = size.argmax(axis=0)
    strength = np.take_along_axis(size, best[None], axis=0)[0]
    sure = (strength > _SIGNIFICANT / np.sqrt(n)) & (strength > _STRONGER * size[longest])
    np.fill_diagonal(sure, val=False)
    return best.astype(np.int64) - longest, np.where(sure, strength, 0.0)


def _choose(z: F64) -> tuple[I64, list[I64], I64]:
    """Return the channels, of each the places of its regressors in the design, and the lags."""
    n, m = z.shape
    lead, strength = _lead(z, min(LAG_MAX, max(1, n // 20)))
    sure = strength > 0
    if m > _MANY:
        commonest = np.argsort(-np.bincount(np.abs(lead[sure]), minlength=LAG_MAX + 1))[:4]
        sure &= np.isin(np.abs(lead), commonest)
    near = (0, 1, 2) if m <= 16 else (0, 1) if m <= 40 else (0,)
    channels, wanted = [], []
    for j in range(m):
        # the follower that tells most of it: the farthest one would tell it latest
        follower = int(np.argmax(np.where(lead[:, j] < 0, strength[:, j], 0.0)))
        delay = max(0, -int(lead[follower, j])) if sure[follower, j] else 0
        for ago in sorted({0, delay}):
            pairs = {(k, ago + lag) for k in range(m) for lag in (near if not ago else (0, -1, 1))}
            pairs |= {(int(k), ago + int(lead[k, j])) for k in np.flatnonzero(sure[:, j])}
            channels.append((j, ago))
            wanted.append([(k, lag) for k, lag in pairs if k != j and lag >= 0])
    lags = sorted({lag for pairs in wanted for _, lag in pairs} | {0})
    place = {lag: number * m for number, lag in enumerate(lags)}
    parts = [np.array(sorted(place[lag] + k for k, lag in pairs), np.int64) for pairs in wanted]
    return np.array(channels, np.int64), parts, np.array(lags, np.int64)


def _regress(
    design: F64, about: F64, parts: list[I64], folds: list[slice], kept: F64
) -> tuple[F64, F64]:
    """Return ridge weights of all rows, and predictions of each fold by the rows of the others."""
    squares, products = [], []
    for fold in folds:
        rows = design[fold] * kept[fold, None]
        squares.append(rows.T @ design[fold])
        products.append(rows.T @ about[fold])
    square, product = sum(squares), sum(products)
    one = design.shape[1] - 1
    solved = np.zeros((design.shape[1], about.shape[1]))
    held_out = np.zeros((len(folds), *solved.shape))
    for c, part in enumerate(parts):
        places = np.append(part, one)
        square_part = square[np.ix_(places, places)]  # type: ignore[index]
        ridge = _RIDGE * square_part[-1, -1] * np.eye(len(places))
        ridge[-1, -1] = 1e-9
        solved[places, c] = np.linalg.solve(square_part + ridge, product[places, c])  # type: ignore[index]
        for f in range(len(folds)):
            less = square_part - squares[f][np.ix_(places, places)]
            held_out[f, places, c] = np.linalg.solve(
                less + ridge,
                product[places, c] - products[f][places, c],  # type: ignore[index]
            )
    predicted = np.zeros_like(about)
    for f, fold in enumerate(folds):
        predicted[fold] = design[fold] @ held_out[f]
    return solved, predicted


def _directions(z: F64) -> F64:
    """Return what the strongest directions of the table are made of, each of unit size."""
    variance, direction = np.linalg.eigh(z.T @ z / len(z))
    count = min(_DIRECTIONS, z.shape[1] - 1)
    strongest = np.argsort(variance)[::-1][:count]
    basis: F64 = direction[:, strongest] / np.sqrt(np.maximum(variance[strongest], 1e-9))
    return basis


def _bend(
    z: F64, basis: F64, channel: I64, residual: F64, about: F64, folds: list[slice], kept: F64
) -> tuple[F64, F64]:
    """Return weights of bent terms where they help rows held out; `residual` is less by them.

    Most channels need none: a part of the rows shows it.
    """
    begin = folds[0].start
    every = np.arange(begin, len(z))
    some = every[:: max(1, len(every) // _ENOUGH)]
    strongest = z @ basis
    columns, offsets = [], np.zeros(len(channel))
    for c, (j, delay) in enumerate(channel.tolist()):
        weight = np.zeros(0)
        for rows in (some, every):
            terms = bent_terms(
                z[rows - delay],
                strongest[rows - delay],
                basis,
                j,
                about[rows, c] - residual[rows, c],
            )
            weight, offset, left = _bent(terms, residual[rows, c], kept[rows])
            most = 6.0 * np.median(np.abs(residual[rows, c])) + 1e-9
            before, after = (np.mean(np.minimum(r**2, most**2)) for r in (residual[rows, c], left))
            if after >= _WORTH * before:
                weight = np.zeros(len(weight))
                break
        else:
            offsets[c] = offset
            residual[begin:, c] = left
        columns.append(weight)
    return np.stack(columns, axis=1), offsets


def _bent(terms: F64, residual: F64, kept: F64) -> tuple[F64, float, F64]:
    """Return ridge weights of terms and their offset, and what they leave of rows held out."""
    center = kept @ terms / kept.sum()
    size = np.sqrt(np.mean((terms - center) ** 2, axis=0)) + 1e-9
    terms = (terms - center) / size
    folds = [slice(a, b) for a, b in _pairs(np.linspace(0, len(terms), FOLDS + 1).astype(int))]
    squares = [(kept[f, None] * terms[f]).T @ terms[f] for f in folds]
    products = [(kept[f, None] * terms[f]).T @ residual[f] for f in folds]
    square, product = np.sum(squares, axis=0), np.sum(products, axis=0)
    ridge = _CURVED_RIDGE * len(terms) * np.eye(len(center))
    left = residual.copy()
    for f, fold in enumerate(folds):
        left[fold] -= terms[fold] @ np.linalg.solve(
            square - squares[f] + ridge, product - products[f]
        )
    weight = np.linalg.solve(square + ridge, product) / size
    return weight, float(-center @ weight), left
