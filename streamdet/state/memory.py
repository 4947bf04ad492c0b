"""Memory for an array that grows by its first axis, and is not copied for it.

numpy would copy everything each time, and hold it twice meanwhile: 0.3 s for a hundred thousand
rings of 1440 points. Here the system is asked for more pages behind those that there are, and moves
the whole by its page tables where they do not fit. Pages that nobody wrote to take no memory.
"""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HUGE_FROM_BYTES = 4 << 20
"""From here on the system is asked for large pages: a random row then costs no walk through page
tables. numpy does the same."""


class GrowingMemory:
    """Zeroed memory for arrays of one kind, on cache lines.

    Parameters
    ----------
    dtype : np.dtype
    shape : tuple of int
        Of all axes but the first.
    """

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._shape = dtype, shape
        self._each_bytes = dtype.itemsize * math.prod(shape)
        self._pages: mmap.mmap | None = None

    def array(self, count: int) -> NDArray[Any]:
        """Return the memory as an array of `count`: what it was, and zeros behind it.

        The array of the call before must not be used any more. Where anybody holds it, everything
        is copied, and what is written to either is not seen in the other.
        """
        size_bytes = count * self._each_bytes
        if size_bytes == 0:
            return np.empty((count, *self._shape), self._dtype)
        if self._pages is None:
            self._pages = _pages(size_bytes)
        else:
            self._resize(self._pages, size_bytes)
        if size_bytes >= _HUGE_FROM_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)
        items = count * math.prod(self._shape)
        return np.frombuffer(self._pages, self._dtype, items).reshape(count, *self._shape)

    def release(self, first: int, end: int) -> None:
        """Give the whole pages among items `first` to `end` back to the system: zeros from now on.

        What is written there later takes memory again, by itself.
        """
        page = mmap.PAGESIZE
        start = -(-first * self._each_bytes // page) * page
        size_bytes = end * self._each_bytes // page * page - start
        if size_bytes > 0 and self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            if hasattr(mmap, "MADV_NOHUGEPAGE"):
                # Else the system fills large pages up again, in a while. For the whole: what has
                # other advice in its middle cannot grow where it stands.
                self._pages.madvise(mmap.MADV_NOHUGEPAGE)
            self._pages.madvise(mmap.MADV_DONTNEED, start, size_bytes)

    def _resize(self, pages: mmap.mmap, size_bytes: int) -> None:
        try:
            pages.resize(size_bytes)
        except (BufferError, SystemError):  # an array is held, or this system cannot
            kept_bytes = min(len(pages), size_bytes)
            self._pages = _pages(size_bytes)
            self._pages[:kept_bytes] = memoryview(pages)[:kept_bytes]


def _pages(size_bytes: int) -> mmap.mmap:
    # Shared, the default, cannot grow: what is behind the end is no memory then.
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
