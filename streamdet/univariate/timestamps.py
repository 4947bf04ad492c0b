"""Timestamps of a request, as text, to microseconds since 1970.

ISO 8601 in UTC, or with an offset; a blank in place of the T. Also the form in which .NET prints a
time where nobody says otherwise, 12/31/2021 4:05:06 PM: requests with it were answered, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError

_EPOCH = datetime(1970, 1, 1)  # naive is UTC here
_EPOCH_UTC = _EPOCH.replace(tzinfo=UTC)
_US = timedelta(microseconds=1)
_DOT_NET = "%m/%d/%Y %I:%M:%S %p"


def parse_timestamps(stamps: Sequence[str | None]) -> NDArray[np.int64]:
    """Return the times in microseconds since 1970, UTC.

    Raises
    ------
    RequestError
        BadArgument, with the index of the first that is absent or no time.
    """
    times_us = np.empty(len(stamps), np.int64)
    for index, stamp in enumerate(stamps):
        try:
            time = _parsed(stamp)
            times_us[index] = (time - (_EPOCH if time.tzinfo is None else _EPOCH_UTC)) // _US
        except (TypeError, ValueError, OverflowError):
            raise RequestError(
                "BadArgument",
                f"'timestamp' or 'value' is malformed in 'series' field: the timestamp at index"
                f" {index} has to be a time of ISO 8601, as 2026-11-22T09:00:00Z.",
            ) from None
    return times_us


def _parsed(stamp: str | None) -> datetime:
    if stamp is None:
        raise TypeError
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        return datetime.strptime(stamp.strip(), _DOT_NET)  # naive is UTC here
