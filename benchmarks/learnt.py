"""Series that have been seen for a while: their state, and the points that come next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamdet.config import Config
from streamdet.task import Task
from streamdet.types import OutgoingRecord, Partition, Points, SeriesId
from tests.service import MINUTE_MS, START_MS

METRIC = "learnt"
_MINUTE_US = MINUTE_MS * 1_000
_START_US = START_MS * 1_000


def settings(n_series: int, ring_length: int) -> dict[str, Any]:
    """Return the part of a configuration that such series are judged by."""
    return {
        "detection": {"ring_length": ring_length, "period": 0, "granularity": "minutely"},
        "limits": {"max_series": n_series},
    }


def learn(partition: Partition, config: Config, hosts: range, minutes: int) -> Task:
    """Return a task that has seen a point of each series in each minute; a record is a minute."""
    random = np.random.default_rng(1)
    keys = [str(SeriesId.of(METRIC, {"host": str(host)})).encode() for host in hosts]
    task = Task(partition, config)
    for number in range(minutes):
        points = _minute(keys, number, random)
        task.detect(points, task.route(points, _as_it_stands))
    task.next_offset = minutes
    return task


def next_points(
    partition: Partition, hosts: range, first_minute: int, level: float = 100
) -> Iterator[OutgoingRecord]:
    """Yield, without an end, the points of the minutes that follow, a record each.

    level : about what they are; 100 is what was learnt, far from it each is an anomaly
    """
    random = np.random.default_rng(2)
    minute = first_minute
    while True:
        for host, value in zip(hosts, random.normal(level, 5, len(hosts)).tolist(), strict=True):
            body = {
                "metric": METRIC,
                "dimensions": {"host": str(host)},
                "timestamp": START_MS + minute * MINUTE_MS,
                "value": round(value, 4),
            }
            text = json.dumps(body).encode()
            yield OutgoingRecord(partition.topic, b"%d" % host, text, partition=partition.index)
        minute += 1


def _minute(keys: list[bytes], number: int, random: np.random.Generator) -> Points:
    """Return one point of each series, in an order of its own."""
    n = len(keys)
    size = np.array([len(key) for key in keys], np.int32)
    start = np.cumsum(size, dtype=np.int64) - size
    order = random.permutation(n)
    return Points(
        record=np.arange(n, dtype=np.int32),
        element=np.full(n, -1, np.int32),
        time_us=np.full(n, _START_US + number * _MINUTE_US),
        value=random.normal(100, 5, n),
        buffer=np.frombuffer(b"".join(keys), np.uint8),
        key_start=start[order],
        key_size=size[order],
        raw=np.zeros(n, np.bool_),
        offset=np.full(n, number),
        record_us=np.full(n, _START_US + number * _MINUTE_US),
    )


def _as_it_stands(key: bytes, raw: bool) -> str:
    return key.decode()
