"""What every command stands on: the program, its errors and exit codes, the shared options."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from streamdet import __version__
from streamdet.errors import ConfigError, StreamdetError

if TYPE_CHECKING:
    from streamdet.config import Config

EXIT_RUNTIME = 1
EXIT_CONFIG = 2

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration; without one, the environment (STREAMDET_...) and defaults.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override one setting, as in detection.sensitivity=85. Repeatable.",
    ),
]


class Program(TyperGroup):
    """Shows an error once, as one message on standard error; the traceback only with --debug."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # typer keeps its context class private
        """Run the command; an error of ours ends it with its exit code."""
        try:
            return super().invoke(ctx)
        except StreamdetError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            if isinstance(error, ConfigError):  # its lines begin with the place, as editors like it
                say(str(error))
                raise typer.Exit(EXIT_CONFIG) from None
            say(f"streamdet: {error}")
            raise typer.Exit(EXIT_RUNTIME) from None
        except Exception:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"streamdet {__version__}")
        raise typer.Exit


def streamdet(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="STREAMDET_DEBUG", help="Show the traceback of an error."),
    ] = False,
) -> None:
    """Streaming anomaly detection on Kafka.

    Points of metrics in on one topic, anomalies with expected value and margins out on another.

    Begin with: streamdet demo
    """


def version(
    *, as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False
) -> None:
    """Show the versions of streamdet and of what it stands on.

    Example: streamdet version --json
    """
    import json
    import platform
    from importlib import metadata

    from streamdet.kafka.version import librdkafka_version

    packages = ("confluent-kafka", "numba", "numpy")
    versions = {
        "streamdet": __version__,
        "python": platform.python_version(),
        "librdkafka": librdkafka_version(),
        **{package: metadata.version(package) for package in packages},
    }
    if as_json:
        typer.echo(json.dumps(versions))
    else:
        for name, number in versions.items():
            typer.echo(f"{name:16}{number}")


def load_config(
    file: Path | None, overrides: Sequence[str] | None, bootstrap_servers: str | None = None
) -> Config:
    """Return the configuration of `file` and the environment, with what the options override."""
    from streamdet.config import load

    given = list(overrides or [])
    if bootstrap_servers is not None:
        given.append(f"kafka.bootstrap_servers={bootstrap_servers}")
    return load(file, given)


def start_log(config: Config) -> None:
    """Log to standard error from here on, as configured."""
    from streamdet import log

    log.setup(config.logging.format, config.logging.level)


def printable(text: str) -> str:
    """Return `text` with its lines kept and every other control character escaped."""
    from streamdet.log import escaped

    return "\n".join(escaped(line) for line in text.split("\n"))


def say(message: str) -> None:
    """Print a message to standard error."""
    typer.echo(printable(message), err=True)
