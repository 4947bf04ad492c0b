"""A partition with hostile producers in it: the others' points are judged as if alone."""

from __future__ import annotations

import json

import numpy as np

from streamdet.types import OutgoingRecord
from tests.integration.topics import produce, read
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import create_topic
from tests.service import MINUTE_MS, START_MS, point

SERIES, MINUTES = 40, 240
TEN_YEARS_MIN = 10 * 365 * 24 * 60
FLOOD, FLOOD_MINUTE = 100_000, 200
SILENT_AFTER = 100  # minutes
EVENT_TIME = {"allowed_lateness": "5m", "granularity": "minutely", "absent_after": "15m"}


def record(topic: str, minute: int, body: bytes) -> OutgoingRecord:
    return OutgoingRecord(topic, b"k", body, timestamp_ms=START_MS + minute * MINUTE_MS)


def good(topic: str) -> list[tuple[int, OutgoingRecord]]:
    """Points of producers that do as they should, with the minute in which each is sent."""
    random = np.random.default_rng(4)
    found = []
    for series in range(SERIES):
        values = random.normal(100, 1, MINUTES).round(3)
        values[random.choice(np.arange(60, MINUTES - 10), 3)] += 40
        for minute, value in enumerate(values.tolist()):
            sent = minute + int(random.integers(0, 5))  # out of order, within the lateness
            body = point(minute, value, host=f"good{series}")
            found.append((sent, record(topic, sent, body)))
    return found


def hostile(topic: str) -> list[tuple[int, OutgoingRecord]]:
    found = []
    for minute in range(MINUTES):
        ahead = minute + TEN_YEARS_MIN  # the record's time too: its clock is wrong
        found.append((minute, record(topic, ahead, point(ahead, 1.0, host="ahead"))))
        if minute < SILENT_AFTER:
            found.append((minute, record(topic, minute, point(minute, 5.0, host="silent"))))
    for new in range(FLOOD):
        body = point(FLOOD_MINUTE, 1.0, "flood", id=str(new))
        found.append((FLOOD_MINUTE, record(topic, FLOOD_MINUTE, body)))
    return found


def in_time(sent: list[tuple[int, OutgoingRecord]]) -> list[OutgoingRecord]:
    return [each for _, each in sorted(sent, key=lambda pair: pair[0])]


def run(stream: Stream, records: list[OutgoingRecord]):
    """Let a worker take `records`; return its events of the good series, and the worker."""
    anything = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**62)}
    create_topic(stream.bootstrap, stream.input, 1, anything)
    for topic in (stream.anomalies, stream.dead_letters):
        create_topic(stream.bootstrap, topic, 1, {"retention.ms": "-1"})
    stream.create_state_topic(1)
    produce(stream.bootstrap, records)
    worker = stream.worker(
        detection=EVENT_TIME, limits={"max_series": 2_000, "max_pending_points": 64}
    )
    worker.wait_ready()
    wait_until(lambda: worker.total("points_consumed_total") >= len(records), "all points", 120)
    events = [json.loads(event.value) for event in read(stream.bootstrap, stream.anomalies)]
    return events, worker


def said(events: list[dict]) -> list[tuple]:
    """Return what is said of the good series, but for where in the topic their points stood."""
    names = ("dimensions", "timestamp", "value", "expectedValue", "upperMargin", "state")
    good_ones = [event for event in events if event["dimensions"].get("host", "")[:4] == "good"]
    return sorted(json.dumps([event[name] for name in names]) for event in good_ones)


def test_producers_with_wrong_clocks_or_too_many_names_or_none_at_all_harm_nobody_else(
    stream: Stream, unique, tmp_path
):
    alone = Stream(stream.bootstrap, unique, tmp_path)
    try:
        wanted, quiet = run(alone, in_time(good(alone.input)))
        events, worker = run(stream, in_time(good(stream.input) + hostile(stream.input)))

        assert len(said(wanted)) >= 3 * SERIES
        assert said(events) == said(wanted)

        watermark_s = worker.total("watermark_timestamp_seconds")
        assert watermark_s == quiet.total("watermark_timestamp_seconds")
        assert worker.total("future_points_total") == MINUTES
        assert worker.total("absences_total") == worker.total("absent_series")
        silent = [event for event in events if event["dimensions"].get("host") == "silent"]
        assert [event["status"] for event in silent] == ["absent"]
        assert worker.total("points_total", outcome="dropped_series_limit") == FLOOD - (
            2_000 - SERIES - 2
        )
        assert worker.total("series_active") == 2_000
        assert worker.total("state_bytes") < 40 * 2**20
    finally:
        alone.end()
