"""`streamdet dlq show`: one record whole, as text that a terminal can take."""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamdet.dlq.letter import time_text
from streamdet.types import Record

SHOWN_BYTES = 2_048
_ROW_BYTES = 16
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def lines_of(record: Record, *, full: bool) -> Iterator[str]:
    """Yield headers, key and value; of what is long only the beginning, unless `full`."""
    time = time_text(record.timestamp_ms) or "unknown"
    yield f"{record.partition} offset {record.offset}, time {time}"
    for name, value in record.headers:
        yield from _field(f"header {name}", value, full)
    yield from _field("key", record.key, full)
    yield from _field("value", record.value, full)


def _field(name: str, content: bytes | None, full: bool) -> Iterator[str]:
    if content is None:
        yield f"{name}: null"
        return
    shown = content if full else content[:SHOWN_BYTES]
    left = len(content) - len(shown)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or _CONTROLS.search(text):
        yield f"{name}: {len(content):,} bytes, not text"
        yield from _hex_rows(shown)
    else:
        lines = shown.decode(errors="ignore").splitlines() or [""]
        if len(lines) == 1 and name.startswith("header"):
            yield f"{name}: {lines[0]}"
        else:
            yield f"{name}: {len(content):,} bytes"
            yield from (f"  {line}" for line in lines)
    if left:
        yield f"  ... {left:,} bytes more; --full shows them"


def _hex_rows(content: bytes) -> Iterator[str]:
    for start in range(0, len(content), _ROW_BYTES):
        row = content[start : start + _ROW_BYTES]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"  {start:08x}  {row.hex(' '):{3 * _ROW_BYTES}} {text}"
