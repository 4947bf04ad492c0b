"""Everything that a task knows of its series, to be compared with what another one knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamdet.task import Task


def state_of(task: Task) -> dict[Any, list[Any]]:
    """Return every byte of the state that means something, when all that is due has gone."""
    list(task.sweep())
    found: dict[Any, list[Any]] = {"time": [task.event_time.position()]}
    for pool in task.store.pools:
        rows = pool.rows.view(np.uint8).copy().view(pool.rows.dtype)  # padding and all
        for name, blank in (("head", -1), ("tail", -1), ("alignment", 0), ("rollup", 0)):
            rows[name] = blank
        for slot, name in enumerate(pool.names):
            if name is not None:
                held = task.event_time.held(pool, np.array([slot]))
                columns_held = [held[c].tobytes() for c in ("time_us", "value", "offset")]
                found[name] = [rows[slot].tobytes(), pool.ring[slot].tobytes(), *columns_held]
    return found
