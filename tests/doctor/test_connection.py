"""Addresses that cannot be reached, and rights that are missing."""

import pytest

from streamdet.cluster import Cluster, GroupState, Reach
from streamdet.doctor.connection import check_reach, check_rights
from tests.doctor.facts import (
    DEAD_LETTERS,
    EVENTS,
    EVERYTHING,
    FORBIDDEN,
    INPUT,
    STATE,
    UNTOLD,
    config,
    only,
    topic,
)

NOW_S = 1_700_000_000.0
DAY_S = 86_400
GROUP_STATE = GroupState("STABLE", (), frozenset(), EVERYTHING)
SUPER, USER = (Cluster("c", (), frozenset(), all_rights=each) for each in (True, False))


def test_a_server_that_answers_tells_its_steps_and_version():
    reach = Reach("a:1", steps={"DNS": 0.001}, features={"metadata.version": 25})
    finding = only(check_reach([reach], NOW_S))
    assert (finding.status, finding.check) == ("ok", "connection.server")
    assert finding.found == "DNS 1 ms; Kafka 4.0 or newer (level 25)"


@pytest.mark.parametrize(
    ("step", "advice"),
    [
        ("DNS", "resolver"),
        ("TCP", "firewall"),
        ("TLS", "ssl.ca.location"),
        ("Kafka", "security.protocol"),
        ("login", "sasl.username"),
    ],
)
def test_the_step_that_fails_is_named_with_what_to_look_at(step, advice):
    reach = Reach("a:1", failed=step, fault="it said so")
    finding = only(check_reach([reach], NOW_S))
    assert finding.status == "fail"
    assert finding.found == f"{step}: it said so"
    assert advice in finding.advice


def test_an_address_that_only_the_broker_knows_is_told_apart():
    reach = Reach("internal:9092", advertised=True, failed="DNS", fault="not known")
    finding = only(check_reach([reach], NOW_S))
    assert finding.check == "connection.advertised"
    assert "advertised.listeners" in finding.advice


@pytest.mark.parametrize(("days", "status"), [(13, "warn"), (15, "ok")])
def test_a_certificate_that_ends_soon_is_a_warning(days, status):
    reach = Reach("a:1", steps={"TLS": 0.1}, certificate_ends_s=NOW_S + days * DAY_S)
    assert only(check_reach([reach], NOW_S)).status == status


def rights(cluster=USER, group=GROUP_STATE, settings=None, **topics):
    every = {name: topic(name) for name in (INPUT, EVENTS, DEAD_LETTERS, STATE)} | topics
    findings = check_rights(settings or config(), every, group, cluster)
    return {finding.subject: finding for finding in findings}


def test_all_rights_are_well_and_those_of_a_transactional_id_are_not_to_be_known():
    found = rights()
    assert {subject: each.status.value for subject, each in found.items()} == {
        INPUT: "ok",
        EVENTS: "ok",
        DEAD_LETTERS: "ok",
        STATE: "ok",
        "workers": "ok",
        "workers-...": "unknown",
    }
    assert rights(SUPER)["workers-..."].status == "ok"
    assert "workers-..." not in rights(settings=config(delivery="at_least_once"))


def test_an_input_needs_read_and_an_output_write():
    read, write = frozenset({"READ", "DESCRIBE"}), frozenset({"WRITE", "DESCRIBE"})
    found = rights(**{INPUT: topic(INPUT, rights=write), EVENTS: topic(EVENTS, rights=read)})
    assert (found[INPUT].status, found[INPUT].advice) == ("fail", f"grant Read on topic {INPUT}")
    assert (found[EVENTS].status, found[EVENTS].advice) == (
        "fail",
        f"grant Write on topic {EVENTS}",
    )


@pytest.mark.parametrize(
    ("has", "missing"), [({"READ"}, "Write"), ({"WRITE"}, "Read"), (set(), "Read and Write")]
)
def test_the_state_topic_needs_both(has, missing):
    found = rights(**{STATE: topic(STATE, rights=frozenset({"DESCRIBE", *has}))})[STATE]
    assert (found.status, found.advice) == ("fail", f"grant {missing} on topic {STATE}")


@pytest.mark.parametrize(
    ("answer", "status"), [(FORBIDDEN, "fail"), (UNTOLD, "unknown")], ids=["forbidden", "untold"]
)
def test_a_topic_or_group_that_may_not_be_seen_lacks_a_right(answer, status):
    found = rights(group=answer, **{EVENTS: answer})
    assert found[EVENTS].status == status
    assert found["workers"].status == status


def test_a_topic_that_does_not_exist_has_no_rights_to_tell_of():
    assert INPUT not in rights(**{INPUT: None})


def test_brokers_that_do_not_tell_rights_leave_them_unknown():
    silent = GroupState("STABLE", (), frozenset(), None)
    found = rights(group=silent, **{INPUT: topic(rights=None)})
    assert found[INPUT].status == found["workers"].status == "unknown"
    blind = GroupState("STABLE", (), frozenset(), frozenset({"DESCRIBE"}))
    assert rights(group=blind)["workers"].status == "fail"
