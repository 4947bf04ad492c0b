"""Precision, recall and F1 by event, against cases counted by hand."""

import math

import numpy as np
import pytest

from streamdet.backtest.evaluation import DELAY, GAP, Tally, evaluate


def threshold(sensitivity):
    return 14.0 - 0.1 * sensitivity


def marked(n, *spans):
    """Return n points of which those of `spans`, first and last, are set."""
    found = np.zeros(n, np.bool_)
    for first, last in spans:
        found[first : last + 1] = True
    return found


def counted(label, flags, series=None, n_series=1, score=None):
    series = np.zeros(len(label), np.int64) if series is None else series
    score = np.where(flags, 10.0, 0.0) if score is None else score
    return evaluate(series, label, flags, score, n_series, threshold)


def total(label, flags):
    return counted(label, flags).total


def test_a_segment_is_found_by_a_flag_on_one_of_its_first_points_and_no_later_one():
    label = marked(100, (20, 60))
    for at, found in ((20, 1), (20 + DELAY, 1), (20 + DELAY + 1, 0), (60, 0), (19, 0), (61, 0)):
        assert total(label, marked(100, (at, at))).found == found, at


def test_a_flag_after_the_end_of_a_short_segment_does_not_find_it():
    label = marked(100, (20, 21))
    assert total(label, marked(100, (21, 21))) == Tally(segments=1, found=1, alarms=1, right=1)
    assert total(label, marked(100, (22, 22))) == Tally(segments=1, found=0, alarms=1, right=0)


def test_an_alarm_that_comes_too_late_is_right_all_the_same():
    assert total(marked(100, (20, 60)), marked(100, (40, 45))) == Tally(1, 0, 1, 1)


def test_flags_a_few_points_apart_are_one_alarm():
    label = marked(100, (20, 20))
    near = marked(100, (20, 20), (20 + GAP, 20 + GAP))
    far = marked(100, (20, 20), (21 + GAP, 21 + GAP))
    assert total(label, near) == Tally(1, 1, 1, 1)
    assert total(label, far) == Tally(1, 1, 2, 1)


def test_an_alarm_may_touch_a_segment_between_its_flags():
    assert total(marked(100, (22, 23)), marked(100, (20, 20), (25, 25))) == Tally(1, 0, 1, 1)


def test_one_long_alarm_over_two_segments_finds_both_and_counts_once():
    assert total(marked(100, (20, 25), (30, 35)), marked(100, (18, 40))) == Tally(2, 2, 1, 1)


def test_neither_segments_nor_alarms_go_from_one_series_into_the_next():
    series = np.repeat([0, 1], 10)
    both = marked(20, (8, 11))
    found = counted(both, both, series, n_series=3)
    assert found.series == (Tally(1, 1, 1, 1), Tally(1, 1, 1, 1), Tally(0, 0, 0, 0))
    assert found.total == Tally(2, 2, 2, 2)


def test_the_rows_of_series_may_be_mixed():
    rng = np.random.default_rng(3)
    series = np.repeat(np.arange(4), 50)
    label, flags = rng.random(200) < 0.1, rng.random(200) < 0.1
    apart = counted(label, flags, series, 4)
    mixed = np.argsort(np.tile(np.arange(50), 4), kind="stable")
    assert counted(label[mixed], flags[mixed], series[mixed], 4) == apart


def test_the_rates_are_those_of_the_counts():
    tally = Tally(segments=4, found=3, alarms=5, right=2)
    assert (tally.recall, tally.precision) == (0.75, 0.4)
    assert tally.f1 == pytest.approx(2 * 0.75 * 0.4 / 1.15)


def test_a_rate_of_nothing_is_not_known_and_of_nothing_found_is_zero():
    silent = total(marked(10, (2, 3)), marked(10))
    assert (silent.recall, silent.f1) == (0.0, 0.0)
    assert math.isnan(silent.precision)
    unlabelled = total(marked(10), marked(10, (2, 3)))
    assert unlabelled.precision == 0.0
    assert math.isnan(unlabelled.recall)
    assert math.isnan(unlabelled.f1)


def test_false_flags_are_points_outside_of_segments():
    found = counted(marked(100, (20, 29)), marked(100, (25, 34)))
    assert (found.normal_points, found.false_flags) == (90, 5)


def test_the_curve_is_what_the_scores_would_flag_at_each_sensitivity():
    label = marked(100, (20, 24), (60, 64))
    score = np.full(100, np.nan)
    score[10:] = 1.0
    score[[22, 62, 80]] = 12.0, 8.0, 6.0  # found from 21 and 61 on; a false alarm from 81 on
    found = counted(label, score > threshold(75), score=score)
    assert found.curve[75] == found.total == Tally(2, 2, 2, 2)
    assert found.curve[20] == Tally(2, 0, 0, 0)
    assert found.curve[21] == found.curve[60] == Tally(2, 1, 1, 1)
    assert found.curve[61] == Tally(2, 2, 2, 2)
    assert found.curve[81] == Tally(2, 2, 3, 2)
    assert found.best == 61
    assert len(found.curve) == 100


def test_every_series_may_have_a_threshold_of_its_own():
    series = np.repeat([0, 1], 50)
    label = marked(100, (20, 20), (70, 70))
    score = np.where(label, 5.0, 0.0)
    found = evaluate(series, label, score > 99, score, 2, lambda s: np.array([4.0, 6.0 - s / 10]))
    assert (found.curve[0].found, found.curve[10].found, found.curve[11].found) == (1, 1, 2)


def test_no_point_gives_no_count():
    none = np.zeros(0, np.bool_)
    assert counted(none, none).total == Tally(0, 0, 0, 0)


def slowly(series, label, flags):
    """Return segments, found, alarms, right, point by point."""
    counts = [0, 0, 0, 0]
    for one in np.unique(series):
        of = np.flatnonzero(series == one)
        y, f = label[of].tolist(), flags[of].tolist()
        for i in range(len(y)):
            if y[i] and (i == 0 or not y[i - 1]):
                end = next((j for j in range(i, len(y)) if not y[j]), len(y))
                counts[0] += 1
                counts[1] += any(f[i : min(i + DELAY + 1, end)])
        alarms = []
        for i in (i for i in range(len(f)) if f[i]):
            if alarms and i - alarms[-1][1] <= GAP:
                alarms[-1][1] = i
            else:
                alarms.append([i, i])
        counts[2] += len(alarms)
        counts[3] += sum(any(y[first : last + 1]) for first, last in alarms)
    return Tally(*counts)


@pytest.mark.parametrize("seed", range(20))
def test_counts_agree_with_the_slow_way(seed):
    rng = np.random.default_rng(seed)
    n, share = int(rng.integers(1, 300)), rng.random()
    series = np.sort(rng.integers(0, 3, n))
    steps = rng.random((2, n)) < 0.15
    label, flags = (np.cumsum(steps, axis=1) % 2).astype(bool)
    flags &= rng.random(n) < share
    assert counted(label, flags, series, 3).total == slowly(series, label, flags)
