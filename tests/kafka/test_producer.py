"""What is particular to the producer on librdkafka, beyond the contract of the port."""

from __future__ import annotations

import os
import time
from threading import Event

import pytest
from confluent_kafka import KafkaError

from streamdet.errors import (
    ConfigError,
    FatalError,
    Fenced,
    RetriableError,
    TransactionAborted,
)
from streamdet.kafka import producer as producer_module
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.options import producer_options
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.topics import Topics, TopicSpec
from streamdet.types import OutgoingRecord, Partition
from tests.contracts.worlds import KafkaWorld, Listener, poll_until
from tests.kafka.mock_cluster import ApiKey, MockCluster

POINTS = Partition("points", 0)


@pytest.fixture
def cluster():
    with MockCluster() as made:
        made.create_topic("points")
        made.create_topic("events")
        yield made


@pytest.fixture
def membership(cluster):
    consumer = KafkaConsumer({"bootstrap.servers": cluster.bootstrap}, "group")
    listener = Listener()
    consumer.subscribe(["points"], listener)
    poll_until(lambda: bool(listener.owned), consumer)
    yield consumer.group_metadata()
    consumer.close()


def transactional(cluster, **changes):
    options = {"bootstrap.servers": cluster.bootstrap, **changes}
    return KafkaProducer(options, "worker", transaction_timeout_s=5, timeout_s=5)


def transact(producer, membership, timeout_s=10.0):
    producer.begin()
    producer.send([OutgoingRecord("events", b"k", b"v")])
    producer.commit({POINTS: 1}, membership, timeout_s)


def test_what_streamdet_owns_is_set_whatever_is_asked():
    options = producer_options({"enable.idempotence": False, "linger.ms": 50}, "worker", 10)
    assert options["enable.idempotence"] is True
    assert options["linger.ms"] == 50
    assert options["transactional.id"] == "worker"
    assert options["transaction.timeout.ms"] == 10_000
    assert "transactional.id" not in producer_options({}, None, 10)


