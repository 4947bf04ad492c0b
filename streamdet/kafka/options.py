"""The librdkafka options of our clients: defaults, and what streamdet sets whatever is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException

from streamdet.errors import ConfigError
from streamdet.kafka.faults import ClientTrouble

Options = Mapping[str, str | int | bool]

_REPEAT_AFTER_S = 30.0

_CONSUMER_DEFAULTS: Options = {
    # at the default of 1000 a fast reader stands still for a second whenever the queue was full
    "fetch.queue.backoff.ms": 2,
}
_CONSUMER_OWNED: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
}
_FIRST = ("earliest", "beginning", "smallest")
_LAST = ("latest", "end", "largest")
# options of the classic group protocol, an error beside group.protocol=consumer
_CLASSIC_ONLY = (
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
)
_PRODUCER_DEFAULTS: Options = {
    "linger.ms": 5,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # what Java clients do, so keys land where theirs do
}
_PRODUCER_OWNED: Options = {
    "enable.idempotence": True,
    "delivery.report.only.error": True,
}

Client = TypeVar("Client")


class OncePerWhile(logging.Filter):
    """Keeps a line from coming again within half a minute.

    While brokers are away librdkafka says so at each attempt to connect, twenty a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is new, or was last said long enough ago."""
        said = record.getMessage().split(" (after ", 1)[0]  # what follows is a time
        if record.created - self._said.get(said, 0.0) < _REPEAT_AFTER_S:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[said] = record.created
        return True


# librdkafka's own lines: connections lost and regained, configuration warnings
LOGGER = logging.getLogger("streamdet.kafka.client")
LOGGER.addFilter(OncePerWhile())


def begins_at(options: Options) -> int | None:
    """Return where a group without offsets begins to read, `auto.offset.reset`; None: nowhere.

    librdkafka itself is told `error`: what it does by itself it does silently.
    """
    asked = str(options.get("auto.offset.reset", "earliest"))
    return OFFSET_BEGINNING if asked in _FIRST else OFFSET_END if asked in _LAST else None


def consumer_options(options: Options, group: str) -> dict[str, str | int | bool]:
    """Return the options of a member of `group`; those that streamdet owns win."""
    merged = {**_CONSUMER_DEFAULTS, **options, **_CONSUMER_OWNED, "group.id": group}
    if merged.get("group.protocol") == "consumer":
        for name in _CLASSIC_ONLY:
            merged.pop(name, None)
    return merged


def producer_options(
    options: Options, transactional_id: str | None, transaction_timeout_s: float
) -> dict[str, str | int | bool]:
    """Return the options of a producer, transactional when it has an id."""
    merged = {**_PRODUCER_DEFAULTS, **options, **_PRODUCER_OWNED}
    if transactional_id is not None:
        merged["transactional.id"] = transactional_id
        merged["transaction.timeout.ms"] = int(transaction_timeout_s * 1000)
    return merged


def connect(
    make: Callable[..., Client],
    options: Options,
    trouble: ClientTrouble,
    **callbacks: Callable[..., None],
) -> Client:
    """Return a client of class `make`; it talks to nobody yet.

    Raises
    ------
    ConfigError
        librdkafka does not know an option or its value.
    """
    conf: dict[str, Any] = {**options, "error_cb": trouble.on_error, **callbacks}
    try:
        return make(conf, logger=LOGGER)
    except KafkaException as error:
        raise ConfigError(f"kafka options: {error.args[0].str()}") from error
