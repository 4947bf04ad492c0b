"""One run of one contender over all records, in a process of its own; prints points a second.

python -m benchmarks.whole_path bare|exactly_once|at_least_once|unaligned BOOTSTRAP
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer

from benchmarks.data import N_POINTS, TOPICS
from streamdet.app import build
from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.event_time import EventTime
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.producer import KafkaProducer
from streamdet.kernels.align import Arrivals
from streamdet.kernels.header import NEVER, RESTART
from streamdet.kernels.release import Columns
from streamdet.ports import RecordReader
from streamdet.state.store import Pool
from streamdet.warm import warm

_GIVE_UP_S = 300.0


def bare(bootstrap: str) -> float:
    """Consume 1000 records a call and drop them: what the client alone can do."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 2,
        }
    )
    consumer.subscribe(list(TOPICS))
    seen, began_s = 0, 0.0
    deadline_s = time.monotonic() + _GIVE_UP_S
    while seen < N_POINTS and time.monotonic() < deadline_s:
        seen += len(consumer.consume(1000, 0.1))
        began_s = began_s or (time.perf_counter() if seen else 0.0)
    took_s = time.perf_counter() - began_s
    consumer.close()
    return seen / took_s


def _no_reader(topic: str, spans: object) -> RecordReader:
    raise AssertionError("without a state topic nothing is restored")


class Span(NamedTuple):
    """When a run was at work, on the clock that all processes share, and on how many points."""

    began_s: float
    ended_s: float
    n_points: int

    @property
    def rate(self) -> float:
        """Points a second."""
        return self.n_points / (self.ended_s - self.began_s)


def whole_path(
    bootstrap: str,
    delivery: str,
    topics: Sequence[str] = TOPICS,
    wait: Callable[[], object] = lambda: None,
) -> Span:
    """Run the ordinary pipeline until every point of `topics` is committed.

    wait : called when all is ready, before the group is joined
    """
    config = Config.model_validate(
        {
            "delivery": delivery,
            "input": {"topics": list(topics)},
            "output": {"anomalies": "anomalies", "dead_letters": "dead-letters"},
            "commit_interval": "100ms",
            "state": {"topic": None},
        }
    )
    warm()
    options = {"bootstrap.servers": bootstrap}
    group = uuid.uuid4().hex
    consumer = KafkaConsumer(options, group)
    producer = KafkaProducer(options, group if delivery == "exactly_once" else None)
    pipeline = build(config, consumer, producer, SystemClock(), _no_reader)
    n_points = N_POINTS * len(topics) // len(TOPICS)
    wait()
    consumer.subscribe(topics, pipeline)
    began_s, done = 0.0, 0
    deadline_s = time.monotonic() + _GIVE_UP_S
    while done < n_points and time.monotonic() < deadline_s:
        pipeline.step()
        done = sum(partition.next_offset or 0 for partition in pipeline.status.partitions)
        if not began_s and any(t.next_offset for t in pipeline._assignment.tasks.values()):
            began_s = time.monotonic()
    ended_s = time.monotonic()
    consumer.close()
    producer.close()
    return Span(began_s, ended_s, done)


def _as_they_come(
    self: EventTime, pool: Pool, arrivals: Arrivals, outcome: np.ndarray
) -> Iterator[Columns]:
    """Release the points as they are, a step each: all that detection needs of `align`."""
    n = len(arrivals.slot)
    times = pool.header["time_us"]
    step = np.where(times[arrivals.slot] == NEVER, RESTART, 1).astype(np.int32)
    times[arrivals.slot] = arrivals.time_us
    outcome[:] = 0
    yield Columns(
        arrivals.slot,
        np.zeros(n, np.uint8),
        arrivals.time_us,
        arrivals.value,
        step,
        arrivals.offset,
        arrivals.element,
        np.zeros(n, np.bool_),
        0,
    )


def _now(self: EventTime, time_us: np.ndarray, record_us: np.ndarray) -> tuple[np.ndarray, ...]:
    nothing = np.empty((0, len(time_us)), np.int64)
    return time_us, nothing, nothing


if __name__ == "__main__":
    contender, address = sys.argv[1:]
    if contender == "unaligned":
        EventTime.align, EventTime.observe = _as_they_come, _now  # type: ignore[method-assign]
        contender = "exactly_once"
    rate = bare(address) if contender == "bare" else whole_path(address, contender).rate
    print(rate)
