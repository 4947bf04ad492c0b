"""What the newest points of a topic give away."""

import pytest

from streamdet.doctor.clocks import check_clock
from streamdet.doctor.points import check_points, lateness_us
from streamdet.errors import FatalError
from tests.doctor.facts import INPUT, NOON_MS, Topic, config, only, point, topic

MINUTE_MS = 60_000


def findings(records, settings=None):
    settings = settings or config()
    return {each.check.value: each for each in check_points(records.sample(settings), settings)}


@pytest.fixture
def records():
    return Topic()


def fill(records, minutes=20, series=4, **changes):
    """Write points of several series in order, each series in a partition of its own."""
    for minute in range(minutes):
        time_ms = NOON_MS + minute * MINUTE_MS
        for i in range(series):
            records.add(
                point(time_ms, host=str(i)),
                **{"partition": i % 2, "key": b"%d" % i, "time_ms": time_ms, **changes},
            )


def test_sound_points_are_well(records):
    fill(records)
    found = findings(records)
    assert {name: each.status.value for name, each in found.items()} == dict.fromkeys(
        ("points.decoding", "points.keys", "points.order", "points.grid", "points.ahead"), "ok"
    )
    assert "80 newest records, 80 points of 4 series" in found["points.decoding"].found


def test_an_empty_topic_tells_nothing(records):
    assert {name: each.status.value for name, each in findings(records).items()} == {
        "points.decoding": "unknown"
    }


class TestDecoding:
    def test_what_is_refused_is_counted_by_reason_with_the_first_of_the_commonest(self, records):
        fill(records)
        for value in (b"{", b"[", b""):
            records.add(value, partition=1)
        records.add(None)
        finding = findings(records)["points.decoding"]
        assert finding.status == "warn"
        assert "decode 2, empty 1" in finding.found
        assert "1 tombstones" in finding.found
        assert f"first: {INPUT}[1] offset 40: " in finding.found

    def test_a_topic_of_which_nothing_can_be_used_fails_and_tells_of_the_unit(self, records):
        for _ in range(3):
            records.add(b'{"metric": "m", "timestamp": 1614686400, "value": 1}')
        found = findings(records)
        assert list(found) == ["points.decoding"]
        assert found["points.decoding"].status == "fail"
        assert "timestamp_unit" in found["points.decoding"].advice

    def test_bad_dimensions_of_a_plain_point_are_refused_as_a_worker_refuses_them(self, records):
        records.add(point(NOON_MS, __reserved="x"))
        records.add(point(NOON_MS))
        assert "dimensions 1" in findings(records)["points.decoding"].found

    def test_arrays_and_requests_are_points_too(self, records):
        records.add(b"[%b,%b]" % (point(NOON_MS), point(NOON_MS, host="a")))
        assert (
            "1 newest records, 2 points of 2 series" in findings(records)["points.decoding"].found
        )


class TestKeys:
    def test_a_series_in_several_partitions_fails_and_names_rekey(self, records):
        for minute in range(10):
            records.add(point(NOON_MS + minute * MINUTE_MS), partition=minute % 2, key=None)
        finding = findings(records)["points.keys"]
        assert finding.status == "fail"
        assert "1 of 1 series" in finding.found
        assert "100 % of the records have no key" in finding.found
        assert f"streamdet rekey --from {INPUT}" in finding.advice

    def test_keys_that_are_not_the_series_are_told_apart(self, records):
        for minute in range(10):
            records.add(point(NOON_MS + minute * MINUTE_MS), minute % 2, b"%d" % minute)
        assert "not one for each series" in findings(records)["points.keys"].found

    def test_another_spelling_of_a_series_is_the_same_series(self, records):
        records.add(point(NOON_MS, a="1", b="2"), 0)
        records.add(point(NOON_MS + 1, b="2", a="1"), 1)
        assert findings(records)["points.keys"].status == "fail"

    def test_no_keys_are_a_warning_where_chance_kept_series_together(self, records):
        fill(records, key=None)
        assert findings(records)["points.keys"].status == "warn"

    def test_one_partition_needs_no_keys(self, records):
        fill(records, key=None, partition=0)
        assert findings(records)["points.keys"].status == "ok"


