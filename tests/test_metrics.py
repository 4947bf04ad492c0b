"""What /metrics says: each figure by name, as Prometheus reads it."""

import subprocess
from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamdet import __version__
from streamdet.metrics import CONTENT_TYPE, Metrics, Tally, scrape, severity_class
from streamdet.types import Outcome, Partition, PartitionStatus, Reason, WorkerStatus
from streamdet.web.server import WebServer

NOW_S = 1_700_000_000.0
FIRST = Partition("metrics", 0)
LAG = "streamdet_consumer_lag_records"
SECOND = Partition("metrics", 1)
OTHER = Partition("other", 0)
EVENT_TIME_COUNTERS = (
    "future_points", "grid_changes", "released_early", "imputed", "absences", "returns",
)  # fmt: skip


class FixedClock:
    def monotonic_s(self) -> float:
        return 0.0

    def time_s(self) -> float:
        return NOW_S


def metrics_of(status: WorkerStatus | None = None) -> Metrics:
    return Metrics(lambda: status or WorkerStatus(None), FixedClock())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample as a scrape finds it; None where there is none."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def tally(*, points: int = 0, **outcomes: int) -> Tally:
    made = Tally()
    made.records = made.points = points
    made.outcomes.update({Outcome[name.upper()]: count for name, count in outcomes.items()})
    return made


def partition_status(**known: int | None) -> PartitionStatus:
    unknown = {"next_offset": 0, "end_offset": None, "newest_time_us": None}
    return PartitionStatus(FIRST, **{**unknown, "n_series": 0, "state_bytes": 0, **known})


@pytest.mark.parametrize(
    ("severity", "expected"),
    [(0.0, "low"), (0.49, "low"), (0.5, "medium"), (0.74, "medium"), (0.75, "high"), (1.0, "high")],
)
def test_a_severity_has_the_class_that_metrics_advisor_gave_it(severity, expected):
    assert severity_class(severity) == expected


def test_partitions_of_a_topic_are_counted_together():
    metrics = metrics_of()
    metrics.record({FIRST: tally(points=3, ok=3), SECOND: tally(points=4, ok=4)})
    metrics.record({FIRST: tally(points=5, ok=5), OTHER: tally(points=7, ok=7)})
    assert value(metrics, "streamdet_points_consumed_total", topic="metrics") == 12
    assert value(metrics, "streamdet_points_total", topic="metrics", outcome="ok") == 12
    assert value(metrics, "streamdet_points_total", topic="other", outcome="ok") == 7


def test_every_count_of_a_tally_arrives_under_its_name():
    metrics = metrics_of()
    made = tally(points=2, ok=1, dead_lettered=1)
    made.records, made.size_bytes, made.evicted = 9, 700, 2
    made.dead_letters[Reason.VALUE] += 1
    made.undecodable[Reason.DECODE] += 3
    made.anomalies["negative", "high"] += 4
    made.incidents["negative"] += 2
    made.future, made.grid_changes, made.released_early = 11, 12, 13
    made.imputed, made.absences, made.returns = 14, 15, 16
    metrics.record({FIRST: made})
    assert value(metrics, "streamdet_records_consumed_total", topic="metrics") == 9
    assert value(metrics, "streamdet_consumed_bytes_total", topic="metrics") == 700
    assert value(metrics, "streamdet_series_evicted_total", topic="metrics") == 2
    for name, count in zip(EVENT_TIME_COUNTERS, range(11, 17), strict=True):
        assert value(metrics, f"streamdet_{name}_total", topic="metrics") == count
    by_reason = {"topic": "metrics", "reason": "value"}
    assert value(metrics, "streamdet_dead_letters_total", **by_reason) == 1
    by_reason = {"topic": "metrics", "reason": "decode"}
    assert value(metrics, "streamdet_decode_errors_total", **by_reason) == 3
    anomalies = {"topic": "metrics", "direction": "negative", "severity": "high"}
    assert value(metrics, "streamdet_anomalies_total", **anomalies) == 4
    assert value(metrics, "streamdet_incidents_total", topic="metrics", direction="negative") == 2
    assert value(metrics, "streamdet_incidents_total", topic="metrics", direction="positive") == 0


def test_what_did_not_occur_is_zero_from_the_first_commit_on():
    """A counter that appeared with its first event would hide that event from `increase`."""
    metrics = metrics_of()
    metrics.record({FIRST: Tally()})
    for outcome in Outcome:
        labels = {"topic": "metrics", "outcome": outcome.name.lower()}
        assert value(metrics, "streamdet_points_total", **labels) == 0
    for reason in Reason:
        labels = {"topic": "metrics", "reason": str(reason)}
        assert value(metrics, "streamdet_dead_letters_total", **labels) == 0
        assert value(metrics, "streamdet_decode_errors_total", **labels) == 0
    for name in EVENT_TIME_COUNTERS:
        assert value(metrics, f"streamdet_{name}_total", topic="metrics") == 0
    for result in ("committed", "aborted"):
        assert value(metrics, "streamdet_transactions_total", result=result) == 0
    for kind in ("assigned", "revoked", "lost"):
        assert value(metrics, "streamdet_rebalances_total", kind=kind) == 0


