"""`topics create`, and `replay`, which fills one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from streamdet.cli.program import (
    EXIT_RUNTIME,
    ConfigFile,
    Overrides,
    load_config,
    printable,
    start_log,
)


def topics_create(
    config: ConfigFile = None,
    overrides: Overrides = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 4,
    replication: Annotated[
        int | None,
        typer.Option(min=1, help="Copies of each partition.", show_default="the brokers' default"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the brokers, create nothing.")
    ] = False,
) -> None:
    """Create the input topics, the anomaly topic and the dead-letter topic where they are missing.

    And the topic of late points, where a rule says late: topic; and the state topic, compacted.
    A pattern among the input topics is left out.

    Example: streamdet topics create --config streamdet.yaml --partitions 12 --dry-run
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker

    start_log(settings)
    # -1 is Kafka's own sign for its default.
    copies = -1 if replication is None else replication
    for line in worker.create_topics(settings, partitions, copies, dry_run=dry_run):
        typer.echo(printable(line))


def replay(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines (.jsonl, .ndjson)."),
    ],
    topic: Annotated[str, typer.Option("--topic", "-t", metavar="NAME", help="Where to.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Brokers, in place of kafka.bootstrap_servers."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, help="Points a second.", show_default="as fast as it goes"),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="CSV column that holds metric, timestamp or value. Repeatable.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Metric of every line of a CSV without such a column."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the file, send nothing.")
    ] = False,
) -> None:
    """Send the points of a file to a topic, keyed by series.

    A CSV has the columns metric, timestamp and value; every other column is a dimension. JSON
    lines are native points. A bad line is reported and left out; the exit code is then 1.

    Example: streamdet replay cpu.csv --topic metrics --map timestamp=time --metric cpu --rate 500
    """
    settings = load_config(config, overrides, bootstrap_servers)
    from streamdet import app as worker
    from streamdet.replay import PointFile, column_map, run

    start_log(settings)
    points = PointFile(file, column_map(columns or []), metric)
    with contextlib.ExitStack() as stack:
        producer = None
        if not dry_run:
            producer = worker.open_producer(settings)
            stack.callback(producer.close)
        refused = run(points, topic, producer, settings, points_per_s=rate, strict=strict)
    raise typer.Exit(EXIT_RUNTIME if refused else 0)
