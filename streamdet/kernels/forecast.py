"""The detector's kernel: expected value, margins, score and verdict of each point, in one pass.

    recent : exponentially weighted mean of the values as they come, some three points long
    usual  : likewise, of values that fit; expectedValue
    centre : slow level + season; only where a season is known, see `season`

Recent and usual agree until something strange happens. Then it is open whether it will pass
(usual is right) or stay (recent is right), and until that is known both count as normal, and what
lies between them: the *fast residual* is the distance to the nearer of the two. So a spike is one
event and its end none, and a shift is flagged at its onset, not for as long as it lasts.

The *slow residual* is the distance to the centre. It finds what goes astray too slowly for the
other: a peak that fails to come, a night that is busy. Both are judged by the tail model
(`tail`), and the larger score is the point's. Where recent values have left what is usual for the
season, the way back to the centre is normal too; and where the season comes an hour early or
late, so is what it has then (`season_moved`).

So the band is the intersection of two intervals that have a value in common, and its inverse is
exact: a point is an anomaly if and only if it lies outside. A higher sensitivity never flags less.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.conditions import CONDITIONS, begin_conditions, fits
from streamdet.kernels.header import FILL, HEADER, JUDGE, RESTART, whole_lines
from streamdet.kernels.incident import INCIDENT, begin_incidents, conclude
from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.level import level_begin, level_drift, level_learn, level_settle
from streamdet.kernels.novelty import NOVELTY, novelty, novelty_begin, novelty_season_begin
from streamdet.kernels.period import scratch_points
from streamdet.kernels.prefetch import prefetch_place, prefetch_row
from streamdet.kernels.season import (
    NOTHING,
    OTHER_PERIOD,
    SEASON,
    WEEK_BEGINS,
    close_slot,
    level_rate,
    season_begin,
    season_now,
    season_speaks,
    season_spread,
)
from streamdet.kernels.season_moved import season_moved, season_moves
from streamdet.kernels.season_past import season_fill, season_rewind
from streamdet.kernels.tail import (
    LEARN_FROM,
    TAIL,
    tail_begin,
    tail_expect,
    tail_index,
    tail_learn,
    tail_residual,
    tail_score,
    tail_unit,
)

ROW = whole_lines(
    [
        *HEADER,
        ("recent", "<f8"),
        ("usual", "<f8"),
        ("last", "<f8"),  # value
        ("scale", "<f4"),  # mean absolute distance from recent
        ("resolution", "<f4"),  # nine in ten steps that are any are larger; 0: none seen
        ("count", "<u4"),  # points learnt
        ("run", "<u2"),  # points in a row too far from usual to be learnt
        ("warmup", "<u2"),  # points before the first verdict
        ("slow_run", "<i4"),  # points in a row that the slow level does not follow
        ("season_before", "<f4"),  # usual deviation at the last point; NaN: none
        ("gain_with", "<f4"),  # how the values move with the season, decaying sums
        ("gain_of", "<f4"),
        ("moved", "<i2"),  # slots that the season may be an hour early for; negative: late
        ("sensitivity", "u1"),
        ("anew", "u1"),  # the period was changed: the series begins anew with its next point
        ("fast", TAIL),
        ("slow", TAIL),
        ("season", SEASON),
        ("novelty", NOVELTY),
        *CONDITIONS,
        *INCIDENT,
    ]
)
assert ROW.itemsize == 448, "seven cache lines"

_AHEAD = 8  # points that memory is asked for before they are judged; 4 and 16 are no better

# The slow residuals of one morning are one observation, not hundreds: so few are learnt, and
# their score counts less. Their tail is as thin as normal noise has it; a prior worth 200 of them
# outlasts weeks of other evidence, and with less than this one bad day widens the band.
_SLOW_PER_PERIOD = 24
_SLOW_XI_PRIOR = 0.2
_SLOW_PRIOR_WEIGHT = 70.0
_SLOW_MEMORY = 2048.0
_SLOW_CLAMP_AFTER = 100
_SLOW_WEIGHT = 0.75
_SLOW_WARM_PERIODS = 7
_ASTRAY_UNITS = 2.0
_SLOW_CLIP_UNITS = 2.0

_FORGOTTEN_AFTER = 12  # points; of what was before, recent has 1.4 % left


@kernel
def _begin(row, ring, value):
    """Begin the series with `value`."""
    row.count = row.slow_run = row.moved = row.anew = 0
    level_begin(row, value)
    tail_begin(row.slow, _SLOW_XI_PRIOR, _SLOW_PRIOR_WEIGHT)
    season_begin(row.season, value, np.int64(row.stagger))
    novelty_begin(row.novelty, value)
    begin_conditions(row)
    ring[:] = math.nan


@kernel
def _slow_needs(season):
    """Return how many slow residuals must be learnt before they may call a value strange."""
    needed = _SLOW_WARM_PERIODS * min(season.period, _SLOW_PER_PERIOD)
    return needed if needed > LEARN_FROM else np.int64(LEARN_FROM)


@inlined
def _slow_is_ready(row):
    return season_speaks(row.season) and np.int64(row.slow.count) >= _slow_needs(row.season)


@kernel
def _close_slot(row, ring, scratch):
    season = row.season
    if row.moved != 0:
        row.moved -= 1 if row.moved > 0 else -1
    change = close_slot(season, ring, scratch, np.int64(row.stagger))
    if change == WEEK_BEGINS:
        # What the weekends taught the tail holds no more.
        mean, needed = np.float64(season.error_week), _slow_needs(season)
        tail_expect(row.slow, mean, needed, _SLOW_XI_PRIOR, _SLOW_PRIOR_WEIGHT)
    elif change == OTHER_PERIOD:
        tail_begin(row.slow, _SLOW_XI_PRIOR, _SLOW_PRIOR_WEIGHT)
        novelty_season_begin(row.novelty)
        row.season_before = math.nan
        row.slow_run = row.moved = 0


@kernel
def _skip(row, ring, scratch, points):
    """Pass over grid points without a value, slot by slot.

    The level goes the way that the season usually leads it, so the phase is kept. When recent
    would have forgotten the points before, season and level are all that is known of the next.
    """
    season = row.season
    long = points >= _FORGOTTEN_AFTER
    while points > 0:
        some = min(points, np.int64(season.stride) - season.within)
        usual = season_now(season)
        if season.known and not math.isnan(usual):
            season.level += some * level_rate(season.period) * usual
        season.within += some
        points -= some
        if season.within == season.stride:
            _close_slot(row, ring, scratch)
    if long and _slow_is_ready(row):
        level_settle(row, season_now(season))


@inlined
def _learn_slow(row, ring, scratch, value, deviation, residual, unit, floor, xi):
    """Learn one value: slow level, season and their tail.

    deviation : float       from the centre; NaN: there is none
    """
    season = row.season
    held = value - season.level
    if season.known:
        follows = held
        if not math.isnan(deviation):
            limit = _SLOW_CLIP_UNITS * unit
            if row.slow.count >= LEARN_FROM and abs(deviation) > limit:
                follows -= deviation
                row.slow_run += 1
                if row.slow_run >= season.period:
                    season.level += deviation
                    row.slow_run = 0
                else:
                    follows += math.copysign(limit, deviation)
            else:
                row.slow_run = 0
            every = max(season.period // _SLOW_PER_PERIOD, 1)
            count = np.int64(row.count)
            if (count + count // season.period) % every == 0:  # another phase each period
                tail_learn(
                    row.slow, residual, unit, floor, xi,
                    _SLOW_XI_PRIOR, _SLOW_PRIOR_WEIGHT, _SLOW_MEMORY, _SLOW_CLAMP_AFTER,
                )  # fmt: skip
        season.level += level_rate(season.period) * follows
    season.slot_sum += held
    season.slot_points += 1
    season.within += 1
    if season.within == season.stride:
        _close_slot(row, ring, scratch)


@inlined
def _judge(row, ring, scratch, value):
    """Judge and learn one value.

    Returns (expected, upper margin, lower margin, score, alert, settled); the first five NaN
    before the end of the warm-up.
    """
    season = row.season
    usual_deviation = season_now(season)
    level_drift(row, value, usual_deviation)
    # Float64's own steps, and those that the values are measured in.
    floor = max(4e-15 * max(abs(value), abs(row.usual)), 0.5 * row.resolution, 1e-300)
    fast_unit, fast_xi = tail_unit(row.fast, floor), tail_index(row.fast)
    low, high = min(row.recent, row.usual), max(row.recent, row.usual)
    fast_residual = max(value - high, low - value, 0.0)

    deviation = slow_residual = slow_unit = slow_xi = centre = math.nan
    speaks = False
    spread = 0.0
    least = most = math.nan  # of what is usual for the season
    if not math.isnan(usual_deviation):
        centre = season.level + usual_deviation
        deviation = value - centre
        slow_unit, slow_xi = tail_unit(row.slow, floor), tail_index(row.slow)
        # Two weeks differ by noise too; what is left of it is not counted twice.
        spread = max(season_spread(season) - math.exp(row.slow.quantile), 0.0)
        slow_residual = max(abs(deviation) - spread, 0.0)
        least, most = centre - spread, centre + spread
        speaks = _slow_is_ready(row)
        astray = spread + _ASTRAY_UNITS * slow_unit
        if speaks and (low > centre + astray or high < centre - astray):
            low, high = min(low, centre), max(high, centre)
        if speaks and row.moved != 0:
            moved = season_moved(season, ring, 1 if row.moved > 0 else -1)
            if not math.isnan(moved):
                least, most = min(least, moved), max(most, moved)
                low, high = min(low, moved), max(high, moved)

    threshold = 14.0 - 0.1 * row.sensitivity
    half = tail_residual(threshold, fast_unit, fast_xi)
    expected = 1.0 * row.usual
    settled = fits(row, value, expected, half, half)
    upper, lower, score, alert = math.nan, math.nan, math.nan, math.nan
    new = novelty(row.novelty, value, deviation, np.int64(season.period), floor)
    if row.count < row.warmup:
        expected = math.nan
    else:
        alert = new
        lowest, highest = low - half, high + half
        score = tail_score(max(value - high, low - value, 0.0), fast_unit, fast_xi)
        if speaks:
            slow_half = tail_residual(threshold / _SLOW_WEIGHT, slow_unit, slow_xi)
            lowest, highest = max(lowest, least - slow_half), min(highest, most + slow_half)
            off = max(value - most, least - value, 0.0)
            score = max(score, _SLOW_WEIGHT * tail_score(off, slow_unit, slow_xi))
            if not lowest <= expected <= highest:
                expected = row.recent if lowest <= row.recent <= highest else centre
            season_moves(row, ring, value, centre, slow_residual, slow_unit, score)
        upper, lower = max(highest - expected, 0.0), max(expected - lowest, 0.0)
    level_learn(row, value, fast_residual, fast_unit, floor, fast_xi)
    _learn_slow(row, ring, scratch, value, deviation, slow_residual, slow_unit, floor, slow_xi)
    row.count += 1
    return expected, upper, lower, score, alert, settled


def detect(
    rows, ring, slot, step, value, use,
    expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
):  # fmt: skip
    """Judge n points and learn them, in order.

    Parameters
    ----------
    rows : ROW[s]               state, changed in place
    ring : float32[s, length]   state, changed in place
    slot : int64[n]             row of the point's series; repeats allowed, in event order
    step : int32[n]             grid steps since the previous point of the series, or RESTART;
                                1 - k where clocks went back: the newest k points come again
    value : float64[n]          finite
    use : uint8[n]              see `header`
    expected_value : float64[n] out; NaN for the first `warmup` points of a series, and for points
                                that are not judged
    upper_margin, lower_margin : float64[n]   out; >= 0; likewise
    score : float64[n]          out; likewise
    is_anomaly : bool[n]        out; value outside [expected - lower, expected + upper]
    state : uint8[n]            out; of the incident, see `incident`
    alert : float64[n]          out; onset score, see `novelty`; NaN where the score is
    period : int32[n]           out; points; 0 where no season is used

    Where a row's options say so (`conditions`), expected value and margins are not those that the
    series has learnt, and a value beyond a hard bound has them during warm-up too.

    Notes
    -----
    Some 100 ns a point. One buffer is allocated a call. The threshold of the score is
    14 - sensitivity / 10: ten steps of sensitivity are a factor of e in how rare a point has to be.
    """
    length = ring.shape[1]
    scratch = np.empty(length + scratch_points(length), np.float32)
    _detect(
        rows, ring, scratch, slot, step, value, use,
        expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
    )  # fmt: skip


@kernel
def _detect(
    rows, ring, scratch, slot, step, value, use,
    expected_value, upper_margin, lower_margin, score, is_anomaly, state, alert, period,
):  # fmt: skip
    length = ring.shape[1]
    n = len(slot)
    for i in range(n):
        if i + _AHEAD < n:
            prefetch_row(rows, slot[i + _AHEAD])
            soon = slot[i + _AHEAD // 2]
            prefetch_place(ring, soon, rows[soon].season.position)
        expected_value[i] = upper_margin[i] = lower_margin[i] = score[i] = alert[i] = math.nan
        is_anomaly[i] = False
        state[i] = period[i] = 0
        if use[i] > FILL:
            continue
        at = slot[i]
        row = rows[at]
        x = value[i]
        if use[i] == FILL:
            if row.count > 0:
                season_fill(row.season, ring[at], x, np.int64(step[i]))
            continue
        if step[i] == RESTART:
            begin_incidents(row)
        # After a gap longer than the ring nothing is known any more.
        if step[i] == RESTART or row.anew or step[i] > length * np.int64(row.season.stride):
            _begin(row, ring[at], x)
        elif step[i] > 1:
            _skip(row, ring[at], scratch, np.int64(step[i]) - 1)
        elif step[i] < 1:
            season_rewind(row.season, ring[at], 1 - np.int64(step[i]))
        used = row.season.period if row.season.use != NOTHING else 0
        expected, upper, lower, points_score, alert[i], settled = _judge(row, ring[at], scratch, x)
        if use[i] != JUDGE:
            alert[i] = math.nan
            continue
        expected_value[i], upper_margin[i], lower_margin[i], score[i], is_anomaly[i], state[i] = (
            conclude(row, x, expected, upper, lower, points_score, settled)
        )
        period[i] = used
