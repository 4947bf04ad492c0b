"""Topics that lose what is in them, or cannot take what is sent."""

import pytest

from streamdet.doctor.topics import (
    check_cleanup,
    check_record_size,
    check_record_times,
    check_retention,
    check_topic,
    learning_s,
)
from tests.doctor.facts import (
    DEAD_LETTERS,
    EVENTS,
    INPUT,
    NOON_MS,
    SETTINGS,
    STATE,
    UNTOLD,
    Topic,
    config,
    only,
    point,
    statuses,
    topic,
)

DAY_S = 86_400


def settings(**changes):
    return {**SETTINGS, **{name.replace("_", "."): value for name, value in changes.items()}}


class TestTopic:
    def test_a_sound_topic_is_well(self):
        findings = list(check_topic(INPUT, topic(), written=False))
        assert statuses(findings) == {"topic": "ok", "topic.replication": "ok"}
        assert findings[0].found == "2 partitions, 3 copies of each, all in sync"

    def test_a_missing_topic_fails_with_the_command_that_makes_it(self):
        finding = only(check_topic(INPUT, None, written=False))
        assert finding.status == "fail"
        assert "streamdet topics create" in finding.advice

    def test_a_topic_of_which_nobody_tells_is_unknown(self):
        assert only(check_topic(INPUT, UNTOLD, written=False)).status == "unknown"

    def test_a_partition_without_a_leader_fails_and_one_with_copies_behind_warns(self):
        headless = check_topic(INPUT, topic(leader=False), written=False)
        assert statuses(headless)["topic"] == "fail"
        behind = check_topic(INPUT, topic(in_sync=2), written=False)
        assert statuses(behind)["topic"] == "warn"

    @pytest.mark.parametrize(
        ("copies", "needed", "in_sync", "written", "status"),
        [
            (3, 2, 3, True, "ok"),
            (3, 1, 3, True, "warn"),  # an acknowledgement of one
            (3, 1, 3, False, "ok"),
            (2, 2, 2, True, "warn"),
            (1, 1, 1, True, "warn"),
            (1, 2, 1, True, "fail"),
            (3, 2, 1, True, "fail"),
            (3, 2, 1, False, "warn"),
        ],
    )
    def test_copies_are_compared_with_those_that_must_be_in_sync(
        self, copies, needed, in_sync, written, status
    ):
        state = topic(copies=copies, in_sync=in_sync, min_insync_replicas=str(needed))
        found = statuses(check_topic(INPUT, state, written=written))
        assert found["topic.replication"] == status

    def test_without_the_settings_copies_are_counted_all_the_same(self):
        state = topic(copies=1)
        state = type(state)(state.name, state.partitions, state.rights, UNTOLD)
        found = statuses(check_topic(INPUT, state, written=True))
        assert found["topic.replication"] == "warn"
        assert found["topic.settings"] == "unknown"


class TestCleanup:
    def status(self, name, policy="compact", sample=None):
        own = settings(cleanup_policy=policy)
        return only(check_cleanup(name, own, config(), sample)).status

    def test_what_is_deleted_by_age_is_well(self):
        assert self.status(INPUT, "delete") == "ok"

    def test_compacted_dead_letters_fail_and_compacted_events_warn(self):
        assert self.status(DEAD_LETTERS) == "fail"
        assert self.status(EVENTS, "compact,delete") == "warn"

    @pytest.mark.parametrize(
        ("policy", "status"), [("compact", "ok"), ("delete", "fail"), ("compact,delete", "fail")]
    )
    def test_state_must_be_compacted_and_never_deleted_by_age(self, policy, status):
        assert self.status(STATE, policy) == status

    def test_a_compacted_input_fails_unless_keys_are_those_of_series(self):
        shared, own = Topic(), Topic()
        for i in range(4):
            shared.add(point(NOON_MS, host=str(i)), key=b"all")
            own.add(point(NOON_MS, host=str(i)), key=b"%d" % i)
        assert self.status(INPUT) == "fail"
        assert self.status(INPUT, sample=shared.sample()) == "fail"
        assert self.status(INPUT, sample=own.sample()) == "warn"


