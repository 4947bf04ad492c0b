"""What can be held to of the measurements; how fast is looked at, never asserted.

Each of those on a Kafka is run once with tiny sizes: that it says what it is there to say.
"""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import (
    cost,
    failover,
    memory,
    report,
    restore,
    scaling,
    series_count,
    start,
    throughput,
)
from benchmarks.ablation import INGREDIENTS, delay_f1, without
from benchmarks.bars import Bar, Measured
from benchmarks.load import point_messages, request_messages
from streamdet.kafka.partitioner import partition_of


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


def test_series_count_compares_with_the_fewest(capsys):
    series_count.report((50, 700), 64, 100, rounds=2)
    said = capsys.readouterr().out
    assert "700 series known" in said
    assert "| 50 | " in said
    assert "most series to fewest" in said


def test_start_tells_its_parts(capsys):
    start.report(rounds=1, cold_rounds=0)
    said = capsys.readouterr().out
    assert "| interpreter | imports |" in said
    assert "| warm | " in said


FIGURES = scaling.Figures(
    points_per_s=500_000,
    slowdown=1.25,
    memory_bytes={288: 2_000.0},
    state_bytes={288: 1_000.0},
    load_s={288: 1e-5},
)
LOAD = scaling.Load(points_per_s=4e6, n_series=2_000_000, partitions_per_member=8)


def test_a_plan_is_the_arithmetic_of_the_page():
    made = scaling.plan(FIGURES, LOAD, bytes_per_second=2e6)
    assert made.capacity == 400_000
    assert made.members == 20
    assert made.partitions == 160
    assert made.memory_bytes == 100_000 * 2_000
    assert made.turn_s == pytest.approx(2e9 / 40e6)
    # 12,500 series to load, and 50 s of 25,000 points/s to replay at 400,000
    assert made.restore_s == pytest.approx(0.125 + 3.125)


def test_series_are_simulated_where_the_producer_would_send_them():
    where = scaling.partitions_of(300, 7)
    keys = scaling.series_keys(np.arange(300))
    assert where.tolist() == [partition_of(key.tobytes(), 7) for key in keys]


def test_skew_grows_with_the_rates_and_the_busiest_series_is_told():
    where = scaling.partitions_of(20_000, 40)
    even = scaling.skew(where, 40, 10, 0.0, rounds=3)
    steep = scaling.skew(where, 40, 10, 1.0, rounds=3)
    assert 1 <= even.member <= even.partition < 1.2
    assert steep.partition > 2
    assert steep.series > 100 * even.series


def test_the_more_members_die_the_longer_points_wait_and_without_spare_for_ever():
    made = scaling.plan(FIGURES, LOAD, bytes_per_second=2e6)
    loads = np.full(made.partitions, 1 / made.partitions)
    worst_s = [
        scaling.caught_up_s(made, loads, k, np.random.default_rng(1)).max() for k in (1, 5, 10)
    ]
    assert made.load.session_s < worst_s[0] < worst_s[1]
    assert worst_s[2] == np.inf  # half of them did half of what they could


def test_a_message_of_the_load_is_a_plain_point_and_a_request_holds_a_point_a_minute():
    series, at_ms = np.array([7, 123_456]), np.array([1_700_000_000_000, 1_700_000_060_000])
    first, second = map(json.loads, point_messages(series, at_ms, np.array([499.5, 100.25])))
    assert first["dimensions"]["host"] == "host-000007"
    assert first["value"] == 499.5
    assert second["timestamp"] == 1_700_000_060_000
    assert second["value"] == 100.25
    (made,) = request_messages(series[:1], at_ms[None, :], np.array([[150.5, 250.5]]))
    points = json.loads(made)["series"]
    assert points == [
        {"timestamp": 1_700_000_000_000, "value": 150.5},
        {"timestamp": 1_700_000_060_000, "value": 250.5},
    ]


def test_a_bar_says_whether_it_is_met_whichever_way_is_better():
    more, less = Bar("rate", 0.5, 0.8), Bar("cost", 1.6, 1.3, less_is_better=True)
    assert [more.word(figure) for figure in (0.9, 0.6, 0.4)] == ["aim met", "met", "MISSED"]
    assert [less.word(figure) for figure in (1.2, 1.5, 1.7)] == ["aim met", "met", "MISSED"]


def test_table_and_plot_show_a_row_of_each_bar_and_one_that_failed():
    measured = [Measured(Bar("rate", 0.5, 0.8), [0.4, 0.7, 0.6], "a | b"), Measured(Bar("other"))]
    table = report.markdown(measured, "here")
    assert "| rate | 0.5 | 0.8 | 0.6 | 0.4 to 0.7 | met | a \\| b |" in table
    assert "FAILED" in table
    drawn = ElementTree.fromstring(report.svg(measured))
    assert len(drawn.findall("{*}circle")) == 1


def test_the_whole_path_is_measured_with_series_that_are_known(capsys):
    plan = throughput.Plan(rounds=1, n_series=16_000, ticks=2)
    measured = throughput.whole_path(plan)
    assert [len(each.figures) for each in measured] == [1, 1, 1]
    assert "16,000 series" in measured[0].how
