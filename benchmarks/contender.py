"""One contender in a process of its own; each line on its input is a part of the load to take.

python -m benchmarks.contender JSON

Between parts its partitions are paused, so that nothing is fetched ahead. `Contender` is the
parent's side.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition

from benchmarks.peers.zscore import judge
from streamdet.app import build, collect_garbage_rarely
from streamdet.clients import opener
from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.producer import KafkaProducer
from streamdet.warm import warm

_GIVE_UP_S = 900.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender is to read, and how."""

    kind: str
    """bare, plain, or a `delivery` of streamdet's."""
    bootstrap: str
    topics: Sequence[str]
    n_partitions: int
    """Of each topic."""
    first: int = 0
    """Offset in each partition where a client without a group begins."""
    settings: dict[str, Any] = field(default_factory=dict)
    """streamdet's configuration, beyond topics and delivery."""
    kafka: dict[str, Any] = field(default_factory=dict)
    """librdkafka's options."""


@dataclass(frozen=True, slots=True)
class Part:
    """How a part was taken, of the records behind those of the first call or batch."""

    n_records: int
    began_s: float
    """Of the system's monotonic clock, so that those of several processes can be compared."""
    ended_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.n_records / (self.ended_s - self.began_s)


class Contender:
    """A contender's process; a context manager."""

    def __init__(self, task: Task) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contender", json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> Part:
        """Return how the part was taken that was begun."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, f"a contender ended with code {self._process.wait()}"
        return Part(**json.loads(answer))

    def begin(self, end: int) -> None:
        """Let it read up to offset `end` of each partition."""
        assert self._process.stdin is not None
        print(end, file=self._process.stdin, flush=True)

    def take(self, end: int) -> Part:
        """Let it read up to offset `end` of each partition, and wait."""
        self.begin(end)
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class _Clock:
    """Times one part, from the first records on: fetching begins when a part does."""

    def __init__(self) -> None:
        self._before = 0
        self._began_s = 0.0
        self._cpu_s = 0.0
        self.deadline_s = time.monotonic() + _GIVE_UP_S

    def saw(self, n_records: int) -> None:
        if not self._began_s and n_records:
            self._before, self._began_s = n_records, time.monotonic()
            self._cpu_s = time.process_time()

    def part(self, n_records: int) -> Part:
        assert time.monotonic() < self.deadline_s, "the records did not come"
        ended_s, n_timed = time.monotonic(), n_records - self._before
        return Part(n_timed, self._began_s, ended_s, time.process_time() - self._cpu_s)


def _client_consumer(task: Task) -> tuple[Consumer, list[TopicPartition]]:
    consumer = Consumer(
        {
            "bootstrap.servers": task.bootstrap,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 2,
            **task.kafka,
        }
    )
    places = [
        TopicPartition(t, i, task.first) for t in task.topics for i in range(task.n_partitions)
    ]
    consumer.assign(places)
    consumer.pause(places)
    return consumer, places


def bare(task: Task) -> Callable[[int], Part]:
    """Consume 1000 records a call and drop them: what the client alone can do."""
    consumer, places = _client_consumer(task)
    at = task.first

    def take(end: int) -> Part:
        nonlocal at
        clock, seen = _Clock(), 0
        wanted = (end - at) * len(places)
        consumer.resume(places)
        while seen < wanted and time.monotonic() < clock.deadline_s:
            seen += len(consumer.consume(1000, 0.1))
            clock.saw(seen)
        consumer.pause(places)
        at = end
        return clock.part(seen)

    return take


def plain(task: Task) -> Callable[[int], Part]:
    """Poll, json, and a z-score a series in a dict: what is written first. Nothing is committed."""
    consumer, places = _client_consumer(task)
    at = task.first
    states: dict[str, list[float]] = {}

    def take(end: int) -> Part:
        nonlocal at
        clock, seen = _Clock(), 0
        wanted = (end - at) * len(places)
        consumer.resume(places)
        while seen < wanted and time.monotonic() < clock.deadline_s:
            message = consumer.poll(0.1)
            if message is None:
                continue
            seen += 1
            clock.saw(seen)
            point = json.loads(message.value())
            series = point["metric"] + json.dumps(point["dimensions"], sort_keys=True)
            states[series], _ = judge(states.get(series), point["value"])
        consumer.pause(places)
        at = end
        return clock.part(seen)

    return take


def whole_path(task: Task) -> Callable[[int], Part]:
    """Run the ordinary pipeline until every point is committed."""
    group = uuid.uuid4().hex
    config = Config.model_validate(
        {
            "delivery": task.kind,
            "kafka": {"bootstrap_servers": task.bootstrap, "group_id": group},
            "input": {"topics": list(task.topics)},
            "output": {"anomalies": "anomalies", "dead_letters": "dead-letters"},
            "state": {"topic": None},
            **task.settings,
        }
    )
    warm()
    collect_garbage_rarely()
    options = {"bootstrap.servers": task.bootstrap, **task.kafka}
    consumer = KafkaConsumer(options, group)
    producer = KafkaProducer(options, group if task.kind == "exactly_once" else None)
    pipeline = build(config, consumer, producer, SystemClock(), opener(config))
    consumer.subscribe(task.topics, pipeline)
    n_places = len(task.topics) * task.n_partitions

    def offsets() -> int:
        return sum(each.next_offset or 0 for each in pipeline._assignment.tasks.values())

    def committed() -> int:
        return sum(each.next_offset or 0 for each in pipeline.status.partitions)

    def take(end: int) -> Part:
        clock, before = _Clock(), offsets()
        consumer.resume(list(pipeline._assignment.tasks))
        while committed() < end * n_places and time.monotonic() < clock.deadline_s:
            pipeline.step()
            clock.saw(offsets() - before)
        part = clock.part(committed() - before)
        consumer.pause(list(pipeline._assignment.tasks))
        return part

    return take


def main(task: Task) -> None:
    """Take one part after the other."""
    kinds = {"bare": bare, "plain": plain}
    take = kinds.get(task.kind, whole_path)(task)
    for line in sys.stdin:
        print(json.dumps(asdict(take(int(line)))), flush=True)


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
