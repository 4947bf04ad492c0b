"""How far a series moves on its grid, and where a grid comes from."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kernels.header import RESTART
from tests import naive
from tests.aligned import MINUTE, SECOND, Point, configured, released


def steps(times, cuts=(), limits=None, **detection):
    """Return the steps of a series with points at `times`, in microseconds."""
    stream = [Point("a", int(time_us), 1.0) for time_us in times]
    found = released(configured(limits=limits, **detection), stream, cuts)
    return [row.step for row in found.released["a"]]


def test_steps_count_the_grid_and_never_less_than_one():
    times = np.array([0, 60, 119, 300, 301]) * SECOND
    assert steps(times, granularity="minutely") == [RESTART, 1, 1, 3, 1]


def test_the_distance_that_most_points_have_becomes_the_grid():
    times = np.delete(np.arange(60), [20, 21, 22, 40]) * MINUTE
    assert [step for step in steps(times) if step != 1] == [RESTART, 4, 2]


def test_a_jittering_clock_keeps_the_grid_of_whole_seconds():
    jitter = np.random.default_rng(0).integers(-2 * SECOND, 2 * SECOND, 200)
    times = np.arange(200) * MINUTE + jitter
    assert set(steps(times)[1:]) == {1}
    assert steps(np.r_[times, times[-1] + 5 * MINUTE])[-1] == 5


def test_one_point_in_five_may_be_missing_from_the_first_on():
    kept = np.flatnonzero(np.random.default_rng(1).random(400) > 0.2)
    assert steps(kept * MINUTE)[50:] == np.diff(kept)[49:].tolist()


def test_points_at_random_times_have_no_grid():
    times = np.cumsum(np.random.default_rng(2).exponential(MINUTE, 500)) + 1
    assert set(steps(times)[1:]) == {1}


def test_a_series_that_begins_to_come_at_another_distance_begins_anew_once():
    times = np.r_[np.arange(100) * MINUTE, 99 * MINUTE + np.arange(1, 100) * 10 * SECOND]
    assert steps(times).count(RESTART) == 2


def test_a_grid_that_was_given_stays():
    assert steps(np.arange(100) * 10 * SECOND, granularity="minutely").count(RESTART) == 1


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.data())
def test_the_grid_is_what_the_twin_finds_however_the_stream_is_cut(gaps, data):
    times = np.cumsum(gaps).tolist()
    twin, want = naive.Grid(), [RESTART]
    for gap in gaps[1:]:
        found = twin.steps(gap)
        want.append(found)
    cut = data.draw(st.integers(0, len(times)))
    assert steps(times, [cut]) == want


def test_without_a_grid_every_point_is_one_step():
    assert steps([0, MINUTE, 100 * MINUTE]) == [RESTART, 1, 1]


def test_a_series_idle_for_longer_than_its_time_to_live_begins_anew():
    times = np.array([0, 60, 120, 300, 360]) * SECOND
    assert steps(times, limits={"series_ttl": "2m"}) == [RESTART, 1, 1, RESTART, 1]
