"""Clusters that tests make up, and topics that they fill without a broker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from streamdet.cluster import (
    Cluster,
    GroupState,
    Offsets,
    PartitionState,
    Reach,
    TopicState,
    Untold,
)
from streamdet.config import Config
from streamdet.doctor.finding import Finding
from streamdet.doctor.sample import Sampler, TopicSample, take_sample
from streamdet.testing import MemoryBatch
from streamdet.types import Partition, Record

INPUT, EVENTS, DEAD_LETTERS, STATE = "points", "events", "dead-letters", "state"
GROUP = "workers"
NOON_MS = 1_614_686_400_000
EVERYTHING = frozenset({"READ", "WRITE", "DESCRIBE", "ALTER"})
SETTINGS = {
    "min.insync.replicas": "2",
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": "3600000",
    "max.message.bytes": "1048588",
}


def config(**settings: object) -> Config:
    return Config.model_validate(
        {
            "kafka": {"group_id": GROUP, "bootstrap_servers": "one:9092"},
            "input": {"topics": [INPUT]},
            "output": {"anomalies": EVENTS, "dead_letters": DEAD_LETTERS},
            "state": {"topic": STATE},
            **settings,
        }
    )


def topic(
    name: str = INPUT,
    partitions: int = 2,
    copies: int = 3,
    in_sync: int | None = None,
    leader: bool = True,
    rights: frozenset[str] | None = EVERYTHING,
    **settings: str,
) -> TopicState:
    """Return a sound topic, but for what is named; `_` stands for `.` in settings."""
    states = tuple(
        PartitionState(i, leader, copies, copies if in_sync is None else in_sync)
        for i in range(partitions)
    )
    own = {option.replace("_", "."): value for option, value in settings.items()}
    return TopicState(name, states, rights, {**SETTINGS, **own})


def statuses(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check.value: finding.status.value for finding in findings}


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def point(time_ms: int, metric: str = "cpu", **dimensions: str) -> bytes:
    fields = {"metric": metric, "dimensions": dimensions, "timestamp": time_ms, "value": 1.0}
    return json.dumps(fields).encode()


class Topic:
    """The records of one topic, by partition; a `RecordReader` of them."""

    def __init__(self, name: str = INPUT) -> None:
        self.name = name
        self.records: dict[int, list[Record]] = defaultdict(list)

    def add(
        self,
        value: bytes | None,
        partition: int = 0,
        key: bytes | None = b"k",
        time_ms: int = NOON_MS,
    ) -> None:
        its = self.records[partition]
        its.append(Record(Partition(self.name, partition), len(its), time_ms, key, value))

    def sample(self, settings: Config | None = None) -> TopicSample:
        return take_sample(self, Sampler(self.name, settings or config()), float("inf"))

    @property
    def n_records(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def ends(self) -> Mapping[Partition, int]:
        return {Partition(self.name, i): len(its) for i, its in self.records.items()}

    def batches(self, records_max: int):
        for partition, its in self.records.items():
            for start in range(0, len(its), records_max):
                yield MemoryBatch(Partition(self.name, partition), its[start : start + records_max])

    def close(self) -> None:
        pass


class Brokers:
    """Answers what it was made with; a `doctor.Brokers`."""

    def __init__(self, topics: Iterable[TopicState], **answers: object) -> None:
        self._topics = {each.name: each for each in topics}
        self._answers = answers
        self.asked: list[str] = []

    def _answer(self, question: str, otherwise: object) -> object:
        self.asked.append(question)
        return self._answers.get(question, otherwise)

    def servers(self, timeout_s):
        steps = {"DNS": 0.001, "TCP": 0.001, "Kafka": 0.001, "login": 0.002}
        features = {"transaction.version": 2, "metadata.version": 25}
        return self._answer("servers", [Reach("one:9092", steps=steps, features=features)])

    def advertised(self, brokers, timeout_s):
        self.asked.append("advertised")
        return [Reach(each, advertised=True, steps={"TCP": 0.001}) for each in brokers]

    def cluster(self, timeout_s):
        found = Cluster("c", ("one:9092", "two:9092"), frozenset(self._topics), all_rights=True)
        return self._answer("cluster", found)

    def topics(self, names, timeout_s):
        return {name: self._topics.get(name) for name in names}

    def broker_settings(self, timeout_s):
        return self._answer("broker_settings", {"transaction.max.timeout.ms": "900000"})

    def group(self, name, timeout_s):
        assigned = frozenset(Partition(INPUT, i) for i in range(2))
        return self._answer("group", GroupState("STABLE", ("h (w)",), assigned, EVERYTHING))

    def offsets(self, group, partitions, timeout_s):
        found = {each: Offsets(0, 100, 100, 100) for each in partitions}
        return self._answer("offsets", found)


UNTOLD = Untold("nobody answers")
FORBIDDEN = Untold("no right", forbidden=True)
