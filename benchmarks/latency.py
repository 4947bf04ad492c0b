"""From producing a point to reading its committed event: ``python -m benchmarks.latency``.

On an Apache Kafka of its own, at a constant load, beside a bare transactional loop with the same
client options that copies the same points and commits as soon as it holds one. Each contender runs
alone, in turn, several rounds. The reader is one of committed records.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence

import numpy as np
from confluent_kafka import Consumer, Producer

from benchmarks import report
from benchmarks.bars import Bar, Measured
from benchmarks.load import START_MS, TICK_MS, point_messages
from benchmarks.throughput import QUICK, Plan
from streamdet.app import build, collect_garbage_rarely
from streamdet.clients import opener
from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.options import consumer_options, producer_options
from streamdet.kafka.producer import KafkaProducer
from streamdet.warm import warm
from tests.servers.kafka import KafkaServer, create_topic

PARTITIONS = 4
N_SERIES = 2_000
POINTS_PER_S = 20_000
_SPIKES_FROM_S = 4.0
"""Until then the series are new, and everybody gets into stride."""
_SPIKE_SHARE = 0.0037
_AT_ONCE_S = 0.001
_SPIKE = b'"value":56'
_QUANTILES = (50, 99)
EAGER = "eager"
MODES = (EAGER, "interval")


def latency(plan: Plan) -> list[Measured]:
    """The rows of `make bench`: eager, and at the default interval."""
    return measure(MODES, plan.rounds, 6.0 if plan is QUICK else 20.0, POINTS_PER_S)


def measure(modes: Sequence[str], rounds: int, seconds: float, points_per_s: int) -> list[Measured]:
    """Return the ratios of each mode of committing to the bare loop."""
    found: dict[str, list[list[float]]] = {kind: [] for kind in ("bare", *modes)}
    with KafkaServer() as broker:
        for number in range(rounds):
            for kind in list(found) if number % 2 else list(found)[::-1]:
                taken = _one_run(broker.bootstrap, kind, seconds, points_per_s)
                found[kind].append(np.percentile(taken, _QUANTILES).tolist())
                p50, p99 = found[kind][-1]
                said = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(taken):,} events"
                print(f"  round {number + 1}: {kind}: {said}", flush=True)
    return [
        _measured(mode, place, q, found) for mode in modes for place, q in enumerate(_QUANTILES)
    ]


def _measured(mode: str, place: int, q: int, found: dict[str, list[list[float]]]) -> Measured:
    title = f"produce to committed event, {mode}, p{q} of the bare loop's"
    bar = Bar(title, 1.5, 1.2, less_is_better=True) if mode == EAGER else Bar(title)
    ours, bare = ([run[place] for run in found[kind]] for kind in (mode, "bare"))
    row = Measured(bar, [a / b for a, b in zip(ours, bare, strict=True)])
    row.how = f"{np.median(ours):.1f} ms, bare {np.median(bare):.1f} ms; a real Kafka"
    return row


def _one_run(bootstrap: str, kind: str, seconds: float, points_per_s: int) -> np.ndarray:
    """Return milliseconds from produce to read of each point that had to become an event."""
    run = uuid.uuid4().hex[:8]
    points, events = f"points-{run}", f"events-{run}"
    for topic, partitions in ((points, PARTITIONS), (events, 1), (f"dead-{run}", 1)):
        create_topic(bootstrap, topic, partitions)
    command = [sys.executable, "-m", "benchmarks.latency", "--child", kind, bootstrap, run]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n", f"{kind} ended with code {child.wait()}"
        with _Reader(bootstrap, events) as reader:
            sent = _send(bootstrap, points, seconds, points_per_s)
            time.sleep(2)
    finally:
        child.stdin.close()
        child.wait(60)
        child.stdout.close()
    taken = [reader.seen[place] - at for place, at in sent.items() if place in reader.seen]
    assert len(taken) > 0.5 * len(sent), f"{len(taken)} of {len(sent)} spikes became events"
    return 1e3 * np.array(taken)


def _send(
    bootstrap: str, topic: str, seconds: float, points_per_s: int
) -> dict[tuple[int, int], float]:
    """Produce at a constant rate; return when each spike was, by partition and offset."""
    n = int((_SPIKES_FROM_S + seconds) * points_per_s)
    rng, number = np.random.default_rng(1), np.arange(n)
    tick, series = np.divmod(number, N_SERIES)
    value = rng.normal(500, 1, n)
    spike = (rng.random(n) < _SPIKE_SHARE) & (number >= _SPIKES_FROM_S * points_per_s)
    value = np.where(spike, 565, np.clip(value, 490, 510))
    messages = point_messages(series, START_MS + TICK_MS * tick, value)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    sent: dict[tuple[int, int], float] = {}
    began_s, at = time.time(), 0
    while at < n:
        due = min(n, int((time.time() - began_s) * points_per_s))
        for k in range(at, due):
            partition = k % PARTITIONS  # as many series as that divides: each in one
            producer.produce(topic, messages[k], partition=partition)
            if spike[k]:
                sent[partition, k // PARTITIONS] = time.time()
        at = due
        producer.poll(0)
        time.sleep(_AT_ONCE_S)
    assert producer.flush(30) == 0
    return sent


class _Reader:
    """Notes when the event of each point could first be read, by the point's partition, offset."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.seen: dict[tuple[int, int], float] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": uuid.uuid4().hex,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.subscribe([topic])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(0.05)
            if message is None or message.error() is not None:
                continue
            now_s, source = time.time(), json.loads(message.value())["source"]
            self.seen.setdefault((source["partition"], source["offset"]), now_s)


