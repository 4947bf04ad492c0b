"""A producer, transactional or idempotent: `ports.RecordProducer` on librdkafka.

librdkafka tells of a refused record in a callback and of a lost transaction in the next call;
both come out of `flush` and `commit` as one error that names the record's topic and the reason.

A transactional producer can be beyond use: the brokers have aborted its transaction and fenced it
after `transaction.timeout.ms`, it has lost count of its records, or nobody knows whether its last
commit counts. Then `abort` puts another one of the same transactional id in its place, which
settles what the old one left behind.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from confluent_kafka import KafkaError, Message, Producer, TopicPartition

from streamdet.errors import FatalError, RetriableError, StreamdetError, TransactionAborted
from streamdet.kafka.caller import Caller
from streamdet.kafka.faults import RAISED, ClientTrouble, Names, fault_of, kafka_error_of
from streamdet.kafka.options import Options, connect, producer_options
from streamdet.kafka.topic_lookup import error_of, partition_count
from streamdet.types import OutgoingRecord, Partition

LOG = logging.getLogger(__name__)

# one call's share of a deadline: between two, callbacks run and tell the true reason
_CALL_TIMEOUT_S = 5.0
# how much later than it was told to a call may return before it is given up
_CALL_LATE_S = 15.0
# what an abort drops from the queue is reported as failed
_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
# never freed: that would wait for a call that does not return
_ABANDONED: list[Producer] = []


class KafkaProducer:
    """A producer; see `ports.RecordProducer` for what each call promises.

    Parameters
    ----------
    options
        librdkafka options, ``bootstrap.servers`` among them.
    transactional_id
        Name under which the brokers know this producer's transactions; one that starts later
        under the same name fences it. None: idempotent, without transactions.
    transaction_timeout_s
        The brokers abort a transaction that is open for longer.
    timeout_s
        Deadline of what has none of its own: the first contact, room in the queue, an abort.

    Raises
    ------
    ConfigError
        An option is unknown or its value impossible.
    FatalError
        The brokers did not answer in time, or refuse the login or the transactional id.
    """

    def __init__(
        self,
        options: Options,
        transactional_id: str | None = None,
        *,
        transaction_timeout_s: float = 60.0,
        timeout_s: float = 60.0,
    ) -> None:
        self.transactional = transactional_id is not None
        self._timeout_s = timeout_s
        self._names = Names(transactional_id=transactional_id)
        self._trouble = ClientTrouble(self._names)
        self._refused = 0
        self._first_refusal: tuple[KafkaError, str] | None = None
        self._abort_because: TransactionAborted | None = None
        self._ended_by: StreamdetError | None = None
        self._open = False
        self._closed = False
        self._sent_to: set[str] = set()
        self._options = producer_options(options, transactional_id, transaction_timeout_s)
        self._producer = self._connect()
        self._caller = Caller()
        if self.transactional:
            self._open_within(timeout_s)

    def begin(self) -> None:
        """Open a transaction unless one is open, or this producer has none."""
        if not self.transactional or self._open:
            return
        try:
            self._producer.begin_transaction()
        except RAISED as error:
            raise self._fault(error, "opening a transaction") from error
        self._open = True

    def send(self, records: Iterable[OutgoingRecord]) -> None:
        """Hand over `records`; they count as delivered only after `flush` or `commit`.

        Raises
        ------
        TransactionAborted
            A record is refused at once, or there was no room for it in time.
        """
        assert self._open or not self.transactional, "begin() comes before send()"
        for record in records:
            self._send_one(record)
        self._serve_callbacks()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything sent is delivered; see `ports.RecordProducer`."""
        doing = "delivering records"
        try:
            left = self._producer.flush(timeout_s)
        except RAISED as error:
            raise self._fault(error, doing) from error
        self._raise_refused()
        if left:
            self._raise_missing()
            reason = self._trouble.fault(doing)
            raise self._lost(f"{reason}; {left} records left after {timeout_s:g} s")

    def commit(
        self, next_offsets: Mapping[Partition, int], group_metadata: object, timeout_s: float
    ) -> None:
        """Put `next_offsets` into the open transaction and commit it; see `ports.RecordProducer`.

        A passing fault is retried within `timeout_s`. When that ends without an answer, nobody
        knows here whether the transaction counts: `abort` settles it.
        """
        assert self.transactional, "only a transactional producer commits"
        self.begin()
        deadline = time.monotonic() + timeout_s
        # commit_transaction would flush by itself, but offsets put in beside records on their way
        # cost retries: measured, 86 ms for a commit instead of 5
        self.flush(timeout_s)
        places = [TopicPartition(p.topic, p.index, offset) for p, offset in next_offsets.items()]

        def put_offsets(call_timeout_s: float) -> None:
            self._producer.send_offsets_to_transaction(places, group_metadata, call_timeout_s)

        if places:
            self._again(put_offsets, "putting offsets into the transaction", timeout_s)
        left_s = max(deadline - time.monotonic(), 0.0)
        self._again(self._producer.commit_transaction, "committing the transaction", left_s)
        self._forget()

    def abort(self) -> None:
        """Give up the open transaction and what was sent in it; see `ports.RecordProducer`."""
        if not self.transactional and not self._beyond_use:
            self._producer.purge()
            self._serve_callbacks()
            self._forget()
        elif self._open and not self._beyond_use:
            try:
                self._abort_within(self._timeout_s)
            except TransactionAborted as error:
                LOG.warning("%s; another producer takes its place", error)
        if self._beyond_use:
            self._replace()

    def reaches(self, topic: str) -> bool:
        """Return whether the brokers answer and know `topic`; see `ports.RecordProducer`."""
        return error_of(self._producer, topic) is None

    def close(self) -> None:
        """Abort what is open, drop what was not flushed, let go of the connection.

        May be called twice.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._open and not self._beyond_use:
                self._abort_within(_CALL_TIMEOUT_S)
        except StreamdetError as error:
            LOG.warning("closing the producer: %s", error)
        self._caller.close()
        if self._open:  # it would try to abort once more; the brokers will, in time
            self._abandon()
            return
        self._producer.purge()
        try:
            self._producer.close()
        except RAISED as error:  # fatal: nothing is left to close
            LOG.debug("closing the producer: %s", error)

    @property
    def _beyond_use(self) -> bool:
        return self._ended_by is not None

    def _connect(self) -> Producer:
        return connect(Producer, self._options, self._trouble, on_delivery=self._on_refused)

    def _replace(self) -> None:
        """Put another producer of the same transactional id in the place of this one.

        Raises
        ------
        RetriableError
            No broker answers: call it again.
        FatalError
            What ended the old one would end any other.
        """
        if not isinstance(self._ended_by, TransactionAborted):
            assert self._ended_by is not None
            raise self._ended_by
        self._abandon()
        self._producer = self._connect()
        ended_by, self._ended_by = self._ended_by, None
        try:
            if self.transactional:
                doing = "replacing the transactional producer"
                init = self._producer.init_transactions
                self._again(init, doing, self._timeout_s, gives_up=RetriableError)
        except StreamdetError:
            self._ended_by = self._ended_by or ended_by
            raise
        self._forget()

    def _abandon(self) -> None:
        """Leave the client to itself: to close it may take as long as its brokers are away."""
        threading.Thread(target=self._producer.purge, daemon=True).start()
        _ABANDONED.append(self._producer)

    def _forget(self) -> None:
        """Take note that nothing is sent or open any more."""
        self._open = False
        self._abort_because = None
        self._refused, self._first_refusal = 0, None
        self._sent_to.clear()

    def _open_within(self, timeout_s: float) -> None:
        doing = "opening the transactional producer"
        try:
            self._again(self._producer.init_transactions, doing, timeout_s, gives_up=FatalError)
        except StreamdetError:
            self.close()
            raise

    def _abort_within(self, timeout_s: float) -> None:
        doing = "aborting the transaction"
        self._again(self._producer.abort_transaction, doing, timeout_s, gives_up=RetriableError)
        self._forget()

    def _send_one(self, record: OutgoingRecord) -> None:
        deadline, looked = 0.0, False
        self._sent_to.add(record.topic)
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=list(record.headers) or None,
                    timestamp=record.timestamp_ms or 0,
                    partition=-1 if record.partition is None else record.partition,
                )
            except BufferError:
                deadline = deadline or time.monotonic() + self._timeout_s
                if time.monotonic() >= deadline:
                    reason = self._trouble.fault("delivering records")
                    raise self._lost(
                        f"{reason}; no room for more after {self._timeout_s:g} s"
                    ) from None
                self._serve_callbacks(0.05)
            except RAISED as error:
                self._serve_callbacks()
                self._raise_refused()  # an earlier record may be why this one is
                if kafka_error_of(error).code() == KafkaError._UNKNOWN_PARTITION and not looked:
                    looked = True
                    self._look_again(record)  # librdkafka does so every five minutes
                    continue
                raise self._refusal(error, record.topic) from error
            else:
                return

    def _look_again(self, record: OutgoingRecord) -> None:
        """Learn of partitions that were added to the topic of `record`, or say that it has none."""
        held = partition_count(self._producer, record.topic)
        if record.partition is not None and held is not None and held <= record.partition:
            raise self._lost(
                f"sending to topic {record.topic!r}: it has {held} partitions and a record is for "
                f"partition {record.partition}; add some, as many as the input topic has"
            )

    def _again(
        self,
        call: Callable[[float], None],
        doing: str,
        timeout_s: float,
        *,
        gives_up: type[StreamdetError] = TransactionAborted,
    ) -> None:
        """Make `call` until it answers, for `timeout_s` or a little longer."""
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            try:
                self._within(call, min(max(left_s, 0.1), _CALL_TIMEOUT_S), doing)
            except RAISED as error:
                fault = self._fault(error, doing)
                if isinstance(fault, RetriableError):
                    self._serve_callbacks(0.01)
                    fault = self._trouble.fault(doing) if self._trouble else fault
                if not isinstance(fault, RetriableError):
                    raise fault from error
                if time.monotonic() >= deadline:
                    given_up = gives_up(
                        f"{fault}; gave up after {timeout_s:g} s, its outcome unknown"
                    )
                    if isinstance(given_up, TransactionAborted):
                        self._ended_by = given_up
                    raise given_up from error
            else:
                self._trouble.clear()
                return

    def _within(self, call: Callable[[float], None], timeout_s: float, doing: str) -> None:
        """Make `call`, which is told `timeout_s`, and give it up when it does not keep to that."""
        try:
            self._caller.call(partial(call, timeout_s), timeout_s + _CALL_LATE_S)
        except TimeoutError:
            self._caller = Caller()
            self._ended_by = TransactionAborted(
                f"{doing}: the client did not return within {timeout_s + _CALL_LATE_S:g} s"
            )
            raise self._ended_by from None

    def _serve_callbacks(self, timeout_s: float = 0.0) -> None:
        try:
            self._producer.poll(timeout_s)
        except RAISED as error:
            raise self._fault(error, "producing") from error

    def _fault(self, error: BaseException, doing: str) -> StreamdetError:
        """Return our error for `error`; what ended this producer is said again ever after."""
        if self._ended_by is not None:
            return self._ended_by
        fault = fault_of(error, doing, self._names)
        if kafka_error_of(error).fatal():
            self._ended_by = fault
        return fault

    def _on_refused(self, error: KafkaError | None, message: Message) -> None:
        if error is None or error.code() in _PURGED:
            return
        self._refused += 1
        if self._first_refusal is None:
            self._first_refusal = (error, message.topic() or "")

    def _raise_missing(self) -> None:
        """Raise what is wrong with a topic that records were sent to, if the brokers tell that."""
        for topic in sorted(self._sent_to):
            error = error_of(self._producer, topic)
            if error is not None and not isinstance(fault_of(error, ""), RetriableError):
                raise self._refusal(error, topic)

    def _raise_refused(self) -> None:
        """Raise what befell records since the transaction or the last flush began."""
        if self._first_refusal is not None:
            error, topic = self._first_refusal
            count = self._refused
            self._refused, self._first_refusal = 0, None
            raise self._refusal(error, topic, count)
        if self._abort_because is not None:
            raise self._abort_because

    def _refusal(
        self, error: KafkaError | BaseException, topic: str, count: int = 1
    ) -> StreamdetError:
        if self._ended_by is not None:
            return self._ended_by
        doing = f"{count} record(s) for topic {topic!r} not delivered"
        fault = fault_of(error, doing, self._names._replace(topic=topic))
        return self._lost(str(fault), topic)

    def _lost(self, text: str, topic: str | None = None) -> TransactionAborted:
        """Return the error for records that are gone; their transaction can only be aborted."""
        self._abort_because = self._abort_because or TransactionAborted(text, topic)
        return self._abort_because
