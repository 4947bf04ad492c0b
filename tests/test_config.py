"""Configuration: what is accepted, where it comes from, and how it is refused."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.config import Config, DetectionConfig, KafkaConfig, interval_us, load, show
from streamdet.config.values import format_duration, format_size, parse_duration, parse_size
from streamdet.errors import ConfigError
from streamdet.types import SeriesId

CANARY = "canary-7Zq!"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith("STREAMDET_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "streamdet.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def problems(file=None, *overrides):
    """Return the lines of the refusal, without the folder."""
    with pytest.raises(ConfigError) as refused:
        load(file, overrides)
    folder = f"{file.parent}/" if file else ""
    return str(refused.value).replace(folder, "").splitlines()


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
                "detection: {granularity: weekly, customInterval: 9999}",
                "detection.customInterval",
            ),
            ("output: {anomalies: a, dead_letters: a}", "output.dead_letters"),
            ("input: {topics: [streamdet.anomalies]}", "input.topics[0]"),
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


class TestLibrdkafkaOptions:
    @pytest.mark.parametrize(
        ("option", "said"),
        [
            ("bootstrap.servers", "set kafka.bootstrap_servers instead"),
            ("group.id", "set kafka.group_id instead"),
            ("group.instance.id", "set kafka.instance_id instead"),
            ("transaction.timeout.ms", "set transaction_timeout instead"),
            ("enable.auto.commit", "streamdet's own"),
            ("enable.auto.offset.store", "streamdet's own"),
            ("isolation.level", "an aborted transaction must not be judged"),
            ("partition.assignment.strategy", "assignment is cooperative"),
            ("transactional.id", "streamdet's own"),
            ("enable.idempotence", "streamdet's own"),
            ("acks", "streamdet's own"),
            ("plugin.library.paths", "loads or runs code"),
            ("ssl.engine.location", "loads or runs code"),
            ("sasl.kerberos.kinit.cmd", "loads or runs code"),
            ("test.mock.num.brokers", "not real"),
            ("error_cb", "takes a function"),
            ("sasl.password", "kafka.sasl_password_file"),
            ("ssl.key.password", "STREAMDET_KAFKA__SSL_KEY_PASSWORD"),
            ("ssl.keystore.password", "kafka.ssl_keystore_password_file"),
            ("sasl.oauthbearer.client.secret", "kafka.sasl_oauthbearer_client_secret_file"),
            ("ssl.key.pem", "ssl.key.location"),
        ],
    )
    @pytest.mark.parametrize("field", ["options", "consumer_options", "producer_options"])
    def test_an_option_that_streamdet_owns_is_refused_with_the_reason(self, field, option, said):
        (problem,) = problems(None, f"kafka.{field}.{option}={CANARY}")
        assert problem.startswith(f"--set kafka.{field}.{option}: kafka.{field}.{option}: ")
        assert said in problem
        assert CANARY not in problem

    @pytest.mark.parametrize(
        "option", ["security.protocol", "auto.offset.reset", "ssl.ca.pem", "ssl.key.location"]
    )
    def test_any_other_option_passes_through(self, option):
        config = load(None, [f"kafka.options.{option}=x"])
        assert config.kafka.client_options("consumer") == {option: "x"}

    def test_each_client_gets_its_own_options_over_those_of_both(self, write):
        file = write(
            "kafka:\n"
            "  options: {client.rack: a, socket.keepalive.enable: true}\n"
            "  consumer_options: {client.rack: b, fetch.min.bytes: 5}\n"
            "  producer_options: {linger.ms: 0.5}\n"
        )
        kafka = load(file).kafka
        both = {"socket.keepalive.enable": "true"}
        consumer = {"client.rack": "b", "fetch.min.bytes": "5"}
        assert kafka.client_options("consumer") == both | consumer
        assert kafka.client_options("producer") == both | {"client.rack": "a", "linger.ms": "0.5"}


class TestSecrets:
    def test_a_secret_comes_from_its_file_less_the_line_break(self, write, tmp_path):
        (tmp_path / "secret").write_text(f" {CANARY}\r\n")
        file = write(f"kafka: {{sasl_password_file: {tmp_path}/secret}}\n")
        assert load(file).kafka.client_options("producer") == {"sasl.password": f" {CANARY}"}

    def test_a_secret_comes_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("STREAMDET_KAFKA__SSL_KEY_PASSWORD", CANARY)
        assert load().kafka.client_options("consumer") == {"ssl.key.password": CANARY}

    def test_a_secrets_file_is_opened_for_a_client_only(self, write):
        kafka = load(write("kafka: {sasl_password_file: /nowhere/secret}\n")).kafka
        with pytest.raises(ConfigError, match=r"kafka\.sasl_password_file: cannot read /nowhere"):
            kafka.client_options("consumer")

    def test_a_secret_in_the_file_or_on_the_command_line_is_refused(self, write):
        (in_file,) = problems(write(f"kafka:\n  sasl_password: {CANARY}\n"))
        assert in_file.startswith("streamdet.yaml:2: kafka.sasl_password: is a secret; set")
        (in_argument,) = problems(None, f"kafka.ssl_key_password={CANARY}")
        assert "STREAMDET_KAFKA__SSL_KEY_PASSWORD" in in_argument
        assert CANARY not in in_file + in_argument

    def test_a_secret_given_twice_is_refused(self, write, monkeypatch):
        monkeypatch.setenv("STREAMDET_KAFKA__SASL_PASSWORD", CANARY)
        (problem,) = problems(write("kafka:\n  sasl_password_file: x\n"))
        assert problem.startswith("streamdet.yaml:2: kafka.sasl_password_file: is set beside")

    def test_a_secret_is_never_shown(self, monkeypatch):
        for field in ("SASL_PASSWORD", "SSL_KEY_PASSWORD", "SASL_OAUTHBEARER_CLIENT_SECRET"):
            monkeypatch.setenv(f"STREAMDET_KAFKA__{field}", CANARY)
        config = load()
        assert "**********" in show(config)
        for text in (show(config), repr(config), str(config), config.model_dump_json()):
            assert CANARY not in text

    @pytest.mark.parametrize(
        "text",
        [
            f"kafka: {{sasl_password: [{CANARY}]}}",
            f"kafka: {{sasl_pasword: {CANARY}}}",
            f"kafka: {{options: {{sasl.password: {CANARY}}}}}",
            f"kafka: {{options: {{sasl.password: *{CANARY}}}}}",
            f"kafka: {{options: {{sasl.password: !{CANARY} x}}}}",
            f"kafka: {{group_id: [{CANARY}]}}",
            f"kafka: {CANARY}",
            f"{{{CANARY}",
        ],
    )
    def test_no_refusal_quotes_a_value(self, write, text):
        assert CANARY not in "\n".join(problems(write(text)))


class TestDetection:
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


class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("250us", 0.00025),
            ("500ms", 0.5),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("7d", 604_800),
            ("1.5s", 1.5),
            ("10 s", 10),
            ("12", 12),
            (90, 90),
            (0.25, 0.25),
        ],
    )
    def test_a_duration_is_text_with_a_unit_or_seconds(self, text, seconds):
        assert parse_duration(text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("text", ["", "s", "1w", "1h30m", "-1s", True, None, "1e3", "9" * 18])
    def test_what_says_no_duration_is_refused(self, text):
        with pytest.raises(ValueError, match=r"must be a duration|is longer than"):
            parse_duration(text)

    @given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=36500)))
    def test_a_duration_that_is_shown_reads_back(self, duration):
        if duration < timedelta(seconds=2**33):  # beyond, floats do not hold microseconds
            assert parse_duration(format_duration(duration)) == duration

    @pytest.mark.parametrize(
        ("text", "size"),
        [("1MiB", 2**20), ("512KiB", 2**19), ("2MB", 2_000_000), (77, 77), ("0.5KiB", 512)],
    )
    def test_a_size_is_text_with_a_unit_or_bytes(self, text, size):
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "1mib", "1.5", "-1", "0.3KiB", True])
    def test_what_says_no_size_is_refused(self, text):
        with pytest.raises(ValueError, match="must be a"):
            parse_size(text)

    @given(st.integers(0, 2**40))
    def test_a_size_that_is_shown_reads_back(self, size):
        assert parse_size(format_size(size)) == size

    def test_zero_or_null_means_that_no_series_is_ever_forgotten(self):
        for nothing in ("0", "0s", "null"):
            assert load(None, [f"limits.series_ttl={nothing}"]).limits.series_ttl is None
        assert load(None, ["limits.series_ttl=0"]).limits.series_ttl_us == 0

    def test_limits_are_told_in_microseconds(self):
        limits = load().limits
        assert limits.series_ttl_us == 14 * 86_400_000_000
        assert limits.max_future_us == 86_400_000_000
        assert limits.earliest_us == 946_684_800_000_000


def test_what_is_shown_is_a_file_that_loads_to_the_same(write):
    config = load(Path(__file__).parent.parent / "config" / "streamdet.yaml")
    assert load(write(show(config))) == config


def test_a_section_can_be_made_by_itself():
    assert KafkaConfig(group_id="g").group_id == "g"