def _child(kind: str, bootstrap: str, run: str) -> None:
    """Run a contender until standard input ends."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    if kind == "bare":
        _bare(bootstrap, run, stop)
    else:
        _streamdet(kind, bootstrap, run, stop)


def _streamdet(mode: str, bootstrap: str, run: str, stop: threading.Event) -> None:
    settings = {
        "input": {"topics": [f"points-{run}"]},
        "output": {"anomalies": f"events-{run}", "dead_letters": f"dead-{run}"},
        "state": {"topic": None},
        "commit_mode": mode,
    }
    config = Config.model_validate(settings)
    warm()
    collect_garbage_rarely()
    options = {"bootstrap.servers": bootstrap}
    consumer, producer = KafkaConsumer(options, run), KafkaProducer(options, run)
    pipeline = build(config, consumer, producer, SystemClock(), opener(config))
    consumer.subscribe([f"points-{run}"], pipeline)
    _ready_when(lambda: len(pipeline._assignment.tasks) == PARTITIONS, pipeline.step)
    while not stop.is_set():
        pipeline.step()
    consumer.close()
    producer.close()


def _bare(bootstrap: str, run: str, stop: threading.Event) -> None:
    options = {"bootstrap.servers": bootstrap}
    consumer = Consumer({**consumer_options(options, run), "auto.offset.reset": "earliest"})
    producer = Producer(producer_options(options, run, 60))
    producer.init_transactions(30)
    consumer.subscribe([f"points-{run}"])
    _ready_when(lambda: len(consumer.assignment()) == PARTITIONS, lambda: consumer.poll(0.1))
    producer.begin_transaction()
    while not stop.is_set():
        messages = consumer.consume(1, 0.1)
        messages += consumer.consume(1000, 0) if messages else []
        spikes = [message for message in messages if _SPIKE in message.value()]
        for message in spikes:
            source = {"partition": message.partition(), "offset": message.offset()}
            producer.produce(f"events-{run}", json.dumps({"source": source}).encode())
        if spikes:
            producer.flush(30)  # offsets put in beside records on their way cost retries
            offsets = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
            producer.commit_transaction(30)
            producer.begin_transaction()
    producer.abort_transaction(30)
    consumer.close()


def _ready_when(ready, turn) -> None:  # noqa: ANN001
    deadline_s = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline_s, "no partitions were assigned"
        turn()
    print("ready", flush=True)


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--mode", nargs="+", choices=MODES, default=MODES, help="of committing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of a run")
    parser.add_argument("--rate", type=int, default=POINTS_PER_S, help="points a second")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        _child(*asked.child)
        return
    rows = measure(asked.mode, asked.rounds, asked.seconds, asked.rate)
    print(report.markdown(rows, report.machine()))


if __name__ == "__main__":
    main()
