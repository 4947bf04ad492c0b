"""What `streamdet.ports` promises, asked of the broker in memory and of a real one alike."""

from __future__ import annotations

import os

import pytest

from streamdet.errors import FatalError, TransactionAborted
from streamdet.types import OutgoingRecord, Partition
from tests.contracts.worlds import (
    COMMIT_TIMEOUT_S,
    Listener,
    joined,
    numbered,
    poll_until,
    read,
    transact,
)

# ------------------------------------------------------------------------------- reading


def test_a_poll_returns_one_batch_a_partition_in_offset_order(world):
    topic = world.topic(partitions=3)
    for index in range(3):
        world.append(topic, *numbered(20, start=100 * index), partition=index)
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([topic], Listener())
    seen = {}
    while sum(map(len, seen.values())) < 60:
        batches = consumer.poll(1000, 1.0)
        assert len({batch.partition for batch in batches}) == len(batches)
        for batch in batches:
            assert len(batch.values) == len(batch.offsets) == len(batch.timestamps_ms)
            seen.setdefault(batch.partition, []).extend(
                zip(batch.offsets.tolist(), batch.values, strict=True)
            )
    assert seen == {
        Partition(topic, index): list(enumerate(numbered(20, start=100 * index)))
        for index in range(3)
    }


def test_a_poll_returns_no_more_records_than_asked_for(world):
    topic = world.topic()
    world.append(topic, *numbered(10))
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([topic], Listener())
    sizes = []
    while sum(sizes) < 10:
        sizes += [len(batch.values) for batch in consumer.poll(3, 1.0)]
    assert max(sizes) <= 3


def test_a_record_is_given_whole_on_request(world):
    topic = world.topic()
    consumer, _ = joined(world, [topic])
    producer = world.producer()
    headers = (("trace", b"1"), ("empty", None), ("trace", b"2"))
    producer.send([
        OutgoingRecord(topic, b"key", b"value", headers, timestamp_ms=1_700_000_000_123),
        OutgoingRecord(topic, None, None),
    ])  # fmt: skip
    producer.flush(10)
    batches = []
    while sum(len(batch.values) for batch in batches) < 2:
        batches += consumer.poll(10, 1.0)
    whole, bare = [batch.record(i) for batch in batches for i in range(len(batch.values))]
    assert (whole.partition, whole.offset) == (Partition(topic, 0), 0)
    assert (whole.key, whole.value, whole.headers) == (b"key", b"value", headers)
    assert whole.timestamp_ms == batches[0].timestamps_ms[0] == 1_700_000_000_123
    assert (bare.offset, bare.key, bare.value, bare.headers) == (1, None, None, ())


def test_a_record_goes_to_the_partition_it_names_whatever_its_key(world):
    topic = world.topic(partitions=5)
    producer, (consumer, _) = world.producer(), joined(world, [topic])
    producer.send(OutgoingRecord(topic, b"key", b"%d" % i, partition=i) for i in range(5))
    producer.flush(10)
    found = {}
    while len(found) < 5:
        found.update({b.partition.index: list(b.values) for b in consumer.poll(10, 1.0)})
    assert found == {i: [b"%d" % i] for i in range(5)}


def test_a_poll_without_records_returns_nothing(world):
    consumer, _ = joined(world, [world.topic()])
    assert list(consumer.poll(100, 0.1)) == []


def test_a_pattern_reads_every_topic_that_it_matches(world):
    prefix = world.name("fleet")
    for end in ("a", "b"):
        world.topic(name=f"{prefix}.{end}")
        world.append(f"{prefix}.{end}", end.encode())
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([f"^{prefix}[.].*"], Listener())
    assert sorted(read(consumer, 2)) == [b"a", b"b"]


def test_a_topic_that_does_not_exist_is_fatal_and_named(world):
    missing = world.name("missing")
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([missing], Listener())
    with pytest.raises(FatalError, match=missing):
        poll_until(lambda: False, consumer)


def test_the_end_of_a_partition_is_known_once_it_is_read(world):
    topic = world.topic()
    world.append(topic, *numbered(7))
    consumer = world.consumer(world.name("group"))
    assert consumer.end_offset(Partition(topic, 0)) is None
    consumer.subscribe([topic], Listener())
    read(consumer, 7)
    assert consumer.end_offset(Partition(topic, 0)) == 7
    assert consumer.end_offset(Partition("elsewhere", 0)) is None


def test_records_that_were_gone_before_they_were_read_are_told(world):
    topic, group = world.topic(), world.name("group")
    place = Partition(topic, 0)
    world.append(topic, *numbered(10))
    first = world.consumer(group)
    first.subscribe([topic], Listener())
    read(first, 10)
    first.commit({place: 2}, COMMIT_TIMEOUT_S)
    first.close()
    world.delete_before(place, 6)
    consumer, listener = world.consumer(group), Listener()
    consumer.subscribe([topic], listener)
    assert read(consumer, 4) == numbered(4, start=6)
    assert listener.told == [("assigned", [place]), ("gap", [place, 2, 6])]
    assert consumer.position(place) == 10


