"""What was published, against what had to be: each event, byte for byte."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamdet.config import Config
from streamdet.types import Outcome, OutgoingRecord, Partition, Record
from tests.integration import offline

DIFFERENCES_SHOWN = 5
_DIGEST_BYTES = 16
_ANSWER_TIMEOUT_S = 30


@dataclass
class Findings:
    """What the checker counted, and what is wrong."""

    events: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    """What is not as it must be, and how often; empty: all invariants hold."""
    shown: list[str] = field(default_factory=list)
    """The first differences, in words."""

    places: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """(what is wrong, input partition) -> offsets of the points whose events are so."""

    def add(self, kind: str, text: str) -> None:
        """Count something wrong; remember the first of its kind."""
        self.wrong[kind] += 1
        if self.wrong[kind] <= DIFFERENCES_SHOWN:
            self.shown.append(f"{kind}: {text}")

    def add_event(self, kind: str, event: OutgoingRecord) -> None:
        """Count an event that is wrong."""
        body = json.loads(event.value)
        source = body["source"]
        self.wrong[f"event of {body['metric']} {kind}"] += 1
        self.places.setdefault((kind, source["partition"]), []).append(source["offset"])

    def where(self) -> list[str]:
        """Return in words where the events are that are wrong."""
        return [
            f"partition {index}: {len(offsets)} events {kind}, of offsets {min(offsets)} to "
            f"{max(offsets)}"
            for (kind, index), offsets in sorted(self.places.items())
        ]


class _Source(msgspec.Struct):
    partition: int
    offset: int


class _Body(msgspec.Struct):
    id: str
    timestamp: str
    source: _Source


def check(bootstrap: str, config: Config, partitions: int, written: Counter[Outcome]) -> Findings:
    """Compare the output of a group that has come to the end of its input.

    Parameters
    ----------
    bootstrap
    config
        Of the workers, with `publish: all`.
    partitions
        Of every topic.
    written
        What must become of the records that the producers wrote.
    """
    (topic,) = (entry.name for entry in config.input.topics)
    findings = Findings()
    published = _published(bootstrap, config.output.anomalies, findings)
    letters = Counter(_digest(each) for each in read(bootstrap, config.output.dead_letters))
    differing: dict[str, OutgoingRecord] = {}
    for index in range(partitions):
        found = offline.detect(config, list(read(bootstrap, topic, index)))
        findings.outcomes += found.outcomes
        letters.subtract(Counter(_digest(each) for each in found.dead_letters))
        for event in found.events:
            id_ = dict(event.headers)["ce_id"].decode()
            digest = published.pop(bytes.fromhex(id_), None)
            if digest is None:
                findings.add_event("lost", event)
            elif digest != _digest(event):
                findings.add_event("differ", event)
                if len(differing) < DIFFERENCES_SHOWN:
                    differing[id_] = event
    for kind, n in (("dead letter lost", -1), ("dead letter too much", 1)):
        if count := sum(max(0, n * balance) for balance in letters.values()):
            findings.wrong[kind] += count
    findings.wrong["event too much"] += len(published)
    _show(bootstrap, config, findings, differing, set(list(published)[:DIFFERENCES_SHOWN]))
    for outcome in Outcome:
        if findings.outcomes[outcome] != written[outcome]:
            count = f"{findings.outcomes[outcome]}, {written[outcome]} were written to be so"
            findings.add("points not conserved", f"{outcome.name.lower()}: {count}")
    findings.wrong = +findings.wrong
    return findings


def read(bootstrap: str, topic: str, partition: int | None = None) -> Iterator[Record]:
    """Yield the committed records of a topic, or of one partition of it, up to its end of now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "nobody",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
    )
    left = set(consumer.list_topics(topic, timeout=_ANSWER_TIMEOUT_S).topics[topic].partitions)
    left = left if partition is None else {partition}
    consumer.assign([TopicPartition(topic, index, 0) for index in left])
    while left:
        for message in consumer.consume(10_000, timeout=0.2):
            if error := message.error():
                assert error.code() == KafkaError._PARTITION_EOF, error.str()
                left.discard(message.partition())
                continue
            yield Record(
                partition=Partition(topic, message.partition()),
                offset=message.offset(),
                timestamp_ms=message.timestamp()[1],
                key=message.key(),
                value=message.value(),
                headers=tuple(message.headers() or ()),
            )
    consumer.close()


