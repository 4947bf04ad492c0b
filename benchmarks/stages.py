"""Where the time of a point goes, stage by stage: ``python -m benchmarks.stages``.

The stages are the pipeline's own calls on batches made beforehand, without a broker: one partition,
every series once a tick, in an order that chance makes anew each tick, so that a point finds its
series in no cache. Beside each batch msgspec decodes the same records and finds their series in a
dict, which is what a careful Python program would do; the ratio is taken within a batch. Times are
those of this thread's processor, medians over the batches of the last ticks.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import numpy as np
from confluent_kafka import Message

from streamdet.config import Config
from streamdet.kafka.batch import KafkaBatch
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.limits import DecodeLimits
from streamdet.task import Task
from streamdet.types import Partition

START_MS = 1_700_000_000_000
TICK_MS = 60_000
EVENT_SHARE = 0.007
WHERE = Partition("bench", 0)
STAGES = ("batch", "decode", "route", "detect", "encode", "count", "msgspec")


class _Point(msgspec.Struct):
    metric: str
    timestamp: int | datetime
    value: float
    dimensions: msgspec.Raw


class WithMsgspec:
    """Messages to time, value and slot, in Python: a dict knows the series by its own bytes."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Point)
        self._slots: dict[tuple[str, bytes], int] = {}

    def decode(self, messages: list[bytes]) -> tuple[list[int], list[int], list[float]]:
        """Return slot, time in microseconds and value of each message."""
        decode, slots = self._decoder.decode, self._slots
        slot, time_us, value = [], [], []
        for message in messages:
            point = decode(message)
            key = point.metric, bytes(point.dimensions)
            found = slots.get(key)
            if found is None:
                found = slots[key] = len(slots)
            slot.append(found)
            at = point.timestamp
            time_us.append(at * 1_000 if isinstance(at, int) else int(at.timestamp() * 1e6))
            value.append(point.value)
        return slot, time_us, value


def messages(
    n_series: int,
    per_message: int,
    tick: int,
    rng: np.random.Generator,
    iso: bool,
    *,
    first: int = 0,
) -> list[bytes]:
    """Return a tick's records in a random order: points, or requests of `per_message` points.

    first : number of the first series
    """
    value = rng.normal(100, 1, (n_series, per_message))
    value[rng.random(value.shape) < EVENT_SHARE] += 60
    at = [START_MS + TICK_MS * (tick * per_message + k) for k in range(per_message)]
    times = [str(ms) for ms in at]
    if iso:
        times = [f'"{datetime.fromtimestamp(ms / 1e3, UTC):%Y-%m-%dT%H:%M:%SZ}"' for ms in at]
    made = []
    for series in rng.permutation(n_series).tolist():
        host = first + series
        name = f'"metric":"http_requests","dimensions":{{"host":"host-{host:06d}","region":"eu"}}'
        its = value[series].tolist()
        if per_message == 1:
            made.append(f'{{{name},"timestamp":{times[0]},"value":{its[0]:.4f}}}'.encode())
            continue
        points = [f'{{"timestamp":{t},"value":{x:.4f}}}' for t, x in zip(times, its, strict=True)]
        made.append(f'{{{name},"series":[{",".join(points)}]}}'.encode())
    return made


class Path:
    """The stages of one partition, timed."""

    def __init__(self, config: Config, *, with_msgspec: bool = True) -> None:
        self.task = Task(WHERE, config)
        self._with_msgspec = with_msgspec
        self._decoder = Decoder(DecodeLimits.of(config.limits))
        self._events = EventEncoder()
        self._msgspec = WithMsgspec()
        self._offset = 0
        self.n_events = 0

    def ns(self, values: list[bytes], tick: int, per_message: int) -> dict[str, float]:
        """Return ns a point, by stage, of the records `values`."""
        now_ms = START_MS + TICK_MS * (tick + 1) * per_message
        first = self._offset
        raw = [
            Message(topic=WHERE.topic, partition=0, offset=i, value=value, timestamp=(1, now_ms))
            for i, value in enumerate(values, start=first)
        ]
        self._offset += len(values)
        task = self.task
        at_ns = [time.thread_time_ns()]
        batch = KafkaBatch(WHERE, raw)
        at_ns.append(time.thread_time_ns())
        points = self._decoder.decode(batch, "ms")
        at_ns.append(time.thread_time_ns())
        handles = task.route(points, self._decoder.identify)
        at_ns.append(time.thread_time_ns())
        judged = task.detect(points, handles)
        at_ns.append(time.thread_time_ns())
        out = [self._events.encode(verdict, "anomalies") for verdict in task.select(judged)]
        at_ns.append(time.thread_time_ns())
        task.count(batch, points, judged, len(points))
        at_ns.append(time.thread_time_ns())
        if per_message == 1 and self._with_msgspec:
            self._msgspec.decode(values)
        at_ns.append(time.thread_time_ns())
        self.n_events += len(out)
        took = [(b - a) / (len(values) * per_message) for a, b in pairwise(at_ns)]
        return dict(zip(STAGES, took, strict=True))


def batches(values: list[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield `values`, `size` at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def report(n_series: int, ring: int, batch: int, ticks: int, per_message: int, iso: bool) -> None:
    """Measure and print Markdown tables."""
    config = Config.model_validate(
        {"detection": {"ring_length": ring}, "limits": {"max_series": n_series}}
    )
    path, rng = Path(config), np.random.default_rng(1)
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    timed_from = ticks - 4
    gc.freeze()  # what was made so far is never looked at again
    n_events = 0
    for tick in range(ticks):
        made = messages(n_series, per_message, tick, rng, iso)
        if tick == timed_from:
            n_events = path.n_events
        for values in batches(made, batch):
            took = path.ns(values, tick, per_message)
            if tick >= timed_from:
                for stage, ns in took.items():
                    found[stage].append(ns)
    points = n_series * per_message * 4
    share = (path.n_events - n_events) / points
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{n_series:,} series, ring {ring}, {per_message} points a record,", end=" ")
    print(f"{batch:,} records a batch, {share:.2%} events\n")
    print("| stage | ns a point, median | mean |\n|---|---|---|")
    for stage in STAGES[:-1]:
        print(f"| {stage} | {statistics.median(found[stage]):.0f} | {np.mean(found[stage]):.0f} |")
    sums = np.sum([found[stage] for stage in STAGES[:-1]], axis=0)
    print(f"| all | {statistics.median(sums):.0f} | {sums.mean():.0f} |")
    if share > 0:
        print(f"\n{statistics.median(found['encode']) / share / 1e3:.1f} us an event")
    if per_message == 1:
        ours = np.add(found["decode"], found["route"])
        ratio = statistics.median(np.divide(found["msgspec"], ours))
        print(f"msgspec and a dict: {statistics.median(found['msgspec']):.0f} ns a point,", end=" ")
        print(f"{ratio:.1f} times decode and route")
    size = path.task.store.size_bytes / path.task.store.n_series
    print(f"{size:,.0f} bytes a series, all in")


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--series", type=int, default=160_000)
    parser.add_argument("--ring", type=int, default=1440)
    parser.add_argument("--batch", type=int, default=4_000, help="records")
    parser.add_argument("--ticks", type=int, default=20)
    parser.add_argument("--points", type=int, default=1, help="of a record; >1: an Azure request")
    parser.add_argument("--iso", action="store_true", help="times as ISO 8601, not integers")
    given = parser.parse_args()
    report(given.series, given.ring, given.batch, given.ticks, given.points, given.iso)


if __name__ == "__main__":
    main()
