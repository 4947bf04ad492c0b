"""One run: brokers, workers, producers, faults, and the count at the end."""

from __future__ import annotations

import random
import re
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamdet.config import load
from streamdet.warm import warm
from tests.integration.topics import ends
from tests.integration.worker import Stream, Worker
from tests.servers.cluster import KafkaCluster
from tests.servers.kafka import create_topic
from tests.torture.check import Findings, check, keep, wait_until_decided
from tests.torture.faults import BROKER_FAULTS, SESSION_TIMEOUT_S, WORKER_FAULTS, Fault, Faults
from tests.torture.feed import Feed
from tests.torture.points import ROLLUP, RULES, SERIES_TTL, Points
from tests.torture.progress import Progress

TRANSACTION_TIMEOUT_S = 10
_BEGIN_TIMEOUT_S = 110  # the first start after a change of the kernels compiles them
_DRAIN_TIMEOUT_S = 180
_FEED_LATE_MAX_S = 300
_STATE_TOPIC = {
    "cleanup.policy": "compact",
    # so that compaction is at work within the run
    "segment.bytes": str(2**20),
    "segment.ms": "10000",
    "min.cleanable.dirty.ratio": "0.01",
}
_RESTORED = re.compile(
    r"restored \d+ series from (\d+) bytes of state, replayed offsets (\d+) to (\d+)"
)
_UNSOUND = "begin cold"


@dataclass(frozen=True)
class Plan:
    """What a run is asked for."""

    minutes: float
    seed: int
    workers: int = 3
    partitions: int = 8
    n_series: int = 2_000
    points: int = 200_000

    @property
    def settings(self) -> dict[str, Any]:
        """What the seed draws of the workers' settings."""
        chance = random.Random(f"{self.seed} settings")
        return {
            "commit_interval": chance.choice(("100ms", "500ms", "1s")),
            "limits": {"batch_records": chance.choice((300, 4_000))},
            "state": {"bytes_per_second": chance.choice(("64KiB", "512KiB", "4MiB"))},
            "rollup": chance.random() < 0.3,
            "static_members": chance.choice((0, 1, self.workers)),
            "commit_mode": chance.choice(("interval", "eager")),
        }


@dataclass
class Report:
    """What a run did, and found."""

    plan: Plan
    findings: Findings = field(default_factory=Findings)
    faults: list[Fault] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """Workers that ended by themselves; they were started again."""
    unsound: list[str] = field(default_factory=list)
    """Workers that hung; and lines of their logs: state that could not be used."""
    held_up_s: Mapping[str, list[float]] = field(default_factory=dict)
    replayed: list[int] = field(default_factory=list)
    restored_bytes: list[int] = field(default_factory=list)
    failure: str | None = None
    """Why nothing could be checked."""
    logs: Path | None = None

    @property
    def holds(self) -> bool:
        """Whether all invariants hold."""
        return self.failure is None and not self.findings.wrong and not self.unsound

    def lines(self) -> list[str]:
        """Return the report as text."""
        findings, plan = self.findings, self.plan
        kinds = Counter(fault.kind for fault in self.faults)
        rows = [("seed", plan.seed), ("drawn", plan.settings), ("events", findings.events)]
        rows += [(f"points {o.name.lower()}", n) for o, n in sorted(findings.outcomes.items())]
        for kind in (*WORKER_FAULTS, *BROKER_FAULTS):
            held_up = self.held_up_s.get(kind, [])
            text = f"{kinds[kind]:4d}"
            if held_up:
                text += f"   all partitions on their way after {statistics.median(held_up):.1f} s"
                text += f" (median), {max(held_up):.1f} s (longest)"
            rows.append((kind, text))
        if self.replayed:
            records = f"{statistics.median(self.replayed):.0f} (median), {max(self.replayed)}"
            rows.append(("restores", len(self.replayed)))
            rows.append(("records replayed", f"{records} (most)"))
            rows.append(("state bytes read", f"{sum(self.restored_bytes)} in all"))
        found = [f"{name:20} {value}" for name, value in rows]
        found += [f"{count:20d} x {kind}" for kind, count in findings.wrong.items()]
        found += [*self.surprises, *self.unsound, *findings.where(), *findings.shown]
        found += [self.failure] if self.failure else []
        verdict = "all invariants hold" if self.holds else f"FAILED with seed {plan.seed}"
        if self.logs is not None:
            verdict += f"; logs, configuration and records in {self.logs}"
        return [*found, verdict]


def run(plan: Plan, say: Callable[[str], None] = print) -> Report:
    """Torture a group of workers, and check what came of it.

    Everything that is started here has ended when this returns. The logs stay if anything is
    wrong.
    """
    warm()  # once, and not in every worker at the same time
    folder = Path(tempfile.mkdtemp(prefix=f"streamdet-torture-{plan.seed}-"))
    with KafkaCluster() as cluster:
        stream = Stream(cluster.bootstrap, lambda name: name, folder)
        try:
            report = _Run(plan, cluster, stream, say).whole()
        finally:
            stream.end()
    if report.holds:
        shutil.rmtree(folder)
    else:
        report.logs = folder
    return report


