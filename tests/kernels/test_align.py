"""Which points are late, which are doubled, and how far a series moved on its grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.kernels.align import NEVER, RESTART, align
from streamdet.kernels.threshold import ROW
from tests import naive


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
    rows["interval_given"] = interval_us > 0
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


MINUTE = 60_000_000


def series(times):
    return [(0, int(time)) for time in times]


def test_the_distance_that_most_points_have_becomes_the_grid():
    times = np.delete(np.arange(60), [20, 21, 22, 40]) * MINUTE
    rows = fresh()
    _, step = run(series(times), rows=rows)
    assert rows["interval_us"][0] == MINUTE
    assert [s for s in step if s != 1] == [RESTART, 4, 2]


def test_a_jittering_clock_keeps_the_grid_of_whole_seconds():
    jitter = np.random.default_rng(0).integers(-2_000_000, 2_000_000, 200)
    rows = fresh()
    _, step = run(series(np.arange(200) * MINUTE + jitter), rows=rows)
    assert rows["interval_us"][0] == MINUTE
    assert set(step[1:]) == {1}


def test_one_point_in_five_may_be_missing_from_the_first_on():
    kept = np.random.default_rng(1).random(400) > 0.2
    rows = fresh()
    _, step = run(series(np.flatnonzero(kept) * MINUTE), rows=rows)
    assert rows["interval_us"][0] == MINUTE
    assert step[50:] == np.diff(np.flatnonzero(kept))[49:].tolist()


def test_points_at_random_times_have_no_grid():
    times = np.cumsum(np.random.default_rng(2).exponential(MINUTE, 500)) + 1
    rows = fresh()
    _, step = run(series(times), rows=rows)
    assert rows["interval_us"][0] == 0
    assert set(step[1:]) == {1}


def test_a_series_that_begins_to_come_at_another_distance_begins_anew_once():
    times = np.r_[np.arange(100) * MINUTE, 99 * MINUTE + np.arange(1, 100) * 10_000_000]
    rows = fresh()
    _, step = run(series(times), rows=rows)
    assert rows["interval_us"][0] == 10_000_000
    assert step.count(RESTART) == 2


def test_a_grid_that_was_given_stays():
    rows = fresh(interval_us=MINUTE)
    run(series(np.arange(100) * 10_000_000), rows=rows)
    assert rows["interval_us"][0] == MINUTE


@settings(deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.data())
def test_the_grid_is_what_the_twin_finds_however_the_stream_is_cut(gaps, data):
    times = np.cumsum(gaps).tolist()
    twin, want = naive.Grid(), [RESTART]
    for gap in gaps[1:]:
        want.append(twin.steps(gap))
    cut = data.draw(st.integers(0, len(times)))
    rows, step = fresh(), []
    for part in (times[:cut], times[cut:]):
        step += run(series(part), rows=rows)[1] if part else []
    assert step == want
    assert rows["interval_us"][0] == twin.interval


def test_without_a_grid_every_point_is_one_step():
    assert run([(0, 0), (0, 60), (0, 6000)])[1] == [RESTART, 1, 1]


def test_a_series_idle_for_longer_than_its_time_to_live_begins_anew():
    assert run([(0, 0), (1, 0), (1, 90), (0, 95), (1, 250), (0, 251)], ttl_us=100)[1] == [
        RESTART, RESTART, 1, 1, RESTART, RESTART,
    ]  # fmt: skip
