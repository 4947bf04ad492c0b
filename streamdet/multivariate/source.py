"""Where data comes from: a table, a folder or a zip of tables below one folder, or a topic.

`dataSource` is a text that a client sends. It names a file below the configured folder and
nothing else: what leads out of it does not exist, and no address is ever fetched. Of a URL, as
Azure's clients send it, the path (container and blob) is looked up below the folder; its query,
which may hold a signature, is dropped at once.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from streamdet.errors import RequestError
from streamdet.multivariate.data import TRAINING_MAX, VARIABLES_MAX, Column, parse_time

FILE_SIZE_BYTES = 2_000_000_000  # of a table, as it stands in a zip uncompressed
ONE_TABLE, MULTI_TABLE = "OneTable", "MultiTable"
TOPIC = "topic:"
_ROWS = 8192  # turned into numbers at a time: text takes ten times their memory
_UNREADABLE = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError
)  # fmt: skip
_BLANK = frozenset(("", "nan", "null", "none", "na", "n/a"))

TopicRow = tuple[str, int, float]
"""A point: its series, its microseconds since 1970, its value."""
ReadTopic = Callable[[str, int, int], Iterable[TopicRow]]
"""Of a topic's name, the first and the last microsecond wanted: the points, in any order."""


def without_secrets(source: str) -> str:
    """Return a `dataSource` as it may be kept and shown: without a URL's query and user."""
    if "://" not in source:
        return source
    try:
        parts = urlsplit(source)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return source.partition("?")[0].rpartition("@")[2]
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


class Sources:
    """Reads the sources that requests may name.

    Parameters
    ----------
    folder
        What holds every file that a client may name; None: no files.
    read_topic
        Reads a topic; None: no topics.
    """

    def __init__(self, folder: Path | None, read_topic: ReadTopic | None = None) -> None:
        self._folder = folder.resolve() if folder is not None else None
        self._read_topic = read_topic

    def read(self, source: str, schema: str, start_us: int, end_us: int) -> list[Column]:
        """Return the variables of a source, with their points from `start_us` to `end_us`.

        Raises
        ------
        RequestError
            FileNotExist, ReadingFileError, FileSizeTooLarge, FileColumnsNotExist,
            VariableParseError, InvalidTimestampFormat, NoVariablesFound, DuplicatedVariables,
            TooManyData, DataExceedsLimit, MergeDataFailed (a topic where there is none to read).
        """
        if source.startswith(TOPIC):
            return self._topic(source.removeprefix(TOPIC), start_us, end_us)
        place = self._place(source)
        try:
            if schema == ONE_TABLE:
                return _read_one(place, start_us, end_us)
            return _read_many(place, start_us, end_us)
        except _UNREADABLE as error:
            reason = getattr(error, "strerror", None) or error
            _refuse_reading(place.name, str(reason))

    def _place(self, source: str) -> Path:
        path = urlsplit_path(source)
        missing = RequestError(
            "FileNotExist",
            f"File {without_secrets(source)[:200]!r} does not exist. "
            "Name a file or folder below the server's data folder, or a topic as topic:NAME.",
        )
        if self._folder is None or path is None:
            raise missing
        try:
            place = (self._folder / path).resolve()
            # an absolute path, `..` and a link may all lead out: what counts is where it ends
            if place.is_relative_to(self._folder) and place.exists():
                return place
        except (OSError, ValueError, RuntimeError):
            pass
        raise missing

    def _topic(self, topic: str, start_us: int, end_us: int) -> list[Column]:
        if self._read_topic is None:
            raise RequestError("MergeDataFailed", "This server reads no topics: name a file.")
        times: dict[str, list[int]] = {}
        values: dict[str, list[float]] = {}
        for series, time_us, value in self._read_topic(topic, start_us, end_us):
            if start_us <= time_us <= end_us:
                if series not in times:
                    if len(times) == VARIABLES_MAX:
                        _refuse_variables(topic)
                    times[series], values[series] = [], []
                if len(times[series]) == TRAINING_MAX:
                    _refuse_rows(series)
                times[series].append(time_us)
                values[series].append(value)
        return [
            Column(series, np.array(times[series], np.int64), np.array(values[series], np.float64))
            for series in sorted(times)
        ]


def urlsplit_path(source: str) -> str | None:
    """Return the path that a `dataSource` names; None where it is none."""
    if "://" not in source:
        return source or None
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    path = unquote(parts.path)
    return path if parts.scheme == "file" else path.lstrip("/") or None


def _read_one(place: Path, start_us: int, end_us: int) -> list[Column]:
    """Read `timestamp` and a column a variable, from a CSV file or a zip or folder of one."""
    tables = list(_tables(place)) if place.is_dir() or _is_zip(place) else [(place.name, None)]
    if len(tables) != 1:
        raise RequestError(
            "NoVariablesFound",
            f"No variables found. {place.name!r} holds {len(tables)} CSV files; "
            "a OneTable source is one. Name the file, or set dataSchema to MultiTable.",
        )
    name, opened = tables[0]
    with opened() if opened else _checked(place) as file:
        return _read_table(file, name, None, start_us, end_us)


def _read_many(place: Path, start_us: int, end_us: int) -> list[Column]:
    """Read one CSV file a variable, of a folder or a zip; the file's name is the variable's."""
    if not place.is_dir() and not _is_zip(place):
        raise RequestError(
            "NoVariablesFound",
            f"No variables found. {place.name!r} is one file; a MultiTable source is a folder or "
            "a zip of CSV files, one a variable.",
        )
    columns: list[Column] = []
    for name, opened in _tables(place):
        if len(columns) == VARIABLES_MAX:
            _refuse_variables(place.name)
        variable = PurePosixPath(name).stem
        with opened() as file:
            columns += _read_table(file, name, variable, start_us, end_us)
    return columns


