"""A series as stretches, each with a line, a season and noise of its own: what a stretch costs.

    cost    m ln s2 + p ln n, the criterion of Schwarz (1978), for m points and p parameters
    s2      variance of the residuals, drawn towards the whole series' by `PRIOR` points, so that
            three points on a line are not taken for a stretch without noise
    models  level; line; line and season, as it is over the whole or of another size; line and
            waves of a period. Of the season each stretch has its own, or none.

Autocorrelated noise, AR(1) with one coefficient for the whole, is made white beforehand, in values
and columns alike (Prais and Winsten 1954): what wanders by itself is no change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.univariate.candidate_periods import season, waves

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

PRIOR = 3.0
"""Points."""
_LINE = 2
_AT_ONCE = 512  # stretches, whose sums of products are in the processor's cache together
_CLIP = 3.0
ROUNDING = 1e-6  # of values whose mean distance from their median is 1


class Fit(NamedTuple):
    """The cheapest model of each of k stretches."""

    cost: Floats
    variance: Floats
    parameters: Places
    less: Places
    """Seasons, of the whole series, that were taken out beforehand."""
    group: Places
    """0 without waves; i with those of period i - 1."""
    length: Places


@dataclass(frozen=True)
class Piecewise:
    """Values and columns of a series, white."""

    n: int
    groups: tuple[Floats, ...]
    """float64[n, p]: 1, time; after the first group also a season and its waves."""
    shortest: tuple[int, ...]
    """Points of a stretch that may have a group's columns: less than a cycle and a half of a
    season is a line as well."""
    y: Floats
    """float64[n, 1 + periods]: the values, less no season, one, two."""
    phi: float
    noise: float
    """Variance of the white noise over the whole, robust."""

    def price(self, parameters: float) -> float:
        """Return what so many parameters cost."""
        return parameters * float(np.log(self.n))

    def fit(self, first: Places, end: Places) -> Fit:
        """Return the cheapest model of each stretch [first, end)."""
        edges, place = np.unique(np.concatenate([first, end]), return_inverse=True)
        length = end - first
        k = len(first)
        cost, variance = np.full(k, np.inf), np.full(k, self.noise)
        chosen = np.zeros((3, k), np.int64)
        for g in range(len(self.groups)):
            use = np.flatnonzero(length >= self.shortest[g])
            sums = self._products(g, edges)
            for part in range(0, len(use), _AT_ONCE):
                to = use[part : part + _AT_ONCE]
                gram = sums[:, :, place[k:][to]] - sums[:, :, place[:k][to]]
                self._choose(g, gram, length[to], to, cost, variance, chosen)
        return Fit(cost, variance, chosen[0], chosen[1], chosen[2], length)

    def _choose(
        self,
        group: int,
        gram: Floats,
        m: Places,
        to: Places,
        cost: Floats,
        variance: Floats,
        chosen: Places,
    ) -> None:
        """Put the models of one group in the place of those, at `to`, that cost more."""
        most = self.groups[group].shape[1]
        for p, errors in _eliminated(gram, most):
            if not _is_model(group, p, most):
                continue
            less = np.argmin(errors, axis=0)
            error = errors[less, np.arange(len(to))]
            least = (error + PRIOR * self.noise) / np.maximum(m - p + PRIOR, 0.5)
            now = np.where(m > p, m * np.log(least) + self.price(p), np.inf)
            better = now < cost[to]
            at = to[better]
            cost[at], variance[at] = now[better], least[better]
            chosen[0, at], chosen[1, at], chosen[2, at] = p, less[better], group

    def _products(self, group: int, edges: Places) -> Floats:
        """Return the products of all columns and values, summed from edges[0] to each edge."""
        columns = np.column_stack([self.groups[group], self.y])
        sums = np.zeros((columns.shape[1], columns.shape[1], len(edges)))
        for k in range(len(edges) - 1):
            part = columns[edges[k] : edges[k + 1]]
            sums[:, :, k + 1] = part.T @ part
        return np.cumsum(sums, axis=2)

    def chosen(self, at: Places) -> Iterator[tuple[slice, int, int, int]]:
        """Yield each stretch between `at`, its model's group, parameters, and index in y."""
        best = self.fit(at[:-1], at[1:])
        for k in range(len(at) - 1):
            stretch = slice(int(at[k]), int(at[k + 1]))
            yield stretch, int(best.group[k]), int(best.parameters[k]), int(best.less[k])

    def left(self, at: Places, tried: Floats, less: int) -> Floats:
        """Return the squares that a line and one of the columns `tried` leave of y[at].

        Parameters
        ----------
        at : int64[2]            first point of the stretch, and the one after its last
        tried : float64[m, k]    not white yet
        less : int               index in y
        """
        stretch = slice(int(at[0]), int(at[1]))
        q, _ = np.linalg.qr(self.groups[0][stretch])
        e = self.y[stretch, less]
        e = e - q @ (q.T @ e)
        # The point before the stretch takes no part: a step or bend is 0 at its beginning.
        white = tried.copy()
        white[1:] -= self.phi * tried[:-1]
        white -= q @ (q.T @ white)
        norm = np.maximum(np.einsum("ij,ij->j", white, white), 1e-12)
        return np.asarray(np.maximum(e @ e - (e @ white) ** 2 / norm, 0.0))


