"""Which chunks of a partition's series the state topic is behind with, and from which offset on.

A chunk is a run of slots of one pool. It is *clean* where its newest record contains all that has
befallen it, else *dirty* since the first offset that is not contained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.state.store import Pool

CHUNK_BYTES = 256 << 10
"""Rows and rings of a chunk, at most, unless one series has more; half of it when compressed."""

CLEAN = np.iinfo(np.int64).max


def chunk_slots(pool: Pool) -> int:
    """Return how many series of `pool` a chunk holds."""
    return max(1, CHUNK_BYTES // (pool.rows.itemsize + 4 * pool.ring_length))


class Chunk(NamedTuple):
    """A chunk of a store: the pool's number, and the chunk's among those of the pool."""

    pool: int
    number: int


class Ledger:
    """What the state topic has of each chunk of a store."""

    def __init__(self) -> None:
        self._since: list[NDArray[np.int64]] = []
        self._contained: list[NDArray[np.int64]] = []
        self._restored: list[NDArray[np.bool_]] = []
        self.restored_to = 0
        """No chunk was restored from a record with a larger offset."""

    def mark(self, number: int, pool: Pool, slots: NDArray[np.int64], offset: int) -> None:
        """Note that series of a pool change by records from `offset` on. O(slots)."""
        self._grow(number, pool)
        touched = np.zeros(len(self._since[number]), np.bool_)
        touched[slots // chunk_slots(pool)] = True
        since = self._since[number]
        np.minimum(since, offset, out=since, where=touched)

    def saved(self, chunk: Chunk, offset: int) -> None:
        """Note that a record contains all of the input before `offset`."""
        self._since[chunk.pool][chunk.number] = CLEAN
        self._contained[chunk.pool][chunk.number] = offset

    def restored(
        self, number: int, pool: Pool, chunk: int, slots: NDArray[np.int64], offset: int
    ) -> None:
        """Note that the series at `slots` were loaded from a chunk's record with that offset."""
        self._grow(number, pool)
        self.saved(Chunk(number, chunk), offset)
        self._restored[number][slots] = True
        self.restored_to = max(self.restored_to, offset)

    def gone(self, chunk: Chunk) -> None:
        """Note that a chunk holds no series any more, and that its record was deleted."""
        self._since[chunk.pool][chunk.number] = CLEAN
        self._contained[chunk.pool][chunk.number] = -1

    def dirty(self) -> Iterator[Chunk]:
        """Yield the dirty chunks, the one that is longest so first."""
        found = [
            (int(since[chunk]), number, int(chunk))
            for number, since in enumerate(self._since)
            for chunk in np.flatnonzero(since != CLEAN)
        ]
        for _, number, chunk in sorted(found):
            yield Chunk(number, chunk)

    def replay_from(self, next_offset: int) -> int:
        """Return the offset from which the input is needed to bring all chunks up to date."""
        firsts = [int(since.min()) for since in self._since if len(since)]
        return min([next_offset, *firsts])

    def exists(self) -> Iterator[tuple[Chunk, int]]:
        """Yield the chunks that have a record, with its offset."""
        for number, contained in enumerate(self._contained):
            for chunk in np.flatnonzero(contained >= 0).tolist():
                yield Chunk(number, chunk), int(contained[chunk])

    def contains(self, number: int, pool: Pool, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each slot the offset up to which the input was in its series when loaded.

        -1 for a series that was in no record and has its place since: another one had it, or none,
        when its chunk was written.
        """
        self._grow(number, pool)
        chunks = slots // chunk_slots(pool)
        return np.where(self._restored[number][slots], self._contained[number][chunks], -1)

    def _grow(self, number: int, pool: Pool) -> None:
        while len(self._since) <= number:
            self._since.append(np.empty(0, np.int64))
            self._contained.append(np.empty(0, np.int64))
            self._restored.append(np.empty(0, np.bool_))
        more = -(-len(pool.rows) // chunk_slots(pool)) - len(self._since[number])
        if more > 0:
            self._since[number] = np.append(self._since[number], np.full(more, CLEAN))
            self._contained[number] = np.append(self._contained[number], np.full(more, -1))
        room = len(pool.rows) - len(self._restored[number])
        if room > 0:
            self._restored[number] = np.append(self._restored[number], np.zeros(room, np.bool_))