def _is_zip(place: Path) -> bool:
    return place.suffix.lower() == ".zip"


def _tables(place: Path) -> Iterator[tuple[str, Callable[[], IO[str]]]]:
    """Yield the CSV files of a folder or zip by name; those of folders inside are passed over."""
    if place.is_dir():
        for path in sorted(place.iterdir()):
            inside = path.resolve().is_relative_to(place)
            if inside and path.suffix.lower() == ".csv" and path.is_file():
                yield path.name, lambda path=path: _checked(path)  # type: ignore[misc]
        return
    archive = zipfile.ZipFile(place)  # closes itself after the last of its files
    for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
        name = entry.filename
        if "/" in name or "\\" in name or not name.lower().endswith(".csv"):
            continue
        if entry.file_size > FILE_SIZE_BYTES:
            _refuse_size(name)
        yield name, lambda entry=entry: _text(archive.open(entry))  # type: ignore[misc]


def _text(file: IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


def _checked(path: Path) -> IO[str]:
    if path.is_dir() or path.stat().st_size > FILE_SIZE_BYTES:
        _refuse_size(path.name)
    return _text(path.open("rb"))


def _read_table(
    file: IO[str], name: str, variable: str | None, start_us: int, end_us: int
) -> list[Column]:
    """Read a CSV file: every column but `timestamp`, or `value` alone as `variable`."""
    reader = csv.reader(file)
    try:
        header = [field.strip() for field in next(reader, [])]
        variables = _variables(header, name, variable)
        places = [header.index("timestamp"), *(place for _, place in variables)]
        chunks: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        kept = 0
        while True:
            chunk = _chunk(reader, name, places, [each for each, _ in variables])
            if chunk is None:
                break
            times = np.array(chunk[0], np.int64)
            inside = (times >= start_us) & (times <= end_us)
            kept += int(np.count_nonzero(inside))
            if kept > TRAINING_MAX:
                _refuse_rows(variables[0][0])
            chunks.append((times[inside], np.array(chunk[1], np.float64)[:, inside]))
    except (csv.Error, UnicodeDecodeError) as error:
        _refuse_reading(name, str(error))
    if not chunks:
        empty = np.empty(0, np.int64), np.empty(0)
        return [Column(each, *empty) for each, _ in variables]
    time_us = np.concatenate([times for times, _ in chunks])
    value = np.concatenate([values for _, values in chunks], axis=1)
    return [Column(each, time_us, value[j]) for j, (each, _) in enumerate(variables)]


def _variables(header: list[str], name: str, variable: str | None) -> list[tuple[str, int]]:
    wanted = ("timestamp",) if variable is None else ("timestamp", "value")
    if any(column not in header for column in wanted):
        raise RequestError(
            "FileColumnsNotExist",
            f"Columns {' or '.join(wanted)} in file {name!r} do not exist: "
            f"its first line is {','.join(header)[:100]!r}.",
        )
    if variable is not None:
        return [(variable, header.index("value"))]
    found = [(field, place) for place, field in enumerate(header) if field != "timestamp"]
    names = [field for field, _ in found]
    if not names:
        raise RequestError(
            "NoVariablesFound", f"No variables found. {name!r} has no column but timestamp."
        )
    if len(set(names)) < len(names) or header.count("timestamp") > 1:
        raise RequestError(
            "DuplicatedVariables", f"There are multiple variables with the same name in {name!r}."
        )
    if len(names) > VARIABLES_MAX:
        _refuse_variables(name)
    return found


def _chunk(
    reader: Iterator[list[str]], name: str, places: Sequence[int], variables: Sequence[str]
) -> tuple[list[int], list[list[float]]] | None:
    """Return the next rows as times and a list of values a variable; None at the end."""
    rows = []
    wide = max(places)
    for row in reader:
        if row:  # an empty line is none
            rows.append(row + [""] * (wide + 1 - len(row)))
            if len(rows) == _ROWS:
                break
    if not rows:
        return None
    times = [parse_time(row[places[0]].strip()) for row in rows]
    values = []
    for variable, place in zip(variables, places[1:], strict=True):
        try:
            values.append([float(row[place]) for row in rows])
        except ValueError:
            values.append([_number(row[place], row[places[0]], variable, name) for row in rows])
    return times, values


def _number(text: str, timestamp: str, variable: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        if text.strip().lower() in _BLANK:
            return float("nan")
    raise RequestError(
        "VariableParseError",
        f"Variable {variable!r} parse error: {text[:40]!r} at {timestamp[:40]!r} in file "
        f"{name!r} is no number.",
    )


def _refuse_reading(name: str, reason: str) -> NoReturn:
    raise RequestError("ReadingFileError", f"Errors occurred when reading {name!r}. {reason}")


def _refuse_size(name: str) -> NoReturn:
    raise RequestError(
        "FileSizeTooLarge",
        f"The size of file {name!r} is too large: the limit is {FILE_SIZE_BYTES} bytes.",
    )


def _refuse_rows(variable: str) -> NoReturn:
    raise RequestError(
        "TooManyData",
        f"Too many data points. Maximum number is {TRAINING_MAX} per variable; "
        f"variable {variable!r} has more.",
    )


def _refuse_variables(name: str) -> NoReturn:
    raise RequestError(
        "DataExceedsLimit", f"{name!r} has more variables than the limit of {VARIABLES_MAX}."
    )
