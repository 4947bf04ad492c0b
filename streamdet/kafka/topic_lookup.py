"""Whether a topic exists, and which: one that is deleted and made anew has another id."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from streamdet.kafka.faults import RAISED, ClientTrouble, Names, kafka_error_of
from streamdet.kafka.options import Options, connect

LOG = logging.getLogger(__name__)

_ASK_EVERY_S = 10.0
_ANSWER_TIMEOUT_S = 5.0
# brokers learn of a new topic one after the other: ask again before calling it missing
_LOOKS, _LOOK_PAUSE_S = 4, 0.5


def error_of(client: Consumer | Producer, topic: str) -> KafkaError | None:
    """Ask the brokers what is wrong with `topic`; None: nothing that they tell."""
    try:
        answer = client.list_topics(topic, timeout=_ANSWER_TIMEOUT_S)
    except RAISED as error:
        return kafka_error_of(error)
    wrong: KafkaError | None = answer.topics[topic].error
    return wrong


def partition_count(client: Consumer | Producer, topic: str) -> int | None:
    """Return how many partitions `topic` has, which the client knows too then; None: no answer."""
    try:
        return len(client.list_topics(topic, timeout=_ANSWER_TIMEOUT_S).topics[topic].partitions)
    except RAISED:
        return None


def exists(consumer: Consumer, topic: str) -> bool:
    """Return whether the brokers know `topic`; takes a second or two where they do not."""
    for look in range(_LOOKS):
        if look:
            time.sleep(_LOOK_PAUSE_S)
        if error_of(consumer, topic) is None:
            return True
    return False


class TopicIds:
    """Asks the brokers for ids now and then, and never waits for the answer.

    Parameters
    ----------
    options
        librdkafka options, ``bootstrap.servers`` among them.
    """

    def __init__(self, options: Options) -> None:
        self._options = {**options, "log_level": 0}
        self._admin: AdminClient | None = None
        self._known: dict[str, str] = {}
        self._asked: dict[str, tuple[Future[Any], float]] = {}

    def of(self, topic: str) -> str | None:
        """Return the newest id known of `topic`; empty: nobody tells; None: not known yet."""
        answer, asked_s = self._asked.get(topic, (None, 0.0))
        if answer is not None and answer.done():
            self._take(topic, answer)
        if answer is None or (answer.done() and time.monotonic() - asked_s > _ASK_EVERY_S):
            self._ask(topic)
        return self._known.get(topic)

    def _ask(self, topic: str) -> None:
        if self._admin is None:
            self._admin = connect(AdminClient, self._options, ClientTrouble(Names()))
        asked = self._admin.describe_topics(
            TopicCollection([topic]), request_timeout=_ANSWER_TIMEOUT_S
        )
        self._asked[topic] = asked[topic], time.monotonic()

    def _take(self, topic: str, answer: Future[Any]) -> None:
        try:
            self._known[topic] = str(answer.result(0).topic_id)
        except KafkaException as error:  # away, deleted just now, or a broker that has no ids
            LOG.debug("no id of topic %r: %s", topic, error)
            self._known.setdefault(topic, "")
