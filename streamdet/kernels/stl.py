"""Seasonal-trend decomposition by loess, with a season that is nearly the same in each cycle.

    seasonal    of each phase a loess of degree 0 over all its cycles, drawn on by one at both ends
    low pass    of that, moving averages of a period, a period and 3, then loess: no season's part
    season      seasonal - low pass
    trend       loess of values - season, degree 1
    weights     (1 - (r / 6 median r)^2)^2 of the remainder's size r, for the next round

Loess is computed at every tenth of its window and lines are drawn between.

Source: Cleveland, Cleveland, McRae, Terpenning (1990), with the lengths, jumps and rounds that R's
`stl(s.window = "periodic", robust = TRUE)` takes, less its last step: seasons are not averaged.
statsmodels computes the same; this takes a fraction of its time, and a request makes several.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import allocating, kernel

_ROUNDS = 15


@kernel
def _loess_at(values, begin, count, window, degree, at, left, right, weights, weighted, spare):
    """Return the local fit at `at` from values `left` to `right`; NaN where none has a weight.

    values, weights : float64[]   `count` values from `begin` on; positions count from 0
    spare : float64[>= count]     scratch
    """
    bandwidth = max(at - left, right - at)
    if window > count:
        bandwidth += (window - count) // 2
    total = 0.0
    for j in range(left, right + 1):
        distance = abs(j - at)
        weight = 0.0
        if distance <= 0.999 * bandwidth:
            if distance <= 0.001 * bandwidth:
                weight = 1.0
            else:
                share = distance / bandwidth
                tricube = 1.0 - share * share * share
                weight = tricube * tricube * tricube
            if weighted:
                weight *= weights[begin + j]
        spare[j] = weight
        total += weight
    if total <= 0.0:
        return np.nan
    mean = 0.0
    fitted = 0.0
    for j in range(left, right + 1):
        spare[j] /= total
        mean += spare[j] * j
        fitted += spare[j] * values[begin + j]
    if degree == 0 or bandwidth <= 0:
        return fitted
    spread = 0.0
    for j in range(left, right + 1):
        spread += spare[j] * (j - mean) * (j - mean)
    if np.sqrt(spread) <= 0.001 * (count - 1):
        return fitted
    slope = (at - mean) / spread
    for j in range(left, right + 1):
        fitted += spare[j] * slope * (j - mean) * values[begin + j]
    return fitted


@kernel
def _loess(values, begin, count, window, degree, weights, weighted, out, out_begin, spare):
    """Smooth `count` values from `begin` on into `out`, from `out_begin` on."""
    if count < 2:
        out[out_begin] = values[begin]
        return
    jump = min((window + 9) // 10, count - 1)
    half = (window + 1) // 2
    left = 0
    right = min(window, count) - 1
    last = -1
    at = 0
    while True:
        if window < count:
            if at + 1 < half:
                left, right = 0, window - 1
            elif at + 1 >= count - half + 1:
                left, right = count - window, count - 1
            else:
                left, right = at + 1 - half, window + at - half
        fit = _loess_at(
            values, begin, count, window, degree, float(at), left, right, weights, weighted, spare
        )
        out[out_begin + at] = values[begin + at] if np.isnan(fit) else fit
        if last >= 0 and at - last > 1:
            first = out[out_begin + last]
            slope = (out[out_begin + at] - first) / (at - last)
            for j in range(last + 1, at):
                out[out_begin + j] = first + slope * (j - last)
        if at == count - 1:
            return
        last = at
        at = min(at + jump, count - 1)


@kernel
def _seasonal(values, period, weights, weighted, seasonal, phase_values, phase_weights, fit, spare):
    """Smooth each phase over its cycles; `seasonal` begins a period early and ends one late."""
    count = len(values)
    window = 10 * count + 1
    for phase in range(period):
        cycles = (count - phase - 1) // period + 1
        for k in range(cycles):
            phase_values[k] = values[k * period + phase]
            phase_weights[k] = weights[k * period + phase]
        _loess(phase_values, 0, cycles, window, 0, phase_weights, weighted, fit, 1, spare)
        before = _loess_at(
            phase_values, 0, cycles, window, 0, -1.0, 0, cycles - 1, phase_weights, weighted, spare
        )
        after = _loess_at(
            phase_values, 0, cycles, window, 0, float(cycles), 0, cycles - 1, phase_weights,
            weighted, spare,
        )  # fmt: skip
        fit[0] = fit[1] if np.isnan(before) else before
        fit[cycles + 1] = fit[cycles] if np.isnan(after) else after
        for k in range(cycles + 2):
            seasonal[k * period + phase] = fit[k]


@kernel
def _moving_average(values, count, length, out):
    """Write the means of `length` values each; returns how many there are."""
    total = 0.0
    for j in range(length):
        total += values[j]
    out[0] = total / length
    for j in range(1, count - length + 1):
        total += values[j + length - 1] - values[j - 1]
        out[j] = total / length
    return count - length + 1


@allocating
def _robust_weights(sizes, weights):
    """Write bisquare weights for remainders of these sizes."""
    ordered = np.sort(sizes)
    count = len(sizes)
    limit = 3.0 * (ordered[count // 2] + ordered[count - count // 2 - 1])
    for j in range(count):
        size = sizes[j]
        if size <= 0.001 * limit:
            weights[j] = 1.0
        elif size <= 0.999 * limit:
            share = size / limit
            weights[j] = (1.0 - share * share) ** 2
        else:
            weights[j] = 0.0


@allocating
def stl(values, period):
    """Return trend and season of `values`.

    values : float64[n]   n > 2 x period
    period : int          >= 2
    """
    count = len(values)
    long = 1.5 * period / (1.0 - 1.5 / (10 * count + 1))
    trend_window = int(np.ceil(long)) // 2 * 2 + 1
    low_window = period // 2 * 2 + 1
    trend = np.zeros(count)
    season = np.zeros(count)
    weights = np.ones(count)
    seasonal = np.empty(count + 2 * period)
    first = np.empty(count + 2 * period)
    second = np.empty(count + 2 * period)
    work = np.empty(count)
    spare = np.empty(count + 2 * period)
    phase_values = np.empty(count)
    phase_weights = np.empty(count)
    fit = np.empty(count + 2)
    for turn in range(_ROUNDS + 1):
        weighted = turn > 0
        for j in range(count):
            work[j] = values[j] - trend[j]
        _seasonal(
            work, period, weights, weighted, seasonal, phase_values, phase_weights, fit, spare
        )
        length = _moving_average(seasonal, count + 2 * period, period, first)
        length = _moving_average(first, length, period, second)
        _moving_average(second, length, 3, first)
        _loess(first, 0, count, low_window, 1, weights, False, second, 0, spare)
        for j in range(count):
            season[j] = seasonal[period + j] - second[j]
            work[j] = values[j] - season[j]
        _loess(work, 0, count, trend_window, 1, weights, weighted, trend, 0, spare)
        if turn < _ROUNDS:
            for j in range(count):
                work[j] = abs(values[j] - trend[j] - season[j])
            _robust_weights(work, weights)
    return trend, season
