"""What batches of every kind have in common: their sizes, their parts, how much is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamdet.types import Record, RecordBatch


def sizes_of(values: Sequence[bytes | None]) -> NDArray[np.int64]:
    """Return the sizes of records' values in bytes; that of a tombstone is 0."""
    try:
        return np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    except TypeError:  # a tombstone among them; to look for one beforehand takes as long again
        return np.fromiter((len(value or b"") for value in values), np.int64, len(values))


class BatchLimit:
    """How many records are taken at once: half after an abort, twice as many with each commit.

    If it was too much to be delivered in time, as much would be again.
    """

    def __init__(self, records_max: int) -> None:
        self._ordinary = records_max
        self.records = records_max

    @property
    def is_low(self) -> bool:
        """Whether there was an abort, and not yet commits enough."""
        return self.records < self._ordinary

    def halve(self) -> None:
        """Take note of an abort."""
        self.records = max(self.records // 2, 1)

    def double(self) -> None:
        """Take note of a commit."""
        self.records = min(2 * self.records, self._ordinary)


class BatchPart:
    """The records `start` to `stop` of a batch; a `streamdet.types.RecordBatch`."""

    def __init__(self, batch: RecordBatch, start: int, stop: int) -> None:
        self.partition = batch.partition
        self.values = batch.values[start:stop]
        self.sizes = batch.sizes[start:stop]
        self.offsets = batch.offsets[start:stop]
        self.timestamps_ms = batch.timestamps_ms[start:stop]
        self._batch = batch
        self._start = start

    def __len__(self) -> int:
        return len(self.values)

    def record(self, index: int) -> Record:
        """Return record `index` of the part whole."""
        return self._batch.record(self._start + index)


def parts(batch: RecordBatch, part_bytes: int) -> Iterator[RecordBatch]:
    """Yield a batch in parts of at most `part_bytes` of values; a larger record is one alone."""
    sizes = batch.sizes
    if sizes.sum() <= part_bytes:
        yield batch
        return
    ends = np.cumsum(sizes)
    start = 0
    while start < len(ends):
        before = int(ends[start] - sizes[start])
        stop = max(start + 1, int(np.searchsorted(ends, before + part_bytes, side="right")))
        yield BatchPart(batch, start, stop)
        start = stop
