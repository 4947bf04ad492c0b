"""`streamdet backtest`: a file of points through the worker's own detection, a verdict a row.

The file is read as columns (`history`), and nothing runs Python code per point. What a worker
does after decoding happens by the same code (`verdicts`): route, align, detect.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from streamdet.config import Config
from streamdet.errors import ConfigError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.parquet as pq
except ImportError:
    raise ConfigError(
        "backtest needs pyarrow, which is not installed: pip install 'streamdet[backtest]'"
    ) from None

from streamdet.backtest.history import ENDINGS, read
from streamdet.backtest.verdicts import judge, result

_OUT_ENDINGS = (".csv", ".parquet")


def run(
    path: Path, out: Path, config: Config, columns: Mapping[str, str], metric: str | None
) -> None:
    """Backtest `path` into `out` with a progress bar, where there is a terminal; say what it found.

    Parameters and errors are those of `read`; `out` ends in ``.csv`` or ``.parquet``.
    """
    for file, endings in ((path, ENDINGS), (out, _OUT_ENDINGS)):
        if file.suffix not in endings:
            raise ConfigError(f"{file}: must end in one of {', '.join(endings)}")
    if path.resolve() == out.resolve():
        raise ConfigError(f"{out}: is the input itself; name another file with --out")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out}: cannot be written: no such directory")
    began_s = time.monotonic()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(path.name, total=None)
        history = read(path, columns, metric, config)
        progress.update(bar, total=len(history.value))
        table = result(
            history, judge(history, config, on_progress=lambda n: progress.advance(bar, n))
        )
        _write(table, out)
    elapsed_s = time.monotonic() - began_s
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"{table.num_rows:,} points of {len(history.keys):,} series in {elapsed_s:.1f} s "
        f"({table.num_rows / elapsed_s:,.0f} points/s)\n{_summary(table)}\nverdicts in {out}"
    )


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
