"""What can be held to of the measurements; how fast is looked at, never asserted.

Each of those on a Kafka is run once with tiny sizes: that it says what it is there to say.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cost, failover, memory, restore
from benchmarks.ablation import INGREDIENTS, delay_f1, without


@pytest.mark.parametrize("name", INGREDIENTS)
def test_every_ingredient_can_be_taken_out_of_the_kernels_as_they_are(name, tmp_path):
    without(INGREDIENTS[name], tmp_path)


def test_a_change_for_text_that_is_gone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="stands 0 times"):
        without((("no such line", ""),), tmp_path)


def test_a_segment_counts_with_all_its_points_when_its_first_eight_are_flagged_in_time():
    label = np.zeros(100, np.bool_)
    label[10:30] = label[60:80] = True
    score = np.zeros(100)
    score[17] = 3.0  # in time
    score[68] = 2.0  # too late
    score[50] = 1.0
    assert delay_f1(np.zeros(100, np.int64), label, score) == 2 * 20 / (20 + 40)


@pytest.mark.kafka
def test_restore_tells_seconds_bytes_and_series_with_and_without_replay(capsys):
    restore.report(40, 64, 70, replayed=30, rounds=1)
    said = capsys.readouterr().out
    assert "n_series=40" in said
    assert "replayed=0" in said
    assert "replayed=30" in said
    assert "other partition: longest gap" in said


@pytest.mark.kafka
def test_cost_compares_with_a_run_that_writes_no_state(capsys):
    cost.report(40, 64, 70, points=60_000, rounds=1)
    said = capsys.readouterr().out
    assert "round 1, off: Run" in said
    assert "state_rate=0.0" in said
    assert "S = series x (row + 4 x ring) x compression" in said


@pytest.mark.kafka
def test_failover_tells_how_long_the_partitions_of_a_killed_worker_stood_still(capsys):
    failover.report(n_series=80, points_per_s=200, kills=1)
    assert "| 1 | " in capsys.readouterr().out


@pytest.mark.kafka
def test_memory_tells_its_slope_and_whether_the_load_was_constant(capsys):
    memory.report(minutes=0.1, n_series=40, points_per_s=200)
    said = capsys.readouterr().out
    assert "resident memory" in said
    assert "200 were asked for" in said


def test_the_slope_is_that_of_most_samples():
    x = np.arange(100.0)
    y = 3 * x
    y[::10] += 1_000  # a garbage collection that was late
    assert memory.slope(x, y) == pytest.approx(3, rel=0.01)
