"""`streamdet answer` on a real broker: each request has one answer, though it was killed."""

from __future__ import annotations

import contextlib
import json
import signal

from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, ends, produce, read
from tests.integration.worker import CLI, GRACE_S, Stream, wait_until
from tests.serve.samples import as_json, daily
from tests.servers.kafka import create_topic
from tests.servers.supervise import Supervised

REQUESTS = 60


def fill(stream: Stream) -> None:
    """Write good requests, among them some that cannot be answered, and a tombstone."""
    good = json.dumps(as_json(daily(), sensitivity=85)).encode()
    records = []
    for k in range(REQUESTS):
        value = b"{" if k % 20 == 7 else good
        headers = (("requestId", str(k).encode()), ("operation", b"last" if k % 2 else b"entire"))
        records.append(OutgoingRecord(stream.input, b"k%d" % (k % 5), value, headers))
    records.append(OutgoingRecord(stream.input, b"k", None))
    produce(stream.bootstrap, records)


def test_every_request_has_one_answer_though_the_command_was_killed(stream: Stream):
    target = f"{stream.input}.answers"
    stream.create_topics(partitions=2)
    create_topic(stream.bootstrap, target, 2, {"retention.ms": "-1"})
    fill(stream)
    config = stream.folder / "answer.yaml"
    config.write_text(json.dumps(stream.settings()))
    options = ["answer", "--from", stream.input, "--to", target, "--config", str(config)]
    command = [*CLI, *options, "--set", "kafka.instance_id=one"]
    group = f"{stream.group}-answer-{stream.input}-{target}"
    folder, log = stream.folder / "answer", stream.folder / "answer.log"
    folder.mkdir()
    all_of_it = ends(stream.bootstrap, stream.input)
    with contextlib.ExitStack() as stack:
        slow = ("--set", "commit_interval=10ms", "--set", "limits.batch_records=1")
        slow += ("--set", "transaction_timeout=5s")  # after it offsets can be asked for
        killed = Supervised([*command, *slow], folder, log)
        stack.callback(killed.end)
        wait_until(lambda: read(stream.bootstrap, target), "a first commit", 120)
        killed.signal(signal.SIGKILL, GRACE_S)
        assert committed(stream.bootstrap, group, stream.input) != all_of_it
        stopped = Supervised(command, folder, log)
        stack.callback(stopped.end)
        wait_until(
            lambda: committed(stream.bootstrap, group, stream.input) == all_of_it, "the rest", 120
        )
        stopped.signal(signal.SIGTERM, GRACE_S)
    assert " answers written to " in log.read_text()

    answers = {}
    for record in read(stream.bootstrap, target):
        headers = dict(record.headers)
        number = int(headers["requestId"])
        assert number not in answers
        assert record.key == b"k%d" % (number % 5)
        answers[number] = headers.get("error"), json.loads(record.value)
    assert set(answers) == set(range(REQUESTS))
    for number, (error, body) in answers.items():
        if number % 20 == 7:
            assert error == b"InvalidJsonFormat"
            assert set(body) == {"code", "message"}
        elif number % 2:
            assert "expectedValue" in body
        else:
            assert body["isAnomaly"][41]
            assert error is None


def test_a_topic_of_answers_that_does_not_exist_is_said_before_anything_is_read(stream: Stream):
    stream.create_topics()
    config = stream.folder / "answer.yaml"
    config.write_text(json.dumps(stream.settings()))
    done = stream.cli("answer", "--from", stream.input, "--to", "none", "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert "topic 'none' does not exist" in done.stderr