def keep(bootstrap: str, topic: str, partition: int, folder: Path) -> None:
    """Write the committed records of a partition to a file, for whoever looks into a failure.

    A line is a JSON object; keys and values are bytes, read as Latin-1.
    """
    with (folder / f"{topic}-{partition}.jsonl").open("w") as lines:
        for record in read(bootstrap, topic, partition):
            texts = (part and part.decode("latin-1") for part in (record.key, record.value))
            row = (record.offset, record.timestamp_ms, *texts)
            names = ("offset", "timestamp_ms", "key", "value")
            lines.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")


def wait_until_decided(bootstrap: str, topic: str, partitions: int, timeout_s: float) -> bool:
    """Wait until no transaction is open in a topic: those of the dead end by their time-out."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    latest = {TopicPartition(topic, index): OffsetSpec.latest() for index in range(partitions)}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        stable, end = (
            {place: answer.result(_ANSWER_TIMEOUT_S).offset for place, answer in answers.items()}
            for answers in (
                admin.list_offsets(latest, isolation_level=IsolationLevel.READ_COMMITTED),
                admin.list_offsets(latest, isolation_level=IsolationLevel.READ_UNCOMMITTED),
            )
        )
        if stable == end:
            return True
        time.sleep(0.5)
    return False


def _published(bootstrap: str, topic: str, findings: Findings) -> dict[bytes, bytes]:
    """Return the digest of each event by its id; look for doubled ids and time that goes back."""
    decode = msgspec.json.Decoder(_Body).decode
    digests: dict[bytes, bytes] = {}
    newest: dict[tuple[int, bytes], str] = {}
    for record in read(bootstrap, topic):
        body = decode(record.value)
        findings.events += 1
        id_ = bytes.fromhex(body.id)
        if id_ in digests:
            findings.add("event doubled", record.value.decode())
        digests[id_] = _digest(record)
        series = (body.source.partition, record.key)
        if body.timestamp < newest.get(series, ""):
            findings.add("time goes back", f"from {newest[series]}: {record.value.decode()}")
        newest[series] = body.timestamp
    return digests


def _show(
    bootstrap: str,
    config: Config,
    findings: Findings,
    differing: dict[str, OutgoingRecord],
    too_much: set[bytes],
) -> None:
    """Put the first differences into words; the events are read once more for them."""
    if not differing and not too_much:
        return
    for record in read(bootstrap, config.output.anomalies):
        body = json.loads(record.value)
        if bytes.fromhex(body["id"]) in too_much:
            findings.shown.append(f"event too much: {record.value.decode()}")
        if event := differing.pop(body["id"], None):
            findings.shown.append(f"event differs: {_difference(record, event, body)}")


def _difference(record: Record, event: OutgoingRecord, body: dict[str, Any]) -> str:
    wanted = json.loads(event.value)
    fields = {
        name: (body.get(name), wanted.get(name))
        for name in body | wanted
        if body.get(name) != wanted.get(name)
    }
    if record.headers != event.headers:
        fields["headers"] = (record.headers, event.headers)
    said = ", ".join(f"{name} {was} should be {should}" for name, (was, should) in fields.items())
    return f"{record.key!r} at {body['source']}, {body['timestamp']}: {said}"


def _digest(record: Record | OutgoingRecord) -> bytes:
    whole = repr((record.key, record.value, record.headers)).encode()
    return hashlib.blake2b(whole, digest_size=_DIGEST_BYTES).digest()
