"""What a group has committed, and where its partitions begin and end: questions to the brokers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_END, OFFSET_INVALID, Consumer, TopicPartition

from streamdet.kafka.faults import RAISED, Names, fault_of
from streamdet.types import Partition

# how long a question may take
ANSWER_TIMEOUT_S = 30.0


class GroupOffsets:
    """Asks by the client of a member of the group.

    Parameters
    ----------
    consumer
    names
        For messages.
    begins_at
        `OFFSET_BEGINNING` or `OFFSET_END`, where a group without offsets begins; None: nowhere.
    """

    def __init__(self, consumer: Consumer, names: Names, begins_at: int | None) -> None:
        self._consumer = consumer
        self._names = names
        self.begins_at = begins_at

    def commit(self, next_offsets: Mapping[Partition, int]) -> None:
        """Commit `next_offsets`, in one attempt, and wait for the answer."""
        doing = "committing offsets"
        places = [place(partition, offset) for partition, offset in next_offsets.items()]
        try:
            answers = self._consumer.commit(offsets=places, asynchronous=False)
        except RAISED as error:
            raise fault_of(error, doing, self._names) from error
        self._raise_first(answers, doing)

    def committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the committed offsets of those of `partitions` that have one."""
        doing = "asking for committed offsets"
        places = [place(partition) for partition in partitions]
        try:
            answers = self._consumer.committed(places, timeout=ANSWER_TIMEOUT_S)
        except RAISED as error:
            raise fault_of(error, doing, self._names) from error
        self._raise_first(answers, doing)
        return {
            Partition(answer.topic, answer.partition): answer.offset
            for answer in answers
            if answer.offset >= 0
        }

    def start_of(self, partition: Partition) -> int:
        """Return the offset at which a group without offsets begins now."""
        try:
            first, end = self._consumer.get_watermark_offsets(
                place(partition), timeout=ANSWER_TIMEOUT_S
            )
        except RAISED as error:
            raise fault_of(error, f"asking for the ends of {partition}", self._names) from error
        return end if self.begins_at == OFFSET_END else first

    def beginnings(self, partitions: Sequence[Partition]) -> list[TopicPartition]:
        """Return where to read newly assigned partitions: from their committed offsets on.

        A place without an offset is one that librdkafka will complain about when it is read.
        """
        committed = self.committed(partitions)
        otherwise = OFFSET_INVALID if self.begins_at is None else self.begins_at
        return [place(partition, committed.get(partition, otherwise)) for partition in partitions]

    def _raise_first(self, answers: Sequence[TopicPartition], doing: str) -> None:
        for answer in answers:
            if answer.error:
                raise fault_of(answer.error, doing, self._names._replace(topic=answer.topic))


def place(partition: Partition, offset: int = OFFSET_INVALID) -> TopicPartition:
    """Return `partition` as the client wants it."""
    return TopicPartition(partition.topic, partition.index, offset)
