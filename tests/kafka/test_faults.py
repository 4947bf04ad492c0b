"""What an error of librdkafka becomes here, and what its message tells the operator."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamdet.errors import (
    ConfigError,
    FatalError,
    Fenced,
    RetriableError,
    TransactionAborted,
)
from streamdet.kafka.faults import _FAULTS, ClientTrouble, Names, fault_of

NAMES = Names(topic="points", group="g1", transactional_id="tx1")


def said(code, **flags):
    return KafkaError(code, None, **flags)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (said(KafkaError._FENCED, fatal=True), TransactionAborted),
        (said(KafkaError.PRODUCER_FENCED, fatal=True), TransactionAborted),
        (said(KafkaError.FENCED_INSTANCE_ID, txn_requires_abort=True), Fenced),
        (said(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True), TransactionAborted),
        (said(KafkaError.ILLEGAL_GENERATION), TransactionAborted),
        (said(KafkaError.UNKNOWN_MEMBER_ID), TransactionAborted),
        (said(KafkaError.REBALANCE_IN_PROGRESS, retriable=True), TransactionAborted),
        (said(KafkaError.TOPIC_AUTHORIZATION_FAILED), FatalError),
        (said(KafkaError.TOPIC_AUTHORIZATION_FAILED, txn_requires_abort=True), TransactionAborted),
        (said(KafkaError.GROUP_AUTHORIZATION_FAILED), FatalError),
        (said(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, fatal=True), FatalError),
        (said(KafkaError.UNKNOWN_TOPIC_OR_PART, retriable=True), FatalError),
        (said(KafkaError.MSG_SIZE_TOO_LARGE, txn_requires_abort=True), TransactionAborted),
        (said(KafkaError._AUTO_OFFSET_RESET), FatalError),
        (said(KafkaError._AUTHENTICATION), FatalError),
        (said(KafkaError._ALL_BROKERS_DOWN), RetriableError),
        (said(KafkaError._TRANSPORT), RetriableError),
        (said(KafkaError.NOT_COORDINATOR), RetriableError),
        (said(KafkaError.NOT_LEADER_FOR_PARTITION), RetriableError),
        (said(KafkaError.COORDINATOR_LOAD_IN_PROGRESS), RetriableError),
        (said(KafkaError._TIMED_OUT, retriable=True), RetriableError),
        (said(KafkaError._SSL), RetriableError),
        (said(KafkaError.INVALID_TRANSACTION_TIMEOUT, fatal=True), ConfigError),
        (said(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), TransactionAborted),
        (said(KafkaError.INVALID_TXN_STATE, fatal=True), TransactionAborted),
        (said(KafkaError._INCONSISTENT, txn_requires_abort=True), TransactionAborted),
        (said(KafkaError.NOT_ENOUGH_REPLICAS, retriable=True), RetriableError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value),
)
def test_each_error_says_what_happens_next(error, expected):
    assert type(fault_of(error, "doing this")) is expected


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ["'points'", "READ", "WRITE"]),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, ["'g1'", "READ"]),
        (KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ["'tx1'", "WRITE"]),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, ["'points'", "streamdet topics create"]),
        (KafkaError._AUTO_OFFSET_RESET, ["'points'", "auto.offset.reset"]),
        (KafkaError._AUTHENTICATION, ["sasl"]),
        (KafkaError.INCONSISTENT_GROUP_PROTOCOL, ["'g1'"]),
    ],
)
def test_a_message_names_what_is_missing_and_the_way_out(code, named):
    message = str(fault_of(said(code), "reading", NAMES))
    assert message.startswith("reading: ")
    for words in (*named, said(code).name()):
        assert words in message


@pytest.mark.parametrize("code", sorted(_FAULTS))
def test_every_row_of_the_table_makes_a_message_with_and_without_names(code):
    for names in (Names(), NAMES):
        assert "{" not in str(fault_of(said(code), "doing", names)).replace("{min,max}", "")


def test_an_exception_stands_for_the_error_in_it():
    fault = fault_of(KafkaException(said(KafkaError.FENCED_INSTANCE_ID)), "doing")
    assert isinstance(fault, Fenced)


def test_a_fatal_error_is_found_within_what_python_wrapped_it_in():
    wrapped = SystemError("returned a result with an exception set")
    wrapped.__cause__ = SystemError("again")
    wrapped.__cause__.__cause__ = KafkaException(said(KafkaError.FENCED_INSTANCE_ID, fatal=True))
    assert isinstance(fault_of(wrapped, "doing"), Fenced)


def test_any_other_exception_of_the_client_is_fatal_and_keeps_its_text():
    fault = fault_of(SystemError("something else"), "doing")
    assert type(fault) is FatalError
    assert "something else" in str(fault)


def test_a_consumers_fatal_error_is_known_by_its_text():
    reason = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
    assert isinstance(
        fault_of(KafkaError(KafkaError._FATAL, f"Fatal error: {reason}"), "x"), Fenced
    )
    assert isinstance(fault_of(KafkaError(KafkaError._FATAL, "Fatal error: new"), "x"), FatalError)


def test_the_reason_outlives_the_news_that_all_brokers_are_down():
    trouble = ClientTrouble(Names())
    assert not trouble
    trouble.on_error(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
    trouble.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    fault = trouble.fault("asking")
    assert isinstance(fault, FatalError)
    assert "wrong password" in str(fault)


def test_trouble_is_over_once_the_brokers_answer():
    trouble = ClientTrouble(Names())
    trouble.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert trouble
    trouble.clear()
    assert not trouble
    assert isinstance(trouble.fault("asking"), RetriableError)
