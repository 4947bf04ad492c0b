"""Every metric of streamdet, by name, unit and labels; the only module that knows Prometheus.

Rules: base units, `_total` for counters, timestamps rather than ages, and no label whose values
a producer of points can choose. Counters of points move only after the commit that makes their
outcome final, so after an abort and a second reading nothing is counted twice, and
``streamdet_points_consumed_total`` always equals the sum of ``streamdet_points_total`` over its
outcomes.
"""

from __future__ import annotations

import platform
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from urllib.request import ProxyHandler, build_opener

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from streamdet import __version__
from streamdet.clock import Clock
from streamdet.types import Outcome, Partition, Reason, WorkerStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST

# A third of the exposition, and nothing that Prometheus' text format needs.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no type for it

# From one small batch of an idle topic to a stalled broker.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2000, 4000, 8000)

_DIRECT = build_opener(ProxyHandler({}))  # a worker is near; no proxy of the environment's

SEVERITIES = ("low", "medium", "high")


def severity_class(severity: float) -> str:
    """Return Metrics Advisor's class of a severity: low below 0.5, high from 0.75 on."""
    return "low" if severity < 0.5 else "medium" if severity < 0.75 else "high"


class Tally:
    """What one partition did since the last commit; counted once that commit holds."""

    def __init__(self) -> None:
        self.records = 0
        self.lost = 0
        self.size_bytes = 0
        self.points = 0
        self.outcomes: Multiset[Outcome] = Multiset()
        self.dead_letters: Multiset[Reason] = Multiset()
        self.undecodable: Multiset[Reason] = Multiset()
        self.anomalies: Multiset[tuple[str, str]] = Multiset()
        self.incidents: Multiset[str] = Multiset()
        self.evicted = 0
        self.future = 0
        self.grid_changes = 0
        self.released_early = 0
        self.imputed = 0
        self.absences = 0
        self.returns = 0


_BY_TOPIC = (
    ("records", "records_consumed", "Records read."),
    ("lost", "lost_records", "Records that were gone before they were read."),
    ("size_bytes", "consumed_bytes", "Bytes of record values."),
    (
        "points",
        "points_consumed",
        "Points found in the records; a record without a readable point counts as one.",
    ),
    ("evicted", "series_evicted", "Series let go: idle for limits.series_ttl."),
    ("future", "future_points", "Points too far ahead of the others to move the watermark."),
    ("grid_changes", "grid_changes", "Series whose granularity was learnt anew."),
    (
        "released_early",
        "released_early",
        "Points released before their time: limits.max_pending_points was reached.",
    ),
    ("imputed", "imputed", "Missing values filled in."),
    ("absences", "absences", "Series that went silent."),
    ("returns", "returns", "Absent series that came back."),
)
"""Field of a tally, name and text of its counter, for all that have no label but the topic."""


