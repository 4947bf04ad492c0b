"""`validate`, `config show` and `config schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration.")],
    overrides: Overrides = None,
) -> None:
    """Check a configuration; print every problem with its line.

    The environment counts as it does for a worker. Exit code 0 or 2.

    Example: streamdet validate streamdet.yaml
    """
    settings = load_config(file, overrides)
    topics = ", ".join(topic.name for topic in settings.input.topics)
    typer.echo(f"{file}: valid")
    typer.echo(f"  brokers    {settings.kafka.bootstrap_servers}, group {settings.kafka.group_id}")
    typer.echo(f"  input      {topics}")
    typer.echo(f"  output     {', '.join(settings.output_topics)}")
    typer.echo(f"  delivery   {settings.delivery}")
    typer.echo(f"  detection  {len(settings.rules)} rules, settings {settings.detection_hash}")


def config_show(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print every setting as a worker would see it. Secrets are stars.

    Example: STREAMDET_DETECTION__SENSITIVITY=85 streamdet config show --config streamdet.yaml
    """
    settings = load_config(config, overrides)
    from streamdet.config import show

    typer.echo(show(settings), nl=False)


def config_schema() -> None:
    """Print the JSON Schema of the file, for editors and checks.

    Example: streamdet config schema > streamdet.schema.json
    """
    from streamdet.config import schema

    typer.echo(schema(), nl=False)
