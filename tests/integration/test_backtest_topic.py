"""`streamdet backtest --topic` on a real broker, held against the same points in a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, ends, produce
from tests.integration.worker import Stream
from tests.service import MINUTE_MS, START_MS, point, with_spikes

MINUTES = 400
FIRST = 100
"""Minute at which the window begins; its end leaves out the last ten."""
LAST = MINUTES - 10


def instant(minute: int) -> str:
    return datetime.fromtimestamp((START_MS + minute * MINUTE_MS) / 1e3, UTC).isoformat()


def points() -> list[tuple[int, str, bytes]]:
    """Return points of three series as they come: minute, host and record. Some are late."""
    values = [with_spikes(MINUTES, at=(170 + 50 * k, 300), seed=k) for k in range(3)]
    in_order = [
        (minute, f"h{k}", point(minute, values[k][minute], host=f"h{k}"))
        for minute in range(MINUTES)
        for k in range(3)
    ]
    return sorted(in_order, key=lambda each: each[0] + 2 * (each[0] % 50 == 17))


def by_series(path) -> list[dict]:
    rows = pq.read_table(path).to_pylist()
    return sorted(rows, key=lambda row: (row["host"], row["timestamp"]))


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ((), 3 * (LAST - FIRST)),
        (("--set", "detection.allowed_lateness=5m"), 3 * (LAST - FIRST)),
        (("--set", "detection.aggregate={interval: 5m, function: max}"), 3 * 57),
    ],
)
def test_a_topic_gives_the_verdicts_of_a_file_of_its_points(stream: Stream, settings, rows):
    stream.create_topics(partitions=3)
    records = [
        OutgoingRecord(stream.input, host.encode(), value, (), START_MS + minute * MINUTE_MS)
        for minute, host, value in points()
    ]
    bad = OutgoingRecord(stream.input, b"h0", b"{", (), START_MS + LAST * MINUTE_MS)
    produce(stream.bootstrap, [*records, bad])
    in_window = [value for minute, _, value in points() if FIRST <= minute < LAST]
    file = stream.folder / "points.jsonl"
    file.write_bytes(b"\n".join(in_window) + b"\n")

    servers = f"kafka.bootstrap_servers={stream.bootstrap}"
    group = f"kafka.group_id={stream.group}"
    future = "limits.max_future=10m"  # so that the brokers are asked for the first record
    span = ("--from", instant(FIRST), "--to", instant(LAST))
    done = stream.cli(
        "backtest", "--topic", stream.input, *span, "-o", "topic.parquet",
        "--set", servers, "--set", group, "--set", future, *settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # of the first hundred minutes only the ten that `max_future` allows for are read
    assert done.stderr == (
        "left out: 1 bad records or points (1 decode); 60 points outside of the window\n"
    )
    assert committed(stream.bootstrap, stream.group, stream.input) == {}
    done = stream.cli("backtest", file, "-o", "file.parquet", "--set", future, *settings)
    assert done.returncode == 0, done.stderr

    found = by_series(stream.folder / "topic.parquet")
    assert found == by_series(stream.folder / "file.parquet")
    assert len(found) == rows
    assert any(row["status"] == "late" for row in found) == (not settings)
    assert sum(row["isAnomaly"] for row in found) >= 6


def test_reading_stops_at_the_end_though_it_is_a_marker_or_the_topic_goes_on(stream: Stream):
    """What a transaction that was aborted wrote is no point; its marker is no record."""
    stream.create_topics()
    producer = Producer(
        {"bootstrap.servers": stream.bootstrap, "transactional.id": stream.group, "linger.ms": 5}
    )
    producer.init_transactions(30)
    for minute in range(20):
        producer.begin_transaction()
        producer.produce(stream.input, point(minute, 1.0), timestamp=START_MS)
        producer.flush(30)
        if minute % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    assert ends(stream.bootstrap, stream.input) == {0: 40}
    producer.begin_transaction()
    producer.produce(stream.input, point(20, 1.0), timestamp=START_MS)
    producer.flush(30)  # open: no reader of committed records passes it
    config = stream.folder / "streamdet.yaml"
    config.write_text(json.dumps({"kafka": {"bootstrap_servers": stream.bootstrap}}))
    done = stream.cli("backtest", "-t", stream.input, "-o", "out.parquet", "--config", config)
    producer.abort_transaction(30)
    assert (done.returncode, done.stderr) == (0, "")
    assert pq.read_table(stream.folder / "out.parquet").num_rows == 10


def test_a_topic_that_is_missing_or_empty_is_said(stream: Stream):
    stream.create_topics()
    server = ("--set", f"kafka.bootstrap_servers={stream.bootstrap}")
    done = stream.cli("backtest", "-t", "no-such-topic", "-o", "out.csv", *server)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("streamdet: reading topic 'no-such-topic': topic")
    done = stream.cli("backtest", "-t", stream.input, "-o", "out.csv", *server)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 points of 0 series")
