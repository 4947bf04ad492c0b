"""One table from librdkafka's errors to ours, and the memory of what it says outside of calls.

What decides, in this order: by the table, another member has our identity (`Fenced`), the
operator's settings are wrong (`ConfigError`), or the work is lost and another producer can go on
(`TransactionAborted`); librdkafka wants the transaction aborted (`TransactionAborted`); it says
fatal (`FatalError`); the table; it says retriable (`RetriableError`); anything else nobody can mend
here (`FatalError`).
"""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from streamdet.errors import (
    ConfigError,
    FatalError,
    Fenced,
    RetriableError,
    StreamdetError,
    TransactionAborted,
)


class _Fault(NamedTuple):
    """What an error code means for us, unless its flags say otherwise."""

    raised: type[StreamdetError]
    advice: str
    """Said to the operator; {topic}, {group} and {transactional_id} are filled in."""


_FENCED = _Fault(
    Fenced, "another member has our instance id; give every worker a kafka.instance_id of its own"
)
_REPLACED = _Fault(
    TransactionAborted,
    "the transaction was open for longer than transaction_timeout, or another instance with "
    "transactional id {transactional_id} took over",
)
_MISCOUNTED = _Fault(TransactionAborted, "the brokers and this producer disagree on what was sent")
_MOVED = _Fault(TransactionAborted, "the group has given our partitions to another member")
_AWAY = _Fault(RetriableError, "no answer from the brokers")
_NO_TOPIC = _Fault(FatalError, "{topic} does not exist; make it with: streamdet topics create")
_NO_LOGIN = _Fault(FatalError, "the brokers refuse our credentials; check the sasl.* options")
_TOO_LARGE = _Fault(
    FatalError, "a record is too large; raise max.message.bytes of {topic} and message.max.bytes"
)
_OPTION = _Fault(ConfigError, "correct the kafka options")

