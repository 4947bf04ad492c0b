"""A dead letter, or a late record, as its headers tell it: `serde.dead_letter` read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streamdet.errors import ConfigError, RecordError
from streamdet.serde.dead_letter import LATE, PREFIX
from streamdet.serde.instant import format_instant, parse_instant
from streamdet.types import Partition, Reason, Record

REASONS = (*Reason, LATE)

# another version may have another reason
_REASON = re.compile(r"[a-z_]{1,64}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of the dead-letter topic, and what its headers say of the one that was refused."""

    record: Record
    reason: str
    source: Partition
    """Where the refused record was read."""
    errors: Mapping[str, str]
    """Our headers, without the prefix."""

    @staticmethod
    def of(record: Record) -> Letter | None:
        """Return `record` as a dead letter; None: reason or place stand not in its headers."""
        errors = {
            name.removeprefix(PREFIX): (value or b"").decode(errors="replace")
            for name, value in record.headers
            if name.startswith(PREFIX)
        }
        reason, topic = errors.get("reason", ""), errors.get("topic", "")
        index = errors.get("partition", "")
        sound = _REASON.fullmatch(reason) and _TOPIC.fullmatch(topic) and _NUMBER.fullmatch(index)
        return Letter(record, reason, Partition(topic, int(index)), errors) if sound else None

    @property
    def place(self) -> str:
        """Where it lies itself, as `streamdet dlq show` takes it."""
        return f"{self.record.partition.index}:{self.record.offset}"


class Selection(NamedTuple):
    """Which dead letters are meant; None: all."""

    reason: str | None = None
    source: str | None = None
    """Topic that the refused record was read from."""
    since_ms: int | None = None
    """The dead letter's own time, which is that of the refusal."""

    @staticmethod
    def of(reason: str | None, source: str | None, since: str | None) -> Selection:
        """Return what the options say.

        Raises
        ------
        ConfigError
            One says nothing that can be; the message names it.
        """
        if reason is not None and reason not in REASONS:
            raise ConfigError(f"--reason {reason}: must be one of {', '.join(REASONS)}")
        try:
            since_ms = None if since is None else -(-parse_instant(since) // 1_000)
        except RecordError as error:
            fault = error.message.removeprefix("timestamp ")
            raise ConfigError(f"--since {since}: {fault}") from None
        return Selection(reason, source, since_ms)

    def takes_kind(self, letter: Letter) -> bool:
        """Return whether reason and source are meant."""
        return self.reason in (None, letter.reason) and self.source in (None, letter.source.topic)

    def is_older(self, letter: Letter) -> bool:
        """Return whether it came before the time from which on they are meant."""
        return self.since_ms is not None and letter.record.timestamp_ms < self.since_ms


def time_text(time_ms: int) -> str | None:
    """Return a record's time as ISO 8601 in UTC; None for -1, unknown."""
    return None if time_ms < 0 else format_instant(time_ms * 1_000)
