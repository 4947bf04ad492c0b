"""What is particular to the consumer on librdkafka, beyond the contract of the port."""

from __future__ import annotations

import logging
import time

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streamdet.errors import ConfigError, FatalError, Fenced, RetriableError, TransactionAborted
from streamdet.kafka import consumer as consumer_module
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.options import OncePerWhile, consumer_options
from streamdet.types import Partition
from tests.contracts.worlds import KafkaWorld, Listener, poll_until, read
from tests.kafka.mock_cluster import ApiKey, MockCluster
from tests.servers.kafka import KafkaServer


@pytest.fixture
def world(kafka):
    made = KafkaWorld(kafka.bootstrap)
    yield made
    made.close()


@pytest.fixture
def cluster():
    with MockCluster() as made:
        made.create_topic("points")
        yield made


def member(world, group, **options):
    return world._open(KafkaConsumer({**world.options, **options}, group))


# ------------------------------------------------------------------------------- options


def test_what_streamdet_owns_is_set_whatever_is_asked():
    asked = {"enable.auto.commit": True, "isolation.level": "read_uncommitted", "group.id": "x"}
    options = consumer_options({**asked, "fetch.max.bytes": 1}, "group")
    assert options["enable.auto.commit"] is False
    assert options["isolation.level"] == "read_committed"
    assert options["group.id"] == "group"
    assert options["fetch.max.bytes"] == 1


def test_the_new_group_protocol_is_not_given_options_of_the_old():
    asked = {"group.protocol": "consumer", "session.timeout.ms": 6000}
    options = consumer_options(asked, "group")
    assert not {"session.timeout.ms", "partition.assignment.strategy"} & set(options)
    assert "partition.assignment.strategy" in consumer_options({}, "group")