class _Run:
    def __init__(
        self, plan: Plan, cluster: KafkaCluster, stream: Stream, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._cluster = cluster
        self._stream = stream
        self._report = Report(plan)
        began_s = time.monotonic()
        self._say = lambda text: say(f"{time.monotonic() - began_s:7.1f} s  {text}")
        minutes = max(1, plan.points // plan.n_series)
        self._points = Points(plan.seed, plan.n_series, minutes, plan.partitions)

    def whole(self) -> Report:
        plan, stream, report = self._plan, self._stream, self._report
        for topic in (stream.input, stream.anomalies, stream.dead_letters):
            create_topic(stream.bootstrap, topic, plan.partitions, {"retention.ms": "-1"})
        create_topic(stream.bootstrap, stream.state, plan.partitions, _STATE_TOPIC)
        feed = Feed(stream.bootstrap, stream.input, self._points, plan.minutes * 60)
        progress = Progress(stream.bootstrap, stream.group, stream.input, plan.partitions)
        faults = Faults(plan.seed, self._cluster, self._start, plan.workers, self._say)
        try:
            report.failure = self._load(feed, progress, faults)
        finally:
            feed.stop.set()
            faults.stop()
            progress.close()
            faults.end()
        report.faults, report.surprises = faults.done, faults.surprises
        report.unsound += faults.hung
        self._take_times(progress)
        self._read_logs()
        if report.failure is None:
            self._say("checking")
            config = load(stream.folder / "worker-0.yaml")
            report.findings = check(stream.bootstrap, config, plan.partitions, feed.outcomes)
            for index in sorted({index for _, index in report.findings.places}):
                for topic in (stream.input, stream.state):
                    keep(stream.bootstrap, topic, index, stream.folder)
        return report

    def _load(self, feed: Feed, progress: Progress, faults: Faults) -> str | None:
        """Write under faults, then wait until all is processed; return what went wrong."""
        stream, partitions = self._stream, self._plan.partitions
        feed.start()
        if not _wait(lambda: min(progress.offsets()) > 0, _BEGIN_TIMEOUT_S):
            return f"no commit on some partition within {_BEGIN_TIMEOUT_S} s"
        faults.begin()
        _wait(lambda: not feed.running(), self._plan.minutes * 60 + _FEED_LATE_MAX_S)
        faults.stop()
        feed.stop.set()
        feed.close()
        if feed.errors:
            return f"the producers failed: {feed.errors[0]!r}"
        self._say(f"{feed.outcomes.total()} points written; waiting for the group")
        ends = self._ends()
        if not _wait(lambda: progress.offsets() == ends, _DRAIN_TIMEOUT_S):
            return f"offsets stand at {progress.offsets()}, the input ends at {ends}"
        faults.end()
        for topic in (stream.anomalies, stream.dead_letters):
            timeout_s = 6 * TRANSACTION_TIMEOUT_S
            if not wait_until_decided(stream.bootstrap, topic, partitions, timeout_s):
                return f"a transaction in {topic} is still open after {timeout_s} s"
        return None

    def _ends(self) -> tuple[int, ...]:
        found = ends(self._stream.bootstrap, self._stream.input)
        return tuple(found.get(index, 0) for index in range(self._plan.partitions))

    def _start(self, number: int) -> Worker:
        drawn = self._plan.settings
        kafka: dict[str, Any] = {
            "consumer_options": {
                "session.timeout.ms": SESSION_TIMEOUT_S * 1_000,
                "heartbeat.interval.ms": 500,
            }
        }
        if number < drawn["static_members"]:
            kafka["instance_id"] = f"worker-{number}"
        rules = [dict(rule) for rule in RULES]
        if drawn["rollup"]:
            for rule in rules:
                if "aggregate" in rule["set"]:
                    rule["set"] = {**rule["set"], "rollup": ROLLUP}
        return self._stream.worker(
            f"worker-{number}",
            kafka=kafka,
            output={"publish": "all"},
            commit_mode=drawn["commit_mode"],
            commit_interval=drawn["commit_interval"],
            transaction_timeout=f"{TRANSACTION_TIMEOUT_S}s",
            limits={**drawn["limits"], "series_ttl": SERIES_TTL},
            state=drawn["state"],
            rules=rules,
        )

    def _take_times(self, progress: Progress) -> None:
        found: dict[str, list[float]] = {}
        for fault in self._report.faults:
            held_up_s = progress.held_up_s(fault.at_s)
            if held_up_s is not None:
                found.setdefault(fault.kind, []).append(held_up_s)
        self._report.held_up_s = found

    def _read_logs(self) -> None:
        for number in range(self._plan.workers):
            log = (self._stream.folder / f"worker-{number}.log").read_text(errors="replace")
            for size_bytes, first, end in _RESTORED.findall(log):
                self._report.replayed.append(int(end) - int(first))
                self._report.restored_bytes.append(int(size_bytes))
            self._report.unsound += [line for line in log.splitlines() if _UNSOUND in line][:3]


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
