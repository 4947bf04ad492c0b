"""Hash table from a series' key bytes to its handle: open addressing, linear probing.

A table is an array of `ENTRY` whose length is a power of two, at most half full, and an arena
that holds the key bytes. A hit compares the bytes themselves, so two series can never be merged
by a collision; the hash is seeded, so a producer cannot choose names that collide.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import kernel

ENTRY = np.dtype(
    [("hash", "<u8"), ("start", "<i8"), ("handle", "<i8"), ("size", "<i4"), ("used", "<i4")]
)
"""32 bytes: half a cache line."""

MISSING = -1

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: odd, bits well mixed
_EIGHT = np.uint64(8)
_SHIFT = np.uint64(32)


@kernel
def table_hash(seed, buffer, start, size):
    """Return the seeded 64-bit hash of buffer[start:start+size], eight bytes a step.

    Parameters
    ----------
    seed : uint64
    buffer : uint8[m]
    start, size : int
    """
    hashed = seed ^ (np.uint64(size) * _MULTIPLIER)
    at = start
    end = start + size
    while at + 8 <= end:
        word = np.uint64(0)
        for k in range(8):
            word |= np.uint64(buffer[at + k]) << (np.uint64(k) * _EIGHT)
        hashed = (hashed ^ word) * _MULTIPLIER
        hashed ^= hashed >> _SHIFT
        at += 8
    word = np.uint64(0)
    while at < end:
        word = (word << _EIGHT) | np.uint64(buffer[at])
        at += 1
    hashed = (hashed ^ word) * _MULTIPLIER
    hashed ^= hashed >> _SHIFT
    hashed *= _MULTIPLIER
    return hashed ^ (hashed >> _SHIFT)


@kernel
def table_find(entries, arena, seed, buffer, start, size, handle):
    """Look up n keys.

    Parameters
    ----------
    entries : ENTRY[c]      c a power of two
    arena : uint8[a]        key bytes of the entries
    seed : uint64
    buffer : uint8[m]       holds the keys asked for
    start, size : int64[n], int32[n]
    handle : int64[n]       out; MISSING where the key is not in the table

    Notes
    -----
    O(key bytes) a key, no allocation.
    """
    mask = np.uint64(len(entries) - 1)
    for i in range(len(start)):
        hashed = table_hash(seed, buffer, start[i], size[i])
        at = hashed & mask
        found = MISSING
        while entries[at].used != 0:
            entry = entries[at]
            if entry.hash == hashed and entry.size == size[i]:
                same = True
                for k in range(size[i]):
                    if arena[entry.start + k] != buffer[start[i] + k]:
                        same = False
                        break
                if same:
                    found = entry.handle
                    break
            at = (at + np.uint64(1)) & mask
        handle[i] = found


@kernel
def table_insert(entries, hashed, start, size, handle):
    """Put n keys that are known to be absent into a table with room for them.

    Parameters
    ----------
    entries : ENTRY[c]        changed in place
    hashed : uint64[n]
    start, size : int64[n], int32[n]   where the key lies in the arena
    handle : int64[n]
    """
    mask = np.uint64(len(entries) - 1)
    for i in range(len(hashed)):
        at = hashed[i] & mask
        while entries[at].used != 0:
            at = (at + np.uint64(1)) & mask
        entries[at].hash = hashed[i]
        entries[at].start = start[i]
        entries[at].size = size[i]
        entries[at].handle = handle[i]
        entries[at].used = 1
