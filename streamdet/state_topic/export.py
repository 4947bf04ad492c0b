"""`streamdet state export`: the state of every series to a file, one row a series."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streamdet.errors import ConfigError
from streamdet.serde.instant import format_instant
from streamdet.state_topic.contents import PROGRESS_EVERY_S, Access, Unusable, read_contents
from streamdet.state_topic.plain import SeriesState, plain, row_fields

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_GROUP_BYTES = 64 << 20
"""Of a row group of Parquet, in memory."""

Rows = list[dict[str, Any]]


class Exported(NamedTuple):
    """What an export has written."""

    n_series: int
    unusable: list[Unusable]
    """Records that are not in the file."""


def export(access: Access, group: str, out: Path) -> Exported:
    """Write the state of all series of a group; one chunk at a time is decoded.

    What a worker would not load is left out.

    Raises
    ------
    ConfigError
        The file's ending is none of those known, it cannot be written, or pyarrow is missing.
    FatalError
        The brokers are away, or the topic or a right is missing.
    """
    writers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}
    if out.suffix not in writers:
        raise ConfigError(f"{out}: must end in one of {', '.join(writers)}")
    unusable: list[Unusable] = []
    n_series, told_s = 0, time.monotonic()
    try:
        with writers[out.suffix](out) as write:
            for rows in _rows(access, group, unusable):
                write(rows)
                n_series += len(rows)
                if time.monotonic() - told_s >= PROGRESS_EVERY_S:
                    told_s = time.monotonic()
                    log.info("%s series written", f"{n_series:,}")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}") from None
    return Exported(n_series, unusable)


def _rows(access: Access, group: str, unusable: list[Unusable]) -> Iterator[Rows]:
    """Yield the rows of a chunk."""
    for contents in read_contents(access, group):
        for topic in sorted(contents.own):
            stored = contents.own[topic]
            own = stored.partition()
            if isinstance(own, Unusable):
                unusable.append(own)
            elif own is not None:
                for chunk in stored.used_chunks(own):
                    if isinstance(chunk, Unusable):
                        unusable.append(chunk)
                    else:
                        yield [row_of(each) for each in plain(chunk, stored.input)]


def row_of(state: SeriesState) -> dict[str, Any]:
    """Return the columns of a series, the same of each; times in microseconds since 1970."""
    return {
        "metric": state.series.metric,
        "dimensions": dict(state.series.dimensions),
        "topic": state.input.topic,
        "partition": state.input.index,
        "detector": state.detector,
        "ringLength": state.ring_length,
        "offset": state.offset,
        "time": state.time_us,
        "period": state.period,
        "incident": state.incident,
        "rolledUp": state.rolled_up,
        "ring": state.ring,
        "pending": [{"time": each["time_us"], **_without_time(each)} for each in state.pending],
        "state": state.row,
    }


def with_texts(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it: times are ISO 8601."""
    pending = [{**each, "time": time_text(each["time"])} for each in row["pending"]]
    return {**row, "time": time_text(row["time"]), "pending": pending}


def _without_time(point: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in point.items() if name != "time_us"}


def time_text(time_us: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC; None: no time, or none that a calendar has."""
    try:
        return None if time_us is None else format_instant(time_us)
    except OverflowError:
        return None


Writer = Callable[[Path], AbstractContextManager[Callable[[Rows], None]]]


@contextmanager
def _json_lines(out: Path) -> Iterator[Callable[[Rows], None]]:
    encode = msgspec.json.Encoder().encode_lines
    with out.open("wb") as file:

        def write(rows: Rows) -> None:
            file.write(encode([with_texts(row) for row in rows]))

        yield write


@contextmanager
def _parquet(out: Path) -> Iterator[Callable[[Rows], None]]:
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            f"{out}: needs pyarrow, which is not installed: pip install 'streamdet[backtest]'; "
            "a file that ends in .jsonl needs nothing"
        ) from None
    schema = _schema(pa)
    waiting: list[pa.RecordBatch] = []

    def write(rows: Rows, *, last: bool = False) -> None:
        for row in rows:
            row["dimensions"] = list(row["dimensions"].items())
        if rows:
            waiting.append(_batch(pa, rows, schema))
        if waiting and (last or sum(batch.nbytes for batch in waiting) >= _GROUP_BYTES):
            writer.write_table(pa.Table.from_batches(waiting, schema))
            waiting.clear()

    with pq.ParquetWriter(out, schema) as writer:
        yield write
        write([], last=True)


def _batch(pa: Any, rows: Rows, schema: pa.Schema) -> pa.RecordBatch:  # noqa: ANN401  # a module
    columns = []
    for field in schema:
        columns.append(pa.array([row[field.name] for row in rows], field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _schema(pa: Any) -> pa.Schema:  # noqa: ANN401  # a module
    time = pa.timestamp("us", "UTC")
    held = [
        ("time", time),
        ("value", pa.float64()),
        ("offset", pa.int64()),
        ("element", pa.int32()),
    ]
    return pa.schema(
        {
            "metric": pa.string(),
            "dimensions": pa.map_(pa.string(), pa.string()),
            "topic": pa.string(),
            "partition": pa.int32(),
            "detector": pa.string(),
            "ringLength": pa.int32(),
            "offset": pa.int64(),
            "time": time,
            "period": pa.int32(),
            "incident": pa.string(),
            "rolledUp": pa.bool_(),
            "ring": pa.list_(pa.float64()),
            "pending": pa.list_(pa.struct(held)),
            "state": _struct(pa, row_fields()),
        }
    )


def _struct(pa: Any, fields: Mapping[str, Any]) -> pa.DataType:  # noqa: ANN401  # a module
    types = {}
    for name, form in fields.items():
        if isinstance(form, Mapping):
            types[name] = _struct(pa, form)
            continue
        base, shape = form.subdtype or (form, ())
        plain_type = pa.float64() if base.kind == "f" else pa.int64()
        types[name] = pa.list_(plain_type) if shape else plain_type
    return pa.struct(types)
