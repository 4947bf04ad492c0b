"""Seasonal-trend decomposition by loess, with a season that is nearly the same in each cycle.

    seasonal    of each phase a loess of degree 0 over all its cycles, drawn on by one at both ends
    low pass    of that, moving averages of a period, a period and 3, then loess: no season's part
    season      seasonal - low pass
    trend       loess of values - season, degree 1
    weights     (1 - (r / 6 median r)^2)^2 of the remainder's size r, for the next round

Loess is computed at every tenth of its window and lines are drawn between.

Source: Cleveland, Cleveland, McRae, Terpenning (1990), with the lengths, jumps and rounds that R's
`stl(s.window = "periodic", robust = TRUE)` takes, less its last step: seasons are not averaged.
statsmodels computes the same; this takes a twentieth of its time, and a request makes four.

A round is sums of products. Tricube weights depend on distances alone, which are the same in every
round, and but for the windows at the ends the same in every window: they are computed once. So is
the whole fit of the low pass, which has no robustness weights. The median is selected, not sorted
for. Computing the sums of windows that share their weights side by side, for vector instructions,
was a third faster with many short windows, and as much slower with few long ones.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import allocating, kernel

_ROUNDS = 15
_ROWS = 16
"""Of weights. At most seven windows at each end have their own, which is where a window is not
around its place; all others share theirs. If the window is as long as the series, eleven have."""


@kernel
def _tricube(distance, bandwidth):
    if distance <= 0.001 * bandwidth:
        return 1.0
    if distance > 0.999 * bandwidth:
        return 0.0
    share = distance / bandwidth
    tricube = 1.0 - share * share * share
    return tricube * tricube * tricube


@allocating
def _windows(count, window):
    """Return where loess is computed and of which values.

    Returns
    -------
    at : int64[places]      position, of 0 to count - 1
    left : int64[places]    the first of its `window` (or `count`) values
    row : int64[places]     its weights
    rows : float64[rows, window]
    """
    length = min(window, count)
    jump = min((window + 9) // 10, count - 1)
    places = (count - 2) // jump + 2
    at = np.empty(places, np.int64)
    left = np.empty(places, np.int64)
    row = np.empty(places, np.int64)
    rows = np.empty((_ROWS, length))
    used = 0
    before = -1
    for i in range(places):
        at[i] = min(i * jump, count - 1)
        left[i] = min(max(at[i] - window // 2, 0), count - length)
        offset = at[i] - left[i]
        if offset != before:
            bandwidth = max(offset, length - 1 - offset) + (window - length) // 2
            for j in range(length):
                rows[used, j] = _tricube(abs(j - offset), bandwidth)
            used += 1
            before = offset
        row[i] = used - 1
    return at, left, row, rows[:used]


@kernel
def _line(total, first, second, fitted, tilted, count):
    """Return the value at distance 0 of the line fitted to weighted values.

    total, first, second : sums of the weights, times distance, times its square
    fitted, tilted : sums of the weights times values, and times distance too
    """
    mean = first / total
    fitted /= total
    spread = second / total - mean * mean
    if spread <= (0.001 * (count - 1)) ** 2:
        return fitted
    return fitted - mean / spread * (tilted / total - mean * fitted)


@kernel
def _fits(at, left, row, rows, count):
    """Turn weights into what values are multiplied by in a fit that has no other weights."""
    before = -1
    for i in range(len(at)):
        if row[i] == before:
            continue
        before = row[i]
        tricubes = rows[before]
        offset = at[i] - left[i]
        total = first = second = 0.0
        for j in range(len(tricubes)):
            distance = float(j - offset)
            total += tricubes[j]
            first += tricubes[j] * distance
            second += tricubes[j] * distance * distance
        for j in range(len(tricubes)):
            weight = tricubes[j]
            tricubes[j] = _line(total, first, second, weight, weight * (j - offset), count)


@kernel
def _draw_lines(at, out):
    """Fill `out` between the places `at`."""
    for i in range(1, len(at)):
        first = out[at[i - 1]]
        slope = (out[at[i]] - first) / (at[i] - at[i - 1])
        between = out[at[i - 1] : at[i]]
        for j in range(1, len(between)):
            between[j] = first + slope * j


@kernel
def _low_pass(values, at, left, row, rows, out):
    """Smooth by fits that are known."""
    length = rows.shape[1]
    for i in range(len(at)):
        fits = rows[row[i]]
        around = values[left[i] : left[i] + length]
        # Four sums: in one, each addition would wait for the one before.
        a = b = c = d = 0.0
        for j in range(0, length - 3, 4):
            a += fits[j] * around[j]
            b += fits[j + 1] * around[j + 1]
            c += fits[j + 2] * around[j + 2]
            d += fits[j + 3] * around[j + 3]
        for j in range(length // 4 * 4, length):
            a += fits[j] * around[j]
        out[at[i]] = (a + b) + (c + d)
    _draw_lines(at, out)


@kernel
def _trend(values, weights, at, left, row, rows, out):
    """Smooth by lines fitted with robustness weights; a value that has none around it is itself."""
    count = len(values)
    for i in range(len(at)):
        tricubes = rows[row[i]]
        robust = weights[left[i] : left[i] + rows.shape[1]]
        around = values[left[i] : left[i] + rows.shape[1]]
        offset = at[i] - left[i]
        total = first = second = fitted = tilted = 0.0
        for j in range(rows.shape[1]):
            distance = float(j - offset)
            weight = tricubes[j] * robust[j]
            tilt = weight * distance
            total += weight
            first += tilt
            second += tilt * distance
            fitted += weight * around[j]
            tilted += tilt * around[j]
        if total <= 0.0:
            out[at[i]] = values[at[i]]
        else:
            out[at[i]] = _line(total, first, second, fitted, tilted, count)
    _draw_lines(at, out)


@kernel
def _phase_means(values, weights, period, begin, end, cycles, at, known, known_row, total, out):
    """Smooth phases `begin` to `end` as of cycle `at`, into row `at + 1` of `out`.

    A phase that has no weight there is what it is in row `known_row` of `known`.
    """
    bandwidth = max(at, cycles - 1 - at) + (10 * len(values) + 1 - cycles) // 2
    row = out[(at + 1) * period + begin : (at + 1) * period + end]
    count = end - begin
    for phase in range(count):
        total[phase] = 0.0
        row[phase] = 0.0
    for k in range(cycles):
        tricube = _tricube(abs(k - at), bandwidth)
        cycle = values[k * period + begin : k * period + end]
        robust = weights[k * period + begin : k * period + end]
        for phase in range(count):
            weight = tricube * robust[phase]
            total[phase] += weight
            row[phase] += weight * cycle[phase]
    for phase in range(count):
        if total[phase] > 0.0:
            row[phase] /= total[phase]
        else:
            row[phase] = known[known_row * period + begin + phase]


@kernel
def _seasonal(values, weights, period, total, seasonal):
    """Smooth each phase over its cycles; `seasonal` begins a period early and ends one late.

    The window, ten times the series, is far wider than the cycles are many: so is its tenth, and
    between the first cycle and the last is a line.
    """
    for begin, end, cycles in (
        (0, len(values) % period, len(values) // period + 1),
        (len(values) % period, period, len(values) // period),
    ):
        last = cycles - 1
        for at, known, known_row in (
            (0, values, 0),
            (last, values, last),
            (-1, seasonal, 1),
            (cycles, seasonal, cycles),
        ):
            _phase_means(
                values, weights, period, begin, end, cycles, at, known, known_row, total, seasonal
            )
        first = seasonal[period + begin : period + end]
        final = seasonal[cycles * period + begin : cycles * period + end]
        for k in range(1, last):
            row = seasonal[(k + 1) * period + begin : (k + 1) * period + end]
            for phase in range(end - begin):
                row[phase] = first[phase] + (final[phase] - first[phase]) / last * k


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


@kernel
def _median(values):
    """Return the median of `values`, in another order afterwards (Hoare's selection)."""
    middle = len(values) // 2
    begin = 0
    end = len(values)
    while end - begin > 1:
        low, mid, high = values[begin], values[(begin + end) // 2], values[end - 1]
        pivot = max(min(low, mid), min(max(low, mid), high))
        # What is less to the front. Each value is written, so that no branch has to be guessed.
        less = begin
        for j in range(begin, end):
            value = values[j]
            values[j] = values[less]
            values[less] = value
            less += value < pivot
        if middle < less:
            end = less
            continue
        # Then what is equal, so that many equal values are not taken off one at a time.
        equal = less
        for j in range(less, end):
            value = values[j]
            values[j] = values[equal]
            values[equal] = value
            equal += not pivot < value
        if middle < equal:
            break
        begin = equal
    upper = values[middle]
    if len(values) % 2 == 1:
        return upper
    lower = values[0]
    for j in range(1, middle):
        lower = max(lower, values[j])
    return 0.5 * (lower + upper)


@kernel
def _robust_weights(sizes, spare, weights):
    """Write bisquare weights for remainders of these sizes."""
    for j in range(len(sizes)):
        spare[j] = sizes[j]
    limit = 6.0 * _median(spare)
    for j in range(len(sizes)):
        share = sizes[j] / limit
        weight = (1.0 - share * share) ** 2
        weight = weight if sizes[j] <= 0.999 * limit else 0.0
        weights[j] = weight if sizes[j] > 0.001 * limit else 1.0


@allocating
def stl(values, period):
    """Return trend and season of `values`.

    values : float64[n]   n > 2 x period
    period : int          >= 2
    """
    count = len(values)
    long = 1.5 * period / (1.0 - 1.5 / (10 * count + 1))
    trend_window = int(np.ceil(long)) // 2 * 2 + 1
    low_at, low_left, low_row, low_rows = _windows(count, period // 2 * 2 + 1)
    _fits(low_at, low_left, low_row, low_rows, count)
    trend_at, trend_left, trend_row, trend_rows = _windows(count, trend_window)
    trend = np.zeros(count)
    season = np.zeros(count)
    weights = np.ones(count)
    seasonal = np.empty(count + 2 * period)
    first = np.empty(count + 2 * period)
    second = np.empty(count + 2 * period)
    work = np.empty(count)
    spare = np.empty(count)
    for turn in range(_ROUNDS + 1):
        for j in range(count):
            work[j] = values[j] - trend[j]
        _seasonal(work, weights, period, spare, seasonal)
        length = _moving_average(seasonal, count + 2 * period, period, first)
        length = _moving_average(first, length, period, second)
        _moving_average(second, length, 3, first)
        _low_pass(first, low_at, low_left, low_row, low_rows, second)
        for j in range(count):
            season[j] = seasonal[period + j] - second[j]
            work[j] = values[j] - season[j]
        _trend(work, weights, trend_at, trend_left, trend_row, trend_rows, trend)
        if turn < _ROUNDS:
            for j in range(count):
                work[j] = abs(values[j] - trend[j] - season[j])
            _robust_weights(work, spare, weights)
    return trend, season
