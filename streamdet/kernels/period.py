"""The period of a series, found in its newest values: a day in minutes, a week in hours, or none.

    settle   line out, scale 1, clipped at 4 robust standard deviations
    levels   the values, their means in pairs, in fours, ...: each level sees one octave of periods
    search   each level is whitened, x_t - phi x_(t-1); where its autocorrelation has a peak that
             chance does not make, its lag is a candidate
    choose   candidates are judged on the values less their moving mean over a period: how much of
             the variance comes again after one, two, ... periods
    refine   multiples and divisors are told apart, and the lag is found to the point

Source: peaks of the autocorrelation, as everybody does; significance after Bartlett (1946).
Deviations, each for a reason: on the values themselves a random walk, a shift or any slow noise
has high peaks, so no threshold serves; whitened, noise of any colour has none above a few
1 / sqrt(n). Whitening buries a smooth pattern in noise, pair means bring it out: hence the levels.
One fast Fourier transform would cost as much, and see no spikes of one point in a day.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.period_search import (
    CYCLES_MIN,
    LAGS,
    LEVEL_MIN,
    PERIOD_MIN,
    accumulate,
    correlation,
    less_mean,
    search,
    settle,
    smooth_out,
)

_WEAK = 0.2  # of the most significant candidate: not worth judging
_CANDIDATES = 16
_REPEATS = 6  # periods ahead that a candidate is judged by
_REPEATS_MIN = 0.1  # correlation
_NEARLY_BEST = 0.85  # of the best candidate's variance: then the shortest is taken
_WORTH = 0.3  # of the best candidate's variance: then its correlation counts
_STRONG = 0.5  # of the highest correlation: less is a part of a pattern
_FINE = 96.0  # lags: a period is judged at the first level where it is shorter
_ALIKE = 0.03  # two correlations that differ less are the same
_UNSURE = 2.5  # standard errors, likewise
_DAYS = 7
_VOTE_REACH = 3  # points in a row without a better one
_RESULT = 16  # floats of scratch behind the rest
_PERIOD, _VARIANCE, _COUNT, _STRENGTH = 0, _REPEATS + 1, _REPEATS + 2, _REPEATS + 3


@kernel
def scratch_points(n):
    """Return the length of `find_period`'s scratch for up to n values."""
    return 4 * n + 2 * (LAGS + 2) + 3 * _CANDIDATES + _RESULT