def test_a_group_without_offsets_begins_at_the_first_record_that_is_left(world):
    topic = world.topic()
    world.append(topic, *numbered(10))
    world.delete_before(Partition(topic, 0), 6)
    consumer, listener = world.consumer(world.name("group")), Listener()
    consumer.subscribe([topic], listener)
    assert read(consumer, 4) == numbered(4, start=6)
    assert [event for event, _ in listener.told] == ["assigned"]


def test_the_position_is_behind_what_was_read_and_goes_back_with_it(world):
    topic, group = world.topic(), world.name("group")
    place = Partition(topic, 0)
    world.append(topic, *numbered(7))
    consumer = world.consumer(group)
    assert consumer.position(place) is None
    consumer.subscribe([topic], Listener())
    read(consumer, 4, records_max=2)
    assert consumer.position(place) == 4
    consumer.commit({place: 2}, COMMIT_TIMEOUT_S)
    consumer.rewind([place])
    assert consumer.position(place) in (None, 2)
    assert read(consumer, 5) == numbered(5, start=2)
    assert consumer.position(place) == 7


def test_the_position_of_who_tells_ends_passes_over_what_is_no_record(world):
    topic = world.topic()
    place = Partition(topic, 0)
    world.append(topic, *numbered(3))
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.send([OutgoingRecord(topic, None, b"aborted")])
    producer.flush(10)
    producer.abort()  # with its marker, two offsets that no reader gets
    producer.begin()
    producer.send([OutgoingRecord(topic, None, b"open")])
    producer.flush(10)
    consumer = world.consumer(world.name("group"), tells_ends=True)
    consumer.subscribe([topic], Listener())
    assert poll_until(lambda: consumer.position(place) == 5, consumer) == numbered(3)
    assert [consumer.poll(10, 0.2) for _ in range(3)] == [[], [], []]
    assert consumer.position(place) == 5  # what is open may yet come
    producer.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert poll_until(lambda: consumer.position(place) == 7, consumer) == [b"open"]


# ----------------------------------------------------------- committed offsets and rewinding


def test_reading_resumes_at_the_committed_offset(world):
    topic, group = world.topic(), world.name("group")
    world.append(topic, *numbered(10))
    first, _ = joined(world, [topic], group)
    first.commit({Partition(topic, 0): 4}, COMMIT_TIMEOUT_S)
    first.close()
    assert world.committed(group, topic) == {Partition(topic, 0): 4}
    second = world.consumer(group)
    second.subscribe([topic], Listener())
    assert read(second, 6) == numbered(6, start=4)


def test_committed_offsets_are_told_for_partitions_that_have_one(world):
    topic, group = world.topic(partitions=2), world.name("group")
    told = []
    listener = Listener(assigned=lambda ps: told.append(consumer.committed(ps)))
    consumer, _ = joined(world, [topic], group)
    consumer.commit({Partition(topic, 1): 4}, COMMIT_TIMEOUT_S)
    consumer.close()
    consumer = world.consumer(group)
    consumer.subscribe([topic], listener)
    poll_until(lambda: bool(told), consumer)
    assert told == [{Partition(topic, 1): 4}]


def test_rewinding_reads_again_from_the_committed_offset(world):
    topic = world.topic(partitions=2)
    for index in range(2):
        world.append(topic, *numbered(10, start=10 * index), partition=index)
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([topic], Listener())
    read(consumer, 20)
    consumer.commit({Partition(topic, 1): 7}, COMMIT_TIMEOUT_S)
    assert consumer.rewind([Partition(topic, 1)]) == {Partition(topic, 1): 7}
    assert read(consumer, 3) == numbered(3, start=17)


def test_rewinding_without_a_committed_offset_goes_back_to_where_reading_began(world):
    topic = world.topic()
    world.append(topic, *numbered(5))
    consumer = world.consumer(world.name("group"))
    consumer.subscribe([topic], Listener())
    read(consumer, 5)
    for _ in range(2):
        assert consumer.rewind([Partition(topic, 0)]) == {Partition(topic, 0): 0}
        assert read(consumer, 5) == numbered(5)


def test_rewinding_what_was_just_assigned_moves_nothing(world):
    topic = world.topic()
    world.append(topic, *numbered(5))
    consumer = world.consumer(world.name("group"))
    answers = []
    listener = Listener(assigned=lambda ps: answers.append(consumer.rewind(ps)))
    consumer.subscribe([topic], listener)
    assert read(consumer, 5) == numbered(5)
    assert answers == [{Partition(topic, 0): 0}]


def test_rewinding_what_is_not_assigned_moves_nothing(world):
    consumer, _ = joined(world, [world.topic()])
    assert consumer.rewind([Partition(world.topic(), 0)]) == {}
    assert consumer.rewind([]) == {}


# -------------------------------------------------------------------------- transactions


