"""What a topic holds, from a time to its end, read once: `ports.RecordReader` on librdkafka."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streamdet.errors import FatalError, RetriableError
from streamdet.kafka.batch import KafkaBatch, by_partition
from streamdet.kafka.faults import RAISED, ClientTrouble, Names, fault_of
from streamdet.kafka.options import Options, connect, consumer_options
from streamdet.ports import Span
from streamdet.types import Partition

_ANSWER_TIMEOUT_S = 30.0
_SILENCE_MAX_S = 60.0
_POLL_TIMEOUT_S = 0.1


class KafkaReader:
    """Reads every partition of a topic, up to the ends that they have when this is made.

    Parameters
    ----------
    options
        librdkafka options, ``bootstrap.servers`` among them.
    group
        librdkafka wants a name; the group is not joined, and its offsets are left alone.
    topic
        Its name.
    since_ms
        Leave out the records before the first whose own time is as late; None: none.
    spans
        Read these partitions from the first offset to before the second; None in its place is the
        end of now.
    asks
        Ask the brokers where partitions with a span begin; what retention took is left out. They
        are asked in any case where a span has no end.
    silence_max_s
        Give up when nothing has come for so long.

    Raises
    ------
    ConfigError
        An option is unknown or its value impossible.
    FatalError
        The topic or a right is missing.
    RetriableError
        No broker answers.
    """

    def __init__(
        self,
        options: Options,
        group: str,
        topic: str,
        since_ms: int | None = None,
        *,
        spans: Mapping[int, Span] | None = None,
        asks: bool = False,
        silence_max_s: float = _SILENCE_MAX_S,
    ) -> None:
        self._names = Names(topic=topic, group=group)
        self._silence_max_s = silence_max_s
        self._trouble = ClientTrouble(self._names)
        conf = {
            **consumer_options(options, group),
            # what retention takes away meanwhile is gone; who asked for a span has to know
            "auto.offset.reset": "error" if asks else "earliest",
            "enable.partition.eof": True,  # the end may be a transaction's marker, no record
        }
        self._consumer = connect(Consumer, conf, self._trouble)
        try:
            if spans is None:
                self._start, self._end = self._span(topic, since_ms)
            else:
                self._start, self._end = self._held(topic, spans, asks)
        except RAISED as error:
            self._consumer.poll(0)  # the error callback knows why
            doing = f"asking for the ends of topic {topic!r}"
            fault = fault_of(error, doing, self._names)
            silent = self._trouble and isinstance(fault, RetriableError)
            raise (self._trouble.fault(doing) if silent else fault) from error
        self.n_records = sum(max(0, self._end[i] - self._start[i]) for i in self._end)
        left = {i: end for i, end in self._end.items() if self._start[i] < end}
        self._left = set(left)
        self._heard_s: float | None = None
        self.starts: Mapping[Partition, int] = {
            Partition(topic, i): start for i, start in self._start.items()
        }
        self.ends: Mapping[Partition, int] = {Partition(topic, i): end for i, end in left.items()}

    def poll(self, records_max: int) -> list[KafkaBatch] | None:
        """Return what has arrived; see `ports.RecordReader`."""
        topic, left = self._names.topic or "", self._left
        if self._heard_s is None:
            self._consumer.assign([TopicPartition(topic, i, self._start[i]) for i in sorted(left)])
            self._heard_s = time.monotonic()
        if not left:
            return None
        messages = self._read(records_max)
        if messages:
            self._heard_s = time.monotonic()
        elif time.monotonic() - self._heard_s > self._silence_max_s:
            raise FatalError(f"{self._trouble.fault(f'reading topic {topic!r}')}; gave up")
        batches = []
        for partition, run in by_partition(self._records(messages, left)).items():
            end = self._end[partition.index]
            records = [message for message in run if (message.offset() or 0) < end]
            if (run[-1].offset() or 0) >= end - 1:
                left.discard(partition.index)
            if records:
                batches.append(KafkaBatch(partition, records))
        return batches

    def batches(self, records_max: int) -> Iterator[KafkaBatch]:
        """Yield all records; see `ports.RecordReader`."""
        while (arrived := self.poll(records_max)) is not None:
            yield from arrived

    def close(self) -> None:
        """Let go of the connection. May be called twice."""
        self._consumer.close()

    def _span(self, topic: str, since_ms: int | None) -> tuple[dict[int, int], dict[int, int]]:
        """Return for each partition the offset to begin at, and the one to stop before."""
        found = self._consumer.list_topics(topic, timeout=_ANSWER_TIMEOUT_S).topics[topic]
        if found.error is not None:
            raise fault_of(found.error, f"reading topic {topic!r}", self._names)
        start, end = {}, {}
        for i in found.partitions:
            place = TopicPartition(topic, i)
            start[i], end[i] = self._consumer.get_watermark_offsets(place, _ANSWER_TIMEOUT_S)
        if since_ms is not None:
            asked = [TopicPartition(topic, i, since_ms) for i in found.partitions]
            for answer in self._consumer.offsets_for_times(asked, timeout=_ANSWER_TIMEOUT_S):
                if answer.error is not None:
                    raise fault_of(answer.error, f"reading topic {topic!r}", self._names)
                # below zero: no record is as late
                start[answer.partition] = (
                    answer.offset if answer.offset >= 0 else end[answer.partition]
                )
        return start, end

    def _held(
        self, topic: str, spans: Mapping[int, Span], asks: bool
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Return what there is of `spans`: where to begin, and where to stop."""
        start, end = {}, {}
        for i, (first, last) in spans.items():
            if last is not None and not asks:
                start[i], end[i] = first, last
                continue
            place = TopicPartition(topic, i)
            low, high = self._consumer.get_watermark_offsets(place, _ANSWER_TIMEOUT_S)
            start[i], end[i] = max(first, low), high if last is None else min(last, high)
        return start, end

    def _read(self, records_max: int) -> list[Message]:
        # consume(n, t) waits out t unless n arrive; see KafkaConsumer._read
        try:
            messages = self._consumer.consume(1, _POLL_TIMEOUT_S)
            if messages and records_max > 1:
                messages += self._consumer.consume(records_max - 1, 0)
        except RAISED as error:
            raise fault_of(error, "reading", self._names) from error
        return messages

    def _records(self, messages: list[Message], left: set[int]) -> list[Message]:
        """Return the records of partitions in `left`, which shrinks by those read to the end."""
        records, ended = [], set()
        for message in messages:
            error, index = message.error(), message.partition() or 0
            if error is None:
                if index in left:
                    records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                # a follower may lag behind the end that the leader told
                if (message.offset() or 0) >= self._end[index]:
                    ended.add(index)
            else:
                fault = fault_of(error, "reading", self._names)
                if error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise RetriableError(str(fault))  # asked anew, the brokers tell what is left
                if not isinstance(fault, RetriableError):
                    raise fault
        left -= ended
        return records
