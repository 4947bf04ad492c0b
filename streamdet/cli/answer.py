"""`answer`: batch detection asked for, and answered, on topics."""

from __future__ import annotations

from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, start_log


def answer(
    source: Annotated[str, typer.Option("--from", metavar="TOPIC", help="Topic of requests.")],
    target: Annotated[str, typer.Option("--to", metavar="TOPIC", help="Topic of answers.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the end that the topic has now.")
    ] = False,
) -> None:
    """Answer Azure requests, {"granularity", "series"}, of a topic on another, until SIGTERM.

    A request's headers come back with its answer, requestId among them; each request is answered
    once. The header operation is entire (the default), last or changepoint.

    Example: streamdet answer --from detect.requests --to detect.answers
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet.answering import Plan

    start_log(settings)
    done = worker.answer(settings, Plan(source, target), until_end=until_end)
    typer.echo(
        f"{done.records:,} requests read, {done.written:,} answers written to {target}, "
        f"{done.errors:,} of them errors; tombstones: {done.tombstones:,}"
    )
