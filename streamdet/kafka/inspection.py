"""What a cluster is asked for `streamdet doctor`: reads only, and no group is joined."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from streamdet.cluster import (
    Answer,
    Cluster,
    GroupState,
    Offsets,
    PartitionState,
    Reach,
    TopicAnswer,
    TopicState,
    Untold,
)
from streamdet.errors import RetriableError, StreamdetError
from streamdet.kafka.faults import RAISED, ClientTrouble, Names, fault_of
from streamdet.kafka.options import Options, connect, consumer_options
from streamdet.kafka.reachability import addresses, reach_all
from streamdet.types import Partition

_CALL_TIMEOUT_S = 0.5
_SPARE_S = 1.0
_LOGIN = "login"  # where brokers want none, an answer to a client
_PAUSE_S = 0.1
_COORDINATOR_MOVES = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
_FORBIDDEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_EVERYTHING = frozenset(
    {"ALTER", "ALTER_CONFIGS", "CLUSTER_ACTION", "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"}
)
_NO_ADMINISTRATION = Untold("the brokers do not answer questions of administration")


class Inspection:
    """Asks a cluster; every answer comes, or is given up, within the `timeout_s` of the call.

    Parameters
    ----------
    options
        librdkafka options, ``bootstrap.servers`` among them. What clients would log is left out:
        it is told by the answers.

    Raises
    ------
    ConfigError
        An option is unknown or its value impossible.
    """

    def __init__(self, options: Options) -> None:
        self._options = {"log_level": 0, **options}
        self._trouble = ClientTrouble(Names())
        self._admin = connect(AdminClient, self._options, self._trouble)
        self._metadata: ClusterMetadata | None = None
        self._administered = True

    def servers(self, timeout_s: float) -> list[Reach]:
        """Connect to each bootstrap server as a client would, login included."""
        deadline_s = time.monotonic() + timeout_s
        named = addresses(str(self._options["bootstrap.servers"]))
        reached = reach_all([Reach(each) for each in named], self._options, timeout_s / 2)
        clients = [self._client(each.address) for each in reached]  # all connect at a time
        return [
            each if each.failed else _logged_in(each, *client, deadline_s)
            for each, client in zip(reached, clients, strict=True)
        ]

    def advertised(self, brokers: Iterable[str], timeout_s: float) -> list[Reach]:
        """Connect to the addresses of `brokers`, without a login."""
        return reach_all([Reach(each, True) for each in brokers], self._options, timeout_s)

    def cluster(self, timeout_s: float) -> Cluster | Untold:
        """Return what the cluster says of itself; to be asked before what follows."""
        deadline_s = time.monotonic() + timeout_s
        try:
            found = self._metadata = _metadata(self._admin, self._trouble, deadline_s)
        except StreamdetError as error:
            return Untold(str(error))
        self._administered = found.controller_id in found.brokers  # not of the embedded broker
        brokers = tuple(f"{each.host}:{each.port}" for each in found.brokers.values())
        cluster = Cluster(
            found.cluster_id or "", brokers, frozenset(found.topics), self._administered
        )
        if not self._administered:
            return cluster
        asked = self._admin.describe_cluster(
            include_authorized_operations=True, request_timeout=timeout_s
        )
        answer = _answer(asked, timeout_s, "asking for the cluster")
        rights = None if isinstance(answer, Untold) else _rights(answer)
        return replace(cluster, all_rights=rights is not None and rights >= _EVERYTHING)

    def topics(self, names: Sequence[str], timeout_s: float) -> Mapping[str, TopicAnswer]:
        """Return each topic with rights and settings."""
        if not names:
            return {}
        if not self._administered:
            return {name: self._from_metadata(name) for name in names}
        deadline_s = time.monotonic() + timeout_s
        described = self._admin.describe_topics(
            TopicCollection(list(names)),
            include_authorized_operations=True,
            request_timeout=timeout_s,
        )
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in names}
        settings = self._admin.describe_configs(list(resources.values()), request_timeout=timeout_s)
        found: dict[str, TopicAnswer] = {}
        for name in names:
            doing, left_s = f"asking for topic {name!r}", deadline_s - time.monotonic()
            said = _settings(settings[resources[name]], left_s, doing)
            try:
                found[name] = _topic(described[name].result(left_s + _SPARE_S), said)
            except KafkaException as error:
                missing = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
                found[name] = None if missing else _untold(error, doing, Names(topic=name))
            except TimeoutError:
                found[name] = Untold(f"{doing}: no answer in time")
        return found

    def broker_settings(self, timeout_s: float) -> Mapping[str, str] | Untold:
        """Return the settings of one broker; they are meant to be the same on all."""
        if self._metadata is None or not self._administered:
            return _NO_ADMINISTRATION
        broker = ConfigResource(ResourceType.BROKER, str(min(self._metadata.brokers)))
        asked = self._admin.describe_configs([broker], request_timeout=timeout_s)
        return _settings(asked[broker], timeout_s, "asking for the settings of a broker")

    def group(self, name: str, timeout_s: float) -> GroupState | Untold:
        """Return the consumer group; one that nobody knows is DEAD."""
        if not self._administered:
            return _NO_ADMINISTRATION
        deadline_s = time.monotonic() + timeout_s
        doing, names = f"asking for group {name!r}", Names(group=name)
        while True:
            asked = self._admin.describe_consumer_groups(
                [name], include_authorized_operations=True, request_timeout=timeout_s
            )[name]
            answer = _answer(asked, deadline_s - time.monotonic(), doing, names)
            if not isinstance(answer, Untold):
                break
            if not _passes(asked) or time.monotonic() >= deadline_s:
                return answer
            time.sleep(_PAUSE_S)
        assigned = (
            Partition(place.topic, place.partition)
            for member in answer.members
            for place in (member.assignment.topic_partitions if member.assignment else ())
        )
        members = tuple(
            f"{member.host.lstrip('/')} ({member.group_instance_id or member.client_id})"
            for member in answer.members
        )
        return GroupState(answer.state.name, members, frozenset(assigned), _rights(answer))

    def offsets(
        self, group: str, partitions: Sequence[Partition], timeout_s: float
    ) -> Mapping[Partition, Offsets] | Untold:
        """Return begin, ends and what `group` has committed, of the partitions that answer."""
        places = {p: TopicPartition(p.topic, p.index) for p in partitions}
        if not places:
            return {}

        def ask(spec: OffsetSpec, level: IsolationLevel) -> Mapping[TopicPartition, Future[Any]]:
            return self._admin.list_offsets(
                dict.fromkeys(places.values(), spec),
                isolation_level=level,
                request_timeout=timeout_s,
            )

        earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        every = (
            ask(earliest, IsolationLevel.READ_UNCOMMITTED),
            ask(latest, IsolationLevel.READ_COMMITTED),
            ask(latest, IsolationLevel.READ_UNCOMMITTED),
        )
        committed = self._committed(group, list(places.values()), timeout_s)
        found, fault = {}, Untold("no partition answered")
        for partition, place in places.items():
            doing, names = f"asking for the offsets of {partition}", Names(topic=partition.topic)
            answers = [_answer(asked[place], timeout_s, doing, names) for asked in every]
            told = [each.offset for each in answers if not isinstance(each, Untold)]
            if len(told) == len(every):
                first, stable, end = told
                found[partition] = Offsets(first, stable, end, committed.get(partition))
            else:
                fault = next(each for each in answers if isinstance(each, Untold))
        return found or fault

    def _committed(
        self, group: str, places: Sequence[TopicPartition], timeout_s: float
    ) -> Mapping[Partition, int]:
        # By a consumer that subscribes to nothing, so joins no group: the same question of an
        # AdminClient ends the process where the coordinator has just moved (librdkafka #5040).
        consumer = connect(Consumer, consumer_options(self._options, group), self._trouble)
        try:
            answers = consumer.committed(list(places), timeout=timeout_s)
        except RAISED:  # `group` says why
            return {}
        finally:
            consumer.close()
        return {
            Partition(each.topic, each.partition): each.offset
            for each in answers
            if each.error is None and each.offset >= 0
        }

    def _from_metadata(self, name: str) -> TopicAnswer:
        topic = self._metadata.topics.get(name) if self._metadata is not None else None
        if topic is None:
            return None
        partitions = tuple(
            PartitionState(i, each.leader >= 0, len(each.replicas), len(each.isrs))
            for i, each in sorted(topic.partitions.items())
        )
        return TopicState(name, partitions, None, _NO_ADMINISTRATION)

    def _client(self, address: str) -> tuple[AdminClient, ClientTrouble]:
        trouble = ClientTrouble(Names())
        return connect(
            AdminClient, {**self._options, "bootstrap.servers": address}, trouble
        ), trouble


def _logged_in(
    reach: Reach, admin: AdminClient, trouble: ClientTrouble, deadline_s: float
) -> Reach:
    began_s = time.monotonic()
    try:
        _metadata(admin, trouble, max(deadline_s, began_s + _CALL_TIMEOUT_S))
    except StreamdetError as error:
        return replace(reach, failed=_LOGIN, fault=str(error))
    return replace(reach, steps={**reach.steps, _LOGIN: time.monotonic() - began_s})


def _metadata(admin: AdminClient, trouble: ClientTrouble, deadline_s: float) -> ClusterMetadata:
    while True:
        try:
            return admin.list_topics(timeout=_CALL_TIMEOUT_S)
        except KafkaException as error:
            admin.poll(0)  # the error callback knows why
            fault = trouble.fault("asking the brokers for their metadata")
            if not isinstance(fault, RetriableError) or time.monotonic() >= deadline_s:
                raise fault from error


def _answer(
    asked: Future[Answer], timeout_s: float, doing: str, names: Names | None = None
) -> Answer | Untold:
    try:
        return asked.result(max(timeout_s, 0) + _SPARE_S)
    except KafkaException as error:
        return _untold(error, doing, names or Names())
    except TimeoutError:
        return Untold(f"{doing}: no answer in time")


def _passes(asked: Future[Any]) -> bool:
    """Return whether an answer that is here tells of a group on its way to another broker."""
    error = asked.exception() if asked.done() else None
    return isinstance(error, KafkaException) and error.args[0].code() in _COORDINATOR_MOVES


def _untold(error: KafkaException, doing: str, names: Names) -> Untold:
    return Untold(str(fault_of(error, doing, names)), error.args[0].code() in _FORBIDDEN)


def _settings(asked: Future[Any], timeout_s: float, doing: str) -> Mapping[str, str] | Untold:
    answer = _answer(asked, timeout_s, doing)
    if isinstance(answer, Untold):
        if answer.forbidden:
            return replace(answer, why="this user may not see the settings: grant DescribeConfigs")
        return answer
    return {name: entry.value for name, entry in answer.items() if entry.value is not None}


def _topic(described: Any, settings: Mapping[str, str] | Untold) -> TopicState:  # noqa: ANN401
    partitions = tuple(
        PartitionState(each.id, each.leader is not None, len(each.replicas), len(each.isr))
        for each in described.partitions
    )
    return TopicState(described.name, partitions, _rights(described), settings)


def _rights(described: Any) -> frozenset[str] | None:  # noqa: ANN401  # of three classes
    operations: Sequence[AclOperation] | None = described.authorized_operations
    return None if operations is None else frozenset(each.name for each in operations)
