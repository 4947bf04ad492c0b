"""Members of a group coming and going: the rest of what `streamdet.ports` promises."""

from __future__ import annotations

import pytest

from streamdet.errors import TransactionAborted
from streamdet.types import Partition
from tests.contracts.worlds import (
    COMMIT_TIMEOUT_S,
    Listener,
    joined,
    numbered,
    poll_until,
    read,
    transact,
)


def test_two_members_share_the_partitions_and_each_record_is_read_once(world):
    topic, group = world.topic(partitions=4), world.name("group")
    first, mine = joined(world, [topic], group)
    second, yours = world.consumer(group), Listener()
    second.subscribe([topic], yours)
    early = poll_until(lambda: len(mine.owned) == len(yours.owned) == 2, first, second)
    assert early == []
    assert not mine.owned & yours.owned
    for index in range(4):
        world.append(topic, *numbered(5, start=10 * index), partition=index)
    values = []
    poll_until(lambda: len(values) == 10 or values.extend(read(first, 10)), first)
    assert sorted(values + read(second, 10)) == sorted(
        value for index in range(4) for value in numbered(5, start=10 * index)
    )


def test_a_revoked_partition_is_committed_before_it_moves(world):
    topic, group = world.topic(partitions=2), world.name("group")
    for index in range(2):
        world.append(topic, *numbered(5, start=10 * index), partition=index)
    first = world.consumer(group)
    producer = world.producer(world.name("transaction"))

    def commit(partitions):
        producer.begin()
        offsets = dict.fromkeys(partitions, 5)
        producer.commit(offsets, first.group_metadata(), COMMIT_TIMEOUT_S)

    mine, yours = Listener(revoked=commit), Listener()
    first.subscribe([topic], mine)
    read(first, 10)
    second = world.consumer(group)
    second.subscribe([topic], yours)
    again = poll_until(lambda: bool(yours.owned), first, second)
    (moved,) = yours.owned
    assert mine.told[-1] == ("revoked", [moved])
    assert world.committed(group, topic) == {moved: 5}
    assert again == []
    (kept,) = mine.owned
    first.close()  # while the group may still be moving partitions
    assert world.committed(group, topic) == {moved: 5, kept: 5}


def test_leaving_hands_the_partitions_to_the_others(world):
    topic, group = world.topic(partitions=2), world.name("group")
    first, mine = joined(world, [topic], group)
    second, yours = world.consumer(group), Listener()
    second.subscribe([topic], yours)
    poll_until(lambda: len(mine.owned) == len(yours.owned) == 1, first, second)
    first.close()
    assert mine.told[-1][0] == "revoked"
    assert mine.owned == set()
    poll_until(lambda: len(yours.owned) == 2, second)


def test_a_member_taken_for_dead_learns_that_its_partitions_are_lost(world):
    topic, group = world.topic(), world.name("group")
    consumer, listener = joined(world, [topic], group, frail=True)
    world.append(topic, *numbered(3))
    assert read(consumer, 3) == numbered(3)
    world.take_for_dead(consumer)
    again = poll_until(lambda: len(listener.told) == 3, consumer)
    assert [event for event, _ in listener.told] == ["assigned", "lost", "assigned"]
    assert again + read(consumer, 3 - len(again)) == numbered(3)


def test_the_membership_of_a_member_taken_for_dead_commits_nothing(world):
    topic, output, group = world.topic(), world.topic(), world.name("group")
    consumer, producer = transact(world, topic, output, group, frail=True)
    membership = consumer.group_metadata()
    world.take_for_dead(consumer)
    with pytest.raises(TransactionAborted):
        producer.commit({Partition(topic, 0): 5}, membership, COMMIT_TIMEOUT_S)
    producer.abort()
    assert world.visible(output) == []
    assert world.committed(group, topic) == {}


def test_an_error_of_the_listener_comes_out_of_poll_and_no_record_is_lost(world):
    topic = world.topic()
    world.append(topic, *numbered(5))

    def fail(partitions):
        raise TransactionAborted("as planned")

    consumer = world.consumer(world.name("group"))
    consumer.subscribe([topic], Listener(assigned=fail))
    with pytest.raises(TransactionAborted, match="as planned"):
        poll_until(lambda: False, consumer)
    assert read(consumer, 5) == numbered(5)


def test_an_error_of_the_listener_comes_out_of_close(world):
    def fail(partitions):
        raise TransactionAborted("as planned")

    consumer, _ = joined(world, [world.topic()], listener=Listener(revoked=fail))
    with pytest.raises(TransactionAborted, match="as planned"):
        consumer.close()
    consumer.close()


def test_clients_may_be_closed_twice(world):
    consumer, listener = joined(world, [world.topic()])
    transactional, idempotent = world.producer(world.name("transaction")), world.producer()
    transactional.begin()
    for client in (consumer, transactional, idempotent, world.consumer(world.name("group"))):
        client.close()
        client.close()
    assert [event for event, _ in listener.told] == ["assigned", "revoked"]
