"""From a series' key bytes to its handle. Owns the memory; the loops are in `kernels.table`."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from streamdet.kernels.table import ENTRY, MISSING, table_find, table_hash, table_insert

_CAPACITY_START = 1 << 10
_ARENA_START_BYTES = 1 << 16


class SeriesTable:
    """Maps key bytes to handles; several keys may lead to one handle (see `types.Points.raw`).

    Parameters
    ----------
    seed : int, optional
        Of the hash; drawn at random when not given, so that nobody can choose colliding names.
        It never influences what is found.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = np.uint64(secrets.randbits(64) if seed is None else seed)
        self._entries = np.zeros(_CAPACITY_START, ENTRY)
        self._arena = np.zeros(_ARENA_START_BYTES, np.uint8)
        self._arena_used = 0
        self._n_keys = 0

    def __len__(self) -> int:
        return self._n_keys

    @property
    def size_bytes(self) -> int:
        """Memory held by the table, in bytes."""
        return self._entries.nbytes + self._arena.nbytes

    def find(
        self, buffer: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Return the handle of each key buffer[start:start+size]; MISSING where there is none."""
        handle = np.empty(len(start), np.int64)
        table_find(self._entries, self._arena, self._seed, buffer, start, size, handle)
        return handle

    def get(self, key: bytes) -> int:
        """Return the handle of one key, or MISSING."""
        buffer = np.frombuffer(key, np.uint8)
        return int(self.find(buffer, np.zeros(1, np.int64), np.array([len(key)], np.int32))[0])

    def insert(self, key: bytes, handle: int) -> None:
        """Add `key`, which must be absent. O(1) over many calls: arrays double when full."""
        assert self.get(key) == MISSING, "a key is inserted once"
        self.insert_all([key], np.array([handle], np.int64))

    def insert_all(self, keys: list[bytes], handles: NDArray[np.int64]) -> None:
        """Add `keys`, all absent and no two equal."""
        capacity = len(self._entries)
        while 2 * (self._n_keys + len(keys) + 1) > capacity:
            capacity *= 2
        if capacity > len(self._entries):
            self._resize(capacity)
        size = np.fromiter(map(len, keys), np.int32, len(keys))
        start = self._arena_used + np.cumsum(size, dtype=np.int64) - size
        end = self._arena_used + int(size.sum())
        if end > len(self._arena):
            grown = np.zeros(max(2 * len(self._arena), end), np.uint8)
            grown[: self._arena_used] = self._arena[: self._arena_used]
            self._arena = grown
        self._arena[self._arena_used : end] = np.frombuffer(b"".join(keys), np.uint8)
        places = zip(start.tolist(), size.tolist(), strict=True)
        hashed = [table_hash(self._seed, self._arena, at, n) for at, n in places]
        table_insert(self._entries, np.array(hashed, np.uint64), start, size, handles)
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
        arena = self._arena
        pieces = [arena[s : s + n] for s, n in zip(live["start"], live["size"], strict=True)]
        self._arena_used = int(live["size"].sum())
        self._arena = np.zeros(max(_ARENA_START_BYTES, 2 * self._arena_used), np.uint8)
        if pieces:
            self._arena[: self._arena_used] = np.concatenate(pieces)
        live["start"] = np.cumsum(live["size"]) - live["size"]
        self._n_keys = len(live)
        capacity = _CAPACITY_START
        while capacity < 2 * (self._n_keys + 1):
            capacity *= 2
        self._entries = _filled(live, capacity)

    def _resize(self, capacity: int) -> None:
        self._entries = _filled(self._entries[self._entries["used"] == 1], capacity)


def _filled(live: NDArray[np.void], capacity: int) -> NDArray[np.void]:
    entries = np.zeros(capacity, ENTRY)
    columns = [np.ascontiguousarray(live[name]) for name in ("hash", "start", "size", "handle")]
    table_insert(entries, *columns)
    return entries
