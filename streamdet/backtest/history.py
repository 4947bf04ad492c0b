"""A file of points as columns: read, checked by the worker's rules, its series told apart."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from streamdet.config import Config
from streamdet.errors import ConfigError, RecordError
from streamdet.kernels.scalars import LAST_US, VALUE_MAX
from streamdet.serde.instant import parse_instant
from streamdet.serde.limits import TICKS, DecodeLimits, TimestampUnit
from streamdet.serde.series import IdentityReader
from streamdet.types import Overrides

COLUMNS = ("metric", "timestamp", "value")
VERDICT_COLUMNS = (
    "expectedValue", "lowerBoundary", "upperBoundary", "score", "severity", "isAnomaly",
    "isPositiveAnomaly", "isNegativeAnomaly", "alert", "period", "sensitivity", "state", "status",
)  # fmt: skip
ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_INT64_MAX = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class History:
    """A file, or a window of a topic, of n rows, as columns."""

    table: pa.Table
    """metric, dimensions, timestamp and value as they are given back."""
    keys: list[bytes]
    """Of each series, its identity's text."""
    series: NDArray[np.int64]
    """Shape (n,): index into `keys`."""
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    """Shape (n,): NaN where there is none."""
    partitions: list[NDArray[np.int64]] | None = None
    """Rows of each partition in the order of its records, which a worker judges apart; None where
    there are none, and rows are taken by event time."""
    overrides: dict[int, Overrides] = field(default_factory=dict)
    """Row -> parameters that hold from this row of its series on."""
    record_us: NDArray[np.int64] | None = None
    """Shape (n,): time of the row's record, NEVER where unknown; None: of all rows."""
    leaves: dict[int, int] = field(default_factory=dict)
    """Series that others are rolled up into -> one of those, by whose rule it is judged."""


class _NativePoint(msgspec.Struct, forbid_unknown_fields=True):
    metric: str
    timestamp: int | str
    value: float | None
    dimensions: dict[str, str] = {}


_POINT = msgspec.json.Decoder(_NativePoint)


