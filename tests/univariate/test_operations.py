"""Azure's operations on whole series: what is found, and what always holds of a response."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.univariate.operations import answer
from tests.univariate.requests import body, weekly_season

COLUMNS = (
    "expectedValues", "upperMargins", "lowerMargins", "isAnomaly", "isNegativeAnomaly",
    "isPositiveAnomaly", "severity",
)  # fmt: skip


def spiked(values, at, by):
    changed = values.copy()
    changed[at] += by
    return changed


def level(count=120, seed=2):
    return 50 + np.random.default_rng(seed).normal(0, 1, count)


def test_a_spike_and_a_dip_are_found_in_a_season_and_told_apart():
    values = spiked(spiked(weekly_season(), 40, 60.0), 61, -50.0)
    found = answer("entire", body(values, sensitivity=90))
    assert found["period"] == 7
    assert np.flatnonzero(found["isPositiveAnomaly"]).tolist() == [40]
    assert np.flatnonzero(found["isNegativeAnomaly"]).tolist() == [61]
    assert found["severity"][40] > 0.1
    assert abs(found["expectedValues"][40] - weekly_season()[40]) < 5


@pytest.mark.parametrize("granularity", ["daily", "minutely"])
def test_a_spike_is_found_where_there_is_no_season(granularity):
    found = answer("entire", body(spiked(level(), 70, 40.0), granularity, sensitivity=85))
    assert found["period"] == 0
    assert np.flatnonzero(found["isAnomaly"]).tolist() == [70]


@pytest.mark.parametrize("granularity", ["daily", "minutely"])
@pytest.mark.parametrize("by", [0.0, 40.0])
def test_the_last_point_is_judged_by_those_before_it(granularity, by):
    found = answer("last", body(spiked(level(), -1, by), granularity, sensitivity=85))
    assert (found["isAnomaly"], found["isPositiveAnomaly"]) == (by > 0, by > 0)
    assert found["expectedValue"] == pytest.approx(50, abs=3)


def test_an_anomaly_that_goes_on_is_not_what_is_usual_for_its_last_point():
    values = level(200)
    values[-12:] += 30 + np.arange(12) % 3
    found = answer("last", body(values, "minutely", sensitivity=85))
    assert found["isPositiveAnomaly"]
    assert found["expectedValue"] == pytest.approx(50, abs=1)


def test_the_last_point_of_a_season_is_judged_by_its_phase():
    values = weekly_season(85)
    ordinary = answer("last", body(values, sensitivity=85))
    strange = answer("last", body(spiked(values, -1, -40.0), sensitivity=85))
    assert not ordinary["isAnomaly"]
    assert strange["isNegativeAnomaly"]
    assert ordinary["suggestedWindow"] == 29
    assert ordinary["period"] == 7


@pytest.mark.parametrize(
    ("granularity", "window"),
    [("daily", 29), ("minutely", 1441), ("hourly", 169), ("weekly", 13), ("secondly", 1441)],
)
def test_the_window_that_is_suggested_without_a_season(granularity, window):
    assert answer("last", body(level(30), granularity, period=0))["suggestedWindow"] == window


def test_a_step_of_a_trend_is_found_by_differencing():
    values = spiked(np.cumsum(1 + np.random.default_rng(3).normal(0, 0.1, 200)), 120, 6.0)
    found = answer("entire", body(values, sensitivity=99, maxAnomalyRatio=0.05))
    assert found["isAnomaly"][120]


def test_v1_0_has_no_severity():
    given_body = body(weekly_season())
    assert "severity" not in answer("entire", given_body, "v1.0")
    assert "severity" not in answer("last", given_body, "v1.0")
    assert "severity" in answer("last", given_body)


def test_change_points_have_a_verdict_for_each_point():
    found = answer("changepoint", body(weekly_season(60), leave_out=(9, 10)))
    assert set(found) == {"period", "isChangePoint", "confidenceScores"}
    assert len(found["isChangePoint"]) == len(found["confidenceScores"]) == 58


@pytest.mark.parametrize("mode", ["auto", "previous", "linear", "fixed", "zero", "notFill"])
@pytest.mark.parametrize("operation", ["entire", "last"])
def test_filled_points_are_left_out_of_the_response(operation, mode):
    holes = (10, 11, 30, 31, 32, 33, 50)
    given_body = body(weekly_season(), leave_out=holes, imputeMode=mode, imputeFixedValue=80)
    found = answer(operation, given_body)
    if operation == "entire":
        assert all(len(found[name]) == 77 for name in COLUMNS)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("granularity", ["daily", "minutely"])
@pytest.mark.parametrize("version", ["V1", "V2", "V3"])
@pytest.mark.parametrize("sensitivity", [0, 60, 95, 99, 100])
def test_a_response_holds_together(granularity, version, sensitivity):
    values = weekly_season(seed=5) if granularity == "daily" else level(seed=6)
    values = spiked(spiked(values, 33, 55.0), 60, -45.0)
    fields = {"sensitivity": sensitivity, "boundaryVersion": version, "maxAnomalyRatio": 0.1}
    found = answer("entire", body(values, granularity, **fields))
    columns = {name: np.array(found[name]) for name in COLUMNS}
    assert {len(column) for column in columns.values()} == {len(values)}
    upper = columns["expectedValues"] + columns["upperMargins"]
    lower = columns["expectedValues"] - columns["lowerMargins"]
    assert min(columns["upperMargins"].min(), columns["lowerMargins"].min()) >= 0
    inside = (values <= upper + 1e-9) & (values >= lower - 1e-9)
    assert not (columns["isAnomaly"] & (values < upper) & (values > lower)).any()
    assert inside[~columns["isAnomaly"]].all()
    either = columns["isPositiveAnomaly"] ^ columns["isNegativeAnomaly"]
    assert (either == columns["isAnomaly"]).all()
    assert (columns["severity"][~columns["isAnomaly"]] == 0).all()
    assert columns["isAnomaly"].sum() <= 2 * np.ceil(len(values) * 0.1)


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from([0.0, 1.0, 5.0, -3.0, 1e100, -1e100, 1e-300]), min_size=12, max_size=40
    ),
    st.sampled_from(["daily", "minutely", "hourly"]),
    st.sampled_from(["entire", "last"]),
    st.sampled_from([None, 0, 4]),
)
def test_no_values_break_a_response(values, granularity, operation, period):
    found = answer(operation, body(values, granularity, period=period))
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("operation", ["entire", "last"])
def test_values_that_are_as_good_as_equal_break_nothing(operation):
    values = np.where(np.arange(30) % 5, 1.0, np.nextafter(1.0, 2.0))
    assert not np.any(answer(operation, body(values))["isAnomaly"])


@pytest.mark.parametrize("granularity", ["daily", "minutely"])
@pytest.mark.parametrize("factor", [1e-6, 1024.0, 1e12])
def test_expected_values_scale_with_the_values(granularity, factor):
    values = spiked(weekly_season(seed=7) if granularity == "daily" else level(), 50, 30.0)
    plain = answer("entire", body(values, granularity))["expectedValues"]
    scaled = answer("entire", body(values * factor, granularity))["expectedValues"]
    np.testing.assert_allclose(scaled, np.array(plain) * factor, rtol=1e-6)


def test_a_higher_sensitivity_never_finds_less():
    given = spiked(level(), 70, 8.0)
    counts = [
        sum(answer("entire", body(given, sensitivity=sensitivity))["isAnomaly"])
        for sensitivity in (0, 40, 70, 85, 95, 99)
    ]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] >= 1


def test_without_its_extra_it_says_what_to_install():
    script = (
        "import sys; sys.modules['statsmodels'] = sys.modules['scipy'] = None\n"
        "from streamdet.errors import ConfigError\n"
        "from streamdet.univariate.operations import answer\n"
        "try: answer('entire', sys.stdin.buffer.read())\n"
        "except ConfigError as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], input=body(level()), capture_output=True, check=True
    )
    assert b'pip install "streamdet[univariate]"' in told.stdout


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra():
    script = (
        "import sys; sys.modules['streamdet.univariate.change_point'] = None\n"
        "from streamdet.univariate.operations import answer\n"
        "answer('entire', sys.stdin.buffer.read())\n"
    )
    told = subprocess.run([sys.executable, "-c", script], input=body(level()), capture_output=True)
    assert b"ModuleNotFoundError: import of streamdet.univariate.change_point" in told.stderr
    assert b"pip install" not in told.stderr
