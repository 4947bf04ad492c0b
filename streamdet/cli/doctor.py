"""`doctor`: what an operator looks at first when something is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streamdet.cli.program import EXIT_RUNTIME, ConfigFile, Overrides, load_config, printable

if TYPE_CHECKING:
    from streamdet.doctor import Finding

_SECTIONS = ("configuration", "connection", "rights", "topic", "group", "clock", "points")
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "dim"}
_WIDTH = 120  # of what is no terminal


def doctor(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout", min=1, max=600, metavar="SECONDS", help="For all of it."),
    ] = 20.0,
) -> None:
    """Look at configuration, connection, rights, topics, group, clocks and the newest points.

    Each check is ok, warn, fail, or unknown where it cannot be made, with what was found and what
    to do. Nothing is changed, no group joined. Exit code 1 when a check fails.

    Example: streamdet doctor --config streamdet.yaml --strict
    """
    settings = load_config(config, overrides)
    from streamdet import app as worker

    found = worker.examine(settings, timeout_s)
    findings = sorted(found, key=lambda each: _SECTIONS.index(_section(each)))
    bad = {"fail", "warn"} if strict else {"fail"}
    failed = any(finding.status in bad for finding in findings)
    if as_json:
        _print_json(findings, failed=failed)
    else:
        _print_table(findings)
    raise typer.Exit(EXIT_RUNTIME if failed else 0)


def _section(finding: Finding) -> str:
    return finding.check.value.split(".")[0]


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    from streamdet.doctor import Status

    return {status.value: sum(each.status == status for each in findings) for status in Status}


def _print_json(findings: Sequence[Finding], *, failed: bool) -> None:
    import json

    from streamdet import __version__

    checks = [each._asdict() for each in findings]
    about = {"version": __version__, "failed": failed, "counts": _counts(findings)}
    typer.echo(json.dumps({**about, "checks": checks}, indent=2))


def _print_table(findings: Sequence[Finding]) -> None:
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=console.width // 3)
    table.add_column(overflow="fold")
    for section, checks in groupby(findings, key=_section):
        table.add_row(Text(section, style="bold underline"))
        for each in checks:
            status = Text(each.status.value, style=_COLOURS[each.status.value])
            about = Text(printable(each.subject))
            if section != "configuration":  # there the subject says it
                about.append(each.check.value.removeprefix(section).replace(".", " "), style="dim")
            said = Text(printable(each.found))
            if each.advice:
                said.append(f"\n-> {printable(each.advice)}", style="bold")
            table.add_row(status, about, said)
    console.print(table)
    counts = _counts(findings)
    typer.echo(", ".join(f"{n} {status}" for status, n in counts.items()))
