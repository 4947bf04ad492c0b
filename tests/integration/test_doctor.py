"""`streamdet doctor` beside real brokers: what is wrong is found, and nothing is changed by it."""

from __future__ import annotations

import json
import signal
import time

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, ends, produce
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import KafkaServer, create_topic
from tests.service import point

pytestmark = pytest.mark.kafka
DAY_MS = 86_400_000


def examined(stream: Stream, *arguments: str, **changes):
    """Run the doctor; return its exit code, and status and text of each check and subject."""
    config = stream.folder / "doctor.yaml"
    config.write_text(json.dumps(stream.settings(**changes)))
    done = stream.cli("doctor", "--config", str(config), "--json", *arguments)
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {
        (each["check"], each["subject"]): (each["status"], each["found"]) for each in checks
    }


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def of_now(stream: Stream, n: int, key: bool = True, ahead_ms: int = 0) -> None:
    """Write a point a second of each of six series, up to now."""
    start_ms = now_ms() - 1_000 * n // 6 + ahead_ms
    records = []
    for i in range(n):
        time_ms, host = start_ms + 1_000 * (i // 6), f"h{i % 6}"
        fields = {"metric": "m", "dimensions": {"host": host}, "timestamp": time_ms, "value": 1}
        value = json.dumps(fields).encode()
        name = host.encode() if key else None
        records.append(OutgoingRecord(stream.input, name, value, (), time_ms))
    produce(stream.bootstrap, records)


def test_a_service_that_works_has_no_failed_check_and_is_left_as_it_was(stream: Stream):
    stream.create_topics(partitions=2)
    of_now(stream, 600)
    worker = stream.worker().wait_ready()
    wait_until(
        lambda: (
            committed(stream.bootstrap, stream.group, stream.input)
            == ends(stream.bootstrap, stream.input)
        ),
        "all points to be read",
    )
    before = committed(stream.bootstrap, stream.group, stream.input)
    code, found = examined(stream)
    assert code == 0, found
    assert {status for status, _ in found.values()} <= {"ok", "warn"}  # a single broker
    assert found["group.members", stream.group][1].startswith("1 member: 127.0.0.1 ")
    assert found["group.offsets", stream.group] == ("ok", "0 offsets behind")
    assert found["points.decoding", stream.input][1].startswith("600 newest records, 600 points")
    assert found["points.keys", stream.input][0] == "ok"
    assert found["clock", stream.input][0] == "ok"
    assert committed(stream.bootstrap, stream.group, stream.input) == before
    assert examined(stream)[1]["group.members", stream.group][1].startswith("1 member: ")

    worker._process.send_signal(signal.SIGSTOP)  # a member that does nothing
    of_now(stream, 60)
    code, found = examined(stream)
    worker._process.send_signal(signal.SIGCONT)
    status, text = found["group.offsets", stream.group]
    assert (code, status) == (1, "fail")
    assert text.startswith("no progress on ")


def test_spread_series_a_wrong_clock_bad_records_and_a_missing_topic_are_found(stream: Stream):
    unlimited = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    create_topic(stream.bootstrap, stream.input, 3, {"retention.ms": "3600000", **unlimited})
    create_topic(stream.bootstrap, stream.dead_letters, 1, {"cleanup.policy": "compact"})
    of_now(stream, 600, key=False, ahead_ms=400 * DAY_MS)
    produce(stream.bootstrap, [OutgoingRecord(stream.input, None, b"{", (), now_ms())] * 9)
    code, found = examined(stream)
    assert code == 1
    statuses = {name: status for name, (status, _) in found.items()}
    assert statuses["topic", stream.anomalies] == "fail"
    assert statuses["topic.cleanup", stream.dead_letters] == "fail"
    assert statuses["topic.retention", stream.input] == "warn"
    assert statuses["topic.record_times", stream.input] == "warn"
    assert statuses["clock", stream.input] == "warn"
    assert "ahead of this machine" in found["clock", stream.input][1]
    assert statuses["group.members", stream.group] == "warn"
    assert "refused (decode 9)" in found["points.decoding", stream.input][1]
    assert statuses["points.keys", stream.input] == "fail"
    assert "100 % of the records have no key" in found["points.keys", stream.input][1]


def test_the_newest_records_are_read_and_transactions_that_never_ended_are_not(stream: Stream):
    stream.create_topics()
    produce(
        stream.bootstrap,
        [OutgoingRecord(stream.input, b"m", point(minute, 1.0)) for minute in range(2_500)],
    )
    _, found = examined(stream)
    assert found["points.decoding", stream.input] == (
        "ok",
        "2,000 newest records, 2,000 points of 1 series, none refused",
    )


@pytest.fixture(scope="module")
def guarded():
    """A broker with ACLs, and a user who has no right yet."""
    with KafkaServer({"worker": "secret"}) as broker:
        yield broker


def grant(broker: KafkaServer, *rights: tuple[ResourceType, str, AclOperation]) -> None:
    bindings = [
        AclBinding(
            kind, name, ResourcePatternType.LITERAL, "User:worker", "*", right,
            AclPermissionType.ALLOW,
        )
        for kind, name, right in rights
    ]  # fmt: skip
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for answer in admin.create_acls(bindings).values():
        answer.result(30)


@pytest.fixture
def secured(guarded, unique, tmp_path, monkeypatch):
    """A stream whose workers have to log in."""
    own = Stream(guarded.bootstrap, unique, tmp_path)
    own.create_topics()
    monkeypatch.setenv("STREAMDET_KAFKA__SASL_PASSWORD", "secret")
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "worker",
    }
    own.login = {"kafka": {"bootstrap_servers": guarded.secured, "options": login}}
    yield own
    own.end()