@pytest.mark.parametrize("option", [{"no.such.option": "1"}, {"session.timeout.ms": "soon"}])
def test_an_option_that_cannot_be_is_a_wrong_configuration(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        KafkaConsumer(option, "group")


def test_a_line_of_the_client_does_not_come_again_at_once():
    once = OncePerWhile()

    def line(text, at_s):
        record = logging.LogRecord("x", logging.ERROR, "", 0, text, None, None)
        record.created = at_s
        return once.filter(record)

    assert line("FAIL a: refused (after 1ms in state CONNECT)", 100)
    assert not line("FAIL a: refused (after 2ms in state CONNECT)", 101)
    assert line("FAIL b: refused (after 1ms in state CONNECT)", 101)
    assert line("FAIL a: refused (after 1ms in state CONNECT)", 200)


# ------------------------------------------------------------------------ groups, for real


def test_with_the_new_group_protocol_partitions_are_shared_and_offsets_committed(world):
    topic, group = world.topic(partitions=2), world.name("group")
    first = member(world, group, **{"group.protocol": "consumer"})
    mine, yours = Listener(), Listener()
    first.subscribe([topic], mine)
    poll_until(lambda: len(mine.owned) == 2, first)
    second = member(world, group, **{"group.protocol": "consumer"})
    second.subscribe([topic], yours)
    poll_until(lambda: len(mine.owned) == len(yours.owned) == 1, first, second)
    assert mine.told[-1][0] == "revoked"
    (kept,) = mine.owned
    world.append(topic, b"1", b"2", partition=kept.index)
    assert read(first, 2) == [b"1", b"2"]
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.commit({kept: 2}, first.group_metadata(), 20)
    assert world.committed(group, topic) == {kept: 2}


def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(world):
    topic, group = world.topic(partitions=2), world.name("group")
    first = member(world, group, **{"group.instance.id": "worker-1"})
    second = member(world, group, **{"group.instance.id": "worker-2"})
    mine, yours = Listener(), Listener()
    first.subscribe([topic], mine)
    second.subscribe([topic], yours)
    poll_until(lambda: len(mine.owned) == len(yours.owned) == 1, first, second)
    before, told = set(mine.owned), list(yours.told)
    first.close()
    again, back = member(world, group, **{"group.instance.id": "worker-1"}), Listener()
    again.subscribe([topic], back)
    poll_until(lambda: bool(back.owned), again, second)
    assert back.owned == before
    assert yours.told == told


def test_a_second_member_of_the_same_instance_id_fences_the_first(world):
    topic, group = world.topic(), world.name("group")
    options = {"group.instance.id": "worker-1", "heartbeat.interval.ms": 200}
    first, second = member(world, group, **options), member(world, group, **options)
    mine, yours = Listener(), Listener()
    first.subscribe([topic], mine)
    poll_until(lambda: bool(mine.owned), first)
    second.subscribe([topic], yours)
    poll_until(lambda: bool(yours.owned), second)
    with pytest.raises(Fenced, match="instance"):
        poll_until(lambda: False, first)


def test_reading_goes_on_by_itself_after_the_broker_was_away():
    with KafkaServer() as server:
        world = KafkaWorld(server.bootstrap)
        topic = world.topic()
        consumer, listener = world.consumer(world.name("group")), Listener()
        consumer.subscribe([topic], listener)
        poll_until(lambda: bool(listener.owned), consumer)
        world.append(topic, b"1")
        assert read(consumer, 1) == [b"1"]
        server.kill()
        busy_s = time.process_time()
        with pytest.raises(RetriableError, match="no answer from the brokers"):
            poll_until(lambda: False, consumer)
        assert time.process_time() - busy_s < 2  # it waits rather than spins
        server.start()
        world.append(topic, b"2")
        assert read(_Patient(consumer), 1) == [b"2"]
        world.close()


class _Patient:
    """Polls again after a RetriableError, as the port says."""

    def __init__(self, consumer):
        self._consumer = consumer

    def poll(self, records_max, timeout_s):
        try:
            return self._consumer.poll(records_max, timeout_s)
        except RetriableError:
            return []


def test_a_refused_login_comes_out_of_poll(world):
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    secret = {"sasl.username": "worker", "sasl.password": "canary-password"}
    consumer = member(world, "group", **options, **secret)
    consumer.subscribe(["points"], Listener())
    with pytest.raises(FatalError, match="refuse our credentials") as caught:
        poll_until(lambda: False, consumer)
    assert "canary-password" not in str(caught.value)


def test_where_no_reset_is_allowed_a_gap_is_fatal(world):
    topic, group = world.topic(), world.name("group")
    world.append(topic, *[b"x"] * 10)
    first, listener = world.consumer(group), Listener()
    first.subscribe([topic], listener)
    poll_until(lambda: bool(listener.owned), first)
    first.commit({Partition(topic, 0): 2}, 20)
    first.close()
    admin = AdminClient(world.options)
    for deleted in admin.delete_records([TopicPartition(topic, 0, 5)]).values():
        deleted.result(20)  # as retention would
    second = member(world, group, **{"auto.offset.reset": "error"})
    second.subscribe([topic], Listener())
    with pytest.raises(FatalError, match=rf"'{topic}'.*auto\.offset\.reset"):
        poll_until(lambda: False, second)


# ------------------------------------------------------------ faults, from the mock cluster


def reading(cluster, **options):
    consumer = KafkaConsumer({"bootstrap.servers": cluster.bootstrap, **options}, "group")
    listener = Listener()
    consumer.subscribe(["points"], listener)
    poll_until(lambda: bool(listener.owned), consumer)
    return consumer


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.ILLEGAL_GENERATION, TransactionAborted),
        (KafkaError.UNKNOWN_MEMBER_ID, TransactionAborted),
        (KafkaError.REBALANCE_IN_PROGRESS, TransactionAborted),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, FatalError),
    ],
)
def test_a_refused_commit_says_what_happens_next(cluster, code, expected):
    consumer = reading(cluster)
    cluster.fail(ApiKey.OFFSET_COMMIT, code)
    with pytest.raises(expected):
        consumer.commit({Partition("points", 0): 1}, 5)
    consumer.close()


def test_a_commit_of_nothing_asks_nobody(cluster):
    consumer = reading(cluster)
    cluster.stop_answering()
    consumer.commit({}, 5)
    consumer.close()


# ----------------------------------------------------- orders of events that only luck brings


