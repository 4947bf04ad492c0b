"""The embedded broker: a process of its own that serves any client and never stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamdet.errors import FatalError
from streamdet.kafka import mock
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.mock import PARTITIONS, MockBroker
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.topics import Topics
from streamdet.types import OutgoingRecord
from tests.contracts.worlds import Listener, read

END_TIMEOUT_S = 20

PARENT = """
import sys, time
from streamdet.kafka.mock import MockBroker
with MockBroker(["points"]) as broker:
    print(broker.pid, flush=True)
    sys.stdin.read()
"""


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # on Linux: ended, though nobody has asked how?
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ends(pid: int) -> bool:
    deadline = time.monotonic() + END_TIMEOUT_S
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


@pytest.fixture
def parent():
    """A process that holds an embedded broker, and the broker's process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def test_records_go_through_it_like_through_any_broker():
    with MockBroker(["points"]) as broker:
        options = {"bootstrap.servers": broker.bootstrap}
        producer = KafkaProducer(options)
        producer.send(OutgoingRecord("points", b"k%d" % i, b"%d" % i) for i in range(100))
        producer.flush(10)
        consumer = KafkaConsumer(options, "group")
        consumer.subscribe(["points"], Listener())
        assert sorted(map(int, read(consumer, 100))) == list(range(100))
        consumer.close()
        producer.close()


def test_a_topic_has_as_many_partitions_as_the_module_says():
    with MockBroker(["points"], brokers=2) as broker:
        assert len(broker.bootstrap.split(",")) == 2
        assert Topics({"bootstrap.servers": broker.bootstrap}).partitions("points") == PARTITIONS


def test_it_ends_when_closed_and_may_be_closed_twice():
    broker = MockBroker()
    assert running(broker.pid)
    broker.close()
    broker.close()
    assert not running(broker.pid)


def test_it_ends_when_its_parent_is_killed(parent):
    process, pid = parent
    assert running(pid)
    process.kill()
    assert ends(pid)


def test_an_interrupt_of_the_terminal_is_not_for_it(parent):
    process, pid = parent
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert running(pid)
    _, errors = process.communicate("")
    assert ends(pid)
    assert errors == ""


def test_a_process_that_does_not_start_is_said(monkeypatch):
    monkeypatch.setattr(mock.sys, "executable", "/bin/false")
    with pytest.raises(FatalError, match="code 1"):
        MockBroker()
