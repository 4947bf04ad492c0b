"""Batches of records without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.batch import sizes_of
from streamdet.types import Headers, Partition, Points, Record, SeriesId

NOON_MS = 1_614_686_400_000  # 2021-03-02T12:00:00Z


class ListBatch:
    """A batch over lists. Every record has the same time unless `timestamps_ms` says otherwise."""

    def __init__(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
        timestamps_ms: int | Sequence[int] = NOON_MS,
        partition: Partition = Partition("metrics", 0),  # noqa: B008
    ) -> None:
        self.partition = partition
        self.values = values
        self.sizes = sizes_of(values)
        self.offsets: NDArray[np.int64] = np.arange(100, 100 + len(values))
        self.timestamps_ms: NDArray[np.int64] = np.broadcast_to(
            np.array(timestamps_ms, np.int64), (len(values),)
        )
        self._keys = keys
        self.headers: Headers = ()

    def record(self, index: int) -> Record:
        key = self._keys[index] if self._keys is not None else None
        offset, time_ms = int(self.offsets[index]), int(self.timestamps_ms[index])
        return Record(self.partition, offset, time_ms, key, self.values[index], self.headers)


class Row(NamedTuple):
    """One point of a `Points`, readable."""

    record: int
    element: int
    time_us: int
    value: float
    key: bytes
    raw: bool


def rows(points: Points) -> list[Row]:
    return [
        Row(
            int(points.record[i]),
            int(points.element[i]),
            int(points.time_us[i]),
            float(points.value[i]),
            key_of(points, i),
            bool(points.raw[i]),
        )
        for i in range(len(points))
    ]


def key_of(points: Points, i: int) -> bytes:
    start = int(points.key_start[i])
    return points.buffer[start : start + int(points.key_size[i])].tobytes()


def series_of(decoder, batch, points: Points) -> list[SeriesId]:
    """The series of each point, by the road that the route stage takes."""
    return [
        SeriesId.parse(decoder.identify(key_of(points, i), bool(points.raw[i])))
        for i in range(len(points))
    ]
