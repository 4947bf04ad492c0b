"""How to reach Kafka: the broker section, and which librdkafka options may be passed through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from streamdet.config.section import Problems, Section
from streamdet.errors import ConfigError

SECRET_OPTIONS = {
    "sasl_password": "sasl.password",
    "sasl_oauthbearer_client_secret": "sasl.oauthbearer.client.secret",
    "ssl_key_password": "ssl.key.password",
    "ssl_keystore_password": "ssl.keystore.password",
}
"""Field of `KafkaConfig` -> the option whose secret it holds; each has a ``_file`` twin."""

_OWN_FIELDS = {
    "bootstrap.servers": "set kafka.bootstrap_servers",
    "metadata.broker.list": "set kafka.bootstrap_servers",
    "group.id": "set kafka.group_id",
    "group.instance.id": "set kafka.instance_id",
    "transaction.timeout.ms": "set transaction_timeout",
}
_OFFSETS = "offsets are committed together with the output, else points are lost or judged twice"
_DURABLE = "events and offsets must be written by every in-sync replica, once"
_CODE = "it loads or runs code from outside"
_REASONS = {
    "enable.auto.commit": _OFFSETS,
    "auto.commit.enable": _OFFSETS,
    "auto.commit.interval.ms": "set commit_interval; " + _OFFSETS,
    "enable.auto.offset.store": _OFFSETS,
    "isolation.level": "a point of an aborted transaction must not be judged",
    "partition.assignment.strategy": "assignment is cooperative, so that a rebalance stops only "
    "the partitions that move",
    "enable.partition.eof": "it has no use here",
    "transactional.id": "it is made from kafka.group_id and kafka.instance_id, so that no two "
    "workers share one",
    "enable.idempotence": _DURABLE,
    "acks": _DURABLE,
    "request.required.acks": _DURABLE,
    "plugin.library.paths": _CODE,
    "ssl.engine.location": _CODE,
    "ssl.engine.id": _CODE,
    "sasl.kerberos.kinit.cmd": _CODE,
}
_CALLBACK = re.compile(r".*_cb|on_delivery|on_commit|logger")
_SECRET = re.compile(r".*(password|passphrase|secret|\.pem)")
_PUBLIC_PEM = {"ssl.ca.pem", "ssl.certificate.pem"}


def _passed_through(option: str) -> str:
    if field := _OWN_FIELDS.get(option):
        raise ValueError(f"has a setting of its own: {field} instead")
    if reason := _REASONS.get(option):
        raise ValueError(f"is streamdet's own ({reason}); remove it")
    if option.startswith("test."):
        raise ValueError("makes clients talk to brokers that are not real; remove it")
    if _CALLBACK.fullmatch(option):
        raise ValueError("takes a function and cannot be set in a file; remove it")
    if _SECRET.fullmatch(option) and option not in _PUBLIC_PEM:
        place = _secret_place(option)
        raise ValueError(f"is a secret and would be shown with the options; {place}")
    return option


def _secret_place(option: str) -> str:
    for field, held in SECRET_OPTIONS.items():
        if held == option:
            variable = f"STREAMDET_KAFKA__{field.upper()}"
            return f"set kafka.{field}_file to a file that holds it, or {variable}"
    return "keep it in a file that only streamdet can read (ssl.key.location, for example)"


def _option_texts(value: object) -> object:
    """Return a mapping of options with every value as the text librdkafka takes.

    Raises
    ------
    ValueError
        A value is no text, number or boolean.
    """
    if not isinstance(value, dict):
        return value  # pydantic says what it must be
    for option, setting in value.items():
        if not isinstance(setting, str | int | float):
            # ValueError is what pydantic reports.
            raise ValueError(f"{option} must be one text, number or boolean")  # noqa: TRY004
    return {
        option: str(setting).lower() if isinstance(setting, bool) else str(setting)
        for option, setting in value.items()
    }


OptionMap = Annotated[
    dict[Annotated[str, AfterValidator(_passed_through)], str],
    BeforeValidator(_option_texts, json_schema_input_type=dict[str, str | int | float | bool]),
]


class KafkaConfig(Section):
    """How to reach the brokers, and as whom."""

    bootstrap_servers: str = Field(
        default="localhost:9092",
        min_length=1,
        description="Brokers to ask first, host:port with commas.",
    )
    group_id: str = Field(
        default="streamdet",
        min_length=1,
        description="Consumer group; its workers share the partitions.",
    )
    instance_id: str | None = Field(
        default=None,
        min_length=1,
        description="Name of this worker in the group, different for each (static membership): "
        "a restart within the session timeout then moves no partition. It also makes the "
        "transactional id stable.",
    )
    sasl_password: SecretStr | None = Field(
        default=None,
        description="SASL password. In the environment only; in a file: sasl_password_file.",
    )
    sasl_password_file: Path | None = Field(
        default=None, description="File that holds the SASL password."
    )
    sasl_oauthbearer_client_secret: SecretStr | None = Field(
        default=None, description="OAuth client secret. In the environment only."
    )
    sasl_oauthbearer_client_secret_file: Path | None = Field(
        default=None, description="File that holds the OAuth client secret."
    )
    ssl_key_password: SecretStr | None = Field(
        default=None,
        description="Pass phrase of the key in ssl.key.location. In the environment only.",
    )
    ssl_key_password_file: Path | None = Field(
        default=None, description="File with that pass phrase."
    )
    ssl_keystore_password: SecretStr | None = Field(
        default=None, description="Password of ssl.keystore.location. In the environment only."
    )
    ssl_keystore_password_file: Path | None = Field(
        default=None, description="File with that password."
    )
    options: OptionMap = Field(default={}, description="librdkafka options for every client.")
    consumer_options: OptionMap = Field(
        default={}, description="librdkafka options for the consumer."
    )
    producer_options: OptionMap = Field(
        default={}, description="librdkafka options for the producer."
    )

    def client_options(self, client: Literal["consumer", "producer"]) -> dict[str, str]:
        """Return the librdkafka options the operator set for `client`, secrets included.

        Raises
        ------
        ConfigError
            A secret's file cannot be read.
        """
        own = self.consumer_options if client == "consumer" else self.producer_options
        return {**self.options, **own, **self._secrets()}

    def _secrets(self) -> dict[str, str]:
        secrets = {}
        for field, option in SECRET_OPTIONS.items():
            secret: SecretStr | None = getattr(self, field)
            file: Path | None = getattr(self, f"{field}_file")
            if secret is not None:
                secrets[option] = secret.get_secret_value()
            elif file is not None:
                try:
                    secrets[option] = file.read_text(encoding="utf-8").rstrip("\r\n")
                except (OSError, UnicodeDecodeError) as error:
                    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                    raise ConfigError(f"kafka.{field}_file: cannot read {file}: {reason}") from None
        return secrets

    def problems(self) -> Problems:
        """Yield secrets given twice."""
        for field in SECRET_OPTIONS:
            if getattr(self, field) is not None and getattr(self, f"{field}_file") is not None:
                yield (f"{field}_file",), f"is set beside {field}; remove one of the two"
