"""Settings that do not go together, or not with the brokers."""

from streamdet.doctor.configuration import (
    check_configuration,
    check_delivery,
    check_transaction_timeout,
)
from tests.doctor.facts import DEAD_LETTERS, EVENTS, UNTOLD, config, only, statuses, topic

NEW = {"transaction.version": 2}


def outputs(copies=3):
    return {name: topic(name, copies=copies) for name in (EVENTS, DEAD_LETTERS)}


def test_defaults_are_well():
    assert set(statuses(check_configuration(config())).values()) == {"ok"}


def test_a_max_future_shorter_than_an_interval_is_a_warning_that_names_the_rule():
    rules = [
        {"match": {"metric": "a"}, "set": {"granularity": "hourly"}},
        {"match": {"metric": "b"}, "set": {"granularity": "weekly"}},
    ]
    _, finding = check_configuration(config(rules=rules))
    assert finding.status == "warn"
    assert "rules[1] (7 d)" in finding.found
    assert "rules[0]" not in finding.found


def test_exactly_once_on_single_copies_is_a_warning():
    finding = only(check_delivery(config(), outputs(copies=1), NEW))
    assert finding.status == "warn"
    assert EVENTS in finding.found


def test_exactly_once_with_copies_on_new_brokers_is_well():
    assert only(check_delivery(config(), outputs(), NEW)).status == "ok"


def test_transactions_of_old_brokers_are_a_warning_or_unknown():
    old = only(check_delivery(config(), outputs(), {"transaction.version": 1}))
    assert old.status == "warn"
    assert only(check_delivery(config(), outputs(), {})).status == "unknown"


def test_of_outputs_that_nobody_told_of_nothing_is_promised():
    told = {EVENTS: topic(EVENTS), DEAD_LETTERS: UNTOLD}
    assert only(check_delivery(config(), told, NEW)).status == "unknown"


def test_at_least_once_asks_nothing_of_the_brokers():
    settings = config(delivery="at_least_once")
    assert only(check_delivery(settings, outputs(copies=1), {})).status == "ok"
    assert list(check_transaction_timeout(settings, UNTOLD)) == []


def test_a_transaction_timeout_that_brokers_refuse_fails():
    settings = config(transaction_timeout="10m")
    allowed = {"transaction.max.timeout.ms": "900000"}
    assert only(check_transaction_timeout(settings, allowed)).status == "ok"
    less = {"transaction.max.timeout.ms": "300000"}
    finding = only(check_transaction_timeout(settings, less))
    assert finding.status == "fail"
    assert "5 m" in finding.found
    assert only(check_transaction_timeout(settings, UNTOLD)).status == "unknown"
