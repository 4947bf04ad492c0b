"""The time that a partition lives in: where most of its points are, and how long it has spoken.

The present moves on with every point that is not too far ahead of it. Points that are further away,
either way, only vote for moving it there; points near it vote against. So a clock that is wrong by
years moves nothing, and a topic that was silent for a month goes on after a few points.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.header import NEVER
from streamdet.kernels.jit import kernel

PRESENT = np.dtype(
    [
        ("time_us", "<i8"),  # the watermark; NEVER before the first point
        ("first_us", "<i8"),  # of the points elsewhere that vote: time of the first
        ("low_us", "<i8"),  # and the lowest
        ("votes", "<i8"),
        ("n_ahead", "<i8"),  # points too far ahead, since this was last cleared
    ]
)

_VOTES_ENOUGH = 16
_VOTES_MAX = 64
_PROGRESS = 1440  # of max_future, one over; what one producer sends at once lies closer together


@kernel
def _vote(present, time_us, max_future_us):
    """Let a point elsewhere vote, and move the present there if that is enough."""
    if present.votes == 0:
        present.first_us = present.low_us = time_us
    present.votes = min(present.votes + 1, _VOTES_MAX)
    present.low_us = min(present.low_us, time_us)
    progress_us = abs(time_us - present.first_us)
    if present.votes >= _VOTES_ENOUGH and progress_us * _PROGRESS >= max_future_us:
        present.time_us = present.low_us
        present.votes = 0


@kernel
def advance(
    presents, time_us, record_us, max_future_us, watermark_us, silence_us, spoke, before, spoken
):
    """Follow the time of a partition through n points, in record order.

    Parameters
    ----------
    presents : PRESENT[1]      changed in place
    time_us : int64[n]         event time
    record_us : int64[n]       time of the record itself; NEVER: unknown. A point far behind votes
                               only if its record agrees with it: a backfill moves nothing back
    max_future_us : int
    watermark_us : int64[n]    out: the present after each point
    silence_us : int64[j]      for each way to count: a longer step of the present was silence
    spoke : int64[j]           time in which the partition spoke, changed in place: what the present
                               moved on in steps that were no silence
    before, spoken : int64[j, n]   out: the same before and after each point

    Notes
    -----
    Source: majority vote of Boyer and Moore (1991); deviation: votes are bounded, 16 are enough,
    and they must span some time, since one producer's batch holds thousands of points.
    """
    present = presents[0]
    for i in range(len(time_us)):
        t = time_us[i]
        was_us = present.time_us
        if was_us == NEVER:
            present.time_us = t
        elif abs(t - was_us) <= max_future_us:
            present.time_us = max(was_us, t)
            present.votes = max(present.votes - 1, 0)
        elif t > was_us:
            present.n_ahead += 1
            _vote(present, t, max_future_us)
        elif record_us[i] != NEVER and abs(record_us[i] - t) <= max_future_us:
            _vote(present, t, max_future_us)
        watermark_us[i] = present.time_us
        for j in range(len(silence_us)):
            before[j, i] = spoke[j]
            if was_us != NEVER and was_us < present.time_us <= was_us + silence_us[j]:
                spoke[j] += present.time_us - was_us
            spoken[j, i] = spoke[j]
