"""The onset score: high where a series does what it never did, once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.forecast_series import judged, noise

PERIOD = 24


def test_the_first_leave_of_the_range_is_the_newest_moment_of_a_series():
    value = noise(3000)
    value[2000] = 15
    alert = judged(value).alert
    assert np.nanargmax(alert) == 2000
    assert alert[2000] > 5


def test_a_long_outage_is_one_alert():
    value = noise(3000) + 100
    value[2000:2180] = 0
    alert = judged(value).alert
    assert alert[2000] > 5
    assert (alert[2001:2180] < 0.5 * alert[2000]).all()
    assert (alert[2180:2200] < 0.5 * alert[2000]).all()


def test_what_was_alerted_on_has_to_be_exceeded_until_it_is_forgotten():
    value = noise(5000)
    value[2000] = 20
    value[2030] = 20
    once = judged(value).alert
    assert once[2030] == 0
    value[2030] = 200
    assert judged(value).alert[2030] > once[2000]


def test_the_range_grows_with_what_it_has_seen():
    value = noise(9000)
    value[2000::1000] = 20
    alerts = judged(value).alert[2000::1000]
    assert alerts[0] > 5
    assert alerts[-1] < 0.7 * alerts[0]


def test_within_the_range_and_before_the_first_verdict_there_is_no_alert():
    value = np.random.default_rng(0).uniform(size=4000)
    alert = judged(value).alert
    assert np.isnan(alert[:12]).all()
    assert (alert[12:] >= 0).all()
    assert (alert[12:120] == 0).all()
    assert np.quantile(alert[200:], 0.99) < 1


def test_a_value_that_is_usual_at_another_hour_is_new_against_the_season():
    t = np.arange(PERIOD * 60)
    value = 10 * np.sin(2 * np.pi * t / PERIOD) + noise(len(t), scale=0.2)
    strange = slice(PERIOD * 50, PERIOD * 50 + 12)  # the half of a day that is high
    value[strange] *= -1
    seasonal, plain = judged(value).alert, judged(value, period=0).alert
    assert seasonal[strange].max() > 3
    # By as much as one alert has to exceed another.
    assert seasonal[strange].max() > 1.2 * plain[strange].max()


@pytest.mark.parametrize(("times", "plus"), [(1e-12, 0), (1e12, 0), (-1, 0), (1, 1e6)])
def test_unit_and_offset_do_not_matter(times, plus):
    value = noise(2000)
    value[1000] = 20
    value[1500:1600] += 12
    np.testing.assert_allclose(
        judged(value * times + plus, period=0).alert,
        judged(value, period=0).alert,
        rtol=1e-3,
        atol=1e-3,
    )


def test_a_constant_series_is_new_when_it_changes():
    value = np.full(1000, 5.0)
    value[600:] = 5.01
    alert = judged(value).alert
    assert alert[600] > 5
    assert (np.delete(alert, 600)[12:] <= 0.5 * alert[600]).all()
