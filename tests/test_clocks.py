"""Daily patterns of local hours where clocks change, and across holes: no false alert.

Or one at each change, where nobody says whose clocks they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamdet.kernels.header import FILL, JUDGE, LEARN, RESTART
from tests.forecast_series import Series, judged, noise, onsets
from tests.test_seasons import STRANGE_DAY, Week, a_peak_fails_to_come

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S, DAY_S = 3600, 86400
SEEDS = range(4)
PERIODS = (24, None)


class Year:
    """A year of hourly points in Berlin, and the hour on the wall at each."""

    def __init__(self) -> None:
        first = datetime(2025, 1, 1, tzinfo=UTC)
        times = [(first + timedelta(hours=k)).astimezone(BERLIN) for k in range(365 * 24)]
        wall = np.array([t.replace(tzinfo=UTC).timestamp() for t in times], np.int64)
        moved = np.diff(wall) // HOUR_S
        self.hour = wall % DAY_S / HOUR_S
        self.wall_steps = np.append(RESTART, moved).astype(np.int32)
        self.changes = (np.flatnonzero(moved != 1) + 1).tolist()
        assert sorted(moved[moved != 1]) == [0, 2]

    def alerts(self, found) -> list[int]:
        """Return the number of onsets in the fortnight after each change, and at other times."""
        at = np.array(onsets(found))
        after = [int(((at >= c - 1) & (at < c + 14 * 24)).sum()) for c in self.changes]
        return [*after, len(at) - sum(after)]


YEAR = Year()


def sine(hour):
    return 10 * np.sin(2 * np.pi * (hour - 7) / 24)


def afternoon(hour):
    return 10 * np.exp(-0.5 * ((hour - 13.2) / 2.9) ** 2)


def rush_hours(hour):
    return 10 * sum(np.exp(-0.5 * ((hour - at) / 0.8) ** 2) for at in (8, 17))


def office_hours(hour):
    return 10.0 * ((hour >= 8) & (hour < 18))


def before_dawn(hour):
    """High around the hour that is left out and the one that comes twice."""
    return 10.0 * ((hour >= 2) & (hour < 4))


SMOOTH = [sine, afternoon]
SHARP = [rush_hours, office_hours, before_dawn]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("shape", SMOOTH + SHARP)
def test_with_steps_of_local_time_no_change_of_clocks_raises_an_alert(shape, period, seed):
    value = shape(YEAR.hour) + noise(len(YEAR.hour), seed, 0.3)
    found = judged(value, YEAR.wall_steps, period=period)
    assert found.period[-1] == 24
    assert YEAR.alerts(found) == [0, 0, 0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("shape", SMOOTH + SHARP)
def test_without_a_timezone_a_day_has_at_most_one_alert_at_each_change(shape, period, seed):
    value = shape(YEAR.hour) + noise(len(YEAR.hour), seed, 0.3)
    spring, autumn, others = YEAR.alerts(judged(value, period=period))
    assert max(spring, autumn) <= 1
    assert others == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_timezone_working_days_have_at_most_one_alert_within_three_days(seed):
    day = np.cumsum(np.diff(YEAR.hour, prepend=0.0) < 0)
    value = office_hours(YEAR.hour) * (day % 7 < 5) + noise(len(YEAR.hour), seed, 0.3)
    at = np.array(onsets(judged(value)))
    for change in YEAR.changes:
        # They are Sundays, days of rest from 0 or 1 o'clock on: on Mondays there is more to see.
        assert ((at >= change - 1) & (at < change + 72)).sum() <= 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("strange", [-10.0, 20.0])
@pytest.mark.parametrize("shape", [rush_hours, office_hours])
def test_the_day_after_a_change_what_no_hour_explains_is_still_found(shape, strange, seed):
    for change in YEAR.changes:
        value = shape(YEAR.hour[: change + 72]) + noise(change + 72, seed, 0.3)
        at = change + 35  # one or two o'clock on the day after
        value[at] = strange
        assert judged(value).is_anomaly[at]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_day_after_a_change_working_hours_that_fail_to_come_are_still_found(seed):
    for change in YEAR.changes:
        value = office_hours(YEAR.hour[: change + 72])
        value[change + 24 :] = 0
        found = judged(value + noise(len(value), seed, 0.3)).is_anomaly
        assert found[change + 24 + 4 : change + 24 + 10].any()


def test_a_pattern_that_comes_three_hours_early_is_strange_at_both_its_edges():
    t = np.arange(40 * 24)
    value = office_hours((t + np.where(t < 30 * 24, 0, 3)) % 24) + noise(len(t), scale=0.3)
    found = onsets(judged(value))
    assert {30 * 24 + 5, 30 * 24 + 15} <= set(found)


@pytest.mark.parametrize("spacing_s", [60, 300])
def test_many_points_that_come_again_keep_the_phase_too(spacing_s):
    """With long slots, of which one is left in part."""
    hour_points, day = HOUR_S // spacing_s, DAY_S // spacing_s
    t = np.arange(40 * day)
    moved = 30 * day + 7 * hour_points // 2 + 3
    wall = np.where(t < moved, t, t - hour_points)
    value = 10 * np.sin(2 * np.pi * wall / day) + noise(len(t), scale=0.3)
    step = np.ones(len(t), np.int32)
    step[0], step[moved] = RESTART, 1 - hour_points
    series = Series(ring_length=1440)
    found = series.judge(value, step)
    assert series.season["stride"] == (16 if spacing_s == 60 else 4)
    assert found.period[-1] == pytest.approx(day, abs=4)
    assert not found.is_anomaly[moved : moved + day].any()
    far = np.abs(found.expected_value - value)
    assert far[moved:].mean() < 1.1 * far[moved - 9 * day : moved].mean()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("gap_from_hour", [0, 6, 9, 13, 18])
def test_after_twelve_hours_without_points_nothing_is_strange_but_the_next_missing_peak(
    gap_from_hour, seed
):
    week = Week(300, seed)
    a_peak_fails_to_come(week)
    begin = (STRANGE_DAY - 1) * week.points_a_day + gap_from_hour * 12
    kept = np.ones(len(week.value), bool)
    kept[begin : begin + 144] = False
    step = np.diff(np.flatnonzero(kept), prepend=0)
    step[0] = RESTART
    flags = np.zeros(len(kept), bool)
    flags[kept] = judged(week.value[kept], step).is_anomaly
    visible = week.visible()
    tenth = week.points_a_day // 10
    found = np.flatnonzero(flags[begin:]) + begin
    assert visible[0] - tenth <= found[0] <= visible[0] + tenth


def ring_of(series) -> list[float]:
    """Return what the ring holds, oldest first."""
    season, ring = series.season, series.pool.ring[series.slot]
    held = np.roll(ring, -int(season["position"]))
    return held[len(ring) - season["filled"] :].tolist()


def test_a_late_value_takes_its_place_in_the_ring_where_none_is():
    series = Series(period=0, ring_length=64)
    series.judge([10, 11, 14, 15], [RESTART, 1, 3, 1])
    series.judge([12, 13, 99, 99, 99], [4, 3, 3, 1, 7], [FILL] * 5)
    assert ring_of(series) == [0, 1, 2, 3, 4, 5]
    assert [float(series.row["last"]), int(series.row["count"])] == [15, 4]


def test_a_late_value_fills_a_longer_slot_only_if_all_of_it_is_missing():
    series = Series(ring_length=16)
    series.judge(np.zeros(24))
    assert series.season["stride"] == 2
    series.judge([0, 0], [6, 1])  # five are missing: two slots, and the first half of a third
    before = ring_of(series)
    series.judge([8, 4, 2], [3, 4, 7], [FILL] * 3)
    assert np.isnan(before[-3:-1]).tolist() == [True, True]
    assert ring_of(series)[-3:-1] == [2, 4]


def test_values_that_come_again_replace_those_of_their_places():
    series = Series(period=0, ring_length=64)
    series.judge([10, 11, 12, 13], [RESTART, 1, 1, 1])
    series.judge([5, 6, 7], [-1, 1, 1])
    assert ring_of(series) == [0, 1, -5, -4, -3]


def test_clocks_go_back_no_further_than_the_series():
    series = Series(period=0, ring_length=64)
    series.judge([10, 11, 12], [RESTART, 1, 1])
    series.judge([5, 6], [-(2**31) + 1, 1])
    assert ring_of(series) == [-5, -4]
    series.judge(np.zeros(100))
    series.judge([3], [-500])
    assert np.isnan(ring_of(series)[:-1]).all()
    assert ring_of(series)[-1] == -7


def test_an_imputed_value_has_no_verdict_and_counts_for_the_warm_up():
    use = np.full(40, JUDGE, np.uint8)
    use[3:9] = LEARN
    found = judged(noise(40), use=use)
    assert np.isnan(found.expected_value).tolist() == [True] * 12 + [False] * 28
