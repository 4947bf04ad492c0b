"""The detector `threshold`: bounds, and nothing learnt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.config import DetectionConfig
from streamdet.detectors import DETECTORS
from streamdet.kernels.header import RESTART
from streamdet.types import IncidentState


def judge(value, **bounds):
    detector = DETECTORS["threshold"]
    rows = np.zeros(1, detector.layout.row)
    detector.configure(rows, 0, DetectionConfig(detector="threshold", **bounds))
    n = len(value)
    step = np.ones(n, np.int32)
    step[0] = RESTART
    ring = np.empty((1, 0), np.float32)
    slot, outcome = np.zeros(n, np.int64), np.zeros(n, np.uint8)
    return detector.run(rows, ring, slot, step, np.asarray(value, np.float64), outcome)


def test_only_a_value_beyond_a_bound_is_an_anomaly_from_the_first_point_on():
    found = judge([12, 10, 5, 0, -0.5, 10.5], upperBound=10, lowerBound=0)
    assert found.is_anomaly.tolist() == [True, False, False, False, True, True]
    assert found.score.tolist() == [100, 0, 0, 0, 100, 100]
    assert found.severity.tolist() == [1, 0, 0, 0, 1, 1]


def test_expected_is_the_value_before_within_the_bounds_and_the_band_reaches_to_them():
    found = judge([12, 10, 4, -3, 2], upperBound=10, lowerBound=0)
    assert found.expected_value.tolist() == [10, 10, 10, 4, 0]
    np.testing.assert_allclose(found.expected_value + found.upper_margin, 10)
    np.testing.assert_allclose(found.expected_value - found.lower_margin, 0, atol=1e-300)


def test_on_a_side_without_a_bound_the_band_reaches_as_far_as_the_value():
    found = judge([5, -1e9, 3], upperBound=10)
    assert found.lower_margin.tolist() == pytest.approx([0, 1e9 + 5, 0])
    assert not found.is_anomaly.any()


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_a_value_on_its_bound_is_none_and_one_step_beyond_is(before, one, other):
    low, high = sorted([one, other])
    value = [before, high, np.nextafter(high, np.inf), low, np.nextafter(low, -np.inf)]
    found = judge(value, upperBound=high, lowerBound=low)
    assert found.is_anomaly.tolist()[1:] == [False, True, False, True]
    above = np.asarray(value) > found.expected_value + found.upper_margin
    below = np.asarray(value) < found.expected_value - found.lower_margin
    assert found.is_anomaly.tolist() == (above | below).tolist()


def test_a_run_beyond_a_bound_is_one_incident():
    found = judge([5, 20, 20, 20, *[5] * 6], upperBound=10)
    states = [IncidentState(state).name for state in found.state.tolist()]
    assert states == ["NONE", "ONSET", *["ONGOING"] * 6, "RECOVERED", "NONE"]
