"""The demo's fleet: the same for a seed, and its anomalies are anomalies."""

import json
from collections import Counter

import numpy as np
import pytest

from streamdet.demo import fleet as fleets
from streamdet.demo.signals import Kind
from streamdet.types import SeriesId

END_US = 1_790_000_000_000_000
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def fleet():
    return fleets.make(end_us=END_US)


def window(fleet, label):
    """The row of the label's series, and the columns of its points."""
    row = fleet.series.index(label.series)
    first, last = np.searchsorted(fleet.times_us, [label.first_us, label.last_us])
    return row, slice(first, last + 1)


def test_the_same_seed_and_end_give_the_same_fleet(fleet):
    again = fleets.make(end_us=END_US)
    assert again.series == fleet.series
    assert again.labels == fleet.labels
    assert again.malformed == fleet.malformed
    np.testing.assert_array_equal(again.values, fleet.values)


def test_another_seed_gives_other_points_and_labels(fleet):
    other = fleets.make(seed=2, end_us=END_US)
    assert other.labels != fleet.labels
    assert not np.array_equal(other.values, fleet.values)


def test_event_time_ends_at_the_last_midnight_before_the_end(fleet):
    day_us = 24 * HOUR_US
    after_last_us = int(fleet.times_us[-1]) + fleets.INTERVAL_US
    assert after_last_us % day_us == 0
    assert 0 <= END_US - after_last_us < day_us
    assert after_last_us - int(fleet.times_us[0]) == 21 * day_us


@pytest.mark.parametrize("n_series", [1, 7, 200, 2000])
def test_every_series_has_an_identity_of_its_own(n_series):
    series = fleets.make(n_series, days=2, end_us=END_US).series
    assert len(set(series)) == n_series


def test_about_sixty_anomalies_of_every_kind_are_hidden(fleet):
    kinds = Counter(label.kind for label in fleet.labels)
    assert set(kinds) == set(Kind)
    assert 54 <= len(fleet.labels) <= 60
    assert min(kinds.values()) >= 5


@pytest.mark.parametrize("days", [4, 7.5, 21])
def test_labels_lie_inside_their_series_after_the_quiet_history(days):
    fleet = fleets.make(days=days, end_us=END_US)
    history_ends_us = fleet.times_us[0] + fleets.HISTORY * days * 24 * HOUR_US
    for label in fleet.labels:
        row, columns = window(fleet, label)
        assert history_ends_us - fleets.INTERVAL_US <= label.first_us <= label.last_us
        assert label.settled_us <= fleet.times_us[-1]
        assert not np.isnan(fleet.values[row, columns]).any()


def test_no_series_has_two_anomalies(fleet):
    assert len({label.series for label in fleet.labels}) == len(fleet.labels)


def test_each_anomaly_stands_out_from_the_noise_of_its_series(fleet):
    for label in fleet.labels:
        row, columns = window(fleet, label)
        signal = fleet.signals[row]
        change = np.abs(fleet.values[row, columns] - signal.values[columns])
        assert np.max(change) >= 8 * np.max(signal.sigma[columns.start]), label
        if label.kind in (Kind.SPIKE, Kind.DIP):  # each of its points
            assert np.min(change - 8 * signal.sigma[columns]) > 0, label


def test_a_missing_peak_stays_far_below_the_usual_one(fleet):
    for label in fleet.labels:
        if label.kind is Kind.MISSING_PEAK:
            row, columns = window(fleet, label)
            assert np.max(fleet.values[row, columns]) < 0.6 * np.max(
                fleet.signals[row].pattern[columns]
            )


def test_a_flat_line_is_one_value_and_a_shift_lasts_to_the_end(fleet):
    for label in fleet.labels:
        row, columns = window(fleet, label)
        values = fleet.values[row]
        if label.kind is Kind.FLAT_LINE:
            assert len(set(values[columns])) == 1
            assert columns.stop - columns.start == 72  # six hours
        if label.kind is Kind.LEVEL_SHIFT:
            moved = (values - fleet.signals[row].values)[columns.start :]
            moved = moved[~np.isnan(moved)]
            assert np.min(np.abs(moved)) > 0
            assert label.last_us - label.first_us == 2 * HOUR_US


def test_apart_from_labels_and_gaps_the_series_are_the_healthy_ones(fleet):
    touched = np.zeros(fleet.values.shape, dtype=bool)
    for label in fleet.labels:
        row, columns = window(fleet, label)
        lasts = label.kind is Kind.LEVEL_SHIFT
        touched[row, columns.start : None if lasts else columns.stop] = True
    for row, signal in enumerate(fleet.signals):
        here = ~touched[row] & ~np.isnan(fleet.values[row])
        healthy = np.round(signal.values, signal.decimals)
        np.testing.assert_array_equal(fleet.values[row, here], healthy[here])


def test_some_points_are_missing_and_some_for_hours(fleet):
    missing = np.isnan(fleet.values)
    assert 0.001 < missing.mean() < 0.02
    hour = np.lib.stride_tricks.sliding_window_view(missing, 12, axis=1).all(axis=2)
    assert 10 <= hour.any(axis=1).sum() <= 60


def test_records_come_in_event_order_keyed_by_series():
    fleet = fleets.make(20, days=2, end_us=END_US)
    malformed = {value for _, value in fleet.malformed}
    assert len(malformed) == 5
    last, seen, n_malformed = "", 0, 0
    for record in fleet.records("points"):
        assert record.topic == "points"
        if record.value in malformed:
            n_malformed += 1
            continue
        point = json.loads(record.value)
        assert list(point) == ["metric", "dimensions", "timestamp", "value"]
        assert record.key == str(SeriesId.of(point["metric"], point["dimensions"])).encode()
        assert point["timestamp"].endswith("Z")
        assert point["timestamp"] >= last
        last, seen = point["timestamp"], seen + 1
    assert (seen, n_malformed) == (fleet.n_points, 5)
    assert fleet.records_until()[-1] == seen + 5


def test_counts_are_written_as_integers():
    fleet = fleets.make(50, days=2, end_us=END_US)
    for record in fleet.records("points"):
        if (record.key or b"").startswith((b"orders", b"errors", b"replicas")):
            assert isinstance(json.loads(record.value)["value"], int)
