"""How a series gets its detection parameters."""

import pytest

from streamdet.config import DetectionConfig, interval_us, load
from streamdet.types import SeriesId


class TestDetection:
    def test_the_detectors_are_those_that_detection_and_rules_name(self, write):
        assert load().detectors == {"forecast"}
        rules = "rules: [{match: {}, set: {detector: threshold, upperBound: 1}}]"
        assert load(write(rules)).detectors == {"forecast", "threshold"}

    def test_the_first_rule_that_fits_sets_its_parameters_over_the_defaults(self, write):
        config = load(
            write(
                "detection: {sensitivity: 50, warmup: 20}\n"
                "rules:\n"
                "  - {match: {metric: 'http_*', dimensions: {env: prod, region: 'eu-*'}},"
                " set: {sensitivity: 85, period: 288}}\n"
                "  - {match: {metric: 'http_*'}, set: {period: 24}}\n"
            )
        )

        def found(metric, **dimensions):
            detection = config.detection_for(SeriesId.of(metric, dimensions))
            return detection.sensitivity, detection.period, detection.warmup

        assert found("http_requests", env="prod", region="eu-1", host="a") == (85, 288, 20)
        assert found("http_requests", env="prod") == (50, 24, 20)
        assert found("http_requests", env="dev", region="eu-1") == (50, 24, 20)
        assert found("HTTP_requests", env="prod", region="eu-1") == (50, None, 20)
        assert found("my_http_requests") == (50, None, 20)

    def test_what_a_rule_sets_to_the_default_still_wins_over_detection(self, write):
        file = write("detection: {period: 9}\nrules: [{match: {metric: a}, set: {period: 0}}]\n")
        assert load(file).detection_for(SeriesId("a")).period == 0

    def test_equal_series_get_the_very_same_parameters(self, write):
        config = load(write("rules: [{match: {metric: a}, set: {period: 7}}]\n"))
        assert config.detection_for(SeriesId("a")) is config.detection_for(SeriesId("a"))

    @pytest.mark.parametrize(
        ("granularity", "custom_interval", "expected"),
        [
            ("none", 1, 0),
            ("yearly", 1, 0),
            ("monthly", 3, 0),
            ("weekly", 1, 604_800_000_000),
            ("daily", 1, 86_400_000_000),
            ("hourly", 2, 7_200_000_000),
            ("minutely", 5, 300_000_000),
            ("secondly", 1, 1_000_000),
            ("microsecond", 1, 1_000),  # a millisecond: Azure's code, not its word
        ],
    )
    def test_the_interval_is_granularity_times_custom_interval(
        self, granularity, custom_interval, expected
    ):
        detection = DetectionConfig(granularity=granularity, customInterval=custom_interval)
        assert detection.interval_us == expected == interval_us(granularity, custom_interval)

    def test_the_ring_holds_three_periods_whatever_a_request_brings(self):
        assert DetectionConfig().ring_points == 1440  # the period is to be found
        assert DetectionConfig(period=0).ring_points == 64
        assert DetectionConfig(period=288).ring_points == 864
        assert DetectionConfig(ring_length=16).ring_points == 16
        assert DetectionConfig(ring_length=16).model_copy(update={"period": 7}).ring_points == 21

    def test_the_hash_changes_with_what_can_change_a_verdict_and_nothing_else(self):
        plain = load().detection_hash
        assert len(plain) == 12
        same = ["kafka.group_id=x", "limits.batch_records=7", "metrics.port=1", "input.topics=[x]"]
        assert load(None, same).detection_hash == plain
        for change in (
            "detection.sensitivity=74",
            "rules=[{match: {metric: a}, set: {}}]",
            "limits.series_ttl=1d",
            "input.timestamp_unit=s",
            "input.topics=[{name: metrics, timestamp_unit: s}]",
        ):
            assert load(None, [change]).detection_hash != plain

    def test_a_changed_copy_forgets_what_was_computed_before(self):
        config = load()
        before = config.detection_hash, config.detection_for(SeriesId("a")).sensitivity
        changed = config.model_copy(update={"detection": DetectionConfig(sensitivity=3)})
        after = changed.detection_hash, changed.detection_for(SeriesId("a")).sensitivity
        assert before[0] != after[0]
        assert after[1] == 3

    def test_the_configuration_cannot_be_changed(self):
        with pytest.raises(ValueError, match="frozen"):
            load().delivery = "at_least_once"


class TestInput:
    def test_the_unit_of_a_topic_is_its_own_then_a_patterns_then_the_general_one(self):
        topics = "[{name: ^m.*, timestamp_unit: us}, {name: metrics, timestamp_unit: s}, plain]"
        settings = load(None, [f"input.topics={topics}"]).input
        assert settings.timestamp_unit_for("metrics") == "s"
        assert settings.timestamp_unit_for("more") == "us"
        assert settings.timestamp_unit_for("plain") == "ms"
