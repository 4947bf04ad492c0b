"""Kafka's clients by the configuration: their options, and those that more than one command has."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from streamdet.config import Config
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.reader import KafkaReader
from streamdet.ports import OpenReader, RecordReader, Span
from streamdet.snapshot import RECORD_MAX_BYTES

STATE_RECORD_BYTES = RECORD_MAX_BYTES + (1 << 20)
"""Of the largest record of state, with key and overhead."""

_KEY_AND_HEADERS_BYTES = 2**20


def opener(config: Config, silence_max_s: float = float("inf")) -> OpenReader:
    """Return what opens readers of parts of topics: to restore state, and to look at it."""

    def open_reader(topic: str, spans: Mapping[int, Span]) -> RecordReader:
        group = config.kafka.group_id
        conf = options(config, "consumer")
        return KafkaReader(conf, group, topic, spans=spans, asks=True, silence_max_s=silence_max_s)

    return open_reader


def for_transfer(config: Config, group: str) -> Config:
    """Return `config` with a group, and so a transactional id, of its own."""
    kafka = config.kafka
    # What a worker may read, this producer must be able to write; its default is a little less.
    room = str(config.limits.max_record_bytes + _KEY_AND_HEADERS_BYTES)
    producer_options = {"message.max.bytes": room, **kafka.options, **kafka.producer_options}
    changes = {"group_id": group, "producer_options": producer_options}
    return config.model_copy(update={"kafka": kafka.model_copy(update=changes)})


def options(config: Config, client: str) -> dict[str, str]:
    """Return librdkafka's options for a `consumer` or a `producer`."""
    assert client in ("consumer", "producer")
    servers = {"bootstrap.servers": config.kafka.bootstrap_servers}
    own = config.kafka.client_options("consumer" if client == "consumer" else "producer")
    return {**own, **servers, "client.id": own.get("client.id", "streamdet")}


def member_options(config: Config) -> dict[str, str]:
    """Return those of a member of the group, under its `instance_id` if it has one."""
    conf = options(config, "consumer")
    if config.kafka.instance_id is not None:
        conf["group.instance.id"] = config.kafka.instance_id
    return conf


def producer(config: Config) -> KafkaProducer:
    """Return the worker's producer.

    Its transactional id begins with the group, for a prefixed ACL, and ends with the instance:
    a worker that restarts under its own `instance_id` ends its predecessor's open transaction at
    once; without one, readers of committed records wait for transaction_timeout.
    """
    conf = {"message.max.bytes": str(STATE_RECORD_BYTES), **options(config, "producer")}
    if config.delivery == "at_least_once":
        return KafkaProducer(conf)
    instance = config.kafka.instance_id or uuid.uuid4().hex
    return KafkaProducer(
        conf,
        f"{config.kafka.group_id}-{instance}",
        transaction_timeout_s=config.transaction_timeout.total_seconds(),
    )
