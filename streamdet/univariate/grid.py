"""The even grid of a series: the slot that each timestamp is for.

Weeks and shorter units have one length in UTC. Months and years go by the calendar: the same time
of the same day of the month, or of a month's last day where the series begins on one, or where the
month is too short for the day.

Source: systems.md 2.1 (granularity, customInterval), 2.4 (InvalidSeries).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError

Granularity = Literal[
    "yearly",
    "monthly",
    "weekly",
    "daily",
    "hourly",
    "minutely",
    "secondly",
    "microsecond",
    "none",
]

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_UNIT_US: dict[str, int] = {
    "weekly": 7 * _DAY_US,
    "daily": _DAY_US,
    "hourly": 3600 * _SECOND_US,
    "minutely": 60 * _SECOND_US,
    "secondly": _SECOND_US,
    "microsecond": 1000,  # a millisecond, whatever its name: so it is in the service
}
_INTERVAL_MAX = 2**62  # beyond any distance of two times; fits an int64
_UNIT_MONTHS = {"monthly": 1, "yearly": 12}


def slots_of(
    times_us: NDArray[np.int64], granularity: Granularity, custom_interval: int
) -> NDArray[np.int64]:
    """Return the slot of each time; the first is 0.

    Parameters
    ----------
    times_us : int64[n]   ascending, each once
    custom_interval : > 0, in units of `granularity`

    Raises
    ------
    RequestError
        InvalidSeries, with the index of the first time that lies on no slot.
    """
    if granularity == "none":
        return np.arange(len(times_us))
    if granularity in _UNIT_MONTHS:
        elapsed, on_grid = _months_since_first(times_us)
        interval = custom_interval * _UNIT_MONTHS[granularity]
    else:
        elapsed, on_grid = times_us - times_us[0], np.ones(len(times_us), bool)
        interval = custom_interval * _UNIT_US[granularity]
    interval = min(interval, _INTERVAL_MAX)
    on_grid &= elapsed % interval == 0
    if not on_grid.all():
        raise RequestError(
            "InvalidSeries",
            f"The 'timestamp' at index {int(on_grid.argmin())} is invalid in {granularity}"
            f" granularity with {custom_interval} gran as interval.",
        )
    return elapsed // interval


def _months_since_first(
    times_us: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return whole months since the first time, and whether each is whole."""
    times = times_us.view("datetime64[us]")
    months = times.astype("datetime64[M]")
    day_us = (times - times.astype("datetime64[D]")).astype(np.int64)
    day = (times.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    days = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    is_last_day = day == days - 1
    same_day = (day == day[0]) | (is_last_day & (is_last_day[0] | (day < day[0])))
    return (months - months[0]).astype(np.int64), same_day & (day_us == day_us[0])
