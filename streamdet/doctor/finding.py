"""What a check says, and how times are told in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

NAMES_SHOWN = 3


class Check(StrEnum):
    """What is looked at. A closed set, for scripts; docs/cli.md says what each means."""

    CONFIG = "configuration"
    MAX_FUTURE = "configuration.max_future"
    DELIVERY = "configuration.delivery"
    TRANSACTION_TIMEOUT = "configuration.transaction_timeout"
    SERVER = "connection.server"
    ADVERTISED = "connection.advertised"
    TOPIC_RIGHTS = "rights.topic"
    GROUP_RIGHTS = "rights.group"
    TRANSACTION_RIGHTS = "rights.transactional_id"
    TOPIC = "topic"
    SETTINGS = "topic.settings"
    REPLICATION = "topic.replication"
    CLEANUP = "topic.cleanup"
    RETENTION = "topic.retention"
    RECORD_TIMES = "topic.record_times"
    RECORD_SIZE = "topic.record_size"
    STATE = "topic.state"
    GROUP = "group.members"
    OFFSETS = "group.offsets"
    CLOCK = "clock"
    DECODING = "points.decoding"
    KEYS = "points.keys"
    ORDER = "points.order"
    GRID = "points.grid"
    AHEAD = "points.ahead"


class Status(StrEnum):
    """How it stands. `unknown`: the check could not be made."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """One line of what the doctor says."""

    check: Check
    subject: str
    """The address, topic, group or setting it is about."""
    status: Status
    found: str
    advice: str = ""
    """What to do; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Told:
    """Makes the findings of one check on one subject."""

    check: Check
    subject: str

    def ok(self, found: str) -> Finding:
        """All is well."""
        return Finding(self.check, self.subject, Status.OK, found)

    def warn(self, found: str, advice: str) -> Finding:
        """It works, and may not for long, or not as meant."""
        return Finding(self.check, self.subject, Status.WARN, found, advice)

    def fail(self, found: str, advice: str) -> Finding:
        """It does not work, or verdicts are wrong."""
        return Finding(self.check, self.subject, Status.FAIL, found, advice)

    def unknown(self, why: str, advice: str = "") -> Finding:
        """The check could not be made."""
        return Finding(self.check, self.subject, Status.UNKNOWN, why, advice)


_SPANS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_STEPS_S = (
    *(0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(2 * 3600, 4 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 3 * 86_400, 7 * 86_400),
)


def span(seconds: float) -> str:
    """Return a time as people say it, to two units: `1 d 4 h`, `350 ms`."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000, 1):g} ms"
    if seconds < 10:
        return f"{seconds:.3g} s"
    parts: list[str] = []
    left = round(seconds)
    for size, unit in _SPANS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts)


def setting_of_at_least(seconds: float) -> str | None:
    """Return a round duration, as settings have it, not shorter; None: longer than a week."""
    found = next((step for step in _STEPS_S if step >= seconds), None)
    if found is None:
        return None
    if found < 1:
        return f"{found * 1000:.0f}ms"
    size, unit = next(each for each in _SPANS if found % each[0] == 0)
    return f"{found // size:.0f}{unit}"


def listed(names: Sequence[str]) -> str:
    """Return some names and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def share(part: int, whole: int) -> str:
    """Return a share in percent that is not 0 % where something is, nor 100 % where not all is."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.01:
        return "less than 0.01 %"
    if 99.9 < percent < 100:
        return "more than 99.9 %"
    return f"{percent:.3g} %"
