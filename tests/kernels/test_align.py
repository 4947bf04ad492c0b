"""Which points are late, which are doubled, and how far a series moved on its grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.kernels.align import HEADER, NEVER, RESTART, align
from tests import naive

ROW = np.dtype(HEADER)


def run(points, ttl_us=0, interval_us=0, rows=None, newest=NEVER):
    rows = fresh(interval_us) if rows is None else rows
    slot = np.array([s for s, _ in points], np.int64)
    time_us = np.array([t for _, t in points], np.int64)
    newest_us = np.maximum(np.maximum.accumulate(time_us), newest)
    outcome, step = np.empty(len(points), np.uint8), np.empty(len(points), np.int32)
    align(rows, slot, time_us, newest_us, ttl_us, outcome, step)
    return outcome.tolist(), step.tolist()


def fresh(interval_us=0):
    rows = np.zeros(4, ROW)
    rows["time_us"] = NEVER
    rows["interval_us"] = interval_us
    return rows


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), min_size=1),
    st.sampled_from([0, 10]),
    st.data(),
)
def test_outcomes_agree_with_the_twin_however_the_stream_is_cut(points, ttl_us, data):
    want = naive.align(points, ttl_us)
    cut = data.draw(st.integers(0, len(points)))
    rows = fresh()
    first, _ = run(points[:cut], ttl_us, rows=rows) if cut else ([], [])
    newest = max((t for _, t in points[:cut]), default=NEVER)
    rest, _ = run(points[cut:], ttl_us, rows=rows, newest=newest) if cut < len(points) else ([], [])
    assert first + rest == want


def test_steps_count_the_grid_and_never_less_than_one():
    points = [(0, 0), (0, 60), (0, 119), (0, 300), (0, 301)]
    assert run(points, interval_us=60)[1] == [RESTART, 1, 1, 3, 1]


def test_without_a_grid_every_point_is_one_step():
    assert run([(0, 0), (0, 60), (0, 6000)])[1] == [RESTART, 1, 1]


def test_a_series_idle_for_longer_than_its_time_to_live_begins_anew():
    assert run([(0, 0), (1, 0), (1, 90), (0, 95), (1, 250), (0, 251)], ttl_us=100)[1] == [
        RESTART, RESTART, 1, 1, RESTART, RESTART,
    ]  # fmt: skip
