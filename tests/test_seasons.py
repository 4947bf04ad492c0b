"""Strong daily and weekly patterns, default settings: what goes astray is found, quiet is quiet.

Each event comes on smoothly, in the sixth week: there is no jump to see, only what is usual then.
It is to be found within a tenth of a period of where it stands out to the eye.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.forecast_series import judged, onsets

DAY_S = 86400
WEEKS = 7
SPACINGS_S = (300, 3600)
STRANGE_DAY = 36  # a Tuesday, days from 0, Mondays are multiples of 7
STRANGE_SATURDAY = 40
SEEDS = range(4)
VISIBLE = 15.0  # of a range of 120; the noise at the peak has a standard deviation of 4


class Week:
    """Seven weeks of a series that has working days, weekends, and noise of 3 % with a memory."""

    def __init__(self, spacing_s: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.spacing_s = spacing_s
        self.points_a_day = DAY_S // spacing_s
        n = WEEKS * 7 * self.points_a_day
        at_s = np.arange(n) * spacing_s
        self.day = at_s // DAY_S
        self.hour = at_s % DAY_S / 3600
        self.peak = np.exp(-0.5 * ((self.hour - 13.2) / 2.9) ** 2)
        self.peak += 0.35 * np.exp(-0.5 * ((self.hour - 19.2) / 1.2) ** 2)
        self.busy = np.where(self.day % 7 >= 5, 0.45, 1.0)
        memory, share = 0.6, np.zeros(n)
        for k, drawn in enumerate(rng.normal(scale=0.03 * (1 - memory**2) ** 0.5, size=n)):
            share[k] = memory * share[k - 1] + drawn
        self.noise = 1 + share
        self.value = (20 + 100 * self.peak * self.busy) * self.noise
        self.value += rng.normal(scale=0.5, size=n)
        self.usual = self.value.copy()

    def on(self, day: int) -> np.ndarray:
        return self.day == day

    def visible(self) -> np.ndarray:
        """Return the points where the value stands out from what it would have been."""
        return np.flatnonzero(np.abs(self.value - self.usual) > VISIBLE)


def a_peak_fails_to_come(week: Week) -> None:
    where = week.on(STRANGE_DAY)
    week.value[where] = (20 + 25 * week.peak[where]) * week.noise[where]


def a_night_is_busy(week: Week) -> None:
    where = week.on(STRANGE_DAY)
    week.value[where] += 45 * np.exp(-0.5 * ((week.hour[where] - 3) / 1.2) ** 2)


def a_saturday_looks_like_a_monday(week: Week) -> None:
    where = week.on(STRANGE_SATURDAY)
    week.value[where] = (20 + 100 * week.peak[where]) * week.noise[where]


def the_pattern_comes_two_hours_late(week: Week) -> None:
    where = np.flatnonzero(week.on(STRANGE_DAY))
    week.value[where] = week.usual[where - 2 * 3600 // week.spacing_s]


EVENTS = (
    a_peak_fails_to_come,
    a_night_is_busy,
    a_saturday_looks_like_a_monday,
    the_pattern_comes_two_hours_late,
)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("happens", EVENTS)
@pytest.mark.parametrize("spacing_s", SPACINGS_S)
def test_what_goes_astray_from_the_season_is_found_within_a_tenth_of_a_period(
    spacing_s, happens, seed
):
    week = Week(spacing_s, seed)
    happens(week)
    visible = week.visible()
    tenth = max(week.points_a_day // 10, 3)
    found = np.flatnonzero(judged(week.value).is_anomaly)
    found = found[(found >= visible[0] - tenth) & (found <= visible[-1])]
    assert len(found)
    assert found[0] - visible[0] <= tenth


@pytest.mark.parametrize("spacing_s", SPACINGS_S)
def test_quiet_weeks_have_at_most_one_onset_a_month(spacing_s):
    weeks = [Week(spacing_s, seed) for seed in range(12)]
    after = 21 * weeks[0].points_a_day
    months = len(weeks) * (WEEKS - 3) * 7 / 30
    at = [each for week in weeks for each in onsets(judged(week.value)) if each >= after]
    assert len(at) <= months


@pytest.mark.parametrize("spacing_s", SPACINGS_S)
def test_the_day_is_found_within_ten_days_and_kept(spacing_s):
    week = Week(spacing_s, seed=0)
    period = judged(week.value).period
    assert set(period) == {0, week.points_a_day}
    first = int(np.argmax(period))
    assert first <= 10 * week.points_a_day
    assert (period[first:] == week.points_a_day).all()


def test_a_usual_weekend_is_no_anomaly_once_two_were_seen():
    for seed in SEEDS:
        week = Week(300, seed)
        flags = judged(week.value).is_anomaly
        assert not flags[(week.day % 7 >= 5) & (week.day >= 21)].any()


def an_outage(week: Week, at: int) -> None:
    week.value[at : at + week.points_a_day // 8] = 0


def a_spike(week: Week, at: int) -> None:
    week.value[at] *= 4


def a_burst(week: Week, at: int) -> None:
    week.value[at : at + week.points_a_day // 8] *= 4


def a_shift(week: Week, at: int) -> None:
    week.value[at:] += 200


@pytest.mark.parametrize("happens", [an_outage, a_spike, a_burst, a_shift])
@pytest.mark.parametrize("spacing_s", SPACINGS_S)
def test_what_happened_once_has_no_echo_one_or_two_weeks_later(spacing_s, happens):
    """Its own week becomes what is usual; it must be no news that the next ones are not so."""
    onset, echoes = [], []
    for seed in SEEDS:
        week = Week(spacing_s, seed)
        at = 29 * week.points_a_day + week.points_a_day // 2
        happens(week, at)
        onset.append(at in onsets(judged(week.value)))
        after = [round((each - at) / week.points_a_day) for each in onsets(judged(week.value))]
        echoes += [days for days in after if days in (7, 8, 14, 15)]
    assert all(onset)
    assert len(echoes) <= 1
