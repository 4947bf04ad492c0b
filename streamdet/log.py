"""Log lines: one an event, as text or JSON, on standard error.

Modules log with the standard library and put what a machine may want into fields:
``log.info("partitions assigned", extra={"fields": {"count": 4}})``. A message may hold what came
from outside (a topic's name, a broker's error), so control characters are always escaped: nobody
writes a second line, or to the terminal, by way of the first.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TextIO

# C0 and C1 controls, line and paragraph separators, what turns the direction of writing, and
# surrogates, which no terminal or file can take.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CLIENT = "streamdet.kafka.client"
_NUMBERS = re.compile(r"\d+")
_AGAIN_AFTER_S = 30.0
_REMEMBERED_MAX = 1000
_BARE = re.compile(r"[^\s\"=]+")


def setup(
    line_format: Literal["text", "json"],
    level: str,
    stream: TextIO | None = None,
    *,
    worker: int | None = None,
) -> None:
    """Write streamdet's events from `level` on, and other libraries' warnings, to `stream`.

    Parameters
    ----------
    stream
        None: standard error.
    worker
        A field of every line, where several workers write to one place.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if line_format == "json" else _TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("streamdet").setLevel(level.upper())
    handler.addFilter(_NotAgain())
    if worker is not None:
        handler.addFilter(partial(_mark, worker))


def escaped(text: str) -> str:
    """Return `text` with every control character written out, as in ``\\x1b``."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def _mark(worker: int, record: logging.LogRecord) -> bool:
    record.fields = {"worker": worker, **getattr(record, "fields", {})}
    return True


class _NotAgain(logging.Filter):
    """Drops what librdkafka said within the last seconds: a broker that is away fills disks.

    Two messages are the same when they differ in numbers only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != _CLIENT:
            return True
        message = _NUMBERS.sub("", record.getMessage())
        if record.created - self._said_s.get(message, 0.0) < _AGAIN_AFTER_S:
            return False
        if len(self._said_s) >= _REMEMBERED_MAX:
            self._said_s.clear()
        self._said_s[message] = record.created
        return True


class _TextLines(logging.Formatter):
    """``time level message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time(record), f"{record.levelname:7}", escaped(record.getMessage())]
        parts += [f"{escaped(name)}={_shown(value)}" for name, value in _fields(record).items()]
        return " ".join(parts)


class _JsonLines(logging.Formatter):
    """One object: time, level, logger, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps({**_fields(record), **line}, default=str)  # escapes all but ASCII


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = dict(getattr(record, "fields", {}))
    if record.exc_info:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _shown(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) and not _UNSAFE.search(text) else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
