"""Options that pass through to librdkafka, and secrets."""

import pytest

from streamdet.config import load, show
from streamdet.errors import ConfigError
from tests.config.refusal import CANARY, problems


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
