"""Change points of a whole series: where its level, trend, noise or season becomes another.

    1. clean      what stands out from the seven values around it is drawn in
    2. whiten     the noise's autocorrelation is estimated, and taken out (`piecewise`)
    3. partition  the cheapest cut into stretches, over every cut on a grid of `CELLS` cells
    4. again      2 and 3 with what the first cut's residuals tell
    5. prove      each change goes to its best place between its neighbours; the weakest that does
                  not pay is given up, and its neighbours are looked at anew, until all pay
    6. confidence the share of the error that the change explains

Sources: Jackson et al. 2005 (optimal partitioning; Killick et al. 2012 prune it, which a grid this
small does not need), Schwarz 1978 and Zhang and Siegmund 2007 (what a change must gain), Cox and
Snell 1989, Magee 1990 (the share explained). Azure's own method has never been published.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamdet.univariate.candidate_periods import candidate_periods, waves
from streamdet.univariate.piecewise import (
    PRIOR,
    ROUNDING,
    Floats,
    Piecewise,
    Places,
    autocorrelation,
    deviations,
    piecewise,
)

CELLS = 96
CUT = 0.5
"""Price of a cut, in parameters: little, for what does not pay is found in step 5."""
PROOF = (9.0, 0.8)
"""What a change must gain beyond its parameters: PROOF[0] + PROOF[1] ln n."""
SPREAD = 0.85
"""What a gain by variances alone counts. The criterion takes noise for normal; in the tails of
Laplace's or Student's, the variance of stretches differs by more."""
_OUTLIER = 3.5
_MOVES = 4  # of each edge: two of them may push each other to and fro


def change_points(
    values: Floats, period: int, stable_trend_window: int, threshold: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Find where a series changes for longer than a moment.

    Parameters
    ----------
    values : float64[n]         finite, on an even grid; n >= 12
    period : int                points in a season; 0 or 1 where there is none, or it is not known
    stable_trend_window : int   3 <= stable_trend_window < n / 2: points that a line, a season and
                                a noise last at least; two changes are no nearer than that
    threshold : float           0.01 to 0.99: share of the error around a change that may be left
                                by it; the lower, the fewer changes

    Returns
    -------
    is_change_point : bool[n]   true at the first point of what is new: where confidence is above
                                0 and at least 1 - threshold
    confidence : float64[n]     at a change that is no chance the share of the error that it
                                explains, above 0 and below 1; elsewhere 0
    """
    confidence = np.zeros(len(values))
    x = _scaled(values)
    if x is not None:
        model = _prepared(x, period, stable_trend_window)
        at = _proven(model, _partition(model, stable_trend_window), stable_trend_window)
        for k in range(1, len(at) - 1):
            confidence[at[k]] = _explained(model, int(at[k - 1]), int(at[k]), int(at[k + 1]))
    return (confidence > 0) & (confidence >= 1 - threshold), confidence


def _scaled(values: Floats) -> Floats | None:
    """Return values about 0 with mean distance 1 from it; None of what is constant."""
    largest = np.max(np.abs(values))
    if largest == 0:
        return None
    x = values / largest
    x = x - np.median(x)
    spread = np.mean(np.abs(x))
    # Less than that is what rounding leaves of a constant.
    return None if spread < 1e-13 else x / spread


def _prepared(x: Floats, period: int, window: int) -> Piecewise:
    """Return x clean and white, as a first partition knows it."""
    x = _without_outliers(x, candidate_periods(x, period))
    periods = candidate_periods(x, period)
    model = piecewise(x, periods, autocorrelation(_blocks(x, periods), len(x)))
    at = _partition(model, window)
    # Made white, a step is a single deviation as well, which would draw its stretch's fit away.
    model = replace(model, y=model.y - deviations(model, at)[:, None])
    model = piecewise(x, periods, autocorrelation(_residuals(x, periods, model, at), len(x)))
    return replace(model, y=model.y - deviations(model, at)[:, None])


