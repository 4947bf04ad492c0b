"""From anomalies to incidents: where they begin, and when they are over."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kernels import incident
from streamdet.kernels.header import whole_lines
from streamdet.kernels.incident import INCIDENT, follow
from streamdet.kernels.jit import kernel
from streamdet.types import IncidentState
from tests.kernels.naive_conditions import Incidents


@kernel
def follow_all(rows, anomaly, settled, state):
    for i in range(len(anomaly)):
        state[i] = follow(rows[0], anomaly[i], settled[i])


def states(anomaly, settled=None, rows=None):
    """Return the states as letters: . none, A onset, - ongoing, R recovered."""
    if isinstance(anomaly, str):
        anomaly, settled = [c == "!" for c in anomaly], [c == " " for c in anomaly]
    rows = np.zeros(1, whole_lines(INCIDENT)) if rows is None else rows
    state = np.empty(len(anomaly), np.uint8)
    follow_all(rows, np.array(anomaly, np.bool_), np.array(settled, np.bool_), state)
    return "".join(".A-R"[s] for s in state)


def test_the_states_have_the_numbers_of_the_kernel():
    assert {s.name: s.value for s in IncidentState} == {
        name: getattr(incident, name) for name in ("NONE", "ONSET", "ONGOING", "RECOVERED")
    }


def test_five_settled_points_in_a_row_end_an_incident():
    assert states("  !      ") == "..A----R."


def test_an_anomaly_inside_an_incident_is_no_second_onset():
    assert states("!!  !    !     !") == "A-------------RA"[:16]


def test_points_that_are_no_anomalies_but_not_settled_go_on_with_it():
    assert states("!~~~~~~~~~    ~     ") == "A" + "-" * 18 + "R"


def test_after_a_recovery_the_next_anomaly_is_a_new_onset():
    assert states("!     !     ") == "A----RA----R"


@given(st.lists(st.tuples(st.integers(0, 9).map(lambda k: k == 0), st.booleans() | st.just(True))))
def test_the_states_are_those_of_the_twin_however_batches_fall(points):
    anomaly, settled = [a for a, _ in points], [s for _, s in points]
    twin = Incidents()
    letters = {"none": ".", "onset": "A", "ongoing": "-", "recovered": "R"}
    want = "".join(letters[twin.follow(a, s)] for a, s in points)
    assert states(anomaly, settled) == want
    rows = np.zeros(1, whole_lines(INCIDENT))
    one_by_one = (states(anomaly[i : i + 1], settled[i : i + 1], rows) for i in range(len(points)))
    assert "".join(one_by_one) == want
