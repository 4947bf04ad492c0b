"""From an assignment to the first new verdict, on a real Apache Kafka: `benchmarks.state restore`.

The state of all series is written once; then workers, one after the other, are given a partition
with it and take it up, while another partition has points of other series all the time.
"""

from __future__ import annotations

import re
import statistics
import tempfile
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from benchmarks.learnt import METRIC, learn, next_points, settings
from benchmarks.verdicts import Watch, longest_gap_s
from streamdet.config import Config
from streamdet.snapshot import LAYOUTS, take
from streamdet.state.record import decode, encode
from streamdet.types import OutgoingRecord, Partition
from streamdet.warm import warm
from tests.integration.topics import Load, ends, produce
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import KafkaServer, create_topic

INPUT = "points"
BAR_S = 5.0
_COMMIT_INTERVAL = "200ms"
OTHERS_PER_S, _OTHERS_SERIES, _SPIKES = 2_000, 50, 0.02
_OTHERS, _AT_ONCE, _REPLAYED = range(3)
"""Partitions: of other series, of those with nothing to replay, and of those with something."""
_PARTITIONS = 3
_NEW_POINTS, _ANOMALOUS = 1_000, 500.0
_TIMEOUT_S = 120
_ASSIGNED = re.compile(r"^(\S+) INFO +assigned: ", re.MULTILINE)
_RESTORED = (
    r"^(\S+) INFO +points\[{}\]: restored (\d+) series from (\d+) bytes of state, "
    r"replayed offsets (\d+) to (\d+)"
)


class Run(NamedTuple):
    """What one worker took."""

    loaded_s: float
    """From the assignment until state was loaded and the input replayed."""
    verdict_s: float
    """From the assignment until a new verdict could be read by a reader of committed records."""
    gap_s: float
    """Longest stretch in between without a new verdict on the other partition."""
    n_series: int
    size_bytes: int
    replayed: int


def report(n_series: int, ring_length: int, minutes: int, *, replayed: int, rounds: int) -> None:
    """Print how long it takes to take up a partition, and whether another one waits for it."""
    warm()
    config = Config.model_validate(settings(n_series, ring_length))
    hosts = range(n_series)
    state = list(take(learn(Partition(INPUT, 0), config, hosts, minutes), "", 1 << 62))
    later = {_AT_ONCE: 0, _REPLAYED: replayed}
    with KafkaServer() as broker, tempfile.TemporaryDirectory() as folder:
        print(f"{n_series:,} series in a partition, rings of {ring_length}, Apache Kafka")
        print(f"{broker.version} with one broker; commit_interval {_COMMIT_INTERVAL}", flush=True)
        create_topic(broker.bootstrap, INPUT, _PARTITIONS)
        for index, more in later.items():
            _write_input(broker.bootstrap, Partition(INPUT, index), hosts, minutes, more)
        found: dict[int, list[Run]] = {index: [] for index in later}
        with Load(
            broker.bootstrap,
            INPUT,
            OTHERS_PER_S,
            1 << 62,
            n_series=_OTHERS_SERIES,
            partition=_OTHERS,
            spikes=_SPIKES,
        ):
            for number in range(rounds):
                for index, runs in found.items():
                    stream = _stream(broker.bootstrap, Path(folder), f"{number}-{index}")
                    offsets = ends(broker.bootstrap, INPUT) | {index: minutes + later[index]}
                    runs.append(_run(stream, index, state, config, offsets))
                    print(f"round {number + 1}: {runs[-1]}", flush=True)
    _print(found, replayed)


def _write_input(
    bootstrap: str, partition: Partition, hosts: range, minutes: int, replayed: int
) -> None:
    """Write a record for each minute that state knows, points to replay, and new ones."""
    # Nobody reads again what the state knows.
    produce(bootstrap, [OutgoingRecord(INPUT, None, b"", partition=partition.index)] * minutes)
    produce(bootstrap, islice(next_points(partition, hosts, minutes), replayed))
    new = next_points(partition, hosts, minutes + replayed // len(hosts) + 1, _ANOMALOUS)
    produce(bootstrap, islice(new, _NEW_POINTS))


def _stream(bootstrap: str, folder: Path, name: str) -> Stream:
    stream = Stream(bootstrap, lambda part: f"{part}-{name}", folder)
    stream.input = INPUT
    for topic in (stream.anomalies, stream.dead_letters):
        create_topic(bootstrap, topic)
    stream.create_state_topic(_PARTITIONS)
    return stream


def _run(
    stream: Stream,
    index: int,
    state: list[OutgoingRecord],
    config: Config,
    offsets: dict[int, int],
) -> Run:
    """Let a worker of a new group begin at `offsets`, with the state in partition `index`."""
    produce(
        stream.bootstrap, (moved(record, stream.state, index, stream.group) for record in state)
    )
    commit_offsets(stream.bootstrap, stream.group, INPUT, offsets)
    with Watch(stream.bootstrap, stream.anomalies, METRIC) as watch:
        worker = stream.worker(
            stream.group,
            detection=config.model_dump(mode="json", exclude_unset=True)["detection"],
            limits={"max_series": config.limits.max_series},
            commit_interval=_COMMIT_INTERVAL,
        )
        try:
            wait_until(lambda: watch.its, "a new verdict", _TIMEOUT_S)
        finally:
            worker.kill()
    assigned = _ASSIGNED.search(worker.log())
    restored = re.search(_RESTORED.format(index), worker.log(), re.MULTILINE)
    assert assigned, worker.log()
    assert restored, worker.log()
    assigned_s, restored_s = seconds(assigned[1]), seconds(restored[1])
    n_series, size_bytes, first, end = map(int, restored.groups()[1:])
    assert n_series == config.limits.max_series, worker.log()
    return Run(
        loaded_s=restored_s - assigned_s,
        verdict_s=watch.its[0] - assigned_s,
        gap_s=longest_gap_s(watch.others, assigned_s, watch.its[0]),
        n_series=n_series,
        size_bytes=size_bytes,
        replayed=end - first,
    )


def _print(found: dict[int, list[Run]], replayed: int) -> None:
    print(
        "\n| | to first new verdict, s: median (most) | of it until replayed | bytes read |", end=""
    )
    print(" series | other partition: longest gap, s |\n|---|---|---|---|---|---|")
    for index, runs in found.items():
        name = "without replay" if index == _AT_ONCE else f"with {replayed:,} points to replay"
        verdicts = [run.verdict_s for run in runs]
        print(
            f"| {name} | {statistics.median(verdicts):.2f} ({max(verdicts):.2f}) "
            f"| {statistics.median(run.loaded_s for run in runs):.2f} | {runs[0].size_bytes:,} "
            f"| {runs[0].n_series:,} | {max(run.gap_s for run in runs):.2f} |"
        )
    median_s = statistics.median(run.verdict_s for run in found[_AT_ONCE])
    print(f"\nbar, without replay: at most {BAR_S} s: {'met' if median_s <= BAR_S else 'MISSED'}")


def moved(record: OutgoingRecord, topic: str, index: int, group: str) -> OutgoingRecord:
    """Return a record of the state for another group and topic, and a partition of it."""
    known = decode(record.key, record.value or b"", LAYOUTS)
    key, value = encode(replace(known, key=replace(known.key, group=group)))
    return OutgoingRecord(topic, key, value, partition=index)


def commit_offsets(bootstrap: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    """Set the offsets of a group that has no members."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    places = [TopicPartition(topic, index, offset) for index, offset in offsets.items()]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


def seconds(text: str) -> float:
    """Return the time of a line of the log."""
    return datetime.fromisoformat(text).timestamp()
