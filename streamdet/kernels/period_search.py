"""Where the period of a series may be: the lags at which it repeats more than chance makes it.

The values are settled (less a line, scale 1, clipped), and halved to means of pairs, of fours, and
so on. Each level is whitened, x_t - phi x_(t-1), and its autocorrelation searched for peaks.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel

PERIOD_MIN = 4  # points
CYCLES_MIN = 3  # whole periods among the values
LEVEL_MIN = 18  # points
_CLIP = 4.0  # robust standard deviations: what a value may count
_CLIP_AGAIN = 3.5  # what is left of it, less the mean or whitened
_SAMPLE = 63  # values that the median is taken from
_LINE_SAMPLE = 256  # and the line
_RUN_SHARE = (0.01, 0.25)  # of the values: so long stuck on one that comes nowhere else is no value
_RESOLUTION = 1e-6  # of the range: what float32 leaves of a line is no pattern
_LAG_MAX = 62  # the autocorrelation has its candidates up to here, at each level
_LAG_MIN = 6  # shorter ones are seen at the level below
LAGS = 96  # 1.5 times as far: a peak is held against the mean over a whole period around it
_NEWEST = 1024  # points of a level that are searched
_SIGNIFICANT = 4.3  # standard errors; some hundred lags are looked at
_NOTHING = 1e-5  # variance of a whitened level, where that of the values is about 1


@kernel
def settle(values, x, spare):
    """Write to x the values less a robust line, in standard deviations, clipped; NaN: missing."""
    n = len(values)
    count = 0
    first = top = 0.0
    for i in range(n):
        value = float(values[i])
        if math.isfinite(value):
            if count == 0:
                first = value
            count += 1
            top = max(top, abs(value - first))
    if 2 * count < n or top == 0.0:
        return False
    for i in range(n):
        value = float(values[i])
        x[i] = (value - first) / top if math.isfinite(value) else math.nan
    _drop_stuck(x)
    level, slope = _line(x, spare)
    m = 0
    for i in range(n):
        if not math.isnan(x[i]):
            x[i] -= np.float32(level + slope * (i * (1.0 / n) - 0.5))
            spare[m] = x[i]
            m += 1
    spread = _spread(spare, m)
    if spread < _RESOLUTION:
        return False
    unit = np.float32(1.0 / spread)
    clip = np.float32(_CLIP)
    for i in range(n):
        if not math.isnan(x[i]):
            x[i] = min(max(x[i] * unit, -clip), clip)
    return True


@kernel
def _drop_stuck(x):
    """Make the longest run of one value missing when that comes nowhere else; return how many.

    An outage that reads as a constant; a quiet night has others like it.
    """
    n = len(x)
    best = run = 1
    end = 0
    for i in range(1, n):
        run = run + 1 if x[i] == x[i - 1] else 1
        if run > best:
            best, end = run, i
    if best < max(_RUN_SHARE[0] * n, 4.0) or best > _RUN_SHARE[1] * n:
        return 0
    stuck = x[end]
    elsewhere = -best
    for i in range(n):
        elsewhere += x[i] == stuck
    if 10 * elsewhere > best:
        return 0
    for i in range(end - best + 1, end + 1):
        x[i] = math.nan
    return best


@kernel
def _median(x, sample):
    """Return the median of some of x, sorted in `sample`."""
    n = len(x)
    m = 0
    for k in range(_SAMPLE):
        value = x[k * n // _SAMPLE]
        if math.isnan(value):
            continue
        at = m
        while at > 0 and sample[at - 1] > value:
            sample[at] = sample[at - 1]
            at -= 1
        sample[at] = value
        m += 1
    return float(sample[m // 2]) if m > 0 else 0.0


@kernel
def _line(x, spare):
    """Return level (in the middle) and rise over the whole of a line through most of x."""
    n = len(x)
    level, slope = _median(x, spare), 0.0
    stride = max(n // _LINE_SAMPLE, 1)
    m = 0
    for i in range(0, n, stride):
        if not math.isnan(x[i]):
            spare[m] = x[i] - level
            m += 1
    spread = _spread(spare, m)
    for _ in range(3):
        sum_x = sum_xt = sum_t = sum_tt = 0.0
        for i in range(0, n, stride):
            if not math.isnan(x[i]):
                t = i * (1.0 / n) - 0.5
                d = x[i] - level - slope * t
                d = min(max(d, -3.0 * spread), 3.0 * spread)
                sum_x += d
                sum_xt += d * t
                sum_t += t
                sum_tt += t * t
        det = m * sum_tt - sum_t * sum_t
        if det <= 0.0:
            break
        rise = (m * sum_xt - sum_t * sum_x) / det
        level += (sum_x - rise * sum_t) / m
        slope += rise
    return level, slope


@kernel
def _spread(y, n):
    """Return a robust standard deviation of y[:n] around 0: the mean |y|, clipped again and again.

    A median would need a sort. Not below a twentieth of the plain one: a lone spike on a constant
    has a spread.
    """
    spread = math.inf
    floor = 0.0
    for turn in range(3):
        top = np.float32(min(3.0 * spread, 3e38))
        a = b = c = d = np.float32(0.0)
        for i in range(0, n - 3, 4):  # four sums, since one waits for itself
            a += min(abs(y[i]), top)
            b += min(abs(y[i + 1]), top)
            c += min(abs(y[i + 2]), top)
            d += min(abs(y[i + 3]), top)
        total = float(a) + b + c + d
        for i in range(n // 4 * 4, n):
            total += min(abs(y[i]), top)
        spread = 1.2533 * total / n
        if turn == 0:
            floor = 0.05 * spread
    return max(spread, floor)


@kernel
def search(levels, n, y, spare, acf, lag, z):
    """Note lags (points) and significance of what may be periods; return how many."""
    at, size, width, found = 0, n, 1, 0
    sums = acf[LAGS + 2 :]
    while size >= LEVEL_MIN or width == 1:
        last = min(_LAG_MAX, size // CYCLES_MIN)
        m = min(size, _NEWEST)
        _whiten(levels[at + size - m : at + size], spare[:m])
        less_mean(spare[:m], y[:m], 2 * last)
        far = min(last + last // 2 + 1, m // 2, LAGS)
        _autocorrelate(y[:m], far, acf)
        if acf[0] < _NOTHING:
            last = 0  # rounding errors repeat too
        sums[0] = 0.0
        for k in range(far + 1):
            sums[k + 1] = sums[k] + acf[k]
        # Differences of white noise are not white: Bartlett's variance with the first lag alone
        # where that is negative. Where it is positive a pattern may be smooth.
        rho = min(acf[1] / acf[0], 0.0) if acf[0] > 0.0 else 0.0
        unit = acf[0] * math.sqrt(1.0 + 2.0 * rho * rho)
        for k in range(PERIOD_MIN if width == 1 else _LAG_MIN, last + 1):
            if acf[k] < acf[k - 1] or acf[k] < acf[k + 1]:
                continue
            begin, end = k - k // 2, min(k + k // 2, far) + 1
            above = acf[k] - (sums[end] - sums[begin]) / (end - begin)
            if above * math.sqrt(m - k) > _SIGNIFICANT * unit:
                found = _note(lag, z, found, k * width, above * math.sqrt(m - k) / unit, width)
        half = size // 2
        if half < LEVEL_MIN:
            break
        _halve(levels[at : at + size], levels[at + size : at + size + half])
        at += size
        size = half
        width *= 2
    return found


@kernel
def _note(lag, z, found, period, significance, width):
    """Keep a candidate: in place of a weaker one near it, of the weakest, or as one more."""
    place = -1
    for j in range(found):
        if abs(lag[j] - period) <= min(1.6 * width, 0.12 * period):
            place = j
    if place < 0 and found < len(lag):
        lag[found], z[found] = period, significance
        return found + 1
    if place < 0:
        place = int(np.argmin(z[:found]))
    if significance > z[place]:
        lag[place], z[place] = period, significance
    return found


@kernel
def _halve(x, half):
    """Write the means of pairs of x, the newest last; of a pair with one missing, the other."""
    first = len(x) - 2 * len(half)
    for i in range(len(half)):
        a, b = x[first + 2 * i], x[first + 2 * i + 1]
        a, b = (b if math.isnan(a) else a), (a if math.isnan(b) else b)
        half[i] = np.float32(0.5) * (a + b)


@kernel
def _whiten(x, y):
    """Write y_t = x_t - phi x_(t-1), 0 <= phi <= 1 fitted; 0 where one is missing."""
    n = len(x)
    count = 0
    total = 0.0
    for i in range(n):
        if not math.isnan(x[i]):
            total += x[i]
            count += 1
    mean = np.float32(total / max(count, 1))
    square = product = 0.0
    for i in range(1, n):
        a, b = x[i] - mean, x[i - 1] - mean
        if not math.isnan(a) and not math.isnan(b):
            square += a * a
            product += a * b
    phi = np.float32(min(max(product / square, 0.0), 1.0)) if square > 0.0 else np.float32(0.0)
    y[0] = 0.0
    for i in range(1, n):
        d = (x[i] - mean) - phi * (x[i - 1] - mean)
        y[i] = d if not math.isnan(d) else np.float32(0.0)


@kernel
def less_mean(x, y, width):
    """Write x less its moving mean over `width` (at the ends: the nearest), clipped; 0: missing."""
    n = len(x)
    half = min(width, n - 1) // 2
    total = 0.0
    count = 0
    for i in range(2 * half + 1):
        if not math.isnan(x[i]):
            total += x[i]
            count += 1
    for i in range(n):
        if half < i < n - half:
            come, gone = x[i + half], x[i - half - 1]
            if not math.isnan(come):
                total += come
                count += 1
            if not math.isnan(gone):
                total -= gone
                count -= 1
        d = x[i] - np.float32(total / max(count, 1))
        y[i] = d if not math.isnan(d) else np.float32(0.0)
    _clip(y, n)


@kernel
def _clip(y, n):
    top = np.float32(max(_CLIP_AGAIN * _spread(y, n), 1e-6))
    for i in range(n):
        y[i] = min(max(y[i], -top), top)


@kernel
def _autocorrelate(y, far, acf):
    """Write sum_t y_t y_(t+l) / (n - l) to acf[l], l = 0 to far < n."""
    n = len(y)
    acf[: far + 1] = 0.0
    whole = (n - far) // 4 * 4
    for t in range(0, whole, 4):
        a, b, c, d = y[t], y[t + 1], y[t + 2], y[t + 3]
        ahead = y[t : t + far + 4]
        for lag in range(far + 1):  # the inner loop, so that the compiler makes vectors of it
            acf[lag] += (
                a * ahead[lag] + b * ahead[lag + 1] + c * ahead[lag + 2] + d * ahead[lag + 3]
            )
    for t in range(whole, n):
        for lag in range(min(far + 1, n - t)):
            acf[lag] += y[t] * y[t + lag]
    for lag in range(far + 1):
        acf[lag] /= n - lag


@kernel
def accumulate(y, energy):
    """Write the sums of squares up to and with each value."""
    total = 0.0
    for i in range(len(y)):
        total += y[i] * y[i]
        energy[i] = total


@kernel
def smooth_out(y, smooth, width):
    """Write the moving mean of y over `width`; beyond the ends y is 0."""
    n = len(y)
    half = width // 2
    total = 0.0
    for i in range(-half, n):
        if i + half < n:
            total += y[i + half]
        if i - half - 1 >= 0:
            total -= y[i - half - 1]
        if i >= 0:
            smooth[i] = total / (2 * half + 1)


@kernel
def correlation(y, energy, lag, stride):
    """Return the correlation of y with itself `lag` later, from every stride-th product."""
    n = len(y)
    m = n - lag
    if m < 4 or lag < 1:
        return -1.0
    one, other = float(energy[m - 1]), float(energy[n - 1] - energy[lag - 1])
    if one <= 0.0 or other <= 0.0:
        return 0.0
    a = b = c = d = np.float32(0.0)
    i = 0
    while i + 3 * stride < m:
        k = i + stride
        a += y[i] * y[i + lag]
        b += y[k] * y[k + lag]
        k += stride
        c += y[k] * y[k + lag]
        k += stride
        d += y[k] * y[k + lag]
        i = k + stride
    while i < m:
        a += y[i] * y[i + lag]
        i += stride
    return (float(a) + b + c + d) * stride / math.sqrt(one * other)