def read(path: Path, columns: Mapping[str, str], metric: str | None, config: Config) -> History:
    """Read and check a file of points.

    Parameters
    ----------
    path
        ``.csv`` with a header, ``.parquet``, or ``.jsonl`` / ``.ndjson`` with a native point a
        line.
    columns
        Which columns hold metric, timestamp and value, where they are called otherwise. Every
        other column is a dimension; null, or an empty cell of a CSV, is no dimension.
    metric
        The metric of every row, when no column holds it.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing, or a row holds no point: the message names
        the first.
    """
    readers = {".csv": read_csv, ".parquet": read_parquet}
    read_table = readers.get(path.suffix, _read_json)
    if read_table is _read_json and (columns or metric):
        raise ConfigError(
            "--map and --metric are for CSV and Parquet; JSON lines are native points"
        )
    try:
        table = read_table(path)
        table.validate(full=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        refuse_unreadable(path, error)
    table = _named(path, table, columns, metric)
    unit = config.input.timestamp_unit
    time_us = read_times_us(path, table.column("timestamp"), unit, config.limits.earliest_us)
    value = _values(path, table.column("value"))
    keys, series = read_series(path, table, DecodeLimits.of(config.limits))
    return History(as_given_back(table, time_us, value), keys, series, time_us, value)


def read_csv(path: Path) -> pa.Table:
    """Return a CSV's cells as texts; an empty one is null."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        header = next(csv.reader(text), [])
    if not _is_utf8(header):
        raise ConfigError(f"{path}:1: is not UTF-8 text")
    return pyarrow.csv.read_csv(
        path,
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def read_parquet(path: Path) -> pa.Table:
    """Return a Parquet file as it is."""
    return pq.ParquetFile(path).read()


def _read_json(path: Path) -> pa.Table:
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"{}")
    try:
        timestamp = json.loads(first).get("timestamp")
    except (ValueError, AttributeError):
        timestamp = None  # the reader below says what is wrong with the line
    integers = isinstance(timestamp, int)
    known = {
        "metric": pa.string(),
        "timestamp": pa.int64() if integers else pa.string(),
        "value": pa.float64(),
    }
    table = pyarrow.json.read_json(
        path, parse_options=pyarrow.json.ParseOptions(explicit_schema=pa.schema(known))
    )
    if not set(table.column_names) <= {*known, "dimensions"}:
        raise pa.ArrowInvalid("a point has an unknown field")
    if "dimensions" not in table.column_names:
        return table
    dimensions = table.column("dimensions")
    table = table.drop_columns("dimensions")
    if not pa.types.is_null(dimensions.type):
        for field, column in zip(dimensions.type.fields, dimensions.flatten(), strict=True):
            if not (pa.types.is_string(field.type) or pa.types.is_null(field.type)):
                raise pa.ArrowInvalid(f"dimension {field.name!r} must be a string")
            table = table.append_column(field.name, column)
    return table


def _named(path: Path, table: pa.Table, columns: Mapping[str, str], metric: str | None) -> pa.Table:
    """Return `table` with the three columns under their own names."""
    if metric is not None:
        table = table.append_column("metric", pa.repeat(metric, table.num_rows))
    for name in COLUMNS:
        column = columns.get(name, name)
        if column not in table.column_names:
            found = ", ".join(table.column_names)
            hint = f"name it with --map {name}=COLUMN"
            raise ConfigError(
                f"{path}: no column {column!r} for the {name}; {hint} (found: {found})"
            )
    own = {columns.get(name, name): name for name in COLUMNS}
    if len(own) < len(COLUMNS):
        raise ConfigError("--map: metric, timestamp and value must be three columns")
    names = [own.get(name, name) for name in table.column_names]
    for name in names:
        if names.count(name) > 1 or name in VERDICT_COLUMNS:
            what = "a second column, or dimension," if names.count(name) > 1 else "a column"
            raise ConfigError(f"{path}: {what} would be called {name!r} in the verdicts; rename it")
    return table.rename_columns(names)


def as_given_back(
    table: pa.Table, time_us: NDArray[np.int64], value: NDArray[np.float64]
) -> pa.Table:
    """Return metric, dimensions, timestamp (in the coarsest unit that loses nothing) and value."""
    unit, ticks = "us", time_us
    for coarser, factor in (("ms", 1_000), ("s", 1_000_000)):
        if not (time_us % factor).any():
            unit, ticks = coarser, time_us // factor
    dimensions = [name for name in table.column_names if name not in COLUMNS]
    return pa.table(
        {
            **{name: table.column(name) for name in ("metric", *dimensions)},
            "timestamp": pa.array(ticks).cast(pa.timestamp(unit, "UTC")),
            "value": pa.array(value, from_pandas=True),
        }
    )


def read_times_us(
    path: Path, column: pa.ChunkedArray, unit: TimestampUnit, earliest_us: int
) -> NDArray[np.int64]:
    """Return the times of `column`: times (without a zone: UTC), integers in `unit`, or texts."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        refuse_row(path, _first(pc.is_null(column)), "timestamp is missing")
    if _is_text(column.type):
        with contextlib.suppress(pa.ArrowInvalid):
            column = column.cast(pa.int64())
    if _is_text(column.type):
        time_us = _text_times_us(path, column, unit)
    elif pa.types.is_timestamp(column.type) or pa.types.is_integer(column.type):
        multiplier, divisor = TICKS[unit if pa.types.is_integer(column.type) else column.type.unit]
        ticks = column.cast(pa.int64()).to_numpy()
        most = min(LAST_US // multiplier * divisor, _INT64_MAX)  # the product may not overflow
        time_us = np.clip(ticks, -most, most) * multiplier // divisor
        time_us[ticks > most] = LAST_US + 1
    else:
        kinds = "times, integers or texts"
        raise ConfigError(f"{path}: column of the timestamp holds {column.type}; must be {kinds}")
    for bad, fault in (
        (time_us < earliest_us, "timestamp is before limits.earliest"),
        (time_us > LAST_US, "timestamp is after the year 9999"),
    ):
        if bad.any():
            hint = f"; integers are read as {unit} (input.timestamp_unit)"
            typed = pa.types.is_timestamp(column.type)
            refuse_row(path, int(bad.argmax()), fault + ("" if typed else hint))
    return time_us


def _text_times_us(path: Path, column: pa.ChunkedArray, unit: TimestampUnit) -> NDArray[np.int64]:
    try:
        times = column.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # nine digits of a fraction, no zone, some integers: text by text
        multiplier, divisor = TICKS[unit]
        encoded = column.combine_chunks().dictionary_encode()
        read_us = []
        for code, text in enumerate(encoded.dictionary.to_pylist()):
            try:
                integer = _INTEGER.fullmatch(text)
                read_us.append(
                    int(text) * multiplier // divisor if integer else parse_instant(text)
                )
            except RecordError as error:
                refuse_row(path, _first(pc.equal(encoded.indices, code)), error.message)
        bounded = [min(max(time_us, -LAST_US), LAST_US + 1) for time_us in read_us]
        found: NDArray[np.int64] = np.array(bounded, np.int64)[encoded.indices.to_numpy()]
        return found
    found = times.cast(pa.int64()).to_numpy()
    return found


def _values(path: Path, column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        if _is_text(column.type):
            column = pc.utf8_trim_whitespace(column)
        elif pa.types.is_boolean(column.type):
            raise pa.ArrowInvalid("true and false are no numbers")
        value: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        for row, cell in enumerate(column.to_pylist()):
            if cell is not None and not _is_number(cell):
                refuse_row(path, row, "value must be a finite number")
        raise
    too_large = np.abs(value) > VALUE_MAX  # NaN, a missing value, is not
    if too_large.any():
        reason = f"value must be a finite number of up to {VALUE_MAX:g}"
        refuse_row(path, int(too_large.argmax()), reason)
    return value


def _is_number(cell: object) -> bool:
    try:
        pa.array([cell]).cast(pa.float64())
    except pa.ArrowException:
        return False
    return not isinstance(cell, bool)


def read_series(
    path: Path, table: pa.Table, limits: DecodeLimits
) -> tuple[list[bytes], NDArray[np.int64]]:
    """Return the series' identities, and for each row which it is."""
    dimensions = [name for name in table.column_names if name not in COLUMNS]
    texts = {name: _as_text(path, name, table.column(name)) for name in ("metric", *dimensions)}
    combined = np.zeros(table.num_rows, np.int64)
    for column in texts.values():
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        encoded = encoded.unify_dictionaries().combine_chunks()
        codes = encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy() + 1
        combined = combined * (len(encoded.dictionary) + 1) + codes
        dense = pa.array(combined).dictionary_encode()  # so the next product stays small
        combined = dense.indices.to_numpy().astype(np.int64)
    first = np.empty(len(np.unique(combined)), np.int64)
    first[combined[::-1]] = np.arange(len(combined))[::-1]
    reader = IdentityReader(limits)
    number: dict[bytes, int] = {}
    numbers = []
    for row, names in zip(first.tolist(), pa.table(texts).take(first).to_pylist(), strict=True):
        metric = names.pop("metric") or ""
        given = {name: value for name, value in names.items() if value is not None}
        try:
            key = reader.read(metric, msgspec.json.encode(given)).key
        except RecordError as error:
            refuse_row(path, row, error.message)
        numbers.append(number.setdefault(key, len(number)))
    return list(number), np.array(numbers, np.int64)[combined]


def _as_text(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        fault = f"column {name!r} holds {column.type}, which is no text"
        raise ConfigError(f"{path}: {fault}; leave it out, or make it text") from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first(bad: pa.ChunkedArray) -> int:
    return int(bad.index(True).as_py())


def refuse_row(path: Path, row: int, fault: str) -> NoReturn:
    """Raise ConfigError that names the place of `row` (from 0)."""
    raise ConfigError(f"{row_place(path, row)}: {fault}")


def row_place(path: Path, row: int) -> str:
    """Return ``file:line`` of `row` (from 0), or its number where there are no lines."""
    if path.suffix != ".parquet":
        for number, (line, _) in enumerate(_lines(path)):
            if number == row:
                return f"{path}:{line}"
    return f"{path}: row {row + 1}"


def refuse_unreadable(path: Path, error: pa.ArrowException) -> NoReturn:
    """Raise ConfigError that names the first line that cannot be read, where there are lines."""
    if path.suffix != ".parquet":
        for line, fault in _lines(path):
            if fault:
                raise ConfigError(f"{path}:{line}: {fault}") from None
    raise ConfigError(f"{path}: cannot be read: {error}") from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield for each row the number of its line, and what is wrong with its form."""
    if path.suffix == ".csv":
        yield from _csv_lines(path)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    _POINT.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    yield number, str(error)
                else:
                    yield number, ""


def _csv_lines(path: Path) -> Iterator[tuple[int, str]]:
    # Surrogates carry bytes that are no UTF-8 as far as the line that is then refused.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            cells = len(next(rows, []))
            for row in rows:
                fault = ""
                if len(row) != cells:
                    fault = f"has {len(row)} cells where the header has {cells}"
                elif not _is_utf8(row):
                    fault = "is not UTF-8 text"
                if row:
                    yield rows.line_num, fault
        except csv.Error as error:
            yield rows.line_num, f"is no CSV: {error}"


def _is_utf8(cells: list[str]) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell)
