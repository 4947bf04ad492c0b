"""`rekey`: a topic's records under the keys of their series."""

from __future__ import annotations

from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, printable, start_log


def rekey(
    source: Annotated[str, typer.Option("--from", metavar="TOPIC", help="Topic to read.")],
    target: Annotated[str, typer.Option("--to", metavar="TOPIC", help="Topic to write.")],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="DIM,DIM",
            help='Dimensions that make the key, beside the metric; "": none of them.',
            show_default="the whole series",
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the end that the topic has now.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the keys of the first records, write nothing.")
    ] = False,
) -> None:
    """Copy a topic's records to another one, keyed by series, until SIGTERM or Ctrl-C.

    For topics whose producers set no key, or another, so that the points of a series, or of a
    roll-up, lie spread over partitions. Bad records become dead letters.

    Example: streamdet rekey --from metrics --to metrics.keyed --by region --until-end
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet.rekey import Plan

    start_log(settings)
    names = None if by is None else frozenset(name.strip() for name in by.split(",")) - {""}
    plan = Plan(source, target, names)
    if dry_run:
        sample, partition_of = worker.sample_rekey(settings, plan)
        for line in sample.lines(source, partition_of):
            typer.echo(printable(line))
        return
    done = worker.rekey(settings, plan, until_end=until_end)
    typer.echo(
        f"{done.records:,} records read, {done.written:,} with {done.points:,} points written to "
        f"{target}; dead letters: {done.dead_letters:,}; tombstones: {done.tombstones:,}"
    )
