"""All brokers are away for longer than a transaction may be open; a worker waits, and goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import KafkaServer

TRANSACTION_TIMEOUT_S = 5
AWAY_S = 15
COMMIT_INTERVAL_S = TRANSACTION_TIMEOUT_S / 4  # the most
MARKERS_S = 0.3
BUSY_MAX = 0.1
GROWN_MAX_BYTES = 50 << 20

pytestmark = pytest.mark.kafka


def busy_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_worker_outlives_its_brokers(unique, tmp_path, delivery):
    with KafkaServer() as broker:
        stream = Stream(broker.bootstrap, unique, tmp_path)
        stream.create_topics(partitions=2)
        worker = stream.worker(
            delivery=delivery,
            output={"publish": "all"},
            transaction_timeout=f"{TRANSACTION_TIMEOUT_S}s",
            commit_interval=f"{COMMIT_INTERVAL_S}s",
        )
        try:
            worker.wait_ready()
            with Load(
                stream.bootstrap, stream.input, points_per_s=2_000, points_max=20_000
            ) as load:
                # The first commit is slow: the coordinators are loading.
                wait_until(
                    lambda: worker.total("transactions_total", result="committed") > 1, "commits"
                )
                # In the midst of the next transaction, neither sooner nor at its commit: see "A
                # broker that is alone" in docs/reliability.md.
                time.sleep(MARKERS_S)
                broker.kill()
                wait_until(lambda: not worker.ready(), "it to notice")
                began_s, busy, held = (
                    time.monotonic(),
                    busy_s(worker.pid),
                    resident_bytes(worker.pid),
                )
                while time.monotonic() - began_s < AWAY_S:
                    assert worker.alive()
                    assert not worker.ready()
                    time.sleep(1)
                away_s = time.monotonic() - began_s
                assert busy_s(worker.pid) - busy < BUSY_MAX * away_s
                assert resident_bytes(worker.pid) - held < GROWN_MAX_BYTES
                broker.start()
                worker.wait_ready()
            wait_until_drained(stream)
            if delivery == "exactly_once":
                assert_one_event_for_each_point(stream, load.points)
                assert_events_are_those_of_the_detector(stream, worker, stream.input)
            assert worker.total("points_total", outcome="ok") == load.points
            worker.stop()
        finally:
            stream.end()