def _is_model(group: int, parameters: int, most: int) -> bool:
    """Return whether the first so many columns are a model: of a wave both columns or neither."""
    if group == 0:
        return True
    return parameters > _LINE and (parameters % 2 == 1 or parameters == most)


def _eliminated(gram: Floats, p: int) -> Iterator[tuple[int, Floats]]:
    """Yield, for 1 ... p columns, the squares that regression on them leaves of each y.

    Gauss's elimination, for all stretches at once: the models nest, and one pass gives them all.
    """
    diagonal = np.einsum("iim->im", gram)
    least = 1e-10 * diagonal[:p] + 1e-30
    for k in range(p):
        pivot = gram[k, k].copy()
        sound = pivot > least[k]  # a column that follows from those before it says nothing
        share = sound / np.where(sound, pivot, 1.0)
        for i in range(k + 1, len(gram)):
            gram[i, i:] -= (gram[k, i] * share) * gram[k, i:]
        yield k + 1, np.maximum(diagonal[p:], 0.0)


def _whitened(columns: Floats, phi: float) -> Floats:
    """Return each row less phi times the one above."""
    white = columns.copy()
    white[1:] -= phi * columns[:-1]
    white[0] *= (1 - phi * phi) ** 0.5
    return white


def piecewise(x: Floats, periods: list[float], phi: float) -> Piecewise:
    """Return x as it is to be partitioned."""
    n = len(x)
    line = np.column_stack([np.ones(n), np.linspace(-1, 1, n)])
    groups, shortest, y = [line], [1], [x]
    for period in periods:
        whole = season(y[-1], period)
        groups.append(np.column_stack([line, whole, waves(n, period)]))
        shortest.append(int(1.5 * period) + 4)
        y.append(y[-1] - whole)
    white = tuple(_whitened(group, phi) for group in groups)
    values = _whitened(np.column_stack(y), phi)
    step = 1.4826 * float(np.median(np.abs(np.diff(values[:, -1]))))
    return Piecewise(n, white, tuple(shortest), values, phi, max(step * step / 2, 1e-10))


def deviations(model: Piecewise, at: Places) -> Floats:
    """Return how far each residual of the stretches between `at` is beyond three deviations."""
    beyond = np.zeros(model.n)
    for stretch, group, parameters, less in model.chosen(at):
        y = model.y[stretch, less]
        columns = model.groups[group][stretch, :parameters]
        e = y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
        most = _CLIP * max(1.4826 * float(np.median(np.abs(e))), 0.3 * model.noise**0.5)
        beyond[stretch] = e - np.clip(e, -most, most)
    return beyond


def autocorrelation(fits: Iterable[tuple[Floats, Floats]], n: int) -> float:
    """Return the coefficient of AR(1) noise, 0 to 0.95, from residuals of fits by columns.

    A fit makes its residuals less alike than the noise was, by as much as white noise would show
    (its columns tell); that is put back. Of few points little is known: drawn towards 0.
    """
    above = below = lost = 0.0
    for residuals, columns in fits:
        q, _ = np.linalg.qr(columns)
        scale = 1.4826 * float(np.median(np.abs(residuals))) + ROUNDING
        e = np.clip(residuals / scale, -_CLIP, _CLIP)
        above += float(e[1:] @ e[:-1])
        below += float(e @ e)
        lost += float(e @ e) / max(len(e) - q.shape[1], 1) * float(np.sum(q[1:] * q[:-1]))
    below = max(below, 0.01)  # as good as no noise, no correlation
    rho = above / below
    rho += (1 + rho) * lost / below
    return float(np.clip(rho * n / (n + 20), 0.0, 0.95))
