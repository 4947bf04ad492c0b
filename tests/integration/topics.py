"""Records to and from real topics: with confluent-kafka, and with kcat."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from streamdet.types import OutgoingRecord, Partition, Record
from tests.service import point

KCAT_TIMEOUT_S = 100
_END_TIMEOUT_S = 60


def produce(bootstrap: str, records: Iterable[OutgoingRecord]) -> None:
    """Write records, in their order, and wait until the broker has them all."""
    producer = _producer(bootstrap)
    for record in records:
        _send(producer, record)
    assert producer.flush(60) == 0


def read(bootstrap: str, topic: str, isolation: str = "read_committed") -> list[Record]:
    """Return all records of a topic, partition by partition, as they are up to now."""
    consumer = _consumer(bootstrap, "nobody", isolation)
    partitions = _partitions(consumer, topic)
    consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in partitions])
    records: list[Record] = []
    while partitions:
        messages = consumer.consume(10_000, timeout=0.1)
        for message in messages:
            if error := message.error():
                assert error.code() == KafkaError._PARTITION_EOF, error.str()
                partitions.discard(message.partition())
                continue
            records.append(
                Record(
                    partition=Partition(topic, message.partition()),
                    offset=message.offset(),
                    timestamp_ms=message.timestamp()[1],
                    key=message.key(),
                    value=message.value(),
                    headers=tuple(message.headers() or ()),
                )
            )
    consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def committed(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """Return a group's committed offset of each partition that has one."""
    consumer = _consumer(bootstrap, group)
    asked = [TopicPartition(topic, index) for index in _partitions(consumer, topic)]
    answers = consumer.committed(asked, timeout=_END_TIMEOUT_S)
    consumer.close()
    return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the end offset of each partition that holds a record."""
    consumer = _consumer(bootstrap, "nobody")
    found = {
        index: consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=30)[1]
        for index in _partitions(consumer, topic)
    }
    consumer.close()
    return {index: end for index, end in found.items() if end}


def produce_with_kcat(kcat: Path, bootstrap: str, topic: str, file: Path) -> None:
    """Write a file's lines, each a key, a tab and a value; no value is a tombstone."""
    subprocess.run(
        [kcat, "-b", bootstrap, "-t", topic, "-P", "-l", "-Z", "-K", r"\t", file],
        check=True,
        timeout=KCAT_TIMEOUT_S,
    )


def read_with_kcat(kcat: Path, bootstrap: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Return key and value of all committed records of a topic."""
    address = ["-b", bootstrap, "-t", topic, "-X", "isolation.level=read_committed"]
    read = subprocess.run(
        [kcat, *address, "-C", "-e", "-q", "-o", "beginning", "-f", r"%k\t%s\n"],
        check=True,
        capture_output=True,
        timeout=KCAT_TIMEOUT_S,
    )
    return [tuple(line.split(b"\t", 1)) for line in read.stdout.splitlines()]


class Load:
    """A producer at work while the block runs: points of some series, each in order.

    Parameters
    ----------
    points_per_s
        Evenly; what a slow machine is behind with is caught up.
    points_max
        It stops there.
    n_series
        Each has a point a minute of event time.
    partition
        To write to; None: the ones that the series' keys stand for.
    spikes
        Share of points that are anomalies.
    """

    SERIES = 60
    _TICK_S = 0.05

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        points_per_s: int,
        points_max: int,
        *,
        n_series: int = SERIES,
        partition: int | None = None,
        spikes: float = 0.0,
    ) -> None:
        self._producer = _producer(bootstrap)
        self._topic = topic
        self._points_per_s = points_per_s
        self._points_max = points_max
        self._n_series = n_series
        self._partition = partition
        self._spikes = spikes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.points = 0
        """How many were produced."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def _run(self) -> None:
        random = np.random.default_rng(7)
        began_s = time.monotonic()
        while self.points < self._points_max and not self._stop.wait(self._TICK_S):
            due = int((time.monotonic() - began_s) * self._points_per_s)
            n = min(due, self._points_max) - self.points
            values = random.normal(100, 1, n).round(3) + 50 * (random.random(n) < self._spikes)
            for value in values.tolist():
                minute, series = divmod(self.points, self._n_series)
                body = point(minute, value, host=f"h{series}")
                record = OutgoingRecord(
                    self._topic, b"%d" % series, body, partition=self._partition
                )
                _send(self._producer, record)
                self.points += 1


def _producer(bootstrap: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # what is retried does not overtake what follows
            "sticky.partitioning.linger.ms": 0,  # records without a key are spread, however fast
            "log_level": 0,
            "linger.ms": 5,
        }
    )


def _send(producer: Producer, record: OutgoingRecord) -> None:
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                -1 if record.partition is None else record.partition,
                headers=list(record.headers),
                timestamp=record.timestamp_ms or 0,
            )
        except BufferError:
            producer.poll(0.05)
        else:
            producer.poll(0)
            return


def _consumer(bootstrap: str, group: str, isolation: str = "read_committed") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )


def _partitions(consumer: Consumer, topic: str) -> set[int]:
    return set(consumer.list_topics(topic, timeout=_END_TIMEOUT_S).topics[topic].partitions)
