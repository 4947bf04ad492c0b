"""What every detector's row begins with: event time of a series, and what waits to be released.

`align` and what it calls work on the header alone. They see rows of any detector as HEADER, with
the row's length as the stride, so they are compiled once.
"""

from __future__ import annotations

import numpy as np

HEADER = [
    ("time_us", "<i8"),  # newest event time that was released
    ("interval_us", "<i8"),  # of the grid; months where the rule says so; 0: none known
    ("spacing_us", "<i8"),  # of two points; the candidate for a grid that is to be found
    ("value", "<f8"),  # newest that was released
    ("offset", "<i8"),  # of the record that came last
    ("newest_us", "<i8"),  # event time that was taken, held back or not
    ("spoke_us", "<i8"),  # the partition's speaking time when it came
    ("impute_value", "<f8"),  # what fills a gap in mode fixed
    ("raw", "<f8"),  # a counter at its newest point
    ("raw_us", "<i8"),
    ("rollup", "<i8"),  # handle of the series that it is rolled up into, or one of those below
    ("element", "<i4"),  # of the point that came last
    ("head", "<i4"),  # oldest and newest point held back; -1: none
    ("tail", "<i4"),
    ("n_pending", "<i4"),
    ("missing_share", "<f4"),  # of the newest slots
    ("alignment", "<u2"),  # which of the partition's ALIGNMENT records holds
    ("spacing_votes", "u1"),  # how much more often the candidate was seen than not
    ("stagger", "u1"),  # by the series' name: what is due now and then is not due for all at once
    ("begun", "u1"),  # a value was released since the series began (anew)
    ("n_arrived", "u1"),  # points since then, late and doubled ones too; no more than 255
    ("absent", "u1"),
    ("transform", "u1"),  # one of those of `rate`
]
"""First fields of every detector's row, 116 bytes."""

NO_ROLLUP = -1
ROLLUP_UNKNOWN = -2  # it has one, to be looked up

NEVER = np.iinfo(np.int64).min
"""time_us and newest_us of a series without a point."""

RESTART = np.iinfo(np.int32).min
"""Value of `step`: the series begins here, whatever its row still holds."""

JUDGE = 0
LEARN = 1
FILL = 2
SKIP = ABSENT = 3
RETURNED = 4
"""Values of `use`: what a detector does with a released value.

JUDGE: judge and learn it. LEARN: it was imputed; learn it and say nothing. FILL: it came too late
to be judged; put it into the ring, `step` slots back (1: the newest), where nothing is. The others
are notes, that a series has become silent and that it is back: they have no value, and do nothing.
"""

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
