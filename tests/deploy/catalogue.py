"""The metrics that are really exposed, and what PromQL makes use of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from streamdet.metrics import HttpMetrics, Metrics, Tally, WorkerMetrics
from streamdet.types import Partition, PartitionStatus, WorkerStatus

PARTITION = Partition("metrics", 0)
TARGET_LABELS = {"job", "instance"}

_SELECTOR = re.compile(r"\b(streamdet_\w+)(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_BY = re.compile(r"\bby\s*\(([^)]*)\)")


class FixedClock:
    def monotonic_s(self) -> float:
        return 0.0

    def time_s(self) -> float:
        return 1_700_000_000.0


@dataclass(frozen=True)
class Family:
    """One metric: its name as Prometheus stores it, its type, and its own labels."""

    name: str
    type: str
    labels: frozenset[str]
    samples: frozenset[str]


def metrics_in_use() -> tuple[Metrics, HttpMetrics]:
    """Return metrics of which every one has a sample, on one registry."""
    newest_us = 1_699_999_990_000_000
    status = WorkerStatus(None, (PartitionStatus(PARTITION, 5, 8, newest_us, 3, 4096),))
    metrics = Metrics(lambda: status, FixedClock())
    metrics.record({PARTITION: Tally()})
    metrics.stage_seconds.labels("decode").observe(0.001)
    http = HttpMetrics(metrics.registry, lambda: 0)
    http.count("last-v1.1", 200, 0.01)
    return metrics, http


def other_families() -> dict[str, Family]:
    """Return what is beside them: of several workers' parent."""
    return _families(WorkerMetrics([1]).registry)


def families() -> dict[str, Family]:
    """Return the catalogue by name."""
    return _families(metrics_in_use()[0].registry)


def _families(registry: CollectorRegistry) -> dict[str, Family]:
    found = {}
    for family in registry.collect():
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        samples = [each for each in family.samples if not each.name.endswith("_created")]
        labels = frozenset(label for each in samples for label in each.labels) - {"le"}
        names = frozenset(each.name for each in samples)
        found[name] = Family(name, family.type, labels, names)
    return found


def unknown_parts(expression: str) -> Iterator[str]:
    """Yield the metrics and labels of a PromQL expression that no worker exposes."""
    by_sample = {sample: each for each in families().values() for sample in each.samples}
    known = set(TARGET_LABELS)
    for name, matchers in _SELECTOR.findall(expression):
        if name not in by_sample:
            yield name
            continue
        own = by_sample[name].labels | ({"le"} if name.endswith("_bucket") else set())
        known |= own
        for label in _MATCHER.findall(matchers):
            if label not in own | TARGET_LABELS:
                yield f"{name}: {label}"
    for labels in _BY.findall(expression):
        yield from (label for label in re.findall(r"\w+", labels) if label not in known)