def test_rights_that_are_missing_are_told_and_a_worker_has_enough_for_a_doctor(guarded, secured):
    code, found = examined(secured, **secured.login)
    assert code == 1
    names = (secured.input, secured.anomalies, secured.dead_letters, secured.state)
    assert [found["rights.topic", name][0] for name in names] == ["fail"] * 4
    assert found["rights.group", secured.group][0] == "fail"

    grant(
        guarded,
        (ResourceType.TOPIC, secured.input, AclOperation.READ),
        (ResourceType.TOPIC, secured.anomalies, AclOperation.WRITE),
        (ResourceType.TOPIC, secured.dead_letters, AclOperation.WRITE),
        (ResourceType.TOPIC, secured.state, AclOperation.READ),
        (ResourceType.TOPIC, secured.state, AclOperation.WRITE),
        (ResourceType.GROUP, secured.group, AclOperation.READ),
    )
    of_now(secured, 60)
    code, found = examined(secured, **secured.login)
    assert code == 0, found
    assert [found["rights.topic", name][0] for name in names] == ["ok"] * 4
    assert found["rights.group", secured.group] == ("ok", "READ")
    (transactions,) = (each for (name, _), each in found.items() if name.endswith("nal_id"))
    assert transactions[0] == "unknown"
    assert found["points.decoding", secured.input][0] == "ok"
    status, text = found["topic.settings", secured.input]
    assert status == "unknown"
    assert "DescribeConfigs" in text

    grant(guarded, (ResourceType.TOPIC, secured.input, AclOperation.DESCRIBE_CONFIGS))
    _, found = examined(secured, **secured.login)
    assert found["topic.retention", secured.input][0] == "ok"


def test_a_wrong_password_is_told_as_such_and_not_shown(guarded, secured, monkeypatch):
    monkeypatch.setenv("STREAMDET_KAFKA__SASL_PASSWORD", "canary-password")
    code, found = examined(secured, "--timeout", "8", **secured.login)
    status, text = found["connection.server", guarded.secured]
    assert (code, status) == (1, "fail")
    assert text.startswith("login: ")
    assert "canary-password" not in str(found)