_FAULTS: dict[int, _Fault] = {
    KafkaError._FENCED: _REPLACED,
    KafkaError.PRODUCER_FENCED: _REPLACED,
    KafkaError.INVALID_PRODUCER_EPOCH: _REPLACED,
    KafkaError.INVALID_TXN_STATE: _REPLACED,
    KafkaError.INVALID_PRODUCER_ID_MAPPING: _REPLACED,
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER: _MISCOUNTED,
    KafkaError.UNKNOWN_PRODUCER_ID: _MISCOUNTED,
    KafkaError.FENCED_INSTANCE_ID: _FENCED,
    KafkaError.UNRELEASED_INSTANCE_ID: _FENCED,
    KafkaError.ILLEGAL_GENERATION: _MOVED,
    KafkaError.UNKNOWN_MEMBER_ID: _MOVED,
    KafkaError.REBALANCE_IN_PROGRESS: _MOVED,
    KafkaError.FENCED_MEMBER_EPOCH: _MOVED,
    KafkaError.STALE_MEMBER_EPOCH: _MOVED,
    KafkaError._ASSIGNMENT_LOST: _MOVED,
    KafkaError._ALL_BROKERS_DOWN: _AWAY,
    KafkaError._TRANSPORT: _AWAY,
    KafkaError._RESOLVE: _AWAY,
    KafkaError._TIMED_OUT: _AWAY,
    KafkaError._TIMED_OUT_QUEUE: _AWAY,
    KafkaError._WAIT_COORD: _AWAY,
    KafkaError.LEADER_NOT_AVAILABLE: _AWAY,
    KafkaError.NOT_LEADER_FOR_PARTITION: _AWAY,
    KafkaError.FENCED_LEADER_EPOCH: _AWAY,
    KafkaError.UNKNOWN_LEADER_EPOCH: _AWAY,
    KafkaError.OFFSET_NOT_AVAILABLE: _AWAY,
    KafkaError.NOT_COORDINATOR: _AWAY,
    KafkaError.COORDINATOR_NOT_AVAILABLE: _AWAY,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS: _AWAY,
    KafkaError._SSL: _Fault(RetriableError, "TLS fails; check the ssl.* options and certificates"),
    KafkaError._AUTHENTICATION: _NO_LOGIN,
    KafkaError.SASL_AUTHENTICATION_FAILED: _NO_LOGIN,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _NO_LOGIN,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _NO_TOPIC,
    KafkaError._UNKNOWN_TOPIC: _NO_TOPIC,
    KafkaError._UNKNOWN_PARTITION: _NO_TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _Fault(
        FatalError, "a right is missing: grant READ on an input, WRITE on an output, to {topic}"
    ),
    KafkaError.GROUP_AUTHORIZATION_FAILED: _Fault(
        FatalError, "a right is missing: grant READ on group {group}"
    ),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _Fault(
        FatalError,
        "a right is missing: grant WRITE and DESCRIBE on transactional id {transactional_id}",
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _Fault(
        FatalError,
        "a right on the cluster is missing: CREATE for topics, IDEMPOTENT_WRITE before 3.0",
    ),
    KafkaError.MSG_SIZE_TOO_LARGE: _TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE: _TOO_LARGE,
    KafkaError._AUTO_OFFSET_RESET: _Fault(
        FatalError,
        "the place to read from is gone from {topic} (retention, or the topic was made anew); "
        "choose one with auto.offset.reset or by setting the group's offsets",
    ),
    KafkaError._INVALID_ARG: _OPTION,
    KafkaError.INVALID_TRANSACTION_TIMEOUT: _Fault(
        ConfigError, "the transaction timeout is over the brokers' transaction.max.timeout.ms"
    ),
    KafkaError.INVALID_SESSION_TIMEOUT: _Fault(
        ConfigError, "session.timeout.ms is outside of the brokers' group.{{min,max}}.session range"
    ),
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: _Fault(
        ConfigError,
        "members of group {group} use another assignment strategy; stop them or change the group",
    ),
    KafkaError.UNSUPPORTED_VERSION: _Fault(
        FatalError, "the brokers are too old for this; see the supported versions"
    ),
}


class Names(NamedTuple):
    """What an error message can name."""

    topic: str | None = None
    group: str | None = None
    transactional_id: str | None = None


_NOTHING_NAMED = Names()


RAISED = (KafkaException, SystemError)
"""What calls of the clients raise. SystemError: the binding leaves the exception of a fatal error
set while it calls back, and Python wraps it."""


def kafka_error_of(raised: BaseException) -> KafkaError:
    """Return what librdkafka said, out of an exception of `RAISED`."""
    cause: BaseException | None = raised
    while cause is not None and not isinstance(cause, KafkaException):
        cause = cause.__cause__
    said = cause.args[0] if cause is not None else None
    return said if isinstance(said, KafkaError) else KafkaError(KafkaError._FAIL, str(raised))


def fault_of(
    error: KafkaError | BaseException, doing: str, names: Names = _NOTHING_NAMED
) -> StreamdetError:
    """Return the error of ours that stands for `error`, met while `doing` something.

    Parameters
    ----------
    error
        What librdkafka said, or the exception (see `RAISED`) that it came in.
    doing
        Beginning of the message, for example "committing offsets".
    names
        Topic, group and transactional id, for the advice.
    """
    if not isinstance(error, KafkaError):
        error = kafka_error_of(error)
    fault = _fatal_reason(error) if error.code() == KafkaError._FATAL else _FAULTS.get(error.code())
    if fault is None or not issubclass(fault.raised, Fenced | ConfigError | TransactionAborted):
        fault = _by_flags(error, fault)
    advice = fault.advice.format(
        topic=f"topic {names.topic!r}" if names.topic else "the topic",
        group=repr(names.group) if names.group else "of this worker",
        transactional_id=repr(names.transactional_id) if names.transactional_id else "in use",
    )
    said = f"{error.name()}: {error.str()}"
    return fault.raised(f"{doing}: {advice} ({said})" if advice else f"{doing}: {said}")


def _fatal_reason(error: KafkaError) -> _Fault | None:
    # A consumer gets this code in place of the reason's own, which only the text tells.
    text = error.str()
    return next((fault for code, fault in _FAULTS.items() if KafkaError(code).str() in text), None)


def _by_flags(error: KafkaError, fault: _Fault | None) -> _Fault:
    advice = fault.advice if fault else ""
    if error.txn_requires_abort():
        return _Fault(TransactionAborted, advice)
    if error.fatal() or error.code() == KafkaError._FATAL:
        return _Fault(FatalError, advice)
    if fault:
        return fault
    return _Fault(RetriableError if error.retriable() else FatalError, advice)


class ClientTrouble:
    """What a client said through its error callback, the only place where some reasons show.

    A wrong password, for one, is a timeout to every call. Fatal errors do not come this way: the
    binding raises them from whatever call serves callbacks. It calls back within calls of the
    client only, so nothing here needs a lock.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._newest: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Take note of `error`; the client's ``error_cb``."""
        # "all brokers are down" follows the reason why: keep the reason
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self._newest is None:
            self._newest = error

    def __bool__(self) -> bool:
        return self._newest is not None

    def clear(self) -> None:
        """Forget it: the brokers have answered."""
        self._newest = None

    def fault(self, doing: str) -> StreamdetError:
        """Return the error for a call that got no answer, with the reason where one is known."""
        if self._newest is None:
            return RetriableError(f"{doing}: {_AWAY.advice} in time")
        return fault_of(self._newest, doing, self._names)
