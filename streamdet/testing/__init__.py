"""Kafka in memory, a clock held by hand, and planned failures: for tests of and on streamdet.

`MemoryBroker` keeps topics, groups and transactions; `MemoryConsumer` and `MemoryProducer`
implement `streamdet.ports` on it and behave as the ones for a real broker do (one contract suite
runs over both). Nothing waits and nothing runs in the background: a group's partitions move when
its members poll.

    broker = MemoryBroker({"points": 2, "anomalies": 1})
    broker.append(OutgoingRecord("points", None, b'{"metric": "m", "value": 1}'))
    broker.fail_at("producer.commit", CrashPoint(), after=True)
"""

from streamdet.testing.broker import CrashPoint, Isolation, MemoryBroker
from streamdet.testing.clients import MemoryBatch, MemoryConsumer, MemoryProducer, MemoryReader
from streamdet.testing.clock import ManualClock

__all__ = [
    "CrashPoint",
    "Isolation",
    "ManualClock",
    "MemoryBatch",
    "MemoryBroker",
    "MemoryConsumer",
    "MemoryProducer",
    "MemoryReader",
]