def test_records_and_offsets_of_a_transaction_count_together(world):
    topic, output, group = world.topic(), world.topic(), world.name("group")
    consumer, producer = transact(world, topic, output, group)
    producer.flush(10)
    assert world.visible(output) == []
    assert world.committed(group, topic) == {}
    producer.commit({Partition(topic, 0): 5}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == numbered(5)
    assert world.committed(group, topic) == {Partition(topic, 0): 5}


def test_an_aborted_transaction_leaves_nothing_and_is_read_again(world):
    topic, output, group = world.topic(), world.topic(), world.name("group")
    consumer, producer = transact(world, topic, output, group)
    producer.flush(10)
    producer.abort()
    assert consumer.rewind([Partition(topic, 0)]) == {Partition(topic, 0): 0}
    values = read(consumer, 5)
    producer.begin()
    producer.send(OutgoingRecord(output, None, b"again " + value) for value in values)
    producer.commit({Partition(topic, 0): 5}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == [b"again " + value for value in numbered(5)]


def test_transactions_follow_each_other(world):
    output = world.topic()
    consumer, _ = joined(world, [world.topic()])
    producer = world.producer(world.name("transaction"))
    for number in range(3):
        producer.begin()
        producer.begin()  # one is open: no effect
        producer.send([OutgoingRecord(output, b"k", b"%d" % number)])
        producer.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == numbered(3)


def test_an_abort_without_a_transaction_has_no_effect(world):
    producer = world.producer(world.name("transaction"))
    producer.abort()
    idempotent = world.producer()
    idempotent.begin()
    idempotent.abort()


def test_offsets_alone_make_a_transaction(world):
    topic, group = world.topic(), world.name("group")
    consumer, _ = joined(world, [topic], group)
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.commit({Partition(topic, 0): 3}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.committed(group, topic) == {Partition(topic, 0): 3}


def test_a_newer_producer_of_the_same_transactional_id_fences_the_older(world):
    topic, output, group = world.topic(), world.topic(), world.name("group")
    consumer, _ = joined(world, [topic], group)
    transactional_id = world.name("transaction")
    zombie = world.producer(transactional_id)
    zombie.begin()
    zombie.send([OutgoingRecord(output, None, b"late")])
    zombie.flush(10)
    heir = world.producer(transactional_id)
    with pytest.raises(TransactionAborted):
        zombie.commit({Partition(topic, 0): 1}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    with pytest.raises(TransactionAborted):
        zombie.send([OutgoingRecord(output, None, b"later")])
    zombie.close()
    heir.begin()
    heir.send([OutgoingRecord(output, None, b"right")])
    heir.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == [b"right"]
    assert world.committed(group, topic) == {}


def test_a_producer_that_was_fenced_works_again_after_an_abort_and_fences_in_turn(world):
    output, transactional_id = world.topic(), world.name("transaction")
    consumer, _ = joined(world, [world.topic()])
    first = world.producer(transactional_id)
    first.begin()
    first.send([OutgoingRecord(output, None, b"lost")])
    first.flush(10)
    second = world.producer(transactional_id)
    second.begin()
    with pytest.raises(TransactionAborted):
        first.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    first.abort()
    first.begin()
    first.send([OutgoingRecord(output, None, b"again")])
    first.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    with pytest.raises(TransactionAborted):
        second.commit({Partition(output, 0): 1}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == [b"again"]


def test_a_producer_knows_which_topics_it_reaches(world):
    producer = world.producer(world.name("transaction"))
    assert producer.reaches(world.topic())
    assert not producer.reaches(world.name("missing"))


# ---------------------------------------------------------------------- records refused


def test_a_record_for_a_topic_that_does_not_exist_aborts_the_transaction(world):
    output, missing = world.topic(), world.name("missing")
    consumer, _ = joined(world, [world.topic()])
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.send([OutgoingRecord(output, None, b"1"), OutgoingRecord(missing, None, b"2")])
    with pytest.raises(TransactionAborted, match=missing) as refused:
        producer.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert refused.value.topic == missing
    producer.abort()
    assert world.visible(output) == []


def test_without_transactions_too_a_refused_record_is_told_and_given_up(world):
    output, missing = world.topic(), world.name("missing")
    producer = world.producer()
    producer.send([OutgoingRecord(missing, None, b"1")])
    with pytest.raises(TransactionAborted, match=missing) as refused:
        producer.flush(10)
    assert refused.value.topic == missing
    producer.abort()
    producer.send([OutgoingRecord(output, None, b"2")])
    producer.flush(10)
    assert world.visible(output) == [b"2"]


def test_a_record_too_large_aborts_the_transaction_and_the_next_one_is_sound(world):
    output = world.topic()
    consumer, _ = joined(world, [world.topic()])
    producer = world.producer(world.name("transaction"))
    producer.begin()
    producer.send([OutgoingRecord(output, None, b"small")])
    with pytest.raises(TransactionAborted, match=output):
        producer.send([OutgoingRecord(output, None, os.urandom(1_100_000))])
    with pytest.raises(TransactionAborted, match=output):
        producer.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    producer.abort()
    producer.begin()
    producer.send([OutgoingRecord(output, None, b"next")])
    producer.commit({}, consumer.group_metadata(), COMMIT_TIMEOUT_S)
    assert world.visible(output) == [b"next"]
