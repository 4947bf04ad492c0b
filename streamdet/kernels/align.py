"""Event time: which points are new, and how many steps of its grid a series moved on.

For now a series accepts points in ascending time only; what is older than its newest point is
late, what is as old is a duplicate. Decided by event time alone.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import kernel

HEADER = [
    ("time_us", "<i8"),  # newest event time
    ("interval_us", "<i8"),  # of the grid; 0: none known
    ("stagger", "u1"),  # by the series' name: what is due now and then is not due for all at once
]
"""First fields of every detector's row."""

NEVER = np.iinfo(np.int64).min
"""time_us of a series without a point."""

LINE_BYTES = 64


def whole_lines(fields):
    """Return the dtype of a row with `fields`, packed, that fills whole cache lines."""
    packed = np.dtype(fields)
    return np.dtype(
        {
            "names": [field[0] for field in fields],
            "formats": [packed.fields[field[0]][0] for field in fields],
            "itemsize": -(-packed.itemsize // LINE_BYTES) * LINE_BYTES,
        }
    )


RESTART = 0
"""Value of `step`: the series begins here, whatever its row still holds."""

_OK = 0
_LATE = 1
_DUPLICATE = 2
_STEP_MAX = 1 << 30


@kernel
def align(rows, slot, time_us, newest_us, ttl_us, outcome, step):
    """Sort out late and doubled points and advance each series' time.

    Parameters
    ----------
    rows : record[s]        begins with HEADER; time_us changed in place
    slot : int64[n]         row of the point's series; repeats allowed, in record order
    time_us : int64[n]      event time
    newest_us : int64[n]    newest event time of the partition up to and with this point
    ttl_us : int            a series idle for longer than this begins anew; 0: never
    outcome : uint8[n]      out: types.Outcome OK, LATE or DUPLICATE
    step : int32[n]         out: grid steps since the series' previous point, >= 1; RESTART for
                            the first point of a series

    Notes
    -----
    Idleness is measured against the partition's newest event time, record by record, so the
    result depends neither on batch boundaries nor on when an idle row is really freed.
    """
    for i in range(len(slot)):
        row = rows[slot[i]]
        last = row.time_us
        if last == NEVER or (ttl_us > 0 and newest_us[i] - last > ttl_us):
            outcome[i] = _OK
            step[i] = RESTART
            row.time_us = time_us[i]
            continue
        elapsed = time_us[i] - last
        if elapsed <= 0:
            outcome[i] = _LATE if elapsed < 0 else _DUPLICATE
            step[i] = 1
            continue
        outcome[i] = _OK
        row.time_us = time_us[i]
        if row.interval_us > 0:
            steps = (elapsed + row.interval_us // 2) // row.interval_us
            step[i] = min(max(steps, 1), _STEP_MAX)
        else:
            step[i] = 1