def test_two_workers_in_one_process_count_for_themselves():
    one, other = metrics_of(), metrics_of()
    one.record({FIRST: tally(points=1, ok=1)})
    assert value(other, "streamdet_points_consumed_total", topic="metrics") is None


def test_a_worker_is_ready_when_nothing_speaks_against_it():
    assert value(metrics_of(WorkerStatus(None)), "streamdet_ready") == 1
    assert value(metrics_of(WorkerStatus("the brokers are away")), "streamdet_ready") == 0


def test_the_figures_of_a_partition_are_those_of_the_moment_of_the_scrape():
    ten_s_ago_us = round((NOW_S - 10) * 1e6)
    newest = {"next_offset": 40, "end_offset": 55, "newest_time_us": ten_s_ago_us}
    statuses = [
        WorkerStatus("starts"),
        WorkerStatus(None, (partition_status(**newest, n_series=3, state_bytes=4096),)),
    ]
    metrics = Metrics(lambda: statuses[-1], FixedClock())
    at = {"topic": "metrics", "partition": "0"}
    assert value(metrics, "streamdet_assigned_partitions") == 1
    assert value(metrics, LAG, **at) == 15
    assert value(metrics, "streamdet_consumer_lag_seconds", **at) == pytest.approx(10)
    assert value(metrics, "streamdet_watermark_timestamp_seconds", **at) == NOW_S - 10
    assert value(metrics, "streamdet_series_active", **at) == 3
    assert value(metrics, "streamdet_state_bytes", **at) == 4096
    statuses.append(WorkerStatus(None))
    assert value(metrics, "streamdet_assigned_partitions") == 0
    assert value(metrics, "streamdet_series_active", **at) is None


def test_what_a_partition_holds_back_and_who_is_silent_is_shown():
    at = {"topic": "metrics", "partition": "0"}
    quiet = metrics_of(WorkerStatus(None, (partition_status(),)))
    names = ("pending_points", "absent_series", "partition_silent")
    assert [value(quiet, f"streamdet_{name}", **at) for name in names] == [0, 0, 0]
    status = partition_status(n_pending=40, n_absent=3, silent=True)
    silent = metrics_of(WorkerStatus(None, (status,)))
    assert [value(silent, f"streamdet_{name}", **at) for name in names] == [40, 3, 1]


def test_a_lag_that_is_not_known_is_left_out_and_none_is_negative():
    at = {"topic": "metrics", "partition": "0"}
    unknown = metrics_of(WorkerStatus(None, (partition_status(next_offset=7),)))
    assert value(unknown, LAG, **at) is None
    assert value(unknown, "streamdet_consumer_lag_seconds", **at) is None
    nothing_read = partition_status(next_offset=None, end_offset=500)
    assert value(metrics_of(WorkerStatus(None, (nothing_read,))), LAG, **at) is None
    stale_end = partition_status(next_offset=7, end_offset=5)
    assert value(metrics_of(WorkerStatus(None, (stale_end,))), LAG, **at) == 0


def test_the_build_tells_its_version():
    (labels,) = [
        sample.labels
        for family in text_string_to_metric_families(metrics_of().render().decode())
        for sample in family.samples
        if sample.name == "streamdet_build_info"
    ]
    assert labels["version"] == __version__


def test_promtool_finds_nothing_to_say_of_the_exposition(promtool):
    metrics = metrics_of(WorkerStatus(None, (partition_status(end_offset=1, newest_time_us=1),)))
    metrics.record({FIRST: Tally()})
    metrics.stage_seconds.labels("decode").observe(0.001)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.render(), capture_output=True
    )
    assert checked.returncode == 0
    assert checked.stdout + checked.stderr == b""


def test_scrape_reads_what_a_worker_serves():
    metrics = metrics_of()
    metrics.record({FIRST: tally(points=3, ok=2, late=1)})
    pages = {"/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, metrics.render())}
    with WebServer("127.0.0.1", 0, pages) as server:
        samples = scrape(f"http://127.0.0.1:{server.port}/metrics")
    labels = {("topic", "metrics"), ("outcome", "late")}
    assert samples["streamdet_points_total", frozenset(labels)] == 1
    with pytest.raises(OSError, match="refused"):
        scrape(f"http://127.0.0.1:{server.port}/metrics")
