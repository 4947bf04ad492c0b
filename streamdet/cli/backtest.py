"""`backtest` and `tune`: the worker's detection, on points of the past."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, start_log
from streamdet.errors import ConfigError

ColumnMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Column that holds metric, timestamp or value. Repeatable.",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Metric of every row of a file without such a column."),
]


def backtest(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="VERDICTS", help="Where to: .csv or .parquet.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="CSV with a header, Parquet, or JSON lines."),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option("--topic", "-t", metavar="NAME", help="A topic's points, in place of INPUT."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Of --topic: from this event time on."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Of --topic: before this event time."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known anomalies; then recall, precision and F1."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="HTML", help="Where a page goes that shows what was found."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    columns: ColumnMap = None,
    metric: Metric = None,
) -> None:
    """Judge the points of a file, or of a topic, as a worker would; a verdict a row.

    Columns of a file are metric, timestamp and value; every other one is a dimension. JSON lines
    are native points. The verdicts stand in the order of the file, and it needs no Kafka.

    A topic is read to its present end; nothing is written to it, no offset committed.

    Example: streamdet backtest cpu.csv --out verdicts.csv --set detection.sensitivity=85
    """
    if (file is None) == (topic is None):
        raise ConfigError("backtest: give INPUT or --topic NAME, one of the two")
    if topic is None and (since or until):
        raise ConfigError("--from and --to are for --topic; leave out the rows of a file yourself")
    if topic is not None and (columns or metric):
        raise ConfigError("--map and --metric are for CSV and Parquet; a topic has native points")
    settings = load_config(config, overrides)
    from streamdet.backtest import FileInput, TopicInput
    from streamdet.backtest import run as run_backtest
    from streamdet.backtest.topic import Window
    from streamdet.replay import column_map

    start_log(settings)
    if file is not None:
        run_backtest(
            FileInput(file, column_map(columns or []), metric), out, settings, labels, report
        )
        return
    from streamdet import app as worker

    assert topic is not None
    window = Window.of(since, until)
    with contextlib.closing(
        worker.open_reader(settings, topic, window.records_since_ms(settings))
    ) as reader:
        run_backtest(TopicInput(topic, window, reader), out, settings, labels, report)


def tune(
    file: Annotated[
        Path, typer.Argument(metavar="INPUT", help="CSV with a header, Parquet, or JSON lines.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known anomalies; then the best F1 by event decides."),
    ] = None,
    max_alerts_per_day: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Alerts that a rule may give.",
            show_default="one a week from each series; with --labels no limit",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    columns: ColumnMap = None,
    metric: Metric = None,
) -> None:
    """Suggest sensitivity and period of each rule, from a history of its series; print them.

    The YAML is the section `rules` of a configuration, with the reasons as comments. A metric that
    no rule of the configuration is for gets one of its own. Columns are as for backtest.

    Example: streamdet tune history.csv --max-alerts-per-day 2 > rules.yaml
    """
    settings = load_config(config, overrides)
    from streamdet.backtest import FileInput
    from streamdet.backtest.tune import run as run_tune
    from streamdet.replay import column_map

    start_log(settings)
    source = FileInput(file, column_map(columns or []), metric)
    typer.echo(run_tune(source, settings, labels, max_alerts_per_day), nl=False)
