"""Seeded systems of variables that belong together, of several kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def smooth(random: np.random.Generator, n: int, count: int, slow: tuple[float, float]) -> F64:
    """Return n values of `count` independent autoregressions of unit variance."""
    phi = random.uniform(*slow, size=count)
    shock = random.normal(size=(n, count)) * np.sqrt(1 - phi**2)
    hidden = np.empty((n, count))
    state = random.normal(size=count)
    for t in range(n):
        state = phi * state + shock[t]
        hidden[t] = state
    return hidden


def _loadings(random: np.random.Generator, factors: int, m: int) -> F64:
    """Return weights such that every variable has a part of unit size in common with others."""
    weights = random.normal(size=(factors, m))
    weights *= random.random((factors, m)) < 0.7
    weights[random.integers(factors, size=m), np.arange(m)] += random.choice([-1, 1], m)
    return weights / np.linalg.norm(weights, axis=0)


def _noise(random: np.random.Generator, n: int, m: int) -> F64:
    return random.normal(size=(n, m)) * random.uniform(0.1, 0.5, size=m)


def linear(random: np.random.Generator, n: int, m: int) -> F64:
    """Hidden factors, the same at the same time for all."""
    factors = smooth(random, n, max(1, min(4, m // 4)), (0.6, 0.98))
    return factors @ _loadings(random, factors.shape[1], m) + _noise(random, n, m)


def lagged(random: np.random.Generator, n: int, m: int) -> F64:
    """Hidden factors that reach each variable some steps later."""
    longest = 12
    factors = smooth(random, n + longest, max(1, min(3, m // 4)), (0.6, 0.98))
    common = factors @ _loadings(random, factors.shape[1], m)
    lags = random.integers(0, longest + 1, size=m)
    moved = np.stack([common[longest - lag : longest - lag + n, j] for j, lag in enumerate(lags)])
    return moved.T + _noise(random, n, m)


def chain(random: np.random.Generator, n: int, m: int) -> F64:
    """Each variable follows one or two earlier ones, some steps later."""
    value = np.empty((n + 100, m))
    value[:, 0] = smooth(random, n + 100, 1, (0.7, 0.97))[:, 0]
    for j in range(1, m):
        if j < max(2, m // 8):
            value[:, j] = smooth(random, n + 100, 1, (0.7, 0.97))[:, 0]
            continue
        parents = random.choice(j, size=min(j, int(random.integers(1, 3))), replace=False)
        value[:, j] = sum(
            random.choice([-1, 1]) * np.roll(value[:, k], int(random.integers(0, 6)))
            for k in parents
        )
        value[:, j] /= value[:, j].std()
        value[:, j] += random.uniform(0.1, 0.4) * random.normal(size=n + 100)
    return value[100:]


def nonlinear(random: np.random.Generator, n: int, m: int) -> F64:
    """Squares, saturation, exponentials of hidden factors."""
    factors = smooth(random, n, max(1, min(3, m // 5)), (0.6, 0.97))
    common = factors @ _loadings(random, factors.shape[1], m)
    shapes = (
        lambda x: x,
        lambda x: x,
        lambda x: (x**2 - 1) / 1.4,
        lambda x: 1.5 * np.tanh(1.5 * x),
        lambda x: (np.exp(0.7 * x) - 1.3) / 0.9,
    )
    kind = random.integers(len(shapes), size=m)
    kind[: max(2, m // 3)] = 0
    shaped = np.stack([shapes[k](common[:, j]) for j, k in enumerate(kind)], axis=1)
    return shaped + _noise(random, n, m)


def seasonal(random: np.random.Generator, n: int, m: int) -> F64:
    """A day that each variable has in its own phase, of changing size, and a common drift."""
    period = int(random.choice([48, 96, 144, 288]))
    t = np.arange(n)
    size = 1 + 0.4 * smooth(random, n, 1, (0.995, 0.999))
    factors = smooth(random, n, max(1, min(3, m // 5)), (0.6, 0.97))
    drift = np.cumsum(random.normal(size=n)) * 0.01
    phase = random.uniform(-0.6, 0.6, size=m)
    day = np.sin(2 * np.pi * t[:, None] / period + phase)
    day = day + 0.4 * np.sin(4 * np.pi * t[:, None] / period + 2 * phase)
    weights = _loadings(random, factors.shape[1], m)
    sizes, drifts = random.uniform(0.5, 1.5, m), random.uniform(-1, 1, m)
    value = factors @ weights + size * day * sizes + drift[:, None] * drifts
    return value + _noise(random, n, m)


def coloured(random: np.random.Generator, n: int, m: int) -> F64:
    """Hidden factors, and of each variable an own part that is autocorrelated too."""
    factors = smooth(random, n, max(1, min(4, m // 4)), (0.6, 0.98))
    own = smooth(random, n, m, (0.3, 0.9)) * random.uniform(0.15, 0.45, size=m)
    return factors @ _loadings(random, factors.shape[1], m) + own


def wandering(random: np.random.Generator, n: int, m: int) -> F64:
    """Common random walks: no variable has a level, their relations have."""
    walks = np.cumsum(random.normal(size=(n, max(1, min(3, m // 5)))), axis=0) * 0.1
    return walks @ _loadings(random, walks.shape[1], m) + _noise(random, n, m)


def blocks(random: np.random.Generator, n: int, m: int) -> F64:
    """Groups of variables that have nothing to do with each other."""
    value = np.empty((n, m))
    begin = 0
    while begin < m:
        end = m if m - begin < 8 else begin + int(random.integers(4, 8))
        value[:, begin:end] = linear(random, n, end - begin)
        begin = end
    return value[:, random.permutation(m)]


SYSTEMS: dict[str, Callable[[np.random.Generator, int, int], F64]] = {
    each.__name__: each
    for each in (linear, lagged, chain, nonlinear, seasonal, coloured, wandering, blocks)
}
