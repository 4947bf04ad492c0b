"""The points every measurement reads: made once, produced to an embedded broker."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamdet.kafka.mock import PARTITIONS, MockBroker
from streamdet.kafka.producer import KafkaProducer
from streamdet.types import OutgoingRecord

TOPICS = tuple(f"bench-{i}" for i in range(4))
"""The embedded broker's topics have 4 partitions, and a partition keeps 100,000 records at most:
several topics hold more."""

RECORDS_PER_PARTITION = 50_000
N_POINTS = len(TOPICS) * PARTITIONS * RECORDS_PER_PARTITION
N_SERIES = 2_000
EVENT_SHARE = 0.007
_START_MS = 1_700_000_000_000


def records(topic_number: int) -> Iterator[OutgoingRecord]:
    """Yield the records of one topic: plain points of some 120 bytes, 0.7 % of them spikes."""
    n = PARTITIONS * RECORDS_PER_PARTITION
    rng = np.random.default_rng(topic_number)
    value = rng.normal(100, 1, n)
    value[rng.random(n) < EVENT_SHARE] += 60
    for i, x in enumerate(value.tolist()):
        tick, series = divmod(i, N_SERIES)
        text = (
            f'{{"metric":"http_requests","dimensions":{{"host":"host-{series:05d}","region":"eu-'
            f'{topic_number}"}},"timestamp":{_START_MS + 60_000 * tick},"value":{x:.4f}}}'
        )
        key = f"{topic_number}/{series}".encode()
        yield OutgoingRecord(TOPICS[topic_number], key, text.encode())


def fill(broker: MockBroker) -> None:
    """Produce everything."""
    broker.create_topics([*TOPICS, "anomalies", "dead-letters"])
    producer = KafkaProducer({"bootstrap.servers": broker.bootstrap, "batch.num.messages": 10_000})
    try:
        for number in range(len(TOPICS)):
            producer.send(records(number))
        producer.flush(120)
    finally:
        producer.close()
