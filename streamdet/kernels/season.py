"""The season of one series: found in its ring, read from it, and used only while it helps.

The ring holds *slots*: each the mean over `stride` points of the value less the slow level. The
stride is 1 until the ring is full and no season is found in it; then pairs of slots become one
and the stride doubles, so that a ring of 1440 slots finds the hour of a series of seconds and the
week of a series of minutes. A slow pattern loses nothing by it.

    cycle   median of the same phase one, two and three periods ago
    week    mean of seven and fourteen periods ago; where the two disagree, both count as usual
            (`spread`), since one of them was strange and nobody knows which; where they disagree
            much, that of the two which goes on from the slot before, or an outage would echo

Which of the two is used, and whether any, is decided by the running mean absolute error of each
against that of the level alone. A period that the user gave is used in any case.
"""

from __future__ import annotations

import math

import numpy as np

from streamdet.kernels.jit import kernel
from streamdet.kernels.period import find_period

SEASON = np.dtype(
    [
        ("level", "<f8"),  # slow level; while no season is known, the series' first value
        ("period", "<i4"),  # points; 0: none
        ("search_at", "<u2"),  # slot of the ring after which a period is looked for
        ("slot_sum", "<f4"),
        ("slot_points", "<u2"),  # points with a value in the slot that is being filled
        ("within", "<u2"),  # points of the slot that is being filled
        ("stride", "<u2"),  # points of a slot
        ("filled", "<u2"),  # slots of the ring that hold something
        ("position", "<u2"),  # slot that is being filled
        ("use", "u1"),  # NOTHING, CYCLE or WEEK
        ("known", "u1"),  # the ring holds deviations from a moving level
        ("given", "u1"),  # the period is the user's, also if it is 0
        ("rounds", "u1"),  # times that the ring went round
        # Of the slot before, the slot that is being filled, and the one after:
        ("cycle", "<f4", 3),
        ("week", "<f4", 3),
        ("spread", "<f4", 3),
        # Running mean absolute errors of the slots:
        ("error_level", "<f4"),
        ("error_cycle", "<f4"),
        ("error_week", "<f4"),  # negative: no week was seen yet
    ]
)

NOTHING = 0
CYCLE = 1
WEEK = 2

NO_CHANGE = 0
OTHER_PERIOD = 1
WEEK_BEGINS = 2  # to be used, in place of the cycle

_STRONG = 0.5  # correlation of the values with those a period on
DAYS = 7
_SEARCH_FROM = 192  # slots, and up to a third more
_STAGGERS = 64
_STRIDE_MAX = 64
_ADOPTED = 0.75  # error of the season over that of the level: a period is taken up below it;
_HELPS = 0.75  # used below this,
_HELPS_NO_MORE = 0.85  # left above this
_WEEK_BETTER = 0.95  # likewise, week over cycle
_SPEAKS = 0.35  # likewise: the season explains most of what moves, and may call a value strange
_ERROR_PERIODS = 4.0  # that the running errors remember
_ERROR_CLIP = 5.0
_CHOOSE_EVERY = 16  # slots
_DISAGREES = 4.0  # half the difference of two weeks, over the error of the week
_FINE_SLOTS = 48  # slots of a period, at least, or a longer memory costs too much of its shape
RECHECK_EVERY = 4  # rounds of the ring, once a season is of use
_SAME_PERIOD = 0.1


@kernel
def season_begin(season, level, stagger):
    """Begin anew: nothing is known of the series but its first value."""
    season.level = level
    season.slot_sum = 0.0
    season.slot_points = season.within = season.filled = season.position = season.rounds = 0
    season.stride = 1
    season.use = NOTHING
    season.known = 0
    if not season.given:
        season.period = 0
    season.search_at = _SEARCH_FROM + stagger % _STAGGERS
    for k in range(3):
        season.cycle[k] = season.week[k] = math.nan
        season.spread[k] = 0.0
    season.error_level = season.error_cycle = 0.0
    season.error_week = -1.0


@kernel
def level_rate(period):
    """Return the weight of a new value in a slow level with the memory of one period.

    Bounded for the shortest; much faster is unstable, since the ring holds distances from it.
    """
    return min(1.0 / period, 0.5)


@kernel
def season_now(season):
    """Return the usual deviation from the level at the next point; NaN: none is known or used."""
    if season.use == NOTHING:
        return math.nan
    usual = season.week if season.use == WEEK else season.cycle
    if season.stride == 1:
        return np.float64(usual[1])
    ahead = (season.within + 0.5) / season.stride - 0.5  # of the slot's centre, in slots
    other = np.float64(usual[0] if ahead < 0.0 else usual[2])
    if math.isnan(other):
        return np.float64(usual[1])
    return usual[1] + abs(ahead) * (other - usual[1])


