"""`state inspect`, `state export`, `state purge`: what is kept of series in the state topic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.cli.program import (
    EXIT_RUNTIME,
    ConfigFile,
    Overrides,
    load_config,
    printable,
    say,
    start_log,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamdet.config import Config
    from streamdet.state_topic import Summary
    from streamdet.state_topic.contents import Unusable

_WIDTH = 140  # of what is no terminal


def state_inspect(
    config: ConfigFile = None,
    overrides: Overrides = None,
    series: Annotated[
        str | None,
        typer.Option(metavar="SERIES", help="Show this one, as in 'cpu{host=\"a\"}'."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show what the state topic holds of the group's series, and what of it cannot be used.

    Nothing is changed, no group joined. Exit code 1 when a restart could not use all of it.

    Example: streamdet state inspect --config streamdet.yaml
    """
    settings = load_config(config, overrides)
    if series is not None:
        _inspect_series(settings, series, as_json=as_json)
        return
    from streamdet import app as worker
    from streamdet import state_topic

    start_log(settings)
    access, group = worker.access_state(settings), settings.kafka.group_id
    exactly_once = settings.delivery == "exactly_once"
    found = state_topic.summarize(access, group, exactly_once=exactly_once)
    if as_json:
        typer.echo(json.dumps(found.document()))
    else:
        _print_summary(found)
    raise typer.Exit(0 if found.sound else EXIT_RUNTIME)


def _inspect_series(settings: Config, text: str, *, as_json: bool) -> None:
    from streamdet import app as worker
    from streamdet import state_topic

    series = state_topic.series_named(text)
    start_log(settings)
    access = worker.access_state(settings)
    found, unusable = state_topic.find_series(access, settings.kafka.group_id, series)
    _warn(unusable, "whether it holds the series is not known")
    if as_json:
        places = [state_topic.document_of(each) for each in found]
        typer.echo(json.dumps({"series": str(series), "found": places}))
    else:
        for each in found:
            for line in state_topic.lines_of(each):
                typer.echo(printable(line))
    if not found:
        say(f"{series}: group {settings.kafka.group_id} has no state of it in {access.topic}")
    raise typer.Exit(0 if found and not unusable else EXIT_RUNTIME)


def state_export(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="What is there is replaced: .jsonl or .parquet.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Write the state of all series to a file: one row a series, with its ring and row of state.

    Nothing is changed, no group joined; workers may run.

    Example: streamdet state export state.parquet --config streamdet.yaml
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet import state_topic

    start_log(settings)
    done = state_topic.export(worker.access_state(settings), settings.kafka.group_id, out)
    _warn(done.unusable, "not in the file")
    typer.echo(f"{done.n_series:,} series in {out}")
    raise typer.Exit(EXIT_RUNTIME if done.unusable else 0)


def state_purge(
    config: ConfigFile = None,
    overrides: Overrides = None,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="SERIES", help="As in 'cpu{host=\"a\"}'. Repeatable."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="All series of this metric; a glob, as in rules."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, change nothing.")
    ] = False,
) -> None:
    """Delete the state of series for good; the workers of the group have to be stopped.

    All others stay as they are. Points that a restart replays let a series begin again.

    Example: streamdet state purge --series 'cpu{host="a"}' --config streamdet.yaml --dry-run
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet import state_topic

    selection = state_topic.Selection.of(series or [], metric)
    start_log(settings)
    access = worker.access_state(settings, writes=not dry_run)
    timeout_s = settings.transaction_timeout.total_seconds() / 2
    group = settings.kafka.group_id
    done = state_topic.purge(access, group, selection, timeout_s, dry_run=dry_run)
    for each in done.series:
        typer.echo(printable(f"{each.name} from {each.input}"))
    verb = "would be removed" if dry_run else "removed"
    chunks = f"{done.n_rewritten:,} chunks written anew, {done.n_emptied:,} deleted"
    typer.echo(f"{len(done.series):,} {verb}; {chunks}" if done.series else "no such series there")
    _warn(done.unread, "whether it holds such series is not known")
    raise typer.Exit(EXIT_RUNTIME if done.unread else 0)


def _warn(unusable: Sequence[Unusable], what: str) -> None:
    for each in unusable:
        say(f"{each.damage}: {each.message}; {what}")


def _print_summary(found: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    names = ("partition", "offset", "replays", "detector", "ring", "chunks", "series", "held back")
    for name in (*names, "chunks know up to", "in topic", "in memory"):
        text = name in ("partition", "detector")
        table.add_column(name, justify="left" if text else "right", overflow="fold")
    for row in found.rows():
        table.add_row(*map(printable, row))
    n_series = sum(pool.n_series for each in found.partitions for pool in each.pools.values())
    head = f"{n_series:,} series of group {found.group} in {found.topic}"
    typer.echo(printable(head))
    if found.partitions:
        console.print(table)
    for line in found.lines():
        typer.echo(printable(line))