class ScriptedClient:
    """Stands in for librdkafka's consumer: plays back what each `consume` does."""

    def __init__(self):
        self.steps = []
        self.seeks = []
        self.committed_offset = 3

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self.on_assign, self.on_revoke, self.on_lost = on_assign, on_revoke, on_lost

    def consume(self, count, timeout):
        return self.steps.pop(0)() if self.steps else []

    def incremental_assign(self, places):
        pass

    incremental_unassign = incremental_assign

    def committed(self, places, timeout):
        return [TopicPartition(p.topic, p.partition, self.committed_offset) for p in places]

    def seek(self, place):
        self.seeks.append((place.topic, place.partition, place.offset))

    def assign(self, index):
        self.on_assign(self, [TopicPartition("points", index)])

    def revoke(self, index):
        self.on_revoke(self, [TopicPartition("points", index)])

    def lose(self, index):
        self.on_lost(self, [TopicPartition("points", index)])


def messages(index, *offsets):
    return [
        Message("points", index, offset, None, b"%d" % offset, None, None, (1, 1000 + offset))
        for offset in offsets
    ]


@pytest.fixture
def scripted(monkeypatch):
    client = ScriptedClient()
    monkeypatch.setattr(consumer_module, "connect", lambda *args, **kwargs: client)
    consumer, listener = KafkaConsumer({}, "group"), Listener()
    consumer.subscribe(["points"], listener)
    return consumer, client, listener


def polled(consumer):
    return [(b.partition.index, b.offsets.tolist()) for b in consumer.poll(100, 0)]


def test_records_of_a_partition_that_was_taken_in_the_same_poll_are_left_out(scripted):
    consumer, client, _ = scripted
    client.steps = [
        lambda: [client.assign(0), client.assign(1)] and messages(0, 0),
        lambda: (client.revoke(0), messages(0, 1, 2) + messages(1, 0, 1))[1],
    ]
    assert polled(consumer) == [(1, [0, 1])]


def test_a_partition_that_went_and_came_back_in_one_poll_is_read_from_the_commit(scripted):
    consumer, client, _ = scripted
    client.steps = [lambda: (client.assign(0), messages(0, 5))[1]]
    assert polled(consumer) == [(0, [5])]
    client.steps = [
        lambda: messages(0, 6),
        lambda: (client.lose(0), client.assign(0), messages(0, 7))[2],
        lambda: messages(0, 3),
        lambda: messages(0, 4),
    ]
    assert polled(consumer) == []
    assert client.seeks == [("points", 0, 3)]
    assert polled(consumer) == [(0, [3, 4])]


def test_an_error_beside_records_comes_first_and_the_records_next(scripted):
    consumer, client, _ = scripted
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = Message(topic="points", partition=0, error=refused)
    client.steps = [lambda: (client.assign(0), messages(0, 0))[1], lambda: [error, *messages(0, 1)]]
    with pytest.raises(FatalError, match="'points'"):
        consumer.poll(100, 0)
    assert polled(consumer) == [(0, [0, 1])]


def test_a_rewind_takes_back_records_not_yet_given(scripted):
    consumer, client, _ = scripted
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    error = Message(topic="points", partition=0, error=refused)
    client.steps = [lambda: (client.assign(0), messages(0, 9))[1], lambda: [error]]
    with pytest.raises(FatalError):
        consumer.poll(100, 0)
    assert consumer.rewind([Partition("points", 0)]) == {Partition("points", 0): 3}
    assert client.seeks == [("points", 0, 3)]
    assert polled(consumer) == []


def test_having_been_silent_too_long_is_no_error_of_its_own(scripted, caplog):
    consumer, client, _ = scripted
    late = Message(error=KafkaError(KafkaError._MAX_POLL_EXCEEDED))
    client.steps = [lambda: [late]]
    assert polled(consumer) == []
    assert "max.poll.interval.ms" in caplog.text


def test_records_of_several_topics_and_partitions_are_dealt_out_in_order(scripted):
    consumer, client, _ = scripted
    other = [
        Message("others", 0, offset, None, b"x", None, None, (1, 1)) for offset in range(4)
    ]  # the same partition number, another topic
    client.on_assign(client, [TopicPartition("points", i) for i in range(2)])
    client.on_assign(client, [TopicPartition("others", 0)])
    mixed = [*messages(0, 0, 1), *other[:2], *messages(1, 0), *messages(0, 2), *other[2:]]
    client.steps = [lambda: mixed[:1], lambda: mixed[1:]]
    batches = consumer.poll(100, 0)
    assert {b.partition: b.offsets.tolist() for b in batches} == {
        Partition("points", 0): [0, 1, 2],
        Partition("points", 1): [0],
        Partition("others", 0): [0, 1, 2, 3],
    }
