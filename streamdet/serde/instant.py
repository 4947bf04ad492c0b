"""Event times as producers write them, and as events show them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

from streamdet.errors import RecordError
from streamdet.types import Reason

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"([Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()


def parse_instant(text: str) -> int:
    """Return the microseconds since 1970 of an ISO 8601 date and time with its zone.

    Digits beyond the microsecond are cut off, which is toward minus infinity.

    Raises
    ------
    RecordError
        `timestamp`: of another form, without a zone, or no such date or time.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        raise _refusal("is not of the form 2021-03-02T01:00:00Z")
    year, month, day, hour, minute, second, fraction, zone, sign, hours, minutes = found.groups()
    if zone is None:
        raise _refusal("has no zone: end it with Z or an offset such as +01:00")
    if second == "60":
        raise _refusal("has second 60: Unix time has no leap seconds")
    # digits of equal number compare as numbers do
    if hour > "23" or minute > "59" or second > "59":
        raise _refusal("has no such time of day")
    offset = 0
    if sign is not None:
        if hours > "23" or minutes > "59":
            raise _refusal("has no such offset")
        offset = int(sign + hours) * 60 + int(sign + minutes)
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        raise _refusal("has no such date") from None
    seconds = ((days * 24 + int(hour)) * 60 + int(minute) - offset) * 60 + int(second)
    return seconds * 1_000_000 + (int(fraction.ljust(6, "0")[:6]) if fraction else 0)


@lru_cache(maxsize=1_024)  # the points of a batch are often of a few times
def format_instant(time_us: int) -> str:
    """Return `time_us` as ISO 8601 in UTC, with as many digits of the fraction as it has."""
    text = (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")
    return text.rstrip("0").rstrip(".") + "Z"


def _refusal(fault: str) -> RecordError:
    return RecordError(Reason.TIMESTAMP, f"timestamp {fault}")
