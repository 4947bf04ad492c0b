"""The state of one input partition: its series, their rows and rings, all within bounds.

A series is a *slot* in a *pool*; a pool holds the rows and rings of every series of one detector
and one ring length. A *handle* names both: ``pool number << 32 | slot``. The store owns the
memory; what a row means, only the detector knows (`types.StateLayout`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.header import HEADER, NEVER
from streamdet.kernels.table import MISSING
from streamdet.state.memory import GrowingMemory
from streamdet.state.names import Names
from streamdet.state.table import SeriesTable
from streamdet.types import StateLayout

RING_LENGTHS = (0, 64, 128, 288, 1440, 8640)
"""A few lengths, so that a pool is one array; 8640 is what Azure took in one request."""


def ring_length_for(ring_points: int) -> int:
    """Return the ring length that holds so many points."""
    return next((n for n in RING_LENGTHS if n >= ring_points), RING_LENGTHS[-1])


FULL = -2
"""Handle of a new series for which there is no room."""

_SLOTS_START = 64
_HEADER = np.dtype(HEADER)  # to make it takes 10 us


class Pool:
    """Rows and rings of all series of one detector and one ring length.

    Attributes
    ----------
    layout : StateLayout
    rows : record[capacity]           aligned to cache lines
    ring : float32[capacity, length]  NaN where nothing was stored

    Do not keep them, nor views of them, beyond a call that takes in series: see `GrowingMemory`.
    """

    def __init__(self, layout: StateLayout, ring_length: int) -> None:
        self.layout = layout
        self.ring_length = ring_length
        self._row_memory = GrowingMemory(layout.row)
        self._ring_memory = GrowingMemory(np.dtype(np.float32), (ring_length,))
        self.rows = self._row_memory.array(_SLOTS_START)
        self.ring: NDArray[np.float32] = self._ring_memory.array(_SLOTS_START)
        self.names = Names()
        self._free: list[int] = []

    @property
    def size_bytes(self) -> int:
        """Memory in use, in bytes: rows, rings of the series that there are, and names."""
        n_series = len(self.names) - len(self._free)
        rows_bytes = len(self.names) * self.layout.row.itemsize
        return rows_bytes + n_series * 4 * self.ring_length + self.names.size_bytes

    @property
    def header(self) -> NDArray[np.void]:
        """The rows, not copied, as records of HEADER alone: the same type for every detector."""
        rows = self.rows
        return np.ndarray(len(rows), _HEADER, buffer=rows, strides=(rows.itemsize,))

    def take(self, names: Sequence[str], rows: NDArray[np.void]) -> NDArray[np.int64]:
        """Return a slot for each of the series `names`, whose row begins as the one of `rows`.

        rows : record[n]; see `blank`
        """
        n_free = min(len(self._free), len(names))
        slots = [self._free.pop() for _ in range(n_free)]
        slots += range(len(self.names), len(self.names) + len(names) - n_free)
        self._have(len(self.names) + len(names) - n_free)
        taken = np.array(slots, np.int64)
        self.names.put(taken, names)
        self.rows[taken] = rows
        self.rows["stagger"][taken] = [zlib.crc32(name.encode()) & 0xFF for name in names]
        self.ring[taken] = np.nan
        return taken

    def blank(self) -> NDArray[np.void]:
        """Return the row of a series without a point and without settings: record[1]."""
        row = np.zeros(1, self.layout.row)
        row["time_us"] = row["newest_us"] = NEVER
        row["head"] = row["tail"] = -1
        return row

    def give_back(self, slot: int) -> None:
        """Free `slot`."""
        self.names.clear(slot)
        self.rows["time_us"][slot] = self.rows["newest_us"][slot] = NEVER
        self._free.append(slot)

    def release(self, slots: NDArray[np.int64]) -> None:
        """Give memory back to the system after `slots` were freed: rings, by whole pages.

        Rows stay: that a slot is free is told by its row (`NEVER`). Series are not moved together,
        for a slot is where the state topic has its series.
        """
        if not len(slots):
            return
        free = np.sort(np.array(self._free, np.int64))
        begins = np.flatnonzero(np.diff(free, prepend=-2) > 1)
        first, end = free[begins], free[np.append(begins[1:], len(free)) - 1] + 1
        runs = np.unique(np.searchsorted(first, slots, "right") - 1)
        for k in runs.tolist():
            self._ring_memory.release(int(first[k]), int(end[k]))

    def put(
        self,
        first: int,
        slots: NDArray[np.int32],
        names: list[str],
        rows: NDArray[np.void],
        ring: NDArray[np.float32],
    ) -> None:
        """Put series back where they were: at `slots` behind slot `first`, all of them free.

        `find_free` has to follow.
        """
        at = first + slots.astype(np.int64)
        known, end = len(self.names), int(at.max(initial=-1)) + 1
        self._have(end)
        self.rows["time_us"][known:end] = self.rows["newest_us"][known:end] = NEVER
        self.names.put(at, names)
        self.rows[at], self.ring[at] = rows, ring

    def find_free(self) -> None:
        """Know again which slots are free."""
        self._free = self.names.free()

    def _have(self, count: int) -> None:
        """Have at least `count` slots. What is new is not yet as `take` and `put` make it."""
        self.names.grow(count)
        capacity = len(self.rows)
        while capacity < count:
            capacity *= 2
        if capacity > len(self.rows):
            del self.rows, self.ring
            self.rows = self._row_memory.array(capacity)
            self.ring = self._ring_memory.array(capacity)


class Store:
    """All series of one partition.

    Parameters
    ----------
    series_max : int
        Bound on the number of series; `admit` answers FULL beyond it.
    """

    def __init__(self, series_max: int) -> None:
        self._series_max = series_max
        self.table = SeriesTable()
        self.pools: list[Pool] = []
        self.n_series = 0
        self._n_refused = 0

    @property
    def size_bytes(self) -> int:
        """Memory held, in bytes."""
        return self.table.size_bytes + sum(pool.size_bytes for pool in self.pools)

    def admit(
        self, names: Sequence[str], pools: Sequence[int], rows: Sequence[bytes]
    ) -> NDArray[np.int64]:
        """Return the handles of new series; FULL for those, the last ones, that have no room.

        names : no two equal
        pools : the number of each one's pool, see `pool_for`
        rows : what each one's row begins as, the bytes of a record; see `Pool.blank`
        """
        handles = np.full(len(names), FULL, np.int64)
        n = min(len(names), self._series_max - self.n_series)
        if n <= 0:
            return handles
        numbers = np.array(pools[:n], np.int64)
        for number in dict.fromkeys(pools[:n]):
            its = np.flatnonzero(numbers == number).tolist()
            pool = self.pools[number]
            begins = np.frombuffer(b"".join([rows[i] for i in its]), pool.layout.row)
            slots = pool.take([names[i] for i in its], begins)
            handles[its] = (number << 32) | slots
        self.table.insert_all([name.encode() for name in names[:n]], handles[:n])
        self.n_series += n
        return handles

    def alias(self, keys: list[bytes], handles: NDArray[np.int64]) -> None:
        """Let `keys`, spellings of producers' that are new, lead to series too.

        Those of series that have no room, FULL, are remembered so that their next points are no
        work: as many as there may be series, until an eviction makes room.
        """
        full = handles == FULL
        spare = max(self._series_max - self._n_refused, 0)
        kept = ~full | (np.cumsum(full) <= spare)
        self._n_refused += int((full & kept).sum())
        self.table.insert_all(
            [key for key, its in zip(keys, kept, strict=True) if its], handles[kept]
        )

    def take_back(self, handles: NDArray[np.int64], names: list[str]) -> None:
        """Know the series again that were put back into a pool (`Pool.put`)."""
        self.table.insert_all([name.encode() for name in names], handles)
        self.n_series += len(names)

    def knows(self, names: list[str]) -> NDArray[np.bool_]:
        """Return for each series whether it has a place here."""
        return np.not_equal(self.table.handles([name.encode() for name in names]), MISSING)

    def pool_for(self, layout: StateLayout, ring_length: int) -> int:
        """Return the number of the pool of a detector and ring length, which is made if new."""
        for number, pool in enumerate(self.pools):
            if pool.ring_length == ring_length and pool.layout == layout:
                return number
        self.pools.append(Pool(layout, ring_length))
        return len(self.pools) - 1

    def resize(self, handle: int, ring_points: int) -> int:
        """Return the handle of the series with at least `ring_points` of ring.

        A series whose ring is too short moves to another pool and begins anew there.
        """
        pool, slot = self.at(handle)
        if pool.ring_length >= ring_points:
            return handle
        number = self.pool_for(pool.layout, ring_length_for(ring_points))
        target = self.pools[number]
        moved = (number << 32) | int(target.take([self.name(handle)], target.blank())[0])
        pool.give_back(slot)
        self.table.move(handle, moved)
        return moved

    def at(self, handle: int) -> tuple[Pool, int]:
        """Return the pool and slot of `handle`."""
        return self.pools[handle >> 32], handle & 0xFFFFFFFF

    def name(self, handle: int) -> str:
        """Return the text of the series' identity."""
        pool, slot = self.at(handle)
        name = pool.names[slot]
        assert name is not None, "a handle in use has a name"
        return name

    def evict(self, idle: Callable[[Pool], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Let go of the series whose slots `idle` names; return their handles.

        When anything is let go, the table is rebuilt.
        """
        gone = []
        for number, pool in enumerate(self.pools):
            slots = idle(pool)
            for slot in slots.tolist():
                pool.give_back(slot)
            pool.release(slots)
            gone.append((number << 32) | slots.astype(np.int64))
        handles = np.concatenate(gone) if gone else np.empty(0, np.int64)
        if len(handles):
            self.table.remove(np.append(handles, FULL))
            self.n_series -= len(handles)
            self._n_refused = 0
        return handles


__all__ = ["FULL", "MISSING", "RING_LENGTHS", "Pool", "Store"]
