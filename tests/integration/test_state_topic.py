"""`streamdet state` on a real broker: workers' state is looked at, written to a file, deleted."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from streamdet.types import OutgoingRecord
from tests.integration.topics import produce, read
from tests.integration.worker import Stream, wait_until
from tests.service import START_MS, point, with_spikes

HOSTS, MINUTES, MORE = 4, 40, 15
PURGED = 'm{host="2"}'


def fed(stream: Stream, first: int, stop: int) -> None:
    values = [with_spikes(100, at=[30], seed=host) for host in range(HOSTS)]
    produce(
        stream.bootstrap,
        [
            OutgoingRecord(
                stream.input,
                str(host).encode(),
                point(minute, values[host][minute], host=str(host)),
                timestamp_ms=START_MS,
            )
            for minute in range(first, stop)
            for host in range(HOSTS)
        ],
    )


def worked(stream: Stream, n_points: int, **settings: Any) -> None:
    """Let a worker process so many points, and end it."""
    worker = stream.worker(**settings).wait_ready()
    wait_until(lambda: worker.total("points_total") == n_points, "the points")
    worker.stop()


def command(stream: Stream, *words: str, code: int = 0, delivery: str = "exactly_once") -> str:
    config = stream.folder / "state.yaml"
    config.write_text(json.dumps(stream.settings(delivery=delivery)))
    done = stream.cli("state", *words, "--config", str(config))
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


def exported(stream: Stream, name: str) -> dict[str, dict[str, Any]]:
    """Return the row of each host."""
    command(stream, "export", name)
    rows = [json.loads(line) for line in (stream.folder / name).read_text().splitlines()]
    return {row["dimensions"]["host"]: row for row in rows}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_purged_series_is_cold_after_a_restart_and_the_others_go_on(
    stream: Stream, delivery: str
):
    stream.create_topics(partitions=2)
    settings = {"output": {"publish": "all"}, "delivery": delivery}
    fed(stream, 0, MINUTES)
    worker = stream.worker(**settings).wait_ready()
    wait_until(lambda: worker.total("points_total") == HOSTS * MINUTES, "the points")
    refusal = command(stream, "purge", "--series", PURGED, code=1)
    assert f"group '{stream.group}' has members: " in refusal
    assert "stop them, then purge" in refusal
    dry = command(stream, "purge", "--series", PURGED, "--dry-run")
    assert dry.startswith(f"{PURGED} from {stream.input}[")
    worker.stop()

    before = exported(stream, "before.jsonl")
    assert sorted(before) == ["0", "1", "2", "3"]
    summary = json.loads(command(stream, "inspect", "--json"))
    assert summary["sound"]
    assert sum(each["nextOffset"] for each in summary["partitions"]) >= HOSTS * MINUTES
    assert {each["replayedOffsets"] for each in summary["partitions"]} == {0}
    assert PURGED in command(stream, "inspect", "--series", PURGED)

    assert "1 removed; " in command(stream, "purge", "--series", PURGED, delivery=delivery)
    assert json.loads(command(stream, "inspect", "--json"))["sound"]
    assert "has no state of it" in command(stream, "inspect", "--series", PURGED, code=1)
    after = exported(stream, "after.jsonl")
    assert after == {host: row for host, row in before.items() if host != "2"}

    fed(stream, MINUTES, MINUTES + MORE)
    worked(stream, HOSTS * MORE, **settings)
    events = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    assert len(events) == HOSTS * (MINUTES + MORE)
    warming = Counter(
        event["dimensions"]["host"] for event in events if event["status"] == "warming"
    )
    assert warming == {"0": 12, "1": 12, "2": 24, "3": 12}
