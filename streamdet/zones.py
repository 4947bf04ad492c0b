"""Time zones as columns, for the kernels: when the clocks of each were changed, and by how much."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_FIRST_S = 0
_LAST_S = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
_STEP_S = 86_400  # no zone ever changed its clocks and changed them back within a day


class ZoneTable:
    """Zones by number, with their changes from 1970 to 2100. Number 0 is UTC.

    Before 1970 a zone has the offset that it had then, after 2100 likewise. The arrays are what
    `kernels.zone` takes; a zone that is added makes new ones, with the numbers as they were.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self.start: NDArray[np.int64] = np.zeros(1, np.int64)
        """Shape (z + 1,): zone z has the entries start[z] to start[z + 1] of the two below."""
        self.change_us: NDArray[np.int64] = np.empty(0, np.int64)
        """Shape (k,): from then on the offset holds; a zone's first is the smallest int64."""
        self.offset_us: NDArray[np.int64] = np.empty(0, np.int64)
        """Shape (k,): how far its clocks are ahead of UTC."""
        self.index("UTC")

    def index(self, name: str) -> int:
        """Return the number of a zone, which is added where it is new (some 50 ms, once a process).

        Raises
        ------
        ZoneInfoNotFoundError
            No zone has the name; the configuration refuses it before.
        """
        if name not in self._index:
            changes = _changes(name)
            self.change_us = np.append(self.change_us, [at for at, _ in changes])
            self.offset_us = np.append(self.offset_us, [offset for _, offset in changes])
            self.start = np.append(self.start, len(self.change_us))
            self._index[name] = len(self._index)
        return self._index[name]


@cache
def _changes(name: str) -> tuple[tuple[int, int], ...]:
    """Return each moment from which another offset holds, and that offset, in microseconds.

    zoneinfo keeps its transitions to itself and extrapolates past their end, so it is asked day by
    day, and where an answer differs from the one before, for the second.
    """
    zone = ZoneInfo(name)

    def offset(time_s: int) -> int:
        ahead = datetime.fromtimestamp(time_s, zone).utcoffset()
        assert ahead is not None
        return round(ahead.total_seconds())

    known = offset(_FIRST_S)
    changes = [(int(np.iinfo(np.int64).min), known * 1_000_000)]
    for time_s in range(_FIRST_S + _STEP_S, _LAST_S + 1, _STEP_S):
        if offset(time_s) == known:
            continue
        before, after = time_s - _STEP_S, time_s
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset(middle) == known else (before, middle)
        known = offset(after)
        changes.append((after * 1_000_000, known * 1_000_000))
    return tuple(changes)