class TestRetention:
    def status(self, learning_s, **changes):
        return only(check_retention(INPUT, settings(**changes), learning_s)).status

    def test_it_is_compared_with_what_learning_takes(self):
        assert self.status(7 * DAY_S) == "ok"
        assert self.status(7 * DAY_S + 1) == "warn"
        assert self.status(7 * DAY_S + 1, retention_ms="-1") == "ok"

    def test_a_limit_of_bytes_makes_it_unknown(self):
        assert self.status(3 * DAY_S, retention_bytes="1000000") == "unknown"
        assert self.status(9 * DAY_S, retention_bytes="1000000") == "warn"

    def test_a_compacted_topic_has_none(self):
        assert list(check_retention(INPUT, settings(cleanup_policy="compact"), 1.0)) == []

    def test_learning_takes_three_periods_of_the_slowest_rule(self):
        rules = [{"match": {}, "set": {"granularity": "hourly", "period": 168}}]
        assert learning_s(config(rules=rules), None) == 3 * 7 * DAY_S
        assert learning_s(config(), None) == 0

    def test_where_no_granularity_is_set_the_points_tell_it(self):
        topic = Topic()
        for minute in range(5):
            topic.add(point(NOON_MS + 60_000 * minute))
        given = config(detection={"period": 1440})
        assert learning_s(given, topic.sample(given)) == 3 * DAY_S
        assert learning_s(config(), topic.sample()) == 3 * DAY_S  # a day is what it may find
        bounds = config(detection={"detector": "threshold", "upperBound": 1})
        assert learning_s(bounds, topic.sample(bounds)) == 0


class TestRecordTimes:
    def status(self, **changes):
        return only(check_record_times(INPUT, settings(**changes), config())).status

    def test_the_brokers_own_time_is_well(self):
        unlimited = str(2**63 - 1)
        own = {"message_timestamp_type": "LogAppendTime"}
        assert self.status(**own, message_timestamp_after_max_ms=unlimited) == "ok"

    def test_a_producers_time_is_well_within_max_future(self):
        assert self.status() == "ok"

    def test_a_producers_time_without_a_limit_is_a_warning(self):
        own = settings(message_timestamp_after_max_ms=str(2**63 - 1))
        finding = only(check_record_times(INPUT, own, config()))
        assert finding.status == "warn"
        assert "no limit" in finding.found

    def test_the_setting_of_older_brokers_counts_too(self):
        own = settings()
        del own["message.timestamp.after.max.ms"]
        assert only(check_record_times(INPUT, own, config())).status == "unknown"
        own["message.timestamp.difference.max.ms"] = "3600000"
        assert only(check_record_times(INPUT, own, config())).status == "ok"


class TestRecordSize:
    def status(self, name, size, largest_input=1_048_588):
        own = settings(max_message_bytes=str(size))
        return statuses(check_record_size(name, own, config(), largest_input))

    def test_an_input_that_takes_far_more_than_is_read_is_a_warning(self):
        assert self.status(INPUT, 1_048_588) == {"topic.record_size": "ok"}
        assert self.status(INPUT, 10_000_000) == {"topic.record_size": "warn"}

    def test_dead_letters_must_take_the_largest_record_there_can_be(self):
        assert self.status(DEAD_LETTERS, 1_048_588) == {"topic.record_size": "ok"}
        assert self.status(DEAD_LETTERS, 100_000) == {"topic.record_size": "fail"}
        assert self.status(DEAD_LETTERS, 100_000, 50_000) == {"topic.record_size": "ok"}
        assert self.status(DEAD_LETTERS, 100_000, None) == {"topic.record_size": "fail"}

    def test_state_must_find_room(self):
        assert self.status(STATE, 1_048_588) == {"topic.record_size": "ok"}
        assert self.status(STATE, 100_000) == {"topic.record_size": "fail"}

    def test_events_are_small(self):
        assert self.status(EVENTS, 10_000) == {}
