"""A file of labels: which points of a history were known to be anomalous."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamdet.backtest.history import (
    ENDINGS,
    History,
    read_csv,
    read_parquet,
    read_series,
    read_times_us,
    refuse_row,
    refuse_unreadable,
    row_place,
)
from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.serde.limits import DecodeLimits

_POINT = ("timestamp", "label")
_INTERVAL = ("start", "end")
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file of labels says of a history of n rows."""

    label: NDArray[np.bool_]
    """Shape (n,): the row is labelled as anomalous."""
    left_out: int
    """Labels that hold no row of their series."""
    first_left_out: str
    """The place of the first of them, as ``file:line``; empty when there is none."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    metric: str
    dimensions: dict[str, str] = {}
    timestamp: int | str | None = None
    value: float | None = None
    label: bool | int | None = None
    start: int | str | None = None
    end: int | str | None = None


def read_labels(
    path: Path, history: History, columns: Mapping[str, str], metric: str | None, config: Config
) -> Labels:
    """Read a file of labels, and find the rows of `history` that it speaks of.

    Parameters
    ----------
    path
        ``.csv`` with a header, ``.parquet``, or ``.jsonl`` / ``.ndjson`` with a native point's
        metric and dimensions. A row tells of a point (`timestamp`, `label` 0 or 1; a `value` is
        passed over) or of an interval (`start`, `end`, both inside of it). Every other column is
        a dimension.
    columns, metric
        As of the input. A column that is mapped there may have either name here.

    Raises
    ------
    ConfigError
        The file cannot be read, a row names a series that the input does not have, or no label
        holds any row of the input: a misspelt series or a wrong time zone must not pass for a
        detector that finds nothing. The message names the line.
    """
    table = _read(path)
    table = _named(path, table, columns, metric)
    names = set(table.column_names)
    form = _POINT if set(_POINT) <= names else _INTERVAL
    if not set(form) <= names or (form == _POINT and names & set(_INTERVAL)):
        found = ", ".join(table.column_names)
        raise ConfigError(
            f"{path}: labels have either the columns timestamp and label (a row a point), or "
            f"start and end (a row an interval); found: {found}"
        )
    unit, earliest_us = config.input.timestamp_unit, config.limits.earliest_us
    start_us = read_times_us(path, table.column(form[0]), unit, earliest_us)
    end_us, asked = start_us, np.ones(len(start_us), np.bool_)
    if form == _POINT:
        asked = _truths(path, table.column("label"))
    else:
        end_us = read_times_us(path, table.column("end"), unit, earliest_us)
        if (end_us < start_us).any():
            refuse_row(path, int((end_us < start_us).argmax()), "end is before start")
    identities = table.drop_columns([name for name in (*form, "value") if name in names])
    keys, key = read_series(path, identities, DecodeLimits.of(config.limits))
    series = _known(path, keys, key, history.keys)
    return _marked(path, history, series[asked], start_us[asked], end_us[asked], asked)


def _read(path: Path) -> pa.Table:
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{path}: must end in one of {', '.join(ENDINGS)}")
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            return _read_json(path)
        table = (read_csv if path.suffix == ".csv" else read_parquet)(path)
        table.validate(full=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowException as error:
        refuse_unreadable(path, error)
    return table


def _read_json(path: Path) -> pa.Table:
    decoder = msgspec.json.Decoder(_Line)
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    found.append(decoder.decode(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise ConfigError(f"{path}:{number}: {error}") from None
    columns: dict[str, list[str | None]] = {"metric": [line.metric for line in found]}
    for name in (*_POINT, *_INTERVAL):
        cells = [getattr(line, name) for line in found]
        if any(cell is not None for cell in cells):
            columns[name] = [None if cell is None else str(cell) for cell in cells]
    for name in sorted({name for line in found for name in line.dimensions}):
        columns[name] = [line.dimensions.get(name) for line in found]
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def _named(path: Path, table: pa.Table, columns: Mapping[str, str], metric: str | None) -> pa.Table:
    """Return `table` with the input's mapped columns under their own names."""
    own = {column: name for name, column in columns.items() if name not in table.column_names}
    table = table.rename_columns([own.get(name, name) for name in table.column_names])
    if "metric" not in table.column_names:
        if metric is None:
            raise ConfigError(f"{path}: no column 'metric', and no --metric names it")
        table = table.append_column("metric", pa.repeat(metric, table.num_rows))
    return table


def _truths(path: Path, column: pa.ChunkedArray) -> NDArray[np.bool_]:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    code = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    truths = [_TRUTHS.get(text.strip().lower()) for text in encoded.dictionary.to_pylist()]
    wrong = np.array([truth is None for truth in truths] + [True])[code]
    if wrong.any():
        refuse_row(path, int(wrong.argmax()), "label must be 0 or 1")
    labelled: NDArray[np.bool_] = np.array([bool(truth) for truth in truths] + [False])[code]
    return labelled


def _known(
    path: Path, keys: list[bytes], key: NDArray[np.int64], history_keys: list[bytes]
) -> NDArray[np.int64]:
    """Return for each row which series of the history it speaks of."""
    number = {text: index for index, text in enumerate(history_keys)}
    numbers = np.array([number.get(text, -1) for text in keys], np.int64)
    for index in np.flatnonzero(numbers < 0)[:1].tolist():
        name = keys[index].decode()
        near = difflib.get_close_matches(name, [text.decode() for text in history_keys], n=1)
        hint = f"did you mean {near[0]}?" if near else "correct it, or leave the row out"
        refuse_row(path, int((key == index).argmax()), f"series {name} is not in the input; {hint}")
    return numbers[key]


def _marked(
    path: Path,
    history: History,
    series: NDArray[np.int64],
    start_us: NDArray[np.int64],
    end_us: NDArray[np.int64],
    asked: NDArray[np.bool_],
) -> Labels:
    order = np.lexsort((history.time_us, history.series))
    begins = np.searchsorted(history.series[order], np.arange(len(history.keys) + 1))
    time_us = history.time_us[order]
    change = np.zeros(len(order) + 1, np.int64)  # +1 where an interval begins, -1 after its end
    empty = np.zeros(len(series), np.bool_)
    by_series = np.argsort(series, kind="stable")
    for rows in np.split(by_series, np.flatnonzero(np.diff(series[by_series])) + 1):
        if len(rows):
            begin, end = begins[series[rows[0]]], begins[series[rows[0]] + 1]
            first = begin + np.searchsorted(time_us[begin:end], start_us[rows], "left")
            after = begin + np.searchsorted(time_us[begin:end], end_us[rows], "right")
            np.add.at(change, first, 1)
            np.add.at(change, after, -1)
            empty[rows] = first == after
    if len(series) and empty.all():
        raise ConfigError(
            f"{path}: no label holds a point of the input; are its times of the same zone and unit?"
        )
    label = np.empty(len(order), np.bool_)
    label[order] = np.cumsum(change[:-1]) > 0
    place = ""
    if empty.any():
        place = row_place(path, int(np.flatnonzero(asked)[empty.argmax()]))
    return Labels(label, int(np.count_nonzero(empty)), place)