@kernel
def find_period(values, scratch):
    """Find the period of evenly spaced values.

    Parameters
    ----------
    values : float32[n]     newest last; NaN or infinite: missing
    scratch : float32[m]    m >= scratch_points(n); overwritten

    Returns
    -------
    period : int            points, 4 to n // 3; 0: none
    strength : float        0 to 1: mean correlation of the values, smoothed over an eighth of a
                            period and less their moving mean, with those some periods on

    Notes
    -----
    Nothing is allocated. For 1440 values some 50 us without a period, and 80 to 210 us with one,
    where the candidates are judged; 120 and up to 310 us for 8640.
    None when less than half of the values are there.
    """
    n = len(values)
    if n < CYCLES_MIN * PERIOD_MIN:
        return 0, 0.0
    levels, y, spare, rest = scratch[: 2 * n], scratch[2 * n : 3 * n], scratch[3 * n : 4 * n], 4 * n
    acf = scratch[rest : rest + 2 * (LAGS + 2)]
    rest += 2 * (LAGS + 2)
    lag, z = scratch[rest : rest + _CANDIDATES], scratch[rest + _CANDIDATES :][:_CANDIDATES]
    rest += 2 * _CANDIDATES
    result = scratch[rest : rest + _RESULT + _CANDIDATES]
    if not settle(values, levels[:n], y):
        return 0, 0.0
    found = search(levels, n, y, spare, acf, lag, z)
    period = _choose(levels, n, y, spare, result, lag[:found], z[:found])
    if period == 0.0:
        return 0, 0.0
    for _ in range(_CANDIDATES):  # a bound; each turn goes to a divisor or a multiple
        factor = _factor(levels, n, period, y, spare)
        if factor == 1.0:
            break
        period *= factor
    _judge(levels, n, period, 0.03, y, spare, result)
    period, strength = result[_PERIOD], result[_STRENGTH]
    smooth_period, smooth_strength = _smooth_peak(levels, n, period, y, spare)
    if smooth_strength >= strength:
        period, strength = smooth_period, smooth_strength
    newest = min(n, max(384, int(8 * period)))
    whole = _vote(levels[n - newest : n], period, n // CYCLES_MIN, y, spare)
    return whole, min(max(float(strength), 0.0), 1.0)


@kernel
def _level(n, period, fine):
    """Return (start, length, points a value) of the level where the period is below `fine`."""
    at, size, width = 0, n, 1
    while period / width >= fine and size // 2 >= LEVEL_MIN:
        at += size
        size //= 2
        width *= 2
    return at, size, width


@kernel
def _climb(y, energy, lag, reach, step, stride):
    """Return place and height of the peak near `lag`: uphill, with ever smaller steps."""
    best = first = int(lag + 0.5)
    height = correlation(y, energy, best, stride)
    step = max(step, 1)
    while step >= 1:
        moved = False
        for to in (best - step, best + step):
            if abs(to - first) <= reach and to >= CYCLES_MIN:
                value = correlation(y, energy, to, stride)
                if value > height:
                    best, height, moved = to, value, True
        if not moved:
            step //= 2
    before = correlation(y, energy, best - 1, stride)
    after = correlation(y, energy, best + 1, stride)
    bend = before - 2.0 * height + after
    if bend < 0.0 and before <= height and after <= height:
        shift = 0.5 * (before - after) / bend
        return best + shift, height - 0.25 * (before - after) * shift
    return float(best), height


@kernel
def _judge(levels, n, period, reach, y, energy, result):
    """Measure how a candidate repeats, and where it is exactly.

    period : float      points
    reach : float       how far it may be off, as a share of it
    result : float32[]  out: period found, correlations after 1.._REPEATS periods, the variance
                        that comes again, how many correlations, their mean
    """
    at, size, width = _level(n, period, _FINE)
    lag = period / width
    m = min(size, max(384, int(12 * lag)))
    y, energy = y[:m], energy[:m]
    less_mean(levels[at + size - m : at + size], energy, int(lag))
    smooth = max(1, int(lag / 8)) | 1
    smooth_out(energy, y, smooth)
    accumulate(y, energy)
    stride = max(1, smooth // 3)
    total = 0.0
    count = 0
    while count < _REPEATS and (count == 0 or (count + 1) * lag <= 0.7 * m):
        count += 1
        share = reach if count == 1 else 0.5 * reach
        off = max(1 if count == 1 else 2, int(share * lag + 0.5))
        peak, height = _climb(y, energy, count * lag, off, int(lag / (16 * min(count, 2))), stride)
        lag += (peak / count - lag) * (1.0 if count == 1 else 0.7)
        height = min(height, 1.0)  # with strides it may come out above
        result[count] = height
        total += height
    result[_PERIOD] = lag * width
    result[_VARIANCE] = total / count * energy[m - 1] / m
    result[_COUNT] = count
    result[_STRENGTH] = total / count


@kernel
def _choose(levels, n, y, spare, result, lag, z):
    """Return the shortest candidate that is nearly the best, 0 when none repeats; changes both.

    A seventh of it goes first: where weekends differ, a week explains more than a day, but it is
    the day that the caller asks for, who then tries seven of them.
    """
    significant = best = strongest = 0.0
    strength = result[_RESULT:]
    strength[:] = 0.0
    for _ in range(len(lag)):
        j = int(np.argmax(z))
        if z[j] < _WEAK * significant or z[j] <= 0.0:
            break
        significant = max(significant, z[j])
        z[j] = -_variance(levels, n, y, spare, result, lag, z, j)
        strength[j] = result[_STRENGTH]
        best = max(best, -z[j])
    for j in range(len(lag)):
        if -z[j] > _WORTH * best:
            strongest = max(strongest, strength[j])
    best = 0.0
    for j in range(len(lag)):
        if strength[j] >= _STRONG * strongest:
            best = max(best, -z[j])
    period = 0.0
    for j in range(len(lag)):
        nearly = -z[j] >= _NEARLY_BEST * best and strength[j] >= _STRONG * strongest
        if z[j] < 0.0 and nearly and (period == 0.0 or lag[j] < period):
            period = lag[j]
    for j in range(len(lag)):
        if z[j] < 0.0 and abs(_DAYS * lag[j] - period) < 0.2 * lag[j]:
            return float(lag[j])
    return float(period)


@kernel
def _variance(levels, n, y, spare, result, lag, z, j):
    """Return the variance that candidate j explains, 0 when it does not repeat; changes lag[j].

    A small multiple of one that does repeat need not be judged: `_factor` will look at it. A
    large one may be a day that has a little something every half hour.
    """
    for k in range(len(lag)):
        times = lag[j] / lag[k]
        if (
            z[k] < 0.0
            and 1.5 < times < _REPEATS + 0.5
            and abs(times - int(times + 0.5)) < 0.04 * times
        ):
            return 0.0
    _judge(levels, n, lag[j], 0.12, y, spare, result)
    lag[j] = result[_PERIOD]
    fades = result[_COUNT] >= 2 and result[2] < 0.3 * result[1]
    fits = PERIOD_MIN - 0.5 <= lag[j] < n // CYCLES_MIN + 0.5 * max(1.0, 0.02 * lag[j])
    return result[_VARIANCE] if fits and not fades and result[1] >= _REPEATS_MIN else 0.0


@kernel
def _contrast(y, energy, lag, factor, times, stride):
    """Return the mean correlation at `factor`-fold multiples of lag, at others, and how many."""
    far = min(0.72 * len(y), times * lag + 0.5)
    fold = rest = 0.0
    n_fold = n_rest = 0
    k = 1
    while k * lag <= far:
        value = correlation(y, energy, int(k * lag + 0.5), stride)
        if k % factor == 0:
            fold += value
            n_fold += 1
        else:
            rest += value
            n_rest += 1
        k += 1
    if n_fold == 0 or n_rest == 0:
        return 0.0, 0.0, 1
    return fold / n_fold, rest / n_rest, n_fold


@kernel
def _factor(levels, n, period, y, energy):
    """Return what `period` is to be multiplied with: 1, 2 or 3, or one over 2, 3 or 5.

    With the period at p, values are as alike after p as after 2 p; with the period at 2 p, where
    two halves differ, they are less alike after p, 3 p, 5 p than after 2 p, 4 p, 6 p.
    """
    at, size, width = _level(n, period, _FINE)
    lag = period / width
    m = min(size, max(384, int(12 * lag)))
    y, energy = y[:m], energy[:m]
    less_mean(levels[at + size - m : at + size], energy, int(lag))
    smooth = max(1, int(lag / 16)) | 1
    smooth_out(energy, y, smooth)
    accumulate(y, energy)
    stride = max(1, smooth // 3)
    for factor in (2, 3, 5):
        if period / factor < PERIOD_MIN - 0.4:
            break
        fold, rest, count = _contrast(y, energy, lag / factor, factor, 3 * factor, stride)
        error = (1.0 - min(fold * fold, 1.0)) / math.sqrt(count * m / smooth)
        if fold - rest < min(_ALIKE * fold + _UNSURE * error, 0.35 * fold):
            return 1.0 / factor
    for factor in (2, 3):
        if factor * period > n // CYCLES_MIN + 0.5:
            break
        fold, rest, count = _contrast(y, energy, lag, factor, 4 * factor, stride)
        error = (1.0 - min(fold * fold, 1.0)) / math.sqrt(count * m / smooth)
        if fold - rest > max(_ALIKE * fold + _UNSURE * error, 0.0):
            return float(factor)
    return 1.0


@kernel
def _smooth_peak(levels, n, period, y, energy):
    """Return period and strength by the middle of broad peaks at the multiples.

    That tells most of a smooth pattern in noise, and nothing of a pattern of spikes, which so
    much smoothing hides: then the strength is low.
    """
    at, size, width = _level(n, period, _FINE)
    lag = period / width
    m = _whole(min(size, max(384, int(12 * lag))), lag)
    x, y_, energy_ = levels[at + size - m : at + size], y[:m], energy[:m]
    less_mean(x, energy_, int(lag))
    smooth_out(energy_, y_, max(1, int(0.25 * lag)) | 1)
    accumulate(y_, energy_)
    side = max(1, int(lag / 6))
    stride = max(1, int(lag / 12))
    strength = product = square = 0.0
    k = 1
    while k <= _REPEATS and (k == 1 or k * lag + side <= 0.75 * m):
        peak = k * lag
        for _ in range(2):
            middle = int(peak + 0.5)
            before = correlation(y_, energy_, middle - side, stride)
            height = correlation(y_, energy_, middle, stride)
            after = correlation(y_, energy_, middle + side, stride)
            bend = before - 2.0 * height + after
            if bend < 0.0:
                shift = 0.5 * side * (before - after) / bend
                peak = middle + min(max(shift, -0.5 * side), 0.5 * side)
        strength += height
        product += k * peak
        square += k * k
        lag = product / square
        k += 1
    return product / square * width, strength / (k - 1)


@kernel
def _whole(n, period):
    """Return how many of the newest values are whole periods: a rest would pull peaks its way."""
    return min(n, int(int(n / period + 0.1) * period + 0.5))


@kernel
def _vote(x, period, longest, y, energy):
    """Return the whole number near `period` whose multiples repeat best; it, unless clearly so."""
    n = _whole(len(x), period)
    y, energy = y[:n], energy[:n]
    less_mean(x[len(x) - n :], y, int(period))
    accumulate(y, energy)
    first = best = min(max(int(period + 0.5), PERIOD_MIN), longest)
    multiples = min(max(int(0.7 * n / period), 1), 4)
    most = at_first = _repeats(y, energy, first, multiples)
    for side in (-1, 1):
        lag, worse = first + side, 0
        while worse < _VOTE_REACH and PERIOD_MIN <= lag <= longest:
            value = _repeats(y, energy, lag, multiples)
            worse += 1
            if value > most:
                most, best, worse = value, lag, 0
            lag += side
    error = (1.0 - min(most, 1.0)) / math.sqrt(n)
    return best if most - at_first > _UNSURE * error else first


@kernel
def _repeats(y, energy, lag, multiples):
    """Return the correlation at the last two of so many multiples of `lag`."""
    first = max(multiples - 1, 1)
    total = 0.0
    for k in range(first, multiples + 1):
        total += correlation(y, energy, k * lag, 1)
    return total / (multiples + 1 - first)
