"""Topics: looked at before a worker starts, made by `streamdet topics create`."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streamdet.errors import ConfigError, FatalError, RetriableError, StreamdetError
from streamdet.kafka.faults import ClientTrouble, Names, fault_of
from streamdet.kafka.options import Options, connect

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 2.0
_NO_RIGHT = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it is to be made."""

    name: str
    partitions: int
    replication_factor: int = -1
    """-1: the brokers' default."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Topic settings, for example ``cleanup.policy``."""


class Topics:
    """The topics of a cluster; every question is asked until `timeout_s` is over.

    Raises
    ------
    ConfigError
        An option is unknown or its value impossible.
    """

    def __init__(self, options: Options, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._trouble = ClientTrouble(Names())
        self._admin = connect(AdminClient, options, self._trouble)

    def check(
        self, inputs: Sequence[str], outputs: Sequence[str], state: str | None = None
    ) -> Mapping[str, int]:
        """Return the number of partitions of each topic a worker will read or write.

        Parameters
        ----------
        inputs
            Names, or patterns that start with ``^``. A pattern may match nothing yet.
        outputs
            Names.
        state
            The topic that the state of the inputs' series is kept in; None: none is.

        Raises
        ------
        ConfigError
            A topic or a right is missing, or the state topic cannot keep what it has to; the
            message names every fault.
        FatalError
            No broker answers within the time, or the login is refused.
        """
        cluster = self._metadata()
        found = _partitions(cluster)
        patterns = [name for name in inputs if name.startswith("^")]
        names = [name for name in inputs if not name.startswith("^")]
        matched = [name for name in found if any(re.match(p, name) for p in patterns)]
        states = [] if state is None else [state]
        if cluster.controller_id in cluster.brokers:
            faults = self._faults(names, AclOperation.READ)
            faults += self._faults(outputs, AclOperation.WRITE)
            faults += self._faults(states, AclOperation.READ, AclOperation.WRITE)
            faults += [each for name in states if name in found for each in self._forgets(name)]
        else:  # the embedded broker: it leaves questions of administration unanswered
            faults = [_missing(name) for name in (*names, *outputs, *states) if name not in found]
        for name in states:
            faults += _too_few(name, found, names)
        if faults:
            raise ConfigError("; ".join(faults))
        for name in states:  # a pattern may match what has nothing to do with us
            for warning in _too_few(name, found, matched):
                log.warning("%s; it cannot be worked on before that", warning)
        return {name: found[name] for name in (*names, *matched, *outputs, *states)}

    def partitions(self, topic: str) -> int | None:
        """Return the number of partitions of `topic`; None when there is no such topic."""
        return _partitions(self._metadata()).get(topic)

    def create(self, topics: Sequence[TopicSpec], *, dry_run: bool = False) -> list[str]:
        """Make those of `topics` that do not exist; return one line about each.

        With `dry_run` the brokers say whether they would, and nothing is made.

        Raises
        ------
        ConfigError
            The brokers refuse a topic: its name, a setting, a right.
        FatalError
            No broker answers within the time, or the login is refused.
        """
        existing = _partitions(self._metadata())
        missing = [topic for topic in topics if topic.name not in existing]
        made = self._make(missing, dry_run=dry_run) if missing else {}
        return [
            made.get(topic.name) or f"{topic.name}: exists, {existing[topic.name]} partitions"
            for topic in topics
        ]

    def _make(self, topics: Sequence[TopicSpec], *, dry_run: bool) -> dict[str, str]:
        new = [
            NewTopic(
                topic.name, topic.partitions, topic.replication_factor, config=dict(topic.settings)
            )
            for topic in topics
        ]
        answers = self._admin.create_topics(
            new, request_timeout=self._timeout_s, validate_only=dry_run
        )
        verb = "would be created" if dry_run else "created"
        lines = {}
        for topic in topics:
            try:
                answers[topic.name].result()
            except KafkaException as error:
                raise _not_created(error.args[0], topic.name) from error
            lines[topic.name] = f"{topic.name}: {verb}, {topic.partitions} partitions"
        return lines

    def _metadata(self) -> ClusterMetadata:
        """Return what the brokers tell this user of themselves and of all topics."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._admin.list_topics(timeout=_CALL_TIMEOUT_S)
            except KafkaException as error:
                self._admin.poll(0)  # the error callback knows why
                fault = self._trouble.fault("asking for topics")
                if not isinstance(fault, RetriableError):
                    raise fault from error
                if time.monotonic() >= deadline:
                    raise FatalError(f"{fault}; gave up after {self._timeout_s:g} s") from error

    def _faults(self, names: Sequence[str], *needed: AclOperation) -> list[str]:
        if not names:
            return []
        answers = self._admin.describe_topics(
            TopicCollection(list(names)),
            include_authorized_operations=True,
            request_timeout=self._timeout_s,
        )
        faults = []
        for name in names:
            try:
                rights = answers[name].result().authorized_operations
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    faults.append(_missing(name))
                else:
                    faults.append(str(fault_of(error, "asking for topics", Names(topic=name))))
                continue
            for right in needed if rights is not None else ():
                if right not in rights:
                    faults.append(f"a right on topic {name!r} is missing: grant {right.name}")
        return faults

    def _forgets(self, name: str) -> list[str]:
        """Return what is wrong with the cleanup policy of the state topic, if it may be seen."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        asked = self._admin.describe_configs([resource], request_timeout=self._timeout_s)
        try:
            policy = asked[resource].result()["cleanup.policy"].value
        except KafkaException as error:
            log.warning(
                "whether state topic %r is compacted cannot be seen (%s); if it is not, state is "
                "lost. Grant DescribeConfigs on it",
                name, error.args[0].str(),
            )  # fmt: skip
            return []
        if policy == "compact":
            return []
        return [
            f"state topic {name!r} has cleanup.policy={policy}, which deletes the state of series "
            "by its age; set cleanup.policy=compact"
        ]


def _partitions(cluster: ClusterMetadata) -> dict[str, int]:
    return {name: len(topic.partitions) for name, topic in cluster.topics.items()}


def _too_few(state: str, found: Mapping[str, int], inputs: Sequence[str]) -> list[str]:
    """Return which of `inputs` have partitions that the state topic has none for."""
    held = found.get(state)
    return [
        f"input topic {name!r} has {found[name]} partitions and state topic {state!r} only {held}: "
        f"add partitions to {state!r}, to {found[name]} or more"
        for name in inputs
        if held is not None and found.get(name, 0) > held
    ]


def _missing(name: str) -> str:
    return f"topic {name!r} does not exist; make it with: streamdet topics create"


def _not_created(error: KafkaError, name: str) -> StreamdetError:
    text = f"topic {name!r} not created: {error.str()} ({error.name()})"
    if error.code() in _NO_RIGHT:
        text = f"{text}; grant CREATE on topic {name!r}"
    passing = isinstance(fault_of(error, ""), RetriableError)
    return FatalError(text) if passing else ConfigError(text)
