"""A real Prometheus reads a worker's metrics, and what it has is what was produced."""

from __future__ import annotations

import math
import subprocess
import urllib.request
from pathlib import Path

from streamdet.types import OutgoingRecord
from tests.integration.topics import produce
from tests.integration.worker import Stream, wait_until
from tests.servers.prometheus import Prometheus
from tests.service import point, with_spikes

POINTS = 400
OUTCOMES = {
    "ok": POINTS,
    "late": 3,
    "duplicate": 2,
    "dead_lettered": 5,
    "dropped_series_limit": 1,
    "tombstone": 4,
    "off_grid": 0,
}


def records(topic: str) -> list[OutgoingRecord]:
    values = [point(i, v) for i, v in enumerate(with_spikes(POINTS, [100, 200, 300]))]
    values += [point(POINTS - 9, 100)] * 3 + [point(POINTS - 1, 100)] * 2
    values += [b"no JSON"] * 3 + [b'[{"metric":"m","value":null},{"metric":"","value":1}]']
    values += [point(0, 1, "beyond_max_series"), None, None, None, None]
    return [OutgoingRecord(topic, b"k", value) for value in values]


def test_prometheus_has_what_was_produced(stream: Stream, prometheus_binary: Path, promtool: Path):
    stream.create_topics()
    produced = records(stream.input)
    worker = stream.worker(limits={"max_series": 1}).wait_ready()
    with Prometheus(prometheus_binary, [worker.address]) as prometheus:

        def value(query: str) -> float:
            found = prometheus.query(query)
            return float(found[0]["value"][1]) if found else math.nan

        produce(stream.bootstrap, produced)
        consumed = f'streamdet_points_consumed_total{{topic="{stream.input}"}}'
        lag = "streamdet_consumer_lag_records"
        wait_until(
            lambda: value(consumed) >= sum(OUTCOMES.values()) and value(lag) == 0,
            "a scrape of every point",
        )

        assert value('up{job="streamdet"}') == 1
        assert value(consumed) == sum(OUTCOMES.values())
        assert {
            sample["metric"]["outcome"]: int(sample["value"][1])
            for sample in prometheus.query("streamdet_points_total")
        } == OUTCOMES
        assert value("sum(streamdet_records_consumed_total)") == len(produced)
        sizes = sum(len(record.value or b"") for record in produced)
        assert value("sum(streamdet_consumed_bytes_total)") == sizes
        assert value("sum(streamdet_dead_letters_total)") == 5
        assert value('sum(streamdet_dead_letters_total{reason="decode"})') == 3
        assert value("sum(streamdet_decode_errors_total)") == 3
        assert value('sum(streamdet_anomalies_total{direction="positive"})') >= 3
        assert value("streamdet_series_active") == 1
        assert value("streamdet_ready") == 1

    with urllib.request.urlopen(f"http://{worker.address}/metrics", timeout=10) as response:
        exposition = response.read()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    worker.stop()
