"""The whole service on the in-memory broker, for tests that look at it from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from streamdet.app import build
from streamdet.config import Config
from streamdet.pipeline import Pipeline
from streamdet.testing import (
    ManualClock,
    MemoryBroker,
    MemoryConsumer,
    MemoryProducer,
    MemoryReader,
)
from streamdet.types import Outcome, OutgoingRecord

INPUT, ANOMALIES, DEAD_LETTERS, GROUP = "metrics", "anomalies", "dead-letters", "group"
STATE = "state"
START_MS = 1_614_686_400_000
MINUTE_MS = 60_000


def config(**settings: object) -> Config:
    """The settings of a test; `commit_interval` so small that every turn of the clock commits."""
    return Config.model_validate(
        {
            "kafka": {"group_id": GROUP},
            "input": {"topics": [INPUT]},
            "output": {
                "anomalies": ANOMALIES,
                "dead_letters": DEAD_LETTERS,
                "publish": settings.pop("publish", "anomalies"),
            },
            "state": {"topic": STATE},
            **settings,
        }
    )


def broker(partitions: int = 1) -> MemoryBroker:
    made = MemoryBroker()
    made.create_topic(INPUT, partitions)
    made.create_topic(ANOMALIES)
    made.create_topic(DEAD_LETTERS)
    made.create_topic(STATE, partitions)
    return made


class Worker:
    """A worker whose loop a test turns by hand."""

    def __init__(self, on: MemoryBroker, settings: Config | None = None, name: str = "w") -> None:
        settings = settings or config()
        self.clock = ManualClock()
        self.consumer = MemoryConsumer(on, GROUP)
        exactly_once = settings.delivery == "exactly_once"
        self.producer = MemoryProducer(on, name if exactly_once else None)
        self.pipeline: Pipeline = build(
            settings, self.consumer, self.producer, self.clock, partial(MemoryReader, on)
        )
        self.consumer.subscribe([INPUT], self.pipeline)
        self._joined = False

    def turn(self, times: int = 1, commit: bool = True) -> None:
        if not self._joined:  # reading begins with the turn after the one that partitions come in
            self._joined = True
            self.pipeline.step()
        for _ in range(times):
            if commit:
                self.clock.advance(60)
            self.pipeline.step()

    def drain(self) -> None:
        """Turn until nothing is to be restored, and three turns in a row brought nothing new."""
        still, seen = 0, None
        while still < 3:
            self.turn()
            now = [p.next_offset for p in self.pipeline.status.partitions]
            same = now == seen and self.pipeline.status.not_ready is None
            still, seen = (still + 1 if same else 0), now

    def metric(self, name: str, **labels: str) -> float:
        return self.pipeline.metrics.registry.get_sample_value(f"streamdet_{name}", labels) or 0.0

    def outcomes(self) -> dict[str, float]:
        found = {
            o.name.lower(): self.metric("points_total", topic=INPUT, outcome=o.name.lower())
            for o in Outcome
        }
        return {name: count for name, count in found.items() if count}


def point(minute: int, value: float, metric: str = "m", **dimensions: str) -> bytes:
    fields = {"metric": metric, "timestamp": START_MS + minute * MINUTE_MS, "value": value}
    if dimensions:
        fields["dimensions"] = dimensions
    return json.dumps(fields).encode()


def noise(n: int, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).normal(100, 1, n).round(4).tolist()


def with_spikes(n: int, at: Sequence[int], seed: int = 0) -> list[float]:
    values = noise(n, seed)
    for i in at:
        values[i] += 50
    return values


def produce(on: MemoryBroker, values: Iterable[bytes | None], partition: int = 0, key=b"k") -> None:
    for value in values:
        on.append(OutgoingRecord(INPUT, key, value, timestamp_ms=START_MS), partition)


def anomalies(on: MemoryBroker, isolation: str = "read_committed") -> list[dict]:
    return [event for event in events(on, isolation) if event["isAnomaly"]]


def events(on: MemoryBroker, isolation: str = "read_committed") -> list[dict]:
    return [json.loads(record.value) for record in on.read(ANOMALIES, isolation)]
