"""From a series' key bytes to its handle. Owns the memory; the loops are in `kernels.table`."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.table import (
    ENTRY,
    copy_keys,
    table_find,
    table_hashes,
    table_insert,
)

_CAPACITY_START = 1 << 10
_ARENA_START_BYTES = 1 << 16
_GROWTH = 2
_WORD = (1 << 64) - 1
_MIXED = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)  # the small seeds of tests need all bits too


class SeriesTable:
    """Maps key bytes to handles; several keys may lead to one handle (see `types.Points.raw`).

    Parameters
    ----------
    seed : int, optional
        Of the hash; drawn at random when not given, so that nobody can choose colliding names.
        It never influences what is found.
    """

    def __init__(self, seed: int | None = None) -> None:
        drawn = secrets.randbits(128) if seed is None else seed
        self._seed = np.array([drawn & _WORD ^ _MIXED[0], drawn >> 64 ^ _MIXED[1]], np.uint64)
        self._entries = np.zeros(_CAPACITY_START, ENTRY)
        self._arena = np.zeros(_ARENA_START_BYTES, np.uint8)
        self._arena_used = 0
        self._n_keys = 0

    def __len__(self) -> int:
        return self._n_keys

    @property
    def size_bytes(self) -> int:
        """Memory held by the table, in bytes."""
        return self._entries.nbytes + self._arena_used

    def find(
        self, buffer: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Return the handle of each key buffer[start:start+size]; MISSING where there is none."""
        handle, hashed = np.empty(len(start), np.int64), np.empty(len(start), np.uint64)
        table_find(self._entries, self._arena, self._seed, buffer, start, size, hashed, handle)
        return handle

    def get(self, key: bytes) -> int:
        """Return the handle of one key, or MISSING."""
        buffer = np.frombuffer(key, np.uint8)
        return int(self.find(buffer, np.zeros(1, np.int64), np.array([len(key)], np.int32))[0])

    def handles(self, keys: list[bytes]) -> NDArray[np.int64]:
        """Return the handle of each key, or MISSING."""
        size = np.fromiter(map(len, keys), np.int32, len(keys))
        start = np.cumsum(size, dtype=np.int64) - size
        return self.find(np.frombuffer(b"".join(keys), np.uint8), start, size)

    def insert(self, key: bytes, handle: int) -> None:
        """Add `key`, which must be absent. O(1) over many calls: arrays double when full."""
        self.insert_all([key], np.array([handle], np.int64))

    def insert_all(self, keys: list[bytes], handles: NDArray[np.int64]) -> None:
        """Add `keys`, all absent and no two equal."""
        capacity = len(self._entries)
        while _is_full(self._n_keys + len(keys), capacity):
            capacity *= 2
        if capacity > len(self._entries):
            self._resize(capacity)
        size = np.fromiter(map(len, keys), np.int32, len(keys))
        start = self._arena_used + np.cumsum(size, dtype=np.int64) - size
        end = self._arena_used + int(size.sum())
        if end > len(self._arena):
            # What is not yet written takes no memory, however far it is reserved.
            grown = np.zeros(max(_GROWTH * len(self._arena), end), np.uint8)
            grown[: self._arena_used] = self._arena[: self._arena_used]
            self._arena = grown
        self._arena[self._arena_used : end] = np.frombuffer(b"".join(keys), np.uint8)
        hashed = np.empty(len(keys), np.uint64)
        table_hashes(self._seed, self._arena, start, size, hashed)
        table_insert(self._entries, hashed, start, size, handles)
        self._arena_used = end
        self._n_keys += len(keys)

    def move(self, old: int, new: int) -> None:
        """Let every key of handle `old` lead to `new`. Reads the whole table."""
        handle = self._entries["handle"]
        handle[(self._entries["used"] == 1) & (handle == old)] = new

    def remove(self, handles: NDArray[np.int64]) -> None:
        """Forget every key of `handles` and reclaim their memory. Rebuilds the table."""
        live = self._entries[self._entries["used"] == 1]
        live = live[~np.isin(live["handle"], handles)]
        self._arena_used = int(live["size"].sum())
        kept = np.zeros(max(_ARENA_START_BYTES, _GROWTH * self._arena_used), np.uint8)
        copy_keys(self._arena, live["start"], live["size"], kept)
        self._arena = kept
        self._n_keys = len(live)
        capacity = _CAPACITY_START
        while _is_full(self._n_keys, capacity):
            capacity *= 2
        self._entries = _filled(live, capacity)

    def _resize(self, capacity: int) -> None:
        self._entries = _filled(self._entries[self._entries["used"] == 1], capacity)


def _is_full(n_keys: int, capacity: int) -> bool:
    return 3 * (n_keys + 1) > 2 * capacity


def _filled(live: NDArray[np.void], capacity: int) -> NDArray[np.void]:
    entries = np.zeros(capacity, ENTRY)
    columns = [np.ascontiguousarray(live[name]) for name in ("hash", "start", "size", "handle")]
    table_insert(entries, *columns)
    return entries
