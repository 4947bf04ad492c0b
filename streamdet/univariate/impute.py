"""Values for the slots of the grid that have none.

Source: systems.md 3.7.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from streamdet.univariate.request import ImputeMode

_SPLINE_SLOTS = 6  # the longest gap that a spline is trusted with
_CYCLES = 3
_CYCLE_WEIGHTS = np.array([0.1, 0.3, 0.6])


def spread(values: NDArray[np.float64], slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a value a slot, NaN where there is none."""
    spread_out = np.full(int(slots[-1]) + 1, np.nan)
    spread_out[slots] = values
    return spread_out


def previous(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` with each NaN replaced by the value before it; the first is none."""
    last_known = np.where(np.isnan(values), 0, np.arange(len(values)))
    return values[np.maximum.accumulate(last_known)]


def linear(values: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return `values` with those that are `missing` on lines between their neighbours."""
    if not missing.any() or missing.all():
        return values.copy()
    at = np.arange(len(values))
    filled = values.copy()
    filled[missing] = np.interp(at[missing], at[~missing], values[~missing])
    return filled


def impute(
    values: NDArray[np.float64], period: int, mode: ImputeMode, fixed: float
) -> NDArray[np.float64]:
    """Return `values` with each NaN replaced as `mode` says.

    Parameters
    ----------
    values : float64[n]   the first and the last are known
    period : in slots
    mode : not notFill, which leaves the slots out; auto only with a season
    fixed : the value of mode `fixed`
    """
    missing = np.isnan(values)
    if mode == "previous":
        return previous(values)
    if mode in {"fixed", "zero"}:
        return np.where(missing, fixed if mode == "fixed" else 0.0, values)
    if mode == "linear":
        return linear(values, missing)
    return _seasonal(values, period)


def _seasonal(values: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """Fill short gaps by a spline, longer ones by the same phase of the cycles around."""
    filled = values.copy()
    known = np.flatnonzero(~np.isnan(values))
    short = min(_SPLINE_SLOTS, period / 4)
    spline = None
    for left, right in pairwise(known.tolist()):
        length = right - left - 1
        if length == 0:
            continue
        gap = slice(left + 1, right)
        if length <= short:
            if spline is None:
                spline = CubicSpline(known, values[known])
            filled[gap] = _between(spline(np.arange(left, right + 1)), values, known, left, right)
        else:
            filled[gap] = [_of_cycles(values, slot, period) for slot in range(left + 1, right)]
    return linear(filled, np.isnan(filled))


def _between(
    curve: NDArray[np.float64],
    values: NDArray[np.float64],
    known: NDArray[np.int64],
    left: int,
    right: int,
) -> NDArray[np.float64]:
    """Return the curve in the gap; a line where it leaves the range of rising or falling ones."""
    inner = curve[1:-1]
    around = values[max(left - 1, 0) : right + 2]
    around = around[~np.isnan(around)]
    steps = np.diff(around)
    monotone = bool((steps >= 0).all() or (steps <= 0).all())
    if monotone and (inner.min() < around.min() or inner.max() > around.max()):
        return np.linspace(values[left], values[right], right - left + 1)[1:-1]
    return np.clip(inner, values[known].min(), values[known].max())


def _of_cycles(values: NDArray[np.float64], slot: int, period: int) -> float:
    """Return the weighted mean of the values of a slot's phase in the cycles before and after."""
    back = slot - period * np.arange(_CYCLES, 0, -1)
    ahead = slot + period * np.arange(1, _CYCLES + 1)
    at = np.concatenate([back, ahead])
    weights = np.concatenate([_CYCLE_WEIGHTS, _CYCLE_WEIGHTS[::-1]])
    inside = (at >= 0) & (at < len(values))
    at, weights = at[inside], weights[inside]
    known = ~np.isnan(values[at])
    if not known.any():
        return float("nan")
    return float(np.average(values[at[known]], weights=weights[known]))