@kernel
def season_spread(season):
    """Return how far to both sides of `season_now` is usual as well, >= 0."""
    if season.use != WEEK:
        return 0.0
    return np.float64(max(season.spread[0], season.spread[1], season.spread[2]))


@kernel
def season_speaks(season):
    """Return whether the season explains enough to call a value strange by itself."""
    error = season.error_week if season.use == WEEK else season.error_cycle
    return season.use != NOTHING and error < _SPEAKS * season.error_level


@kernel
def median(a, b, c):
    """Return the median of those that are not NaN; of two their mean; NaN of none."""
    if math.isnan(a):
        a, c = c, a
    if math.isnan(b):
        b, c = c, b
    if math.isnan(a):
        return b
    if math.isnan(b):
        return a
    if math.isnan(c):
        return 0.5 * (a + b)
    return max(min(a, b), min(max(a, b), c))


@kernel
def behind(season, ring, slots):
    """Return the deviation so many slots before the one that is being filled; NaN: none."""
    if slots < 1 or slots > season.filled:
        return np.float32(math.nan)
    return ring[(season.position + len(ring) - slots) % len(ring)]


@kernel
def _look(season, ring, ahead):
    """Read what is usual `ahead` slots on into the third place; the others move up."""
    period = season.period / season.stride
    cycle = median(
        behind(season, ring, round(period) - ahead),
        behind(season, ring, round(2 * period) - ahead),
        behind(season, ring, round(3 * period) - ahead),
    )
    one = behind(season, ring, round(DAYS * period) - ahead)
    two = behind(season, ring, round(2 * DAYS * period) - ahead)
    only_one = math.isnan(two)
    if only_one:
        two = cycle
    for usual in (season.cycle, season.week, season.spread):
        usual[0], usual[1] = usual[1], usual[2]
    season.cycle[2] = cycle
    week, spread = 0.5 * (one + two), 0.5 * abs(one - two)
    if math.isnan(week):
        week, spread = np.float64(one), 0.0
    elif not only_one and spread > _DISAGREES * season.error_week >= 0.0:
        before = season.week[1]
        if not math.isnan(before):
            week = np.float64(one if abs(one - before) < abs(two - before) else two)
            spread *= 2.0
    season.week[2], season.spread[2] = week, spread


@kernel
def look_again(season, ring):
    """Read anew what is usual, after the ring or the place in it changed."""
    for ahead in range(-1, 2):
        _look(season, ring, ahead)


@kernel
def _follow(error, by, rate):
    return error + rate * (min(by, _ERROR_CLIP * error if error > 0.0 else by) - error)


@kernel
def _compare(season, deviation):
    """Let the running errors learn the slot that has just been filled."""
    cycle, week = season.cycle[1], season.week[1]
    if math.isnan(deviation) or math.isnan(cycle):
        return
    rate = min(season.stride / (_ERROR_PERIODS * season.period), 0.1)
    season.error_level = _follow(season.error_level, abs(deviation), rate)
    season.error_cycle = _follow(season.error_cycle, abs(deviation - cycle), rate)
    if not math.isnan(week):
        if season.error_week < 0.0:
            season.error_week = season.error_cycle
        season.error_week = _follow(season.error_week, abs(deviation - week), rate)


@kernel
def _choose(season):
    """Decide what is used. Returns whether the week is from here on, in place of the cycle."""
    before = season.use
    use = CYCLE
    if season.error_week >= 0.0 and not math.isnan(season.week[1]):
        bar = 1.0 if before == WEEK else _WEEK_BETTER
        if season.error_week < bar * season.error_cycle:
            use = WEEK
    error = season.error_week if use == WEEK else season.error_cycle
    bar = _HELPS if before == NOTHING else _HELPS_NO_MORE
    if not season.given and error > bar * season.error_level:
        use = NOTHING
    season.use = use
    return before == CYCLE and use == WEEK


@kernel
def _lead(values, n, period):
    """Subtract from values[:n], in place, a level that moves with one period's memory.

    It is led through the first period to settle. Returns the level after the last.
    """
    rate = level_rate(period)
    level = 0.0
    for k in range(-min(period, n), n):
        held = np.float64(values[k + period if k < 0 else k])
        if math.isnan(held):
            continue
        if k >= 0:
            values[k] = held - level
        level += max(rate, 1.0 / (k + period + 1.0)) * (held - level)
    return level


@kernel
def _errors(values, n, period):
    """Return the mean absolute errors of deviations[:n] without and with a season of `period`."""
    by_level = by_cycle = 0.0
    compared = 0
    for k in range(period, n):
        held = np.float64(values[k])
        two = np.float64(values[k - 2 * period]) if k >= 2 * period else math.nan
        usual = median(np.float64(values[k - period]), two, math.nan)
        if not math.isnan(held - usual):
            by_level += abs(held)
            by_cycle += abs(held - usual)
            compared += 1
    return by_level / max(compared, 1), by_cycle / max(compared, 1)


