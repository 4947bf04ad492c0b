"""What a real cluster tells when it is asked, and what the embedded one leaves unsaid."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streamdet.cluster import Cluster, GroupState, Offsets, TopicState, Untold
from streamdet.kafka.inspection import Inspection
from streamdet.kafka.mock import PARTITIONS, MockBroker
from streamdet.kafka.reader import KafkaReader
from streamdet.types import Partition
from tests.integration.worker import wait_until
from tests.servers.kafka import create_topic

TIMEOUT_S = 20.0


@pytest.fixture
def inspection(kafka):
    made = Inspection({"bootstrap.servers": kafka.bootstrap})
    assert isinstance(made.cluster(TIMEOUT_S), Cluster)
    return made


def test_a_server_is_reached_up_to_the_login_and_tells_its_features(kafka):
    servers = Inspection({"bootstrap.servers": f"{kafka.bootstrap},127.0.0.1:1"}).servers(TIMEOUT_S)
    assert [each.failed for each in servers] == [None, "TCP"]
    assert list(servers[0].steps) == ["DNS", "TCP", "Kafka", "login"]
    assert servers[0].features["metadata.version"] >= 25  # Kafka 4.0


def test_the_cluster_tells_its_brokers_and_that_without_acls_everything_is_allowed(kafka, unique):
    topic = unique("points")
    create_topic(kafka.bootstrap, topic)
    cluster = Inspection({"bootstrap.servers": kafka.bootstrap}).cluster(TIMEOUT_S)
    assert cluster.brokers == (kafka.bootstrap,)
    assert topic in cluster.topics
    assert (cluster.administered, cluster.all_rights) == (True, True)


def test_a_topic_tells_partitions_rights_and_settings(inspection, kafka, unique):
    topic, missing = unique("points"), unique("points")
    create_topic(kafka.bootstrap, topic, 3, {"cleanup.policy": "compact"})
    found = inspection.topics([topic, missing], TIMEOUT_S)
    assert found[missing] is None
    assert isinstance(found[topic], TopicState)
    assert [each.index for each in found[topic].partitions] == [0, 1, 2]
    assert found[topic].n_replicas == 1
    assert found[topic].rights >= {"READ", "WRITE"}
    assert found[topic].settings["cleanup.policy"] == "compact"
    assert "min.insync.replicas" in found[topic].settings


def test_a_broker_tells_its_settings(inspection):
    settings = inspection.broker_settings(TIMEOUT_S)
    assert int(settings["transaction.max.timeout.ms"]) > 0


def test_offsets_tell_begin_ends_and_what_is_committed(inspection, kafka, unique):
    topic, group = unique("points"), unique("group")
    create_topic(kafka.bootstrap, topic, 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": unique("id")})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(3):
        producer.produce(topic, b"x", partition=0)
    producer.flush(30)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 1, 0)], asynchronous=False)
    consumer.close()
    places = [Partition(topic, 0), Partition(topic, 1)]
    found = inspection.offsets(group, [*places, Partition(topic, 7)], TIMEOUT_S)
    assert found == {places[0]: Offsets(0, 0, 3, None), places[1]: Offsets(0, 0, 0, 0)}
    producer.abort_transaction(30)
    aborted = {places[0]: Offsets(0, 4, 4, None)}  # with the marker, which brokers write later
    wait_until(lambda: inspection.offsets(group, places[:1], TIMEOUT_S) == aborted, "the marker")
    assert isinstance(inspection.offsets(group, [Partition(topic, 7)], TIMEOUT_S), Untold)


def test_a_group_tells_its_members_and_one_that_nobody_knows_is_dead(inspection, kafka, unique):
    topic, group = unique("points"), unique("group")
    create_topic(kafka.bootstrap, topic, 2)
    assert inspection.group(group, TIMEOUT_S).state == "DEAD"
    member = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": group, "group.instance.id": "one"}
    )
    assigned = []
    member.subscribe([topic], on_assign=lambda _, places: assigned.extend(places))
    while not assigned:
        member.poll(0.1)
    found = inspection.group(group, TIMEOUT_S)
    member.close()
    assert isinstance(found, GroupState)
    assert found.state == "STABLE"
    assert found.members == ("127.0.0.1 (one)",)
    assert found.assigned == {Partition(topic, 0), Partition(topic, 1)}
    assert "READ" in found.rights


def test_brokers_that_are_away_leave_an_answer_that_says_so():
    away = Inspection({"bootstrap.servers": "127.0.0.1:1"})
    cluster = away.cluster(0.5)
    assert isinstance(cluster, Untold)
    assert "Connection refused" in cluster.why
    assert isinstance(away.broker_settings(0.5), Untold)


def test_the_embedded_broker_tells_topics_and_offsets_and_leaves_the_rest_unsaid():
    with MockBroker(["points"]) as broker:
        inspection = Inspection({"bootstrap.servers": broker.bootstrap})
        cluster = inspection.cluster(TIMEOUT_S)
        assert not cluster.administered
        found = inspection.topics(["points", "elsewhere"], TIMEOUT_S)
        assert found["elsewhere"] is None
        assert len(found["points"].partitions) == PARTITIONS
        assert found["points"].rights is None
        assert isinstance(found["points"].settings, Untold)
        assert isinstance(inspection.group("g", TIMEOUT_S), Untold)
        assert isinstance(inspection.broker_settings(TIMEOUT_S), Untold)
        place = Partition("points", 0)
        assert inspection.offsets("g", [place], TIMEOUT_S) == {place: Offsets(0, 0, 0, None)}


def test_a_reader_with_spans_reads_these_offsets_only(kafka, unique):
    topic = unique("points")
    create_topic(kafka.bootstrap, topic, 2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for i in range(20):
        producer.produce(topic, b"%d" % i, partition=i % 2)
    assert producer.flush(30) == 0
    spans = {0: (7, 9), 1: (10, 10)}
    reader = KafkaReader({"bootstrap.servers": kafka.bootstrap}, unique("g"), topic, spans=spans)
    assert (reader.n_records, reader.ends) == (2, {Partition(topic, 0): 9})
    values = [value for batch in reader.batches(100) for value in batch.values]
    reader.close()
    assert values == [b"14", b"16"]
