"""What keeping state takes of the whole path's throughput: `benchmarks.state cost`.

The same run with and without it, in turn, each in a process of its own, on one Apache Kafka. Both
begin with all series restored, since series that begin cold are another kind of work; then one of
them writes state no more, which is all that `state.topic: null` changes from there on.

    python -m benchmarks.cost BOOTSTRAP on|off NAME SERIES RING MINUTES POINTS    one run
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from benchmarks.learnt import learn, next_points, settings
from benchmarks.restore import commit_offsets, moved
from streamdet.app import build
from streamdet.clients import opener
from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.producer import KafkaProducer
from streamdet.pipeline import Pipeline
from streamdet.snapshot import Snapshots, take
from streamdet.types import OutgoingRecord, Partition
from streamdet.warm import warm
from tests.integration.topics import produce
from tests.servers.kafka import KafkaServer, create_topic

INPUT, ANOMALIES, DEAD_LETTERS = "points", "anomalies", "dead-letters"
PARTITIONS = 4
BAR = 0.15
_SEGMENT_BYTES = 64 << 20
_GIVE_UP_S = 300.0


class Run(NamedTuple):
    """What one run did."""

    rate: float
    """Points a second."""
    state_rate: float
    """Bytes a second that were sent to the state topic."""
    cpu_us: float
    """Processor time of the worker a point: it says more than the rate where others run too."""


def report(n_series: int, ring_length: int, minutes: int, *, points: int, rounds: int) -> None:
    """Print the throughput with and without state, and the bytes of the state topic."""
    warm()
    config = Config.model_validate(settings(n_series, ring_length))
    state = list(_state(config, minutes))
    size_bytes = sum(len(record.key or b"") + len(record.value or b"") for record in state)
    found: dict[str, list[Run]] = {"on": [], "off": []}
    with KafkaServer() as broker:
        print(f"{n_series:,} series in {PARTITIONS} partitions, rings of {ring_length}, {points:,}")
        print(f"points a run, Apache Kafka {broker.version}, one broker, settings as by default")
        for topic, partitions in ((INPUT, PARTITIONS), (ANOMALIES, 1), (DEAD_LETTERS, 1)):
            create_topic(broker.bootstrap, topic, partitions)
        produce(broker.bootstrap, _input(n_series, minutes, points))
        stored_bytes = 0
        for number in range(rounds):
            for contender in ("on", "off") if number % 2 else ("off", "on"):
                name = f"{contender}-{number}"
                create_topic(broker.bootstrap, name, PARTITIONS, _TOPIC)
                group = config.kafka.group_id
                produce(
                    broker.bootstrap,
                    (moved(record, name, record.partition, group) for record in state),
                )
                offsets = dict.fromkeys(range(PARTITIONS), minutes)
                commit_offsets(broker.bootstrap, name, INPUT, offsets)
                run = _in_a_process(broker.bootstrap, contender, name, config, minutes, points)
                found[contender].append(run)
                if contender == "on":
                    stored_bytes = max(stored_bytes, _stored_bytes(broker, name))
                print(f"round {number + 1}, {contender}: {run}", flush=True)
    _print(found)
    _print_size(
        config, size_bytes, stored_bytes, statistics.median(r.state_rate for r in found["on"])
    )


_TOPIC = {
    "cleanup.policy": "compact",
    "segment.bytes": str(_SEGMENT_BYTES),
    "min.compaction.lag.ms": "0",
}


def _print(found: dict[str, list[Run]]) -> None:
    print("\n| state | points/s, median (least to most) |\n|---|---|")
    for name, runs in found.items():
        rates = [run.rate for run in runs]
        print(
            f"| {name} | {statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) |"
        )
    pairs = zip(found["on"], found["off"], strict=True)
    cost = statistics.median(1 - on.rate / off.rate for on, off in pairs)
    pairs = zip(found["on"], found["off"], strict=True)
    cpu = statistics.median(on.cpu_us / off.cpu_us - 1 for on, off in pairs)
    verdict = "met" if cost <= BAR else "MISSED"
    print(f"\nstate costs {cost:.1%} of the throughput, and {cpu:.1%} more processor time a point,")
    print("medians of the rounds' ratios;", end=" ")
    print(f"bar: at most {BAR:.0%}: {verdict}")


def _print_size(config: Config, size_bytes: int, stored_bytes: int, rate: float) -> None:
    n = config.limits.max_series
    row_bytes, ring_bytes = _series_bytes(config)
    compression = size_bytes / (n * (row_bytes + ring_bytes))
    most_bytes = 2 * size_bytes + PARTITIONS * _SEGMENT_BYTES
    turn_s = size_bytes / rate if rate else float("inf")
    print(
        f"\nwritten to the state topic: {rate:,.0f} bytes/s (state.bytes_per_second is the bound:"
    )
    print(f"{config.state.bytes_per_second:,}), so all series have their turn in {turn_s:.0f} s")
    print("\nS = series x (row + 4 x ring) x compression")
    print(f"  = {n:,} x ({row_bytes} + {ring_bytes}) x {compression:.2f} = {size_bytes:,} bytes")
    print("topic <= 2 x S + partitions x segment.bytes")
    print(f"       = 2 x {size_bytes:,} + {PARTITIONS} x {_SEGMENT_BYTES:,} = {most_bytes:,} bytes")
    print(f"on the broker's disk at the end of a run, at most: {stored_bytes:,} bytes")


def _series_bytes(config: Config) -> tuple[int, int]:
    (pool,) = learn(Partition(INPUT, 0), config, range(1), 1).store.pools
    return pool.rows.itemsize, 4 * pool.ring_length


def _hosts(n_series: int, index: int) -> range:
    return range(index, n_series, PARTITIONS)


def _state(config: Config, minutes: int) -> Iterator[OutgoingRecord]:
    for index in range(PARTITIONS):
        hosts = _hosts(config.limits.max_series, index)
        yield from take(learn(Partition(INPUT, index), config, hosts, minutes), "", 1 << 62)


def _input(n_series: int, minutes: int, points: int) -> Iterator[OutgoingRecord]:
    """Yield a record for each minute that state knows already, then the points."""
    for index in range(PARTITIONS):
        yield from [OutgoingRecord(INPUT, None, b"", partition=index)] * minutes
        its = next_points(Partition(INPUT, index), _hosts(n_series, index), minutes)
        yield from islice(its, points // PARTITIONS)


def _stored_bytes(broker: KafkaServer, topic: str) -> int:
    return sum(file.stat().st_size for file in broker.folder.glob(f"data/{topic}-*/*.log"))


def _in_a_process(
    bootstrap: str, contender: str, name: str, config: Config, minutes: int, points: int
) -> Run:
    ring = config.detection.ring_length
    numbers = [config.limits.max_series, ring, minutes, points]
    command = [sys.executable, "-m", "benchmarks.cost", bootstrap, contender, name]
    done = subprocess.run(
        [*command, *map(str, numbers)], check=True, stdout=subprocess.PIPE, text=True
    )
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def run(bootstrap: str, contender: str, name: str, config: Config, begun: int, end: int) -> Run:
    """Run the ordinary pipeline from all partitions' offset `begun` to `end`."""
    warm()
    options = {"bootstrap.servers": bootstrap}
    producer = KafkaProducer({**options, "message.max.bytes": "16777216"}, name)
    consumer = KafkaConsumer(options, name)
    pipeline = build(config, consumer, producer, SystemClock(), opener(config))
    consumer.subscribe([INPUT], pipeline)
    _turn_until(pipeline, lambda offsets: len(offsets) == PARTITIONS and min(offsets) >= begun)
    if contender == "off":
        without = config.model_copy(
            update={"state": config.state.model_copy(update={"topic": None})}
        )
        pipeline._snapshots = Snapshots(without, pipeline.metrics, SystemClock())
    began_s, cpu_began_s, before = time.perf_counter(), time.process_time(), _done(pipeline)
    written = pipeline.metrics.state_bytes._value.get()
    _turn_until(pipeline, lambda offsets: min(offsets) >= end)
    pipeline._commit_if_dirty()
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
    written = pipeline.metrics.state_bytes._value.get() - written
    points = _done(pipeline) - before
    consumer.close()
    producer.close()
    return Run(points / took_s, written / took_s, 1e6 * cpu_s / points)


def _offsets(pipeline: Pipeline) -> list[int]:
    return [task.next_offset or 0 for task in pipeline._assignment.committable]


def _done(pipeline: Pipeline) -> int:
    return sum(_offsets(pipeline))


def _turn_until(pipeline: Pipeline, there: Callable[[list[int]], bool]) -> None:
    deadline_s = time.monotonic() + _GIVE_UP_S
    while not there(_offsets(pipeline)):
        assert time.monotonic() < deadline_s, f"offsets stand at {_offsets(pipeline)}"
        pipeline.step()


def _main(bootstrap: str, contender: str, name: str, *numbers: str) -> None:
    n_series, ring, minutes, points = map(int, numbers)
    config = Config.model_validate(
        {
            **settings(n_series, ring),
            "kafka": {"bootstrap_servers": bootstrap, "group_id": name},
            "input": {"topics": [INPUT]},
            "output": {"anomalies": ANOMALIES, "dead_letters": DEAD_LETTERS},
            "state": {"topic": name},
        }
    )
    # From the second point of each series on: with the first its spelling is looked at.
    begun = minutes + -(-n_series // PARTITIONS)
    done = run(bootstrap, contender, name, config, begun, minutes + points // PARTITIONS)
    print(json.dumps(done._asdict()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
