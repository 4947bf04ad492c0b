"""`dlq list`, `dlq show`, `dlq replay`: what could not be used, and sending it in again."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, printable, start_log
from streamdet.errors import ConfigError

Topic = Annotated[
    str | None,
    typer.Option(
        "--topic",
        "-t",
        metavar="NAME",
        help="Topic of dead letters, or of late records.",
        show_default="output.dead_letters",
    ),
]
Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Only of this reason.")]
FromTopic = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only what was read from this topic.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only what was refused from this time on, with its zone."),
]

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


def dlq_list(
    config: ConfigFile = None,
    overrides: Overrides = None,
    topic: Topic = None,
    reason: Reason = None,
    from_topic: FromTopic = None,
    since: Since = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Count the dead letters of a topic, by reason and by where they were read.

    Of each the newest one's place and message are shown; values are not. It joins no group.

    Example: streamdet dlq list --config streamdet.yaml --since 2026-11-01T08:00:00Z
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet.dlq import Selection

    start_log(settings)
    name = topic or settings.output.dead_letters
    found = worker.list_dead_letters(settings, name, Selection.of(reason, from_topic, since))
    if as_json:
        typer.echo(json.dumps(found.document(name)))
        return
    for line in found.lines(name):
        typer.echo(printable(line))


def dlq_show(
    place: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET", help="Where it lies, as dlq list says.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    topic: Topic = None,
    full: Annotated[
        bool, typer.Option("--full", help="All of a long header, key or value.")
    ] = False,
) -> None:
    """Print one dead letter: headers, key and value; what is no text as hexadecimal rows.

    Example: streamdet dlq show 0:17 --config streamdet.yaml --full
    """
    found = _PLACE.fullmatch(place)
    if found is None:
        raise ConfigError(f"{place}: must be PARTITION:OFFSET, as in 0:17")
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet.dlq import lines_of
    from streamdet.types import Partition

    start_log(settings)
    partition = Partition(topic or settings.output.dead_letters, int(found[1]))
    record = worker.read_record(settings, partition, int(found[2]))
    for line in lines_of(record, full=full):
        typer.echo(printable(line))


def dlq_replay(
    config: ConfigFile = None,
    overrides: Overrides = None,
    topic: Topic = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="NAME", help="Where to.", show_default="where each was read from"
        ),
    ] = None,
    reason: Reason = None,
    from_topic: FromTopic = None,
    since: Since = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be sent, send nothing.")
    ] = False,
) -> None:
    """Send refused records in again, once each: after their cause is mended.

    They are as they were, with a header that counts the attempts; after the third they stay where
    they are. Of an array only the points that were refused are sent.

    Example: streamdet dlq replay --config streamdet.yaml --reason timestamp_range --dry-run
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker
    from streamdet.dlq import Plan, Selection

    start_log(settings)
    selection = Selection.of(reason, from_topic, since)
    plan = Plan(topic or settings.output.dead_letters, selection, target)
    done = worker.replay_dead_letters(settings, plan, dry_run=dry_run)
    verb = "would be sent" if dry_run else "sent"
    for stream, tally in done.items():
        for line in tally.lines(stream, plan.target_of(stream), verb):
            typer.echo(printable(line))
    total = sum(tally.written for tally in done.values())
    typer.echo(f"{total:,} {verb}" if done else "nothing to send that no replay has passed")
