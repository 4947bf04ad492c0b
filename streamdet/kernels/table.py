"""Hash table from a series' key bytes to its handle: open addressing, linear probing.

A table is an array of `ENTRY` whose length is a power of two, at most two thirds full, and an arena
that holds the key bytes. A hit compares the bytes themselves, so two series can never be merged
by a collision; the hash is seeded, so a producer cannot choose names that collide.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import inlined, kernel
from streamdet.kernels.prefetch import prefetch_bytes, prefetch_row
from streamdet.kernels.words import folded_product, word_at

ENTRY = np.dtype(
    [("hash", "<u8"), ("start", "<i8"), ("handle", "<i8"), ("size", "<i4"), ("used", "<i4")]
)
"""32 bytes: half a cache line."""

MISSING = -1

_AHEAD = 8  # keys that memory is asked for before they are looked up; 4 and 16 are no better


@kernel
def table_hash(seed, buffer, start, size):
    """Return the seeded 64-bit hash of buffer[start:start+size], sixteen bytes a step.

    Products of 128 bits, folded: whatever a key holds, its effect on the rest depends on both
    halves of the seed. With the simpler ``(hash ^ word) * constant`` one can write two words, the
    second of which undoes what the first changed, for any seed.

    Parameters
    ----------
    seed : uint64[2]
    buffer : uint8[m]
    start, size : int

    Notes
    -----
    Source: the shape of wyhash (Wang Yi); deviation: both constants are drawn at random.
    """
    secret, hashed = seed[0], seed[1]
    at, end = start, start + size
    while at + 16 < end:
        hashed = folded_product(word_at(buffer, at) ^ secret, word_at(buffer, at + 8) ^ hashed)
        at += 16
    # What is left, 1 to 16 bytes, in two words that may overlap what was read, or each other.
    first = last = np.uint64(0)
    if size >= 16:
        first, last = word_at(buffer, end - 16), word_at(buffer, end - 8)
    elif size >= 8:
        first, last = word_at(buffer, start), word_at(buffer, end - 8)
    else:
        for i in range(size):
            first |= np.uint64(buffer[start + i]) << np.uint64(8 * i)
    hashed = folded_product(first ^ secret, last ^ hashed)
    return folded_product(hashed ^ secret, np.uint64(size) ^ seed[1])


@inlined
def _same(arena, at, buffer, start, size):
    """Return whether two keys of one size are equal, byte by byte."""
    if size < 8:
        for k in range(size):
            if arena[at + k] != buffer[start + k]:
                return False
        return True
    for k in range(0, size - 8, 8):
        if word_at(arena, at + k) != word_at(buffer, start + k):
            return False
    return word_at(arena, at + size - 8) == word_at(buffer, start + size - 8)


@inlined
def _next_of_hash(entries, at, mask, hashed):
    """Return the first entry from `at` on whose hash is `hashed`, or that is not used."""
    while entries[at].used != 0 and entries[at].hash != hashed:
        at = (at + np.uint64(1)) & mask
    return at


@kernel
def table_find(entries, arena, seed, buffer, start, size, hashed, handle):
    """Look up n keys.

    Parameters
    ----------
    entries : ENTRY[c]      c a power of two
    arena : uint8[a]        key bytes of the entries
    seed : uint64[2]
    buffer : uint8[m]       holds the keys asked for
    start, size : int64[n], int32[n]
    hashed : uint64[n]      out
    handle : int64[n]       out; MISSING where the key is not in the table

    Notes
    -----
    O(key bytes) a key, no allocation. In a table that is larger than the caches a key waits for
    its entry, and then for its bytes; here the memory of some keys is asked for while others are
    looked up, which takes a quarter of the time.
    """
    n = len(start)
    mask = np.uint64(len(entries) - 1)
    for i in range(n + 2 * _AHEAD):
        if i < n:
            hashed[i] = table_hash(seed, buffer, start[i], np.int64(size[i]))
            prefetch_row(entries, np.int64(hashed[i] & mask))
        j = i - _AHEAD
        if 0 <= j < n:
            at = _next_of_hash(entries, hashed[j] & mask, mask, hashed[j])
            handle[j] = np.int64(at)
            if entries[at].used != 0:
                prefetch_bytes(arena, entries[at].start, np.int64(size[j]))
        j -= _AHEAD
        if j >= 0:
            at = np.uint64(handle[j])
            found = MISSING
            while entries[at].used != 0:
                entry = entries[at]
                if entry.size == size[j] and _same(
                    arena, entry.start, buffer, start[j], np.int64(size[j])
                ):
                    found = entry.handle
                    break
                at = _next_of_hash(entries, (at + np.uint64(1)) & mask, mask, hashed[j])
            handle[j] = found


@kernel
def table_hashes(seed, buffer, start, size, hashed):
    """Write the hash of each of n keys to `hashed`; see `table_hash`."""
    for i in range(len(start)):
        hashed[i] = table_hash(seed, buffer, start[i], np.int64(size[i]))


@kernel
def copy_keys(arena, start, size, to):
    """Write n keys of an arena one behind the other to another, and let `start` be where."""
    filled = 0
    for i in range(len(start)):
        at = start[i]
        start[i] = filled
        for k in range(size[i]):
            to[filled + k] = arena[at + k]
        filled += size[i]


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