@kernel
def _know(season, ring, values, n, slots):
    """Use a period of so many slots from here on, if it explains enough of the ring's n slots.

    values : float32[n]     scratch; the ring in its order, overwritten with deviations
    """
    length = len(ring)
    level = _lead(values, n, slots)
    by_level, by_cycle = _errors(values, n, slots)
    enough = _ADOPTED * by_level
    if season.use != NOTHING:
        enough = by_level * season.error_cycle / season.error_level
    if not season.given and by_cycle >= enough:
        return False
    for k in range(n):
        ring[(season.position + length - n + k) % length] = values[k]
    if not season.given:
        season.period = slots * season.stride
    season.level += level
    season.slot_sum -= season.slot_points * level
    season.known = 1
    season.error_level, season.error_cycle, season.error_week = by_level, by_cycle, -1.0
    season.use = NOTHING
    look_again(season, ring)
    _choose(season)
    return True


@kernel
def _search(season, ring, scratch):
    """Look for a period in what the ring holds, and use it. Returns whether it is another one."""
    length, n = len(ring), np.int64(season.filled)
    values = scratch[:n]
    for k in range(n):
        values[k] = ring[(season.position + length - n + k) % length]
    if season.given:
        return _know(season, ring, values, n, np.int64(season.period))
    slots, strength = find_period(values, scratch[length:])
    found = np.int64(slots) * season.stride
    if strength < _STRONG or (season.use != NOTHING and found == season.period):
        return False
    if season.use != NOTHING and abs(found - season.period) <= _SAME_PERIOD * season.period:
        season.period = found  # the same, seen more sharply
        look_again(season, ring)
        return False
    return _know(season, ring, values, n, np.int64(slots))


@kernel
def _search_in_round(length, stagger):
    """Return the slot after which the second half of a full ring's round is searched."""
    half = length // 2
    return half + 1 + stagger % _STAGGERS * (half - 1) // _STAGGERS


@kernel
def _halve(season, ring, stagger):
    """Let two slots become one. The ring is full, and its oldest slot the first.

    Of an odd number the oldest is forgotten: without the newest the phase would be lost.
    """
    half, odd = len(ring) // 2, len(ring) % 2
    for k in range(half):
        one, two = ring[2 * k + odd], ring[2 * k + odd + 1]
        if math.isnan(one):
            ring[k] = two
        else:
            ring[k] = one if math.isnan(two) else np.float32(0.5) * (one + two)
    ring[half:] = math.nan
    season.stride *= 2
    season.filled = season.position = half
    season.search_at = _search_in_round(len(ring), stagger)
    if season.period > 0:
        look_again(season, ring)


@kernel
def _wants_longer_memory(season, length):
    """Return whether the ring should reach further back than it does."""
    if season.stride >= _STRIDE_MAX:
        return False
    if season.use == NOTHING:
        return not season.given
    reaches = length * season.stride
    fine = season.period >= _FINE_SLOTS * season.stride
    return fine and reaches < (2 * DAYS + 1) * season.period


@kernel
def close_slot(season, ring, scratch, stagger):
    """End the slot that is being filled, and what is due with it.

    Returns NO_CHANGE, OTHER_PERIOD or WEEK_BEGINS. Some 10 ns, every ring's length some
    50 us more for a search.
    """
    length = len(ring)
    some = season.slot_points > 0
    deviation = np.float32(season.slot_sum / season.slot_points if some else math.nan)
    ring[season.position] = deviation
    if season.known:
        _compare(season, deviation)
    season.position += 1
    season.filled = min(season.filled + 1, length)
    season.slot_sum = 0.0
    season.slot_points = season.within = 0
    round_is_full = season.position == length
    if round_is_full:
        season.position = 0
        season.rounds = (season.rounds + 1) % RECHECK_EVERY
    if season.period > 0:
        _look(season, ring, 1)

    if season.given:
        due = season.period > 0 and not season.known and season.filled > season.period
        if due and _search(season, ring, scratch):
            return OTHER_PERIOD
    elif season.position == season.search_at and (season.use == NOTHING or season.rounds == 0):
        season.search_at *= 2
        if season.filled == length or season.search_at >= length:
            season.search_at = _search_in_round(length, stagger)
        if _search(season, ring, scratch):
            return OTHER_PERIOD
    if round_is_full and _wants_longer_memory(season, length):
        _halve(season, ring, stagger)
    if season.known and season.position % _CHOOSE_EVERY == 0 and _choose(season):
        return WEEK_BEGINS
    return NO_CHANGE
