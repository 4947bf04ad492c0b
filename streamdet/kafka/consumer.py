"""A member of a consumer group: `ports.RecordConsumer` on librdkafka.

Records and rebalances arrive in one call, `poll`. Two rules keep records from being lost there:
an exception of the listener, or an error met beside records, is raised after the records of the
call are put by for the next one; and what was read of a partition that moved during the call is
dropped and read again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamdet.errors import RetriableError, StreamdetError
from streamdet.kafka.batch import KafkaBatch, by_partition
from streamdet.kafka.faults import RAISED, ClientTrouble, Names, fault_of, kafka_error_of
from streamdet.kafka.offsets import ANSWER_TIMEOUT_S, GroupOffsets, place
from streamdet.kafka.options import Options, begins_at, connect, consumer_options
from streamdet.kafka.topic_lookup import TopicIds, exists
from streamdet.ports import RebalanceListener
from streamdet.types import Partition

LOG = logging.getLogger(__name__)


class KafkaConsumer:
    """A member of consumer group `group`; see `ports.RecordConsumer` for what each call promises.

    Parameters
    ----------
    options
        librdkafka options, ``bootstrap.servers`` among them. ``group.protocol=consumer`` and
        ``group.instance.id`` work as they do there.
    group
        Name of the consumer group.
    tells_ends
        Have `position` know of a partition's end though no record is there.

    Raises
    ------
    ConfigError
        An option is unknown or its value impossible.
    """

    def __init__(self, options: Options, group: str, *, tells_ends: bool = False) -> None:
        conf = {**consumer_options(options, group), "enable.partition.eof": tells_ends}
        self._names = Names(group=group)
        self._trouble = ClientTrouble(self._names)
        self._consumer = connect(Consumer, conf, self._trouble)
        self._offsets = GroupOffsets(self._consumer, self._names, begins_at(options))
        self._topic_ids = TopicIds(options)
        self._listener: RebalanceListener | None = None
        self._listener_error: Exception | None = None
        self._probe_topic: str | None = None
        self._assigned: set[Partition] = set()
        self._taken: set[Partition] = set()  # revoked or lost during this poll
        self._adrift: set[Partition] = set()  # what they were to read next is not there
        self._paused: set[Partition] = set()
        self._began: dict[Partition, int] = {}  # the first offset read since the assignment
        self._read_from: set[Partition] = set()  # since the assignment or the last rewind
        self._pending: list[KafkaBatch] = []
        self._position: dict[Partition, int] = {}
        self._ended: dict[Partition, int] = {}  # as `_position`, for when `_pending` is given out
        self._closed = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group for `topics`: names, or patterns that start with ``^``."""
        self._listener = listener
        self._probe_topic = next((topic for topic in topics if not topic.startswith("^")), None)
        self._consumer.subscribe(
            list(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, records_max: int, timeout_s: float) -> Sequence[KafkaBatch]:
        """Return what has arrived, up to `records_max`; wait for the first up to `timeout_s`.

        Raises
        ------
        RetriableError
            Nothing arrived and the brokers are away; poll again.
        Fenced
            Another member has our ``group.instance.id``.
        FatalError
            A topic or a right is missing, or the login is refused.
        """
        if not self._pending:
            self._fill_pending(records_max, timeout_s)
        batches, self._pending = self._pending, []
        self._position.update({b.partition: int(b.offsets[-1]) + 1 for b in batches})
        for partition, end in self._ended.items():  # records may have come behind it
            self._position[partition] = max(end, self._position.get(partition, end))
        self._ended.clear()
        return batches

    def group_metadata(self) -> object:
        """Return the membership that a transaction shows when it commits offsets."""
        return self._consumer.consumer_group_metadata()

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Commit `next_offsets` and wait for the answer; see `ports.RecordConsumer`.

        One attempt that finds no coordinator ends only after librdkafka's own time
        (``session.timeout.ms``); `timeout_s` bounds how often it is tried again.
        """
        if not next_offsets:
            return
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._offsets.commit(next_offsets)
            except RetriableError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def rewind(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Read `partitions` again from their committed offsets; return those offsets.

        Those not assigned are left out. One without a committed offset goes back to the first
        record read since its assignment; when there is none, nothing has to move.
        """
        wanted = [partition for partition in partitions if partition in self._assigned]
        offsets: dict[Partition, int] = {}
        if not wanted:
            return offsets
        committed = self._offsets.committed(wanted)
        for partition in wanted:
            start = committed.get(partition, self._began.get(partition))
            if start is None:
                start = self._offsets.start_of(partition)
            # a partition that nothing was read of stands there already, and may not be
            # started yet, when librdkafka refuses to seek
            if partition in self._adrift:
                self._adrift.discard(partition)
                self._read_at(partition, start)
            elif partition in self._read_from:
                self._seek(partition, start)
            offsets[partition] = start
        self._pending = [batch for batch in self._pending if batch.partition not in offsets]
        return offsets

    def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the committed offsets of those of `partitions` that have one.

        Raises
        ------
        RetriableError
            The brokers are away.
        """
        return self._offsets.committed(partitions)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Return no records of `partitions` until `resume`. Those not assigned are left out."""
        its = [partition for partition in partitions if partition in self._assigned]
        self._paused.update(its)
        self._consumer.pause([place(partition) for partition in its])

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Return records of `partitions` again. Those not assigned are left out."""
        its = [partition for partition in partitions if partition in self._assigned]
        self._paused.difference_update(its)
        self._consumer.resume([place(partition) for partition in its])

    def topic_id(self, topic: str) -> str | None:
        """Return Kafka's id of `topic`, as it was lately; see `ports.RecordConsumer`."""
        return self._topic_ids.of(topic)

    def start_over(self, partition: Partition) -> None:
        """Read `partition`, where it is assigned, from where a group without offsets begins."""
        if partition in self._assigned:
            self._adrift.discard(partition)
            self._pending = [batch for batch in self._pending if batch.partition != partition]
            self._read_at(partition, self._offsets.start_of(partition))

    def end_offset(self, partition: Partition) -> int | None:
        """Return the end of `partition` as of the last answer to a fetch; None while unknown."""
        if partition not in self._assigned:
            return None
        try:
            _, end = self._consumer.get_watermark_offsets(place(partition), cached=True)
        except KafkaException:
            return None
        return end if end >= 0 else None

    def position(self, partition: Partition) -> int | None:
        """Return the offset below which `poll` has returned all records; None while unknown."""
        return self._position.get(partition)

    def close(self) -> None:
        """Leave the group; the listener's `on_revoked` comes first. May be called twice."""
        if self._closed:
            return
        self._closed = True
        # librdkafka's own callback comes too late: in the middle of a rebalance it has left the
        # group by then, and the listener's commit is refused
        if self._listener is not None:
            self._tell(self._listener.on_revoked, sorted(self._assigned))
        self._assigned.clear()
        try:
            self._consumer.close()
        except RAISED as error:  # fatal, and said before: there is no group to leave
            LOG.debug("closing the consumer: %s", error)
        self._raise_listener_error()

    # What follows runs within poll.

    def _fill_pending(self, records_max: int, timeout_s: float) -> None:
        messages = self._read(records_max, timeout_s)
        faulty: list[Message] = []
        if any(map(Message.error, messages)):
            faulty = [message for message in messages if message.error()]
            messages = [message for message in messages if not message.error()]
        self._pending = self._batches(messages)
        self._raise_listener_error()
        for message in faulty:
            self._face(message)
        if self._taken:
            self.rewind(self._taken)  # those of them that came back
            self._taken.clear()
        for partition in sorted(self._adrift - {batch.partition for batch in self._pending}):
            self._find_again(partition)
        if messages:
            self._trouble.clear()
        elif self._trouble:
            self._probe(timeout_s)

    def _read(self, records_max: int, timeout_s: float) -> list[Message]:
        # consume(n, t) waits out t unless n arrive. So: sleep until one is there, then take what
        # else waits: no CPU while idle, no delay for a few, full batches under load.
        try:
            messages = self._consumer.consume(1, timeout_s)
            if messages and records_max > 1:
                messages += self._consumer.consume(records_max - 1, 0)
        except RAISED as error:
            raise fault_of(error, "reading", self._names) from error
        return messages

    def _batches(self, messages: list[Message]) -> list[KafkaBatch]:
        batches = []
        for partition, its_messages in by_partition(messages).items():
            if partition not in self._assigned:
                continue
            self._read_from.add(partition)
            if partition in self._taken:  # gone and back during this poll: which records are old?
                continue
            batch = KafkaBatch(partition, its_messages)
            self._began.setdefault(partition, int(batch.offsets[0]))
            batches.append(batch)
        return batches

    def _face(self, message: Message) -> None:
        """Raise what an error in place of a record means, unless reading simply goes on."""
        error = message.error()
        assert error is not None
        partition = Partition(message.topic() or "", message.partition() or 0)
        ours = partition in self._assigned and partition not in self._taken
        if error.code() == KafkaError._PARTITION_EOF:
            if ours:
                self._ended[partition] = message.offset() or 0
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET and self._offsets.begins_at is not None:
            if ours:
                self._adrift.add(partition)
            return
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            LOG.warning("out of the group: no poll within max.poll.interval.ms; joining again")
            return
        topic = message.topic()
        missing = error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        if missing and topic is not None and exists(self._consumer, topic):
            return
        fault = fault_of(error, "reading", self._names._replace(topic=topic))
        if not isinstance(fault, RetriableError):
            raise fault
        LOG.warning("%s", fault)

    def _probe(self, timeout_s: float) -> None:
        # Errors are reported, recovery is not. An idle consumer learns of it by asking.
        try:
            self._consumer.list_topics(self._probe_topic, timeout=min(max(timeout_s, 0.1), 0.5))
        except RAISED as error:
            raise self._trouble.fault("reading") from error
        self._trouble.clear()

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        partitions = [Partition(each.topic, each.partition) for each in places]
        try:
            places = self._offsets.beginnings(partitions)
        except StreamdetError as error:  # librdkafka asks again by itself
            LOG.warning("%s", error)
        consumer.incremental_assign(places)
        self._assigned.update(partitions)
        self._paused.difference_update(partitions)
        self._adrift.difference_update(partitions)
        for partition in partitions:
            self._began.pop(partition, None)
            self._forget_place(partition)
        assert self._listener is not None
        self._tell(self._listener.on_assigned, partitions)

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        assert self._listener is not None
        self._let_go(consumer, places, self._listener.on_revoked)

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        assert self._listener is not None
        self._let_go(consumer, places, self._listener.on_lost)

    def _let_go(
        self,
        consumer: Consumer,
        places: list[TopicPartition],
        tell: Callable[[Sequence[Partition]], None],
    ) -> None:
        partitions = [Partition(each.topic, each.partition) for each in places]
        self._tell(tell, [partition for partition in partitions if partition in self._assigned])
        self._assigned.difference_update(partitions)
        self._adrift.difference_update(partitions)
        self._taken.update(partitions)
        self._pending = [batch for batch in self._pending if batch.partition in self._assigned]
        consumer.incremental_unassign(places)

    def _tell(
        self, listener: Callable[[Sequence[Partition]], None], partitions: list[Partition]
    ) -> None:
        if not partitions:
            return
        try:
            listener(partitions)
        # Raised here it would take the records of the running consume() with it.
        except Exception as error:  # noqa: BLE001
            self._listener_error = self._listener_error or error

    def _raise_listener_error(self) -> None:
        error, self._listener_error = self._listener_error, None
        if error is not None:
            raise error

    # What follows asks the brokers.

    def _find_again(self, partition: Partition) -> None:
        """Go on where there are records; what was to be read next is gone, or was never read."""
        committed = self._offsets.committed([partition]).get(partition, OFFSET_INVALID)
        expected = self._position.get(partition, committed)
        start = self._offsets.start_of(partition)
        self._adrift.discard(partition)
        self._read_at(partition, start)
        if expected >= 0:
            assert self._listener is not None
            self._listener.on_gap(partition, expected, start)

    def _read_at(self, partition: Partition, offset: int) -> None:
        """Read a partition from `offset` on, whatever state its reader is in.

        Rarely, for while partitions are being revoked it may look to librdkafka as if those were
        given back. Hence newly assigned ones get their place within the assignment.
        """
        self._consumer.incremental_unassign([place(partition)])
        self._consumer.incremental_assign([place(partition, offset)])
        if partition in self._paused:
            self._consumer.pause([place(partition)])
        self._began.pop(partition, None)
        self._forget_place(partition)

    def _seek(self, partition: Partition, offset: int) -> None:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                self._consumer.seek(place(partition, offset))
            except RAISED as error:
                # just assigned: its reader is still starting
                starting = kafka_error_of(error).code() == KafkaError._STATE
                if not starting or time.monotonic() >= deadline:
                    raise fault_of(error, f"rewinding {partition}", self._names) from error
                time.sleep(0.005)
            else:
                self._forget_place(partition)
                return

    def _forget_place(self, partition: Partition) -> None:
        self._read_from.discard(partition)
        self._position.pop(partition, None)
        self._ended.pop(partition, None)
