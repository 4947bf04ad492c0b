"""`streamdet doctor`: what it prints, and its exit code."""

import json
import logging
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import streamdet.app
from streamdet import cli
from streamdet.doctor import Check, Finding, Status
from streamdet.kafka.mock import MockBroker

CLI = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
GOOD = Finding(Check.TOPIC, "points", Status.OK, "3 partitions")
DOUBTFUL = Finding(Check.ORDER, "points", Status.WARN, "4 % out of order", "set allowed_lateness")
BAD = Finding(Check.TOPIC_RIGHTS, "points", Status.FAIL, "READ is missing", "grant it")
OPEN = Finding(Check.CLOCK, "points", Status.UNKNOWN, "no record")


@pytest.fixture(autouse=True)
def _as_it_was():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


@pytest.fixture
def found(monkeypatch):
    """What the examination finds; and with which timeout it was made."""
    findings, timeouts = [], []

    def examine(config, timeout_s):
        timeouts.append(timeout_s)
        yield from findings

    monkeypatch.setattr(streamdet.app, "examine", examine)
    return findings, timeouts


def doctor(*arguments):
    return CliRunner().invoke(cli.app, ["doctor", *arguments], prog_name="streamdet")


@pytest.mark.parametrize(
    ("findings", "plain", "strict"),
    [([GOOD], 0, 0), ([GOOD, OPEN], 0, 0), ([GOOD, DOUBTFUL], 0, 1), ([DOUBTFUL, BAD], 1, 1)],
)
def test_a_failed_check_is_exit_code_1_and_a_warning_only_if_strict(found, findings, plain, strict):
    found[0][:] = findings
    assert doctor().exit_code == plain
    assert doctor("--strict").exit_code == strict


def test_the_table_has_sections_in_a_fixed_order_and_what_to_do(found):
    found[0][:] = [DOUBTFUL, OPEN, BAD, GOOD]
    done = doctor()
    lines = [re.sub(" +", " ", line).strip() for line in done.stdout.splitlines()]
    assert lines == [
        "rights",
        "fail points topic READ is missing",
        "-> grant it",
        "topic",
        "ok points 3 partitions",
        "clock",
        "unknown points no record",
        "points",
        "warn points order 4 % out of order",
        "-> set allowed_lateness",
        "1 ok, 1 warn, 1 fail, 1 unknown",
    ]
    assert "\x1b" not in done.stdout


def test_json_is_one_object_for_scripts(found):
    found[0][:] = [GOOD, BAD]
    done = doctor("--json")
    said = json.loads(done.stdout)
    assert (said["failed"], done.exit_code) == (True, 1)
    assert said["counts"] == {"ok": 1, "warn": 0, "fail": 1, "unknown": 0}
    assert said["checks"][0] == {
        "check": "rights.topic",
        "subject": "points",
        "status": "fail",
        "found": "READ is missing",
        "advice": "grant it",
    }


def test_a_name_with_control_characters_does_not_reach_the_terminal(found):
    found[0][:] = [GOOD._replace(subject="a\x1b[31m", found="b\x07")]
    assert not re.search("[\x07\x1b]", doctor().stdout)


def test_the_timeout_is_handed_on_and_has_a_default(found):
    doctor()
    doctor("--timeout", "5")
    assert found[1] == [20.0, 5.0]


def test_a_wrong_configuration_is_exit_code_2_before_anything_is_asked(found, tmp_path):
    file = tmp_path / "streamdet.yaml"
    file.write_text("detection: {sensitivity: 100}\n")
    done = doctor("--config", str(file))
    assert (done.exit_code, done.stdout) == (2, "")
    assert found[1] == []


def test_an_option_that_librdkafka_does_not_know_is_exit_code_2():
    done = doctor("--set", "kafka.options={no.such.option: 1}")
    assert done.exit_code == 2
    assert "no.such.option" in done.stderr


def test_secrets_are_not_told(monkeypatch):
    monkeypatch.setenv("STREAMDET_KAFKA__SASL_PASSWORD", "canary-password")
    options = "{security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: u}"
    with MockBroker() as broker:  # wants no login, so this one fails
        servers = f"kafka.bootstrap_servers={broker.bootstrap}"
        done = doctor("--timeout", "4", "--set", servers, "--set", f"kafka.options={options}")
    assert done.exit_code == 1
    assert "canary-password" not in done.stdout + done.stderr


def test_on_the_embedded_broker_what_it_does_not_tell_is_unknown_and_topics_are_read():
    topics = ["points", "events", "dead", "state"]
    with MockBroker(topics) as broker:
        done = doctor(
            "--json",
            *("--set", f"kafka.bootstrap_servers={broker.bootstrap}"),
            *("--set", "input.topics=[points]"),
            *("--set", "output.anomalies=events", "--set", "output.dead_letters=dead"),
            *("--set", "state.topic=state"),
        )
    assert done.exit_code == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    told = {(each["check"], each["subject"]): each["status"] for each in checks}
    assert {told["topic", topic] for topic in topics} == {"ok"}
    assert told["connection.server", broker.bootstrap] == "ok"
    assert told["topic.settings", "points"] == told["group.members", "streamdet"] == "unknown"
    assert told["points.decoding", "points"] == "unknown"


def test_the_page_says_what_every_check_means():
    section = CLI.split("\n## streamdet doctor\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([\w.]+)` \|", section, re.M)) == {each.value for each in Check}