def _without_outliers(x: Floats, periods: list[float]) -> Floats:
    rest = piecewise(x, periods, 0.0).y[:, -1]
    off = rest - _rolling_median(rest, 7, "odd")
    # The median of seven is one of them: a distance of 0 a time in seven, hence 1.1.
    scale = 1.1 * 1.4826 * _rolling_median(np.abs(off), 51, "even")
    most = _OUTLIER * np.maximum(scale, 0.3 * np.mean(np.abs(off)) + 1e-12)
    return np.asarray(x - off + np.clip(off, -most, most))


def _rolling_median(x: Floats, length: int, mirror: Literal["even", "odd"]) -> Floats:
    """Return the median around each value; the ends are mirrored, for a trend at a point."""
    length = min(length, (len(x) - 1) | 1)
    padded = np.pad(x, length // 2, mode="reflect", reflect_type=mirror)
    around = np.lib.stride_tricks.sliding_window_view(padded, length)
    return np.asarray(np.median(around, axis=1))


def _residuals(
    x: Floats, periods: list[float], model: Piecewise, at: Places
) -> Iterator[tuple[Floats, Floats]]:
    """Yield what the models of the stretches between `at` leave of x, and their columns."""
    plain = piecewise(x, periods, 0.0)
    for stretch, group, parameters, less in model.chosen(at):
        white, y = model.groups[group][stretch, :parameters], model.y[stretch, less]
        columns = plain.groups[group][stretch, :parameters]
        values = plain.y[stretch, less]
        e = values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
        if np.max(np.abs(e)) > ROUNDING:  # else there is no noise
            e = values - columns @ np.linalg.lstsq(white, y, rcond=None)[0]
        yield e, columns


def _blocks(x: Floats, periods: list[float]) -> Iterator[tuple[Floats, Floats]]:
    """Yield what is left of some stretches beside what is slow or seasonal, and its columns."""
    size = max(len(x) // 8, 40, int(2 * max(periods, default=0.0)))
    edges = np.linspace(0, len(x), max(len(x) // size, 1) + 1).astype(np.int64)
    for a, b in pairwise(edges):
        m = int(b - a)
        columns = [np.ones((m, 1)), np.linspace(-1, 1, m)[:, None]]
        columns += [waves(m, period) for period in periods if m > 1.5 * period + 12]
        together = np.column_stack(columns)
        weights = np.linalg.lstsq(together, x[a:b], rcond=None)[0]
        yield x[a:b] - together @ weights, together


def _partition(model: Piecewise, window: int) -> Places:
    """Return the cheapest edges, 0 and n among them, at least `window` apart."""
    step = -(-model.n // CELLS)
    edges = np.append(np.arange(0, model.n - step + 1, step), model.n)
    first, end = np.triu_indices(len(edges), 1)
    long = edges[end] - edges[first] >= window
    first, end = first[long], end[long]
    cost = np.full((len(edges), len(edges)), np.inf)
    cost[first, end] = model.fit(edges[first], edges[end]).cost + model.price(CUT)
    total = np.full(len(edges), np.inf)
    total[0] = 0.0
    before = np.zeros(len(edges), np.int64)
    for k in range(1, len(edges)):
        ways = total[:k] + cost[:k, k]
        before[k] = np.argmin(ways)
        total[k] = ways[before[k]]
    at = [len(edges) - 1]
    while at[-1] > 0:
        at.append(int(before[at[-1]]))
    return np.asarray(edges[at[::-1]])


def _proven(model: Piecewise, at: Places, window: int) -> Places:
    """Return the edges at their best places, less those that do not pay."""
    least = PROOF[0] + PROOF[1] * float(np.log(model.n))
    known: dict[tuple[int, int], tuple[int, float]] = {}

    def best(k: int) -> tuple[int, float]:
        between = (edges[k - 1], edges[k + 1])
        if between not in known:
            known[between] = _best_place(model, *between, window)
        return known[between]

    edges = [int(each) for each in at]
    moves = 0
    while len(edges) > 2:
        inner = range(1, len(edges) - 1)
        weakest = min(inner, key=lambda k: best(k)[1])
        # First what does not pay goes: a true change would give way to a wrong one beside it.
        if best(weakest)[1] < least:
            del edges[weakest]
            continue
        misplaced = next((k for k in inner if best(k)[0] != edges[k]), 0)
        if not misplaced or moves == _MOVES * len(edges):
            break
        edges[misplaced] = best(misplaced)[0]
        moves += 1
    return np.array(edges)


def _best_place(model: Piecewise, a: int, b: int, window: int) -> tuple[int, float]:
    """Return where between a and b a change gains most, and what it gains."""
    low, high = a + window, b - window
    places = np.unique(np.linspace(low, high, 65).astype(np.int64))
    gains = _gains(model, a, places, b)
    step = int(np.max(np.diff(places), initial=1))
    while step > 1:
        middle = int(places[np.argmax(gains)])
        near = np.linspace(max(low, middle - step), min(high, middle + step), 33)
        places = np.unique(near.astype(np.int64))
        gains = _gains(model, a, places, b)
        step //= 16
    return _simpler(model, a, b, window, int(places[np.argmax(gains)]), float(gains.max()))


def _gains(model: Piecewise, a: int, places: Places, b: int) -> Floats:
    """Return what a change at each of `places` makes [a, b) cheaper by."""
    k = len(places)
    whole = model.fit(np.array([a]), np.array([b]))
    sides = model.fit(np.append(np.full(k, a), places), np.append(places, np.full(k, b)))
    apart = sides.length * np.log(sides.variance)
    together = (sides.length * sides.variance).reshape(2, k).sum(axis=0) / (b - a)
    spread = (b - a) * np.log(together) - apart[:k] - apart[k:]
    gain = whole.cost[0] - sides.cost[:k] - sides.cost[k:] - (1 - SPREAD) * spread
    return np.asarray(gain)


def _simpler(
    model: Piecewise, a: int, b: int, window: int, at: int, gain: float
) -> tuple[int, float]:
    """Return place and gain of a bend without a step, or a step between parallels, if no worse.

    Two lines fit a bend at many places about as well; with one parameter less it has one.
    """
    sides = model.fit(np.array([a, a, at]), np.array([b, at, b]))
    longer = 1 if at - a >= b - at else 2
    less = int(sides.less[longer]) if sides.group[longer] == 0 else model.y.shape[1] - 1
    stepped = float(sides.cost[0] - sides.cost[1] - sides.cost[2])
    slack = 2.0
    t = np.arange(a, b, dtype=np.float64)[:, None]
    for bend in (True, False):
        low, high = a + window, b - window
        while True:
            step = max(1, (high - low) // 32)
            places = np.arange(low, high + 1, step)
            tried = np.maximum(t - places, 0.0) if bend else (t >= places).astype(np.float64)
            left = model.left(np.array([a, b]), tried, less)
            best = int(places[np.argmin(left)])
            if step == 1:
                break
            low, high = max(low, best - step), min(high, best + step)
        variance = (float(left.min()) + PRIOR * model.noise) / (b - a - 3 + PRIOR)
        found = float(sides.cost[0]) - (b - a) * float(np.log(variance)) - model.price(3)
        if found > (stepped - slack if bend else gain + slack):
            at, gain = best, max(found, gain)
    return at, gain


def _explained(model: Piecewise, a: int, at: int, b: int) -> float:
    """Return the generalised R2 of a change, over all between its neighbours or evenly around it.

    1 - exp(-D / m), D the deviance and m the points (Cox and Snell 1989, Magee 1990).
    """
    reach = min(at - a, b - at)
    share = 0.0
    for low, high in ((a, b), (at - reach, at + reach)):
        fit = model.fit(np.array([low, low, at]), np.array([high, at, high]))
        logs = fit.length * np.log(fit.variance)
        share = max(share, 1 - float(np.exp((logs[1] + logs[2] - logs[0]) / (high - low))))
    return min(share, 1 - 1e-9)
