"""`streamdet backtest`: points of the past through the worker's own detection, a verdict a row.

A file (`history`) or a window of a topic (`topic`) is read as columns, and nothing runs Python code
per point. What a worker does after decoding happens by the same code (`verdicts`): route, align,
detect.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.ports import RecordReader

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq
except ImportError:
    raise ConfigError(
        "backtest needs pyarrow, which is not installed: pip install 'streamdet[backtest]'"
    ) from None

from streamdet.backtest.findings import Findings
from streamdet.backtest.history import ENDINGS, History, read
from streamdet.backtest.labels import Labels, read_labels
from streamdet.backtest.topic import Window, read_topic
from streamdet.backtest.verdicts import judge, result

_OUT_ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True)
class FileInput:
    """A file of points; see `history.read`."""

    path: Path
    columns: Mapping[str, str]
    metric: str | None

    @property
    def name(self) -> str:
        """Its name, for the bar."""
        return self.path.name

    def read(self, config: Config, progress: Progress) -> History:
        """Return the file's rows."""
        _check_ending(self.path, ENDINGS)
        return read(self.path, self.columns, self.metric, config)


@dataclass
class TopicInput:
    """What a topic held when `reader` was made; see `topic.read_topic`."""

    name: str
    window: Window
    reader: RecordReader

    def read(self, config: Config, progress: Progress) -> History:
        """Return the points of the window; say what else there was."""
        bar = progress.add_task(f"reading {self.name}", total=self.reader.n_records)
        history, left_out = read_topic(
            self.reader, self.name, self.window, config, lambda n: progress.advance(bar, n)
        )
        progress.remove_task(bar)
        if said := str(left_out):
            progress.console.print(f"left out: {said}", highlight=False, markup=False)
        return history


def run(
    source: FileInput | TopicInput,
    out: Path,
    config: Config,
    labels: Path | None = None,
    report: Path | None = None,
) -> None:
    """Backtest `source` into `out` with a progress bar, where there is a terminal; sum it up.

    Errors are those of reading; `out` ends in ``.csv`` or ``.parquet``.

    Parameters
    ----------
    labels
        File of known anomalies to judge the verdicts by; see `labels.read_labels`.
    report
        Where a page of HTML goes that shows what was found.
    """
    _check_ending(out, _OUT_ENDINGS)
    given = [labels, source.path if isinstance(source, FileInput) else None]
    _check_output(out, "--out", given)
    if report is not None:
        _check_ending(report, (".html",))
        _check_output(report, "--report", given)
        from streamdet.backtest.report import write_report  # noqa: PLC0415  # it needs plotly
    began_s = time.monotonic()
    console = Console(stderr=True, soft_wrap=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        history = source.read(config, progress)
        known = _labels(labels, source, history, config) if labels else None
        bar = progress.add_task(source.name, total=len(history.value))
        rows = judge(history, config, on_progress=lambda n: progress.advance(bar, n))
        table = result(rows)
        _write(table, out)
        if known is not None:
            known = replace(known, label=rows.labelled(known.label))
        found = Findings.of(source.name, rows.history, table, config, known, rows.notes)
        if report is not None:
            write_report(report, found)
    elapsed_s = time.monotonic() - began_s
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"{len(history.value):,} points of {len(history.keys):,} series in {elapsed_s:.1f} s "
        f"({len(history.value) / elapsed_s:,.0f} points/s)\n{_summary(table)}"
        + "".join(f"\n{line}" for line in found.lines())
        + f"\nverdicts in {out}"
        + (f", report in {report}" if report else "")
    )


def _labels(path: Path, source: FileInput | TopicInput, history: History, config: Config) -> Labels:
    if isinstance(source, FileInput):
        return read_labels(path, history, source.columns, source.metric, config)
    return read_labels(path, history, {}, None, config)


def _check_ending(path: Path, endings: Sequence[str]) -> None:
    if path.suffix not in endings:
        raise ConfigError(f"{path}: must end in one of {', '.join(endings)}")


def _check_output(path: Path, option: str, given: Sequence[Path | None]) -> None:
    if any(path.resolve() == file.resolve() for file in given if file):
        raise ConfigError(f"{path}: is the input itself; name another file with {option}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: cannot be written: no such directory")


def _write(table: pa.Table, out: Path) -> None:
    write = pyarrow.csv.write_csv if out.suffix == ".csv" else pq.write_table
    try:
        write(table, out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}") from None


def _summary(table: pa.Table) -> str:
    statuses = table.column("status").cast(pa.string()).value_counts().to_pylist()
    counts = sorted((-row["counts"], row["values"]) for row in statuses)
    outcomes = ", ".join(f"{-count:,} {name}" for count, name in counts)
    return f"{pc.sum(table.column('isAnomaly')).as_py() or 0:,} anomalies; {outcomes or 'no row'}"
