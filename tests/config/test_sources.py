"""Where settings come from, and how those that cannot be used are refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from streamdet.config import Config, KafkaConfig, load, show
from tests.config.refusal import problems


class TestSources:
    def test_without_a_file_everything_has_its_default(self):
        config = load()
        assert config == Config()
        assert config.delivery == "exactly_once"
        assert [topic.name for topic in config.input.topics] == ["metrics"]

    def test_an_empty_file_is_all_defaults(self, write):
        assert load(write("# nothing yet\n")) == Config()

    def test_set_wins_over_environment_over_file_over_defaults(self, write, monkeypatch):
        file = write("detection: {sensitivity: 10, period: 20, warmup: 30}\n")
        monkeypatch.setenv("STREAMDET_DETECTION__SENSITIVITY", "11")
        monkeypatch.setenv("STREAMDET_DETECTION__PERIOD", "21")
        detection = load(file, ["detection.sensitivity=12"]).detection
        assert (detection.sensitivity, detection.period, detection.warmup) == (12, 21, 30)
        assert detection.custom_interval == 1

    def test_a_variable_reaches_camel_case_lists_and_top_level_settings(self, monkeypatch):
        monkeypatch.setenv("STREAMDET_DETECTION__CUSTOMINTERVAL", "5")
        monkeypatch.setenv("STREAMDET_INPUT__TOPICS", "[a, {name: b, timestamp_unit: s}]")
        monkeypatch.setenv("STREAMDET_COMMIT_INTERVAL", "250ms")
        monkeypatch.setenv("STREAMDET_KAFKA__OPTIONS", "{security.protocol: SSL}")
        config = load()
        assert config.detection.custom_interval == 5
        assert [topic.name for topic in config.input.topics] == ["a", "b"]
        assert config.commit_interval == timedelta(milliseconds=250)
        assert config.kafka.options == {"security.protocol": "SSL"}

    def test_options_of_several_sources_are_merged_and_lists_replaced(self, write):
        file = write("kafka: {options: {debug: msg}}\ninput: {topics: [a, b]}\n")
        config = load(file, ["kafka.options.security.protocol=SSL", "input.topics=[c]"])
        assert config.kafka.options == {"debug": "msg", "security.protocol": "SSL"}
        assert [topic.name for topic in config.input.topics] == ["c"]

    def test_what_kubernetes_sets_beside_a_service_is_left_alone(self, monkeypatch):
        monkeypatch.setenv("STREAMDET_PORT", "tcp://10.0.0.1:9108")
        monkeypatch.setenv("STREAMDET_SERVICE_HOST", "10.0.0.1")
        assert load() == Config()


class TestRefusals:
    def test_every_problem_is_told_with_file_line_field_and_what_to_do(self, write):
        file = write(
            "kafka:\n"
            "  bootstrap_server: x\n"
            "  options:\n"
            "    enable.auto.commit: true\n"
            "delivery: twice\n"
            "rules:\n"
            "  - match: {metric: a}\n"
            "    set:\n"
            "      custom_interval: 4\n"
            "      period: 2881\n"
        )
        assert problems(file) == [
            "streamdet.yaml:2: kafka.bootstrap_server: unknown key; "
            "did you mean bootstrap_servers?",
            "streamdet.yaml:4: kafka.options.enable.auto.commit: is streamdet's own (offsets are "
            "committed together with the output, else points are lost or judged twice); remove it",
            "streamdet.yaml:5: delivery: must be 'exactly_once' or 'at_least_once'",
            "streamdet.yaml:9: rules[0].set.custom_interval: unknown key; "
            "did you mean customInterval?",
            "streamdet.yaml:10: rules[0].set.period: must be less than or equal to 2880",
        ]

    def test_a_key_given_twice_names_both_lines(self, write):
        assert problems(write("delivery: exactly_once\ndelivery: at_least_once\n")) == [
            "streamdet.yaml:2: delivery: is given twice, first in line 1; remove one"
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("sensitivity: 4", "1: sensitivity: unknown key; did you mean detection.sensitivity?"),
            ("kafka: {ssl.ca.location: x}", "librdkafka's options go under kafka.options"),
            ("qqq: 1", "known here: kafka, input, output"),
            ("kafka:", "kafka: is empty; give it a value or remove the line"),
            ("kafka: x", "kafka: must be"),
            ("kafka: [x]", "kafka: must be"),
            ("rules: {}", "rules: must be a list"),
            ("input: {topics: []}", "input.topics: must not be empty"),
            ("input: {topics: [a b]}", "input.topics[0].name: is no topic name"),
            ("input: {topics: ['^(']}", "input.topics[0].name: is no pattern"),
            ("input: {topics: [{timestamp_unit: s}]}", "input.topics[0].name: is required"),
            ("output: {anomalies: ..}", "output.anomalies: is no topic name"),
            ("limits: {earliest: 2001-01-01T00:00:00}", "limits.earliest: needs a zone"),
            ("limits: {earliest: 2001-13-01}", "1: looks like a number or date and is none"),
            ("limits: {max_series: yes}", "limits.max_series: must not be a boolean"),
            ("limits: {max_pending_points: 15}", "max_pending_points: must be greater than or"),
            ("limits: {max_series: 0}", "limits.max_series: must be greater than or equal to 1"),
            ("limits: {max_record_bytes: 1XB}", "limits.max_record_bytes: must be a size"),
            ("commit_interval: 1 fortnight", "commit_interval: must be a duration"),
            ("commit_interval: 1h", "commit_interval: must be less than or equal to 5 minutes"),
            ("shutdown_timeout: -1s", "shutdown_timeout: must be a duration such as"),
            ("detection: {sensitivity: 7.5}", "detection.sensitivity: must be a valid integer"),
            ("detection: {sensitivity: 100}", "sensitivity: must be less than or equal to 99"),
            ("detection: {warmup: 11}", "warmup: must be greater than or equal to 12"),
            ("detection: {maxAnomalyRatio: .nan}", "detection.maxAnomalyRatio: must be"),
            (
                "detection: {direction: upward}",
                "detection.direction: must be 'both', 'up' or 'down'",
            ),
            ("detection: {minDeviation: 5}", "detection.minDeviation: must be"),
            (
                "detection: {minDeviation: {absolute: -1}}",
                "absolute: must be greater than or equal",
            ),
            ("detection: {minDeviation: {relativ: 1}}", "unknown key; did you mean relative?"),
            ("detection: {suppressCondition: {minNumber: 33}}", "minNumber: must be less than or"),
            ("detection: {suppressCondition: {minRatio: 0}}", "minRatio: must be greater than 0"),
            ("detection: {upperBound: .nan}", "detection.upperBound: must be"),
            (
                "detection: {upperBound: 1, lowerBound: 2}",
                "lowerBound: must not be above upperBound",
            ),
            ("detection: {granularity: hour}", "detection.granularity: must be 'yearly'"),
            ("rules: [{match: {dimensions: {env: no}}, set: {}}]", "env: must be text; put it in"),
            ("rules: [{match: {}}]", "rules[0].set: is required"),
            ("kafka: {options: {a: [1]}}", "kafka.options: a must be one text"),
            ("1: 2", "1: a key must be text"),
            ("- a", "1: must be a mapping of sections"),
            ("a: [", "is no YAML: "),
            ("a: *b", "an alias that leads nowhere"),
            ("a: &b [*b]", "an alias that leads nowhere or to itself"),
            ("a: !x 1", "a tag has no meaning here"),
            ("a: 1\n---\nb: 2", "or a second document"),
            ("a:\nb: \x01", "2: a control character"),
        ],
    )
    def test_what_is_wrong_is_refused_in_words_of_its_own(self, write, text, said):
        told = problems(write(text))
        assert any(said in line for line in told), told
        assert all(line.startswith("streamdet.yaml:") for line in told)

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            ("detection: {period: 100, ring_length: 299}", "detection.ring_length"),
            (
                "detection: {ring_length: 64}\nrules: [{match: {}, set: {period: 22}}]",
                "rules[0].set.ring_length",
            ),
            ("detection: {imputeMode: fixed}", "detection.imputeMode"),
            ("detection: {detector: threshold}", "detection.detector"),
            ("rules: [{match: {}, set: {detector: threshold}}]", "rules[0].set.detector"),
            (
                "limits: {series_ttl: 0}\ndetection: {granularity: weekly, customInterval: 9999}",
                "detection.customInterval",
            ),
            ("output: {anomalies: a, dead_letters: a}", "output.dead_letters"),
            ("output: {late: streamdet.dead-letters}", "output.late"),
            ("input: {topics: [streamdet.late]}", "input.topics[0]"),
            ("input: {topics: [streamdet.anomalies]}", "input.topics[0]"),
            ("state: {topic: streamdet.late}", "state.topic"),
            ("input: {topics: [^streamdet.st]}", "input.topics[0]"),
            ("input: {topics: [a, ^stream.*letters]}", "input.topics[1]"),
            ("commit_interval: 30s", "commit_interval"),
        ],
    )
    def test_settings_that_contradict_each_other_are_refused_at_their_line(
        self, write, text, field
    ):
        (problem,) = problems(write(text))
        line = text.count("\n") + 1
        assert problem.startswith(f"streamdet.yaml:{line}: {field}: ")

    def test_a_contradiction_that_a_rule_inherits_is_told_once(self, write):
        file = write("detection: {imputeMode: fixed}\nrules: [{match: {}, set: {period: 5}}]")
        assert len(problems(file)) == 1

    def test_a_variable_is_named_when_its_value_is_at_fault(self, monkeypatch):
        monkeypatch.setenv("STREAMDET_METRICS__PORT", "x")
        monkeypatch.setenv("STREAMDET_RULES", "[")
        told = problems()
        assert told[0].startswith("STREAMDET_RULES: rules: must be a list")
        assert told[1].startswith("STREAMDET_METRICS__PORT: metrics.port: must be a valid integer")

    def test_variables_of_unknown_sections_and_options_are_refused(self, monkeypatch):
        monkeypatch.setenv("STREAMDET_KAFAK__GROUP_ID", "x")
        monkeypatch.setenv("STREAMDET_KAFKA__GROUP", "x")
        told = problems()
        assert told == [
            "STREAMDET_KAFAK__GROUP_ID: kafak: is no section; "
            "did you mean STREAMDET_KAFKA__GROUP_ID?",
            "STREAMDET_KAFKA__GROUP: kafka.group: unknown key; did you mean group_id?",
        ]

    def test_an_override_is_named_when_it_is_at_fault(self):
        assert problems(None, "detection.sensitivity=x", "metricz.port=1") == [
            "--set detection.sensitivity: detection.sensitivity: must be a valid integer, unable "
            "to parse string as an integer",
            "--set metricz.port: metricz: unknown key; did you mean metrics?",
        ]
        assert problems(None, "x") == [
            "--set: must be key.path=value, as in --set detection.sensitivity=85"
        ]

    def test_a_file_that_is_not_there_or_no_text_is_named(self, tmp_path):
        assert problems(tmp_path / "a.yaml") == [
            "a.yaml: cannot be read: No such file or directory"
        ]
        (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
        assert problems(tmp_path / "b.yaml") == ["b.yaml: is not UTF-8 text"]


def test_what_is_shown_is_a_file_that_loads_to_the_same(write):
    config = load(Path(__file__).parents[2] / "config" / "streamdet.yaml")
    assert load(write(show(config))) == config


def test_a_section_can_be_made_by_itself():
    assert KafkaConfig(group_id="g").group_id == "g"
