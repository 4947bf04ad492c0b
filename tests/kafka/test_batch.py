"""Messages by partition, as columns."""

from __future__ import annotations

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kafka.batch import KafkaBatch, by_partition
from streamdet.types import Partition

TOPICS = ("a", "b", "c")
PLACES = st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 3)), max_size=40)
OFFSETS = st.sets(st.integers(0, 60), min_size=1).map(sorted)


def message(topic: str, partition: int, offset: int) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, value=b"v", timestamp=(1, 5))


@given(places=PLACES)
def test_each_message_is_with_its_partition_in_order(places):
    messages = [message(topic, index, at) for at, (topic, index) in enumerate(places)]
    expected: dict[Partition, list[int]] = {}
    for at, place in enumerate(places):
        expected.setdefault(Partition(*place), []).append(at)
    found = by_partition(messages)
    assert {at: [each.offset() for each in run] for at, run in found.items()} == expected


@given(offsets=OFFSETS)
def test_offsets_are_those_of_the_messages_with_gaps_or_without(offsets):
    batch = KafkaBatch(Partition("a", 0), [message("a", 0, offset) for offset in offsets])
    assert batch.offsets.tolist() == offsets
    assert [batch.record(i).offset for i in range(len(batch))] == offsets
