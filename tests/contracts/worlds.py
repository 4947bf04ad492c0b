"""Two worlds that the contract of the ports holds in: a broker in memory, and a real one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.topics import Topics, TopicSpec
from streamdet.ports import RecordConsumer, RecordProducer
from streamdet.testing import MemoryBroker, MemoryConsumer, MemoryProducer
from streamdet.types import OutgoingRecord, Partition

READ_TIMEOUT_S = 30.0
COMMIT_TIMEOUT_S = 20.0


class Listener:
    """Keeps what it is told; `when` maps an event's name to something to do then."""

    def __init__(self, **when: Callable[[list[Partition]], None]) -> None:
        self.told: list[tuple[str, list[Partition]]] = []
        self.owned: set[Partition] = set()
        self._when = when

    def on_assigned(self, partitions):
        self.owned |= set(partitions)
        self._note("assigned", partitions)

    def on_revoked(self, partitions):
        self.owned -= set(partitions)
        self._note("revoked", partitions)

    def on_lost(self, partitions):
        self.owned -= set(partitions)
        self._note("lost", partitions)

    def on_gap(self, partition, expected, start):
        self.told.append(("gap", [partition, expected, start]))

    def _note(self, event, partitions):
        self.told.append((event, sorted(partitions)))
        if event in self._when:
            self._when[event](list(partitions))


class MemoryWorld:
    """A broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self._names = 0
        self.opened: list[RecordConsumer | RecordProducer] = []

    def name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}-{self._names}"

    def topic(self, partitions: int = 1, name: str | None = None) -> str:
        name = name or self.name("topic")
        self.broker.create_topic(name, partitions)
        return name

    def consumer(self, group: str, frail: bool = False, tells_ends: bool = False) -> RecordConsumer:
        return self._open(MemoryConsumer(self.broker, group))

    def producer(self, transactional_id: str | None = None) -> RecordProducer:
        return self._open(MemoryProducer(self.broker, transactional_id))

    def append(self, topic: str, *values: bytes, partition: int = 0) -> None:
        for value in values:
            self.broker.append(OutgoingRecord(topic, None, value), partition)

    def delete_before(self, partition: Partition, offset: int) -> None:
        self.broker.delete_before(partition, offset)

    def visible(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.broker.read(topic)]

    def committed(self, group: str, topic: str) -> Mapping[Partition, int]:
        return {p: o for p, o in self.broker.committed(group).items() if p.topic == topic}

    def take_for_dead(self, consumer: RecordConsumer) -> None:
        """Have the group give up `consumer`, which was made `frail`."""
        self.broker.expel(consumer)

    def close(self) -> None:
        with ExitStack() as stack:  # closes each, whatever the others raise
            for client in reversed(self.opened):
                stack.callback(client.close)

    def _open(self, client):
        self.opened.append(client)
        return client


class KafkaWorld(MemoryWorld):
    """A real broker. Frail members are taken for dead after a second without a poll."""

    def __init__(self, bootstrap: str) -> None:
        self.options = {
            "bootstrap.servers": bootstrap,
            "topic.metadata.propagation.max.ms": 1000,
        }
        self.opened = []
        self._topics = Topics(self.options)
        self._writer = Producer({"bootstrap.servers": bootstrap})

    def name(self, prefix):
        return f"{prefix}-{os.urandom(6).hex()}"

    def topic(self, partitions=1, name=None):
        name = name or self.name("topic")
        self._topics.create([TopicSpec(name, partitions)])
        return name

    def consumer(self, group, frail=False, tells_ends=False):
        interval_ms = 1000 if frail else 45_000
        session = {"session.timeout.ms": interval_ms, "max.poll.interval.ms": interval_ms}
        options = {**self.options, **session, "heartbeat.interval.ms": 200}
        return self._open(KafkaConsumer(options, group, tells_ends=tells_ends))

    def producer(self, transactional_id=None):
        return self._open(KafkaProducer(self.options, transactional_id, timeout_s=30))

    def append(self, topic, *values, partition=0):
        for value in values:
            self._writer.produce(topic, value, partition=partition)
        assert self._writer.flush(30) == 0

    def delete_before(self, partition, offset):
        place = TopicPartition(partition.topic, partition.index, offset)
        admin = AdminClient(self.options)  # has to outlive the wait for the result
        for deleted in admin.delete_records([place]).values():
            deleted.result(READ_TIMEOUT_S)

    def visible(self, topic):
        reader = Consumer(
            {**self.options, "group.id": "visible", "isolation.level": "read_committed",
             "enable.auto.commit": False, "enable.partition.eof": True}
        )  # fmt: skip
        try:
            count = len(reader.list_topics(topic, 10).topics[topic].partitions)
            reader.assign([TopicPartition(topic, index, 0) for index in range(count)])
            values, ends = {}, 0
            while ends < count:
                for message in reader.consume(100, 0.05):
                    if message.error():
                        ends += 1
                    else:
                        values[message.partition(), message.offset()] = message.value()
            return [values[place] for place in sorted(values)]
        finally:
            reader.close()

    def committed(self, group, topic):
        reader = Consumer({**self.options, "group.id": group})
        try:
            partitions = range(len(reader.list_topics(topic, 10).topics[topic].partitions))
            places = reader.committed([TopicPartition(topic, index) for index in partitions], 10)
        finally:
            reader.close()
        return {Partition(p.topic, p.partition): p.offset for p in places if p.offset >= 0}

    def close(self):
        super().close()
        del self._topics, self._writer  # or they look for the broker after the run has ended it

    def take_for_dead(self, consumer):
        time.sleep(2.5)  # beyond max.poll.interval.ms, which librdkafka looks at once a second


def read(consumer: RecordConsumer, count: int, records_max: int = 100) -> list[bytes | None]:
    """Poll until `count` records have come; return their values as they came."""
    values: list[bytes | None] = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    while len(values) < count:
        assert time.monotonic() < deadline, f"only {len(values)} of {count} records came"
        for batch in consumer.poll(records_max, 0.1):
            values += batch.values
    return values


def poll_until(condition: Callable[[], bool], *consumers: RecordConsumer) -> list[bytes | None]:
    """Poll `consumers` in turn until `condition`; return the values that came meanwhile."""
    values: list[bytes | None] = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        for consumer in consumers:
            for batch in consumer.poll(100, 0.05):
                values += batch.values
    return values


def joined(world, topics, group=None, listener=None, frail=False):
    """A consumer that has its partitions."""
    consumer = world.consumer(group or world.name("group"), frail)
    listener = listener or Listener()
    consumer.subscribe(topics, listener)
    poll_until(lambda: bool(listener.owned), consumer)
    return consumer, listener


def numbered(count, start=0):
    return [b"%d" % number for number in range(start, start + count)]


def transact(world, topic, output, group, frail=False):
    """A consumer that has read five records, and a producer with five in its transaction."""
    world.append(topic, *numbered(5))
    consumer = world.consumer(group, frail)
    consumer.subscribe([topic], Listener())
    values = read(consumer, 5)
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.send(OutgoingRecord(output, None, value) for value in values)
    return consumer, producer
