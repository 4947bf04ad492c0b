"""Told to end, a process ends: in order, or at the end of its grace."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from streamdet.stopping import stopped_by_signals

GRACE_S = 1
# librdkafka asks for half a minute, and no handler of Python's runs meanwhile.
ASKING = """
import sys
from confluent_kafka import Consumer, TopicPartition
from streamdet.stopping import stopped_by_signals

consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "log_level": 0})
with stopped_by_signals(float(sys.argv[2])) as stop:
    print("asking", flush=True)
    consumer.committed([TopicPartition("t", 0)], timeout=30)
"""


@pytest.fixture
def silent():
    """Return the address of one who takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_event_and_the_handlers_before_come_back(number):
    before = signal.getsignal(number)
    with stopped_by_signals(60) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    assert signal.getsignal(number) is before
    assert "grace" not in {thread.name for thread in threading.enumerate()}


def test_a_second_signal_ends_what_is_under_way():
    with pytest.raises(KeyboardInterrupt):
        _be_told_twice()
    faulthandler.cancel_dump_traceback_later()


def _be_told_twice():
    with stopped_by_signals(60) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)


def test_who_comes_to_the_end_within_the_grace_lives_on():
    for _ in range(2):
        with stopped_by_signals(GRACE_S):
            os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S + 0.5)


def test_other_signals_do_not_end_it():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with stopped_by_signals(GRACE_S) as stop:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not stop.wait(GRACE_S + 0.5)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_the_grace_ends_a_process_that_no_handler_reaches(silent):
    command = [sys.executable, "-c", ASKING, silent, str(GRACE_S)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "asking\n"
        time.sleep(0.5)  # it is in the middle of the question
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=GRACE_S + 10)  # the question alone takes 30 s
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert "in <module>" in said, "it says where it stood"