@pytest.mark.parametrize(
    ("request_kind", "codes"),
    [
        (ApiKey.INIT_PRODUCER_ID, [KafkaError.CONCURRENT_TRANSACTIONS] * 2),
        (ApiKey.PRODUCE, [KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_ENOUGH_REPLICAS]),
        (ApiKey.TXN_OFFSET_COMMIT, [KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 2),
        (ApiKey.END_TXN, [KafkaError.COORDINATOR_NOT_AVAILABLE] * 2),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_passing_fault_is_waited_out(cluster, membership, request_kind, codes):
    cluster.fail(request_kind, *codes)
    producer = transactional(cluster)
    transact(producer, membership)
    producer.close()


@pytest.mark.parametrize(
    ("request_kind", "code", "named"),
    [
        (ApiKey.PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE, "'events'"),
        (ApiKey.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED, "'events'"),
        (ApiKey.TXN_OFFSET_COMMIT, KafkaError.ILLEGAL_GENERATION, "another member"),
    ],
)
def test_a_lost_transaction_names_the_reason_and_can_be_aborted(
    cluster, membership, request_kind, code, named
):
    producer = transactional(cluster)
    cluster.fail(request_kind, code)
    with pytest.raises(TransactionAborted, match=named):
        transact(producer, membership)
    producer.abort()
    producer.abort()
    producer.close()


@pytest.mark.parametrize(
    ("request_kind", "code"),
    [
        (ApiKey.PRODUCE, KafkaError.INVALID_PRODUCER_EPOCH),
        (ApiKey.PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER),
        (ApiKey.END_TXN, KafkaError.PRODUCER_FENCED),
        (ApiKey.END_TXN, KafkaError.INVALID_TXN_STATE),
    ],
)
def test_a_producer_beyond_use_says_so_until_an_abort_replaces_it(
    cluster, membership, request_kind, code
):
    producer = transactional(cluster)
    cluster.fail(request_kind, code)
    with pytest.raises(TransactionAborted) as first:
        transact(producer, membership)
    with pytest.raises(TransactionAborted) as second:
        producer.commit({POINTS: 1}, membership, 10)
    assert str(second.value) == str(first.value)
    producer.abort()
    transact(producer, membership)
    producer.close()


def test_without_transactions_too_a_producer_beyond_use_is_replaced(cluster):
    producer = KafkaProducer({"bootstrap.servers": cluster.bootstrap})
    cluster.fail(ApiKey.PRODUCE, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    producer.send([OutgoingRecord("events", None, b"1")])
    with pytest.raises(TransactionAborted):
        producer.flush(10)
    producer.abort()
    producer.send([OutgoingRecord("events", None, b"2")])
    producer.flush(10)
    producer.close()


def test_who_has_lost_its_place_in_the_group_is_fenced(cluster, membership):
    producer = transactional(cluster)
    cluster.fail(ApiKey.TXN_OFFSET_COMMIT, KafkaError.FENCED_INSTANCE_ID)
    with pytest.raises(Fenced):
        transact(producer, membership)
    producer.close()


def test_a_missing_right_ends_it_for_good(cluster, membership):
    producer = transactional(cluster)
    cluster.fail(ApiKey.ADD_PARTITIONS_TO_TXN, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    with pytest.raises(FatalError, match="WRITE and DESCRIBE") as first:
        transact(producer, membership)
    with pytest.raises(FatalError) as second:
        producer.abort()
    assert str(second.value) == str(first.value)
    producer.close()


def test_a_commit_without_an_answer_is_settled_by_the_abort(cluster, membership):
    producer = transactional(cluster)
    producer.begin()
    producer.send([OutgoingRecord("events", b"k", b"v")])
    producer.flush(5)
    cluster.stop_answering()
    with pytest.raises(TransactionAborted, match="outcome unknown"):
        producer.commit({}, membership, 0.5)
    with pytest.raises(RetriableError):
        producer.abort()
    cluster.answer_again()
    producer.abort()
    transact(producer, membership)
    producer.close()


def test_a_call_that_does_not_return_is_given_up(cluster, membership, monkeypatch):
    producer = transactional(cluster)
    stuck = Event()
    monkeypatch.setattr(producer, "_producer", _Stuck(producer._producer, stuck))
    with monkeypatch.context() as impatient:  # not with those that answer, if late
        impatient.setattr(producer_module, "_CALL_LATE_S", -4.5)
        with pytest.raises(TransactionAborted, match=r"putting offsets.*did not return"):
            transact(producer, membership)
    producer.abort()
    transact(producer, membership)
    producer.close()
    stuck.set()


class _Stuck:
    """A client whose call to put offsets into a transaction hangs."""

    def __init__(self, client, until):
        self._client, self._until = client, until

    def __getattr__(self, name):
        return getattr(self._client, name)

    def send_offsets_to_transaction(self, *arguments):
        self._until.wait(60)


def test_a_commit_goes_through_when_the_broker_comes_back_in_time(cluster, membership):
    producer = transactional(cluster)
    producer.begin()
    producer.send([OutgoingRecord("events", b"k", b"v")])
    producer.flush(5)
    cluster.stop_answering()
    time.sleep(0.5)
    cluster.answer_again()
    producer.commit({POINTS: 1}, membership, 20)
    producer.close()


def test_a_group_coordinator_that_is_gone_is_given_up_and_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(producer_module, "_CALL_LATE_S", 1.0)
    with MockCluster(brokers=3) as cluster:
        cluster.create_topic("points")
        cluster.create_topic("events")
        cluster.coordinate("transaction", "worker", 1)
        cluster.coordinate("group", "group", 2)
        consumer = KafkaConsumer({"bootstrap.servers": cluster.bootstrap}, "group")
        producer = transactional(cluster)
        transact(producer, consumer.group_metadata())  # it knows the coordinator now
        producer.begin()
        cluster.stop_answering(broker=2)
        with pytest.raises(TransactionAborted, match="putting offsets into the transaction: "):
            producer.commit({POINTS: 2}, consumer.group_metadata(), 0.5)
        producer.close()
        consumer.close()


def test_a_full_queue_is_waited_for(cluster):
    options = {"bootstrap.servers": cluster.bootstrap, "queue.buffering.max.messages": 10}
    producer = KafkaProducer(options)
    producer.send(OutgoingRecord("events", None, b"%d" % i) for i in range(500))
    producer.flush(10)
    producer.close()


def test_a_queue_that_stays_full_is_given_up(cluster):
    options = {"bootstrap.servers": cluster.bootstrap, "queue.buffering.max.messages": 10}
    producer = KafkaProducer(options, timeout_s=0.5)
    cluster.stop_answering()
    with pytest.raises(TransactionAborted, match="no room"):
        producer.send(OutgoingRecord("events", None, b"%d" % i) for i in range(500))
    producer.close()


def test_brokers_that_do_not_answer_are_given_up_with_the_reason():
    with pytest.raises(FatalError, match="Connection refused"):
        KafkaProducer({"bootstrap.servers": "127.0.0.1:1"}, "worker", timeout_s=0.5)


def test_a_flush_that_takes_too_long_is_given_up_with_the_reason():
    producer = KafkaProducer({"bootstrap.servers": "127.0.0.1:1"})
    producer.send([OutgoingRecord("events", None, b"v")])
    with pytest.raises(TransactionAborted, match=r"Connection refused.*records left"):
        producer.flush(0.5)
    producer.close()


def test_a_transaction_timeout_over_the_brokers_limit_is_a_wrong_configuration(kafka):
    options = {"bootstrap.servers": kafka.bootstrap}
    with pytest.raises(ConfigError, match=r"transaction\.max\.timeout\.ms"):
        KafkaProducer(options, "worker", transaction_timeout_s=86_400, timeout_s=30)


def test_a_record_larger_than_its_topic_takes_costs_a_transaction_or_two(kafka, unique):
    world = KafkaWorld(kafka.bootstrap)
    topic, output = world.topic(), unique("narrow")
    limits = TopicSpec(output, 1, settings={"max.message.bytes": "1000"})
    Topics({"bootstrap.servers": kafka.bootstrap}).create([limits])
    consumer, listener = world.consumer(unique("group")), Listener()
    consumer.subscribe([topic], listener)
    poll_until(lambda: bool(listener.owned), consumer)
    producer = world.producer(unique("transaction"))
    producer.begin()
    producer.send([OutgoingRecord(output, None, os.urandom(5000))])  # the broker says no, later
    with pytest.raises(TransactionAborted, match=output):
        producer.commit({Partition(topic, 0): 1}, consumer.group_metadata(), 20)
    producer.abort()
    for _ in range(2):  # librdkafka notices only in the next one that it skipped a sequence number
        producer.begin()
        producer.send([OutgoingRecord(output, None, b"next")])
        try:
            producer.commit({Partition(topic, 0): 1}, consumer.group_metadata(), 20)
        except TransactionAborted:
            producer.abort()
        else:
            break
    assert world.visible(output) == [b"next"]
    world.close()