class Metrics:
    """The catalogue, registered on a registry of its own.

    Parameters
    ----------
    status : callable
        Returns the worker's newest status; asked at each scrape.
    clock : Clock
        Its wall clock turns event times into lag seconds, at the scrape only.
    """

    def __init__(self, status: Callable[[], WorkerStatus], clock: Clock) -> None:
        self.registry = CollectorRegistry()
        # A scrape between two of the counters of one commit would see points without outcome.
        self._whole = Lock()
        self._shown: set[str] = set()
        self._by_topic = {
            field: self._counter(name, text, "topic") for field, name, text in _BY_TOPIC
        }
        self.points = self._counter(
            "points",
            "Points by what became of them; the outcomes add up to the points consumed.",
            "topic",
            "outcome",
        )
        self.decode_errors = self._counter(
            "decode_errors", "Records refused as a whole.", "topic", "reason"
        )
        self.dead_letters = self._counter(
            "dead_letters", "Records and points sent to the dead-letter topic.", "topic", "reason"
        )
        self.anomalies = self._counter(
            "anomalies",
            "Anomalous points by direction and severity class.",
            "topic",
            "direction",
            "severity",
        )
        self.incidents = self._counter(
            "incidents", "Incidents that began, by direction of the onset.", "topic", "direction"
        )
        self.rebalances = self._counter(
            "rebalances", "Partitions assigned, revoked and lost.", "kind"
        )
        self.transactions = self._counter(
            "transactions",
            "Commits by result; under at_least_once a commit of offsets counts.",
            "result",
        )
        self.stage_seconds = self._histogram(
            "stage_seconds", "Seconds a batch spends in a stage.", _SECONDS, "stage"
        )
        self.commit_seconds = self._histogram("commit_seconds", "Seconds of a commit.", _SECONDS)
        self.batch_records = self._histogram("batch_records", "Records in a batch.", _RECORDS)
        self.state_bytes = self._counter("state_written_bytes", "Bytes sent to the state topic.")
        self.state_problems = self._counter(
            "state_problems", "Parts of the state that could not be used; see the log."
        )
        self.restore_seconds = self._histogram(
            "restore_seconds", "Seconds from an assignment to the first new verdict.", _SECONDS
        )
        self.compile_seconds = Gauge(
            "streamdet_jit_compile_seconds",
            "Seconds the kernels took to load.",
            registry=self.registry,
        )
        Info("streamdet_build", "Versions.", registry=self.registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        for result in ("committed", "aborted"):
            self.transactions.labels(result)
        for kind in ("assigned", "revoked", "lost"):
            self.rebalances.labels(kind)
        self.registry.register(_StatusCollector(status, clock))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"streamdet_{name}_total", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"streamdet_{name}", text, labels, buckets=buckets, registry=self.registry)

    def record(self, tallies: Mapping[Partition, Tally]) -> None:
        """Add what was committed. Outcomes and reasons that did not occur appear as zero."""
        with self._whole:
            for partition, tally in tallies.items():
                self._add(partition.topic, tally)

    def _add(self, topic: str, tally: Tally) -> None:
        if topic not in self._shown:
            self._shown.add(topic)
            self._show(topic)
        for field, counter in self._by_topic.items():
            if count := getattr(tally, field):
                counter.labels(topic).inc(count)
        for outcome, count in tally.outcomes.items():
            self.points.labels(topic, outcome.name.lower()).inc(count)
        for reason, count in tally.dead_letters.items():
            self.dead_letters.labels(topic, reason).inc(count)
        for reason, count in tally.undecodable.items():
            self.decode_errors.labels(topic, reason).inc(count)
        for direction, count in tally.incidents.items():
            self.incidents.labels(topic, direction).inc(count)
        for (direction, severity), count in tally.anomalies.items():
            self.anomalies.labels(topic, direction, severity).inc(count)

    def _show(self, topic: str) -> None:
        """Let all that is counted of a topic appear, at zero."""
        for counter in self._by_topic.values():
            counter.labels(topic)
        for outcome in Outcome:
            self.points.labels(topic, outcome.name.lower())
        for reason in Reason:
            self.dead_letters.labels(topic, reason)
            self.decode_errors.labels(topic, reason)
        for direction in ("positive", "negative"):
            self.incidents.labels(topic, direction)
            for severity in SEVERITIES:
                self.anomalies.labels(topic, direction, severity)

    def render(self) -> bytes:
        """Return the exposition of all metrics as Prometheus' text format (`CONTENT_TYPE`)."""
        with self._whole:
            return generate_latest(self.registry)


def _ready(is_ready: bool) -> GaugeMetricFamily:
    text = "1 while the worker processes its partitions."
    return GaugeMetricFamily("streamdet_ready", text, float(is_ready))