class TestOrder:
    def test_lateness_is_told_from_the_time_of_the_partition(self, records):
        for minute, host in ((0, "a"), (5, "a"), (9, "b"), (4, "a"), (2, "b"), (10, "a")):
            records.add(point(NOON_MS + minute * MINUTE_MS, host=host))
        late_us = lateness_us(records.sample())
        assert (late_us / 60e6).tolist() == [0, 0, 0, 5, 7, 0]

    def test_a_slower_series_that_is_in_order_is_not_late(self, records):
        for minute in range(10):
            records.add(point(NOON_MS + minute * MINUTE_MS, host="a"))
            records.add(point(NOON_MS + (minute - 5) * MINUTE_MS, host="b"))
        assert findings(records)["points.order"].status == "ok"

    def test_the_suggested_lateness_would_have_kept_them(self, records):
        for minute in range(100):
            behind = 3 if minute % 10 == 9 else 0
            records.add(point(NOON_MS + (minute - behind) * MINUTE_MS + behind))
        finding = findings(records)["points.order"]
        assert finding.status == "warn"
        assert "allowed_lateness: 2m" in finding.advice
        enough = findings(records, config(detection={"allowed_lateness": "2m"}))
        assert enough["points.order"].status == "ok"

    def test_a_wrong_clock_makes_nobody_late(self, records):
        fill(records, minutes=10)
        records.add(point(NOON_MS + 400 * 86_400_000, host="wrong"), time_ms=NOON_MS * 2)
        fill(records, minutes=10, partition=3)
        assert findings(records)["points.order"].status == "ok"


class TestGrid:
    def test_points_at_another_distance_than_granularity_says_are_a_warning(self, records):
        fill(records)
        settings = config(detection={"granularity": "minutely", "customInterval": 5})
        finding = findings(records, settings)["points.grid"]
        assert finding.status == "warn"
        assert "(1 m)" in finding.found

    def test_holes_do_not_make_another_distance(self, records):
        for minute in (0, 1, 2, 5, 6, 7, 30, 31):
            records.add(point(NOON_MS + minute * MINUTE_MS))
        settings = config(detection={"granularity": "minutely"})
        assert findings(records, settings)["points.grid"].status == "ok"

    @pytest.mark.parametrize(("off_ms", "status"), [(4_000, "ok"), (6_000, "warn")])
    def test_points_further_from_the_grid_than_tolerance_are_a_warning(
        self, records, off_ms, status
    ):
        for minute in range(10):
            records.add(point(NOON_MS + minute * MINUTE_MS + off_ms))
        settings = config(detection={"granularity": "minutely", "tolerance": "5s"})
        assert findings(records, settings)["points.grid"].status == status

    def test_a_day_begins_by_the_clock_of_the_zone(self, records):
        for day in range(5):
            records.add(point(NOON_MS + day * 86_400_000 + 11 * 3_600_000))  # midnight in Berlin
        grid = {"granularity": "daily", "tolerance": "1m"}
        assert findings(records, config(detection=grid))["points.grid"].status == "warn"
        berlin = config(detection={**grid, "timezone": "Europe/Berlin"})
        assert findings(records, berlin)["points.grid"].status == "ok"


class TestAhead:
    @pytest.mark.parametrize(("ahead_ms", "status"), [(0, "ok"), (60_000, "ok"), (61_000, "warn")])
    def test_points_ahead_of_their_record_are_a_warning(self, records, ahead_ms, status):
        records.add(point(NOON_MS + ahead_ms))
        assert findings(records)["points.ahead"].status == status

    def test_records_without_a_time_cannot_tell(self, records):
        records.add(point(NOON_MS), time_ms=-1)
        assert findings(records)["points.ahead"].status == "unknown"


class TestClock:
    @pytest.mark.parametrize(("ahead_s", "status"), [(-5, "ok"), (1, "ok"), (10, "warn")])
    def test_a_record_from_the_future_tells_of_a_wrong_clock(self, records, ahead_s, status):
        records.add(point(NOON_MS), time_ms=NOON_MS + 1_000 * ahead_s)
        finding = only(check_clock(records.sample(), topic(), NOON_MS / 1_000))
        assert finding.status == status
        assert "a producer's clock" in finding.found

    def test_the_brokers_clock_is_told_by_records_that_have_its_time(self, records):
        records.add(point(NOON_MS))
        appended = topic(message_timestamp_type="LogAppendTime")
        finding = only(check_clock(records.sample(), appended, NOON_MS / 1_000 + 3))
        assert finding.found == "the newest record is 3 s old, by a broker's clock and this one"

    def test_without_a_record_nothing_is_known(self, records):
        assert only(check_clock(records.sample(), topic(), 0.0)).status == "unknown"


def test_a_reader_that_gives_up_leaves_what_was_read(records):
    class Broken(Topic):
        def batches(self, records_max):
            yield from super().batches(records_max)
            raise FatalError("the brokers went away")

    broken = Broken()
    fill(broken, minutes=3)
    finding = findings(broken)["points.decoding"]
    assert "12 newest records" in finding.found
    assert "the brokers went away" in finding.found
