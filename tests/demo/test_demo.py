"""The whole demo as a user starts it, on the embedded broker."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "streamdet", "demo", "--plain", "--series", "40", "--days", "4"]


def start():
    return subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def answering(output):
    """The ports that the demo printed, its broker's and its worker's, where somebody answers."""
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", output))
    assert len(ports) == 2
    found = []
    for port in ports:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", int(port))) == 0:
                found.append(port)
    return found


def played(process):
    """Return the output up to the first line of figures: then everything is running."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "lag" in line:
            break
    output = "".join(lines)
    assert len(answering(output)) == 2, output
    return output


def test_it_ends_by_itself_with_every_point_accounted_for():
    done = subprocess.run(DEMO, capture_output=True, text=True)
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert re.search(r"metrics http://127\.0\.0\.1:\d+/metrics", text)
    assert "dead letters 5 5 expected" in text
    assert re.search(r"injected anomalies found \d+ of \d+", text)
    assert re.search(r"false alerts \d+", text)
    assert "NOT AS IT SHOULD BE" not in text
    assert not answering(done.stdout)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_worker_and_broker_without_a_traceback(number):
    with start() as process:
        output = played(process)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert rest.rstrip().endswith("stopped; the worker and the broker have ended")
    assert not answering(output)


def test_nothing_keeps_running_when_the_demo_is_killed():
    with start() as process:
        output = played(process)
        process.kill()
    deadline = time.monotonic() + 30
    while answering(output) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not answering(output)
    config = re.search(r"streamdet run --config (\S+)", output)[1]
    shutil.rmtree(Path(config).parent)  # a killed process cannot