class HttpMetrics:
    """What `streamdet serve` counts beside its points, on the same registry.

    Parameters
    ----------
    registry : CollectorRegistry
    n_calls : callable
        Returns the calls that run or wait in the workers; asked at each scrape.
    """

    def __init__(self, registry: CollectorRegistry, n_calls: Callable[[], int]) -> None:
        self._requests = Counter(
            "streamdet_http_requests_total",
            "Requests answered.",
            ("operation", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "streamdet_http_request_seconds",
            "Seconds from a request's head to its answer.",
            ("operation",),
            buckets=_SECONDS,
            registry=registry,
        )
        calls = Gauge(
            "streamdet_worker_calls",
            "Univariate requests that are computed, or wait for it.",
            registry=registry,
        )
        calls.set_function(n_calls)

    def count(self, operation: str, status: int, seconds: float) -> None:
        """Count one request; `operation` is of the catalogue, never what a client has sent."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)


class _StatusCollector(Collector):
    """Gauges that are read from the worker's status when a scrape asks, never set in the loop."""

    def __init__(self, status: Callable[[], WorkerStatus], clock: Clock) -> None:
        self._status = status
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield _ready(status.not_ready is None)
        assigned = GaugeMetricFamily("streamdet_assigned_partitions", "Partitions assigned.")
        assigned.add_metric([], len(status.partitions))
        yield assigned

        def gauge(name: str, text: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, text, labels=["topic", "partition"])

        lag = gauge(
            "streamdet_consumer_lag_records", "Records between the last commit and the end."
        )
        lag_seconds = gauge("streamdet_consumer_lag_seconds", "Now minus the watermark.")
        watermark = gauge(
            "streamdet_watermark_timestamp_seconds", "Event time that the partition has reached."
        )
        pending = gauge("streamdet_pending_points", "Points held back until their time has come.")
        absent = gauge("streamdet_absent_series", "Series that are silent: absent_after.")
        silent = gauge(
            "streamdet_partition_silent", "1 when no record has come for longer than absent_after."
        )
        held = gauge(
            "streamdet_partition_held", "1 while its next dead letter cannot be written; it waits."
        )
        series = gauge("streamdet_series_active", "Series with state.")
        state = gauge("streamdet_state_bytes", "Bytes of state: table, rows and rings.")
        for at in status.partitions:
            labels = [at.partition.topic, str(at.partition.index)]
            if at.end_offset is not None and at.next_offset is not None:
                lag.add_metric(labels, max(0, at.end_offset - at.next_offset))
            if at.newest_time_us is not None:
                watermark.add_metric(labels, at.newest_time_us / 1e6)
                lag_seconds.add_metric(labels, self._clock.time_s() - at.newest_time_us / 1e6)
            series.add_metric(labels, at.n_series)
            state.add_metric(labels, at.state_bytes)
            pending.add_metric(labels, at.n_pending)
            absent.add_metric(labels, at.n_absent)
            silent.add_metric(labels, at.silent)
            held.add_metric(labels, at.held)
        yield from (lag, lag_seconds, watermark, pending, absent, silent, held, series, state)


class WorkerMetrics:
    """What the parent of several workers exposes: theirs, each with its number, and its own.

    Parameters
    ----------
    workers
        Their numbers.
    """

    def __init__(self, workers: Iterable[int]) -> None:
        self.registry = CollectorRegistry()
        self._restarts = Counter(
            "streamdet_worker_restarts_total",
            "Workers that ended and were started again.",
            ["worker"],
            registry=self.registry,
        )
        for number in workers:
            self._restarts.labels(str(number))

    def restarted(self, worker: int) -> None:
        """Count a worker that is started again."""
        self._restarts.labels(str(worker)).inc()

    def render(self, exposed: Mapping[int, str | None]) -> bytes:
        """Return one exposition of all.

        exposed : of each worker, what its /metrics says; None, which makes it one that is not
            ready, where it does not answer.
        """
        together = CollectorRegistry()
        together.register(_Together(exposed))
        return generate_latest(self.registry) + generate_latest(together)


class _Together(Collector):
    """The samples of several workers, by metric as the text format asks, each with `worker`."""

    def __init__(self, exposed: Mapping[int, str | None]) -> None:
        self._exposed = exposed

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for worker, text in self._exposed.items():
            said = [_ready(False)] if text is None else text_string_to_metric_families(text)
            for family in said:
                name, text_of, kind = family.name, family.documentation, family.type
                into = found.setdefault(name, Metric(name, text_of, kind))
                into.samples += [
                    Sample(each.name, {"worker": str(worker), **each.labels}, each.value)
                    for each in family.samples
                ]
        yield from found.values()


def scrape(url: str, timeout_s: float = 2.0) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read a worker's /metrics: (sample name, labels) -> value.

    Raises
    ------
    OSError
        The address does not answer.
    """
    with _DIRECT.open(url, timeout=timeout_s) as response:
        text = response.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
