"""The command line: parses, calls, turns errors into one message and an exit code.

Nothing heavy is imported before a command needs it, so that ``streamdet --help`` is instant.
"""

from __future__ import annotations

import contextlib
import sys
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


class _Program(TyperGroup):
    """Shows an error once, as one message on standard error; the traceback only with --debug."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # typer keeps its context class private
        try:
            return super().invoke(ctx)
        except StreamdetError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            if isinstance(error, ConfigError):  # its lines begin with the place, as editors like it
                _say(str(error))
                raise typer.Exit(EXIT_CONFIG) from None
            _say(f"streamdet: {error}")
            raise typer.Exit(EXIT_RUNTIME) from None
        except Exception:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise


app = typer.Typer(
    name="streamdet",
    cls=_Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take as long to import as all the rest, twice over
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_commands = typer.Typer(no_args_is_help=True, help="Show the configuration and its schema.")
topics_commands = typer.Typer(no_args_is_help=True, help="Make the topics a worker needs.")
app.add_typer(config_commands, name="config")
app.add_typer(topics_commands, name="topics")

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


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="streamdet")
    except Exception as error:  # noqa: BLE001  # a defect of ours; typer has dealt with the rest
        kind = type(error).__name__
        _say(f"streamdet: internal error, please report it (--debug tells more): {kind}: {error}")
        sys.exit(EXIT_RUNTIME)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"streamdet {__version__}")
        raise typer.Exit


@app.callback()
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


@app.command()
def run(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    More workers with the same kafka.group_id share the partitions.

    Example: streamdet run --config streamdet.yaml --set logging.format=json
    """
    settings = _load(config, overrides)
    from streamdet import app as worker

    _start_log(settings)
    raise typer.Exit(worker.run(settings))


@app.command()
def demo(
    series: Annotated[int, typer.Option(min=1, max=100_000, help="Number of series.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other points.")] = 1,
    days: Annotated[
        float, typer.Option(min=2, max=366, help="Days of event time to play, as fast as it goes.")
    ] = 14.0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines rather than a live view.")] = False,
) -> None:
    """See it work, on an embedded broker and made-up metrics.

    A producer, an ordinary worker and a reader; the anomalies are known, so the summary tells how
    many were found. Needs no Kafka and no configuration, ends by itself or with Ctrl-C.

    Example: streamdet demo --series 50 --plain
    """
    from streamdet import demo as show

    raise typer.Exit(show.run(series, seed, plain=plain, days=days))


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration.")],
    overrides: Overrides = None,
) -> None:
    """Check a configuration; print every problem with its line.

    The environment counts as it does for a worker. Exit code 0 or 2.

    Example: streamdet validate streamdet.yaml
    """
    settings = _load(file, overrides)
    topics = ", ".join(topic.name for topic in settings.input.topics)
    typer.echo(f"{file}: valid")
    typer.echo(f"  brokers    {settings.kafka.bootstrap_servers}, group {settings.kafka.group_id}")
    typer.echo(f"  input      {topics}")
    typer.echo(f"  output     {settings.output.anomalies}, {settings.output.dead_letters}")
    typer.echo(f"  delivery   {settings.delivery}")
    typer.echo(f"  detection  {len(settings.rules)} rules, settings {settings.detection_hash}")


@config_commands.command("show")
def config_show(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print every setting as a worker would see it. Secrets are stars.

    Example: STREAMDET_DETECTION__SENSITIVITY=85 streamdet config show --config streamdet.yaml
    """
    settings = _load(config, overrides)
    from streamdet.config import show

    typer.echo(show(settings), nl=False)


@config_commands.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the file, for editors and checks.

    Example: streamdet config schema > streamdet.schema.json
    """
    from streamdet.config import schema

    typer.echo(schema(), nl=False)


@topics_commands.command("create")
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

    A pattern among the input topics is left out.

    Example: streamdet topics create --config streamdet.yaml --partitions 12 --dry-run
    """
    settings = _load(config, overrides)
    from streamdet import app as worker

    _start_log(settings)
    # -1 is Kafka's own sign for its default.
    copies = -1 if replication is None else replication
    for line in worker.create_topics(settings, partitions, copies, dry_run=dry_run):
        typer.echo(_printable(line))


@app.command()
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
    settings = _load(config, overrides, bootstrap_servers)
    from streamdet import app as worker
    from streamdet.replay import PointFile, column_map, run

    _start_log(settings)
    points = PointFile(file, column_map(columns or []), metric)
    with contextlib.ExitStack() as stack:
        producer = None
        if not dry_run:
            producer = worker.open_producer(settings)
            stack.callback(producer.close)
        refused = run(points, topic, producer, settings, points_per_s=rate, strict=strict)
    raise typer.Exit(EXIT_RUNTIME if refused else 0)


@app.command()
def backtest(
    file: Annotated[
        Path,
        typer.Argument(metavar="INPUT", help="CSV with a header, Parquet, or JSON lines."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="VERDICTS", help="Where to: .csv or .parquet.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column that holds metric, timestamp or value. Repeatable.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Metric of every row of a file without such a column."),
    ] = None,
) -> None:
    """Judge the points of a file as a worker would; a verdict a row. Needs no Kafka.

    Columns are metric, timestamp and value; every other one is a dimension. JSON lines are native
    points. The verdicts stand in the order of the file.

    Example: streamdet backtest cpu.csv --out verdicts.csv --set detection.sensitivity=85
    """
    settings = _load(config, overrides)
    from streamdet.backtest import run as run_backtest
    from streamdet.replay import column_map

    _start_log(settings)
    run_backtest(file, out, settings, column_map(columns or []), metric)


@app.command()
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


def _load(
    file: Path | None, overrides: Sequence[str] | None, bootstrap_servers: str | None = None
) -> Config:
    from streamdet.config import load

    given = list(overrides or [])
    if bootstrap_servers is not None:
        given.append(f"kafka.bootstrap_servers={bootstrap_servers}")
    return load(file, given)


def _start_log(config: Config) -> None:
    from streamdet import log

    log.setup(config.logging.format, config.logging.level)


def _printable(text: str) -> str:
    from streamdet.log import escaped

    return "\n".join(escaped(line) for line in text.split("\n"))


def _say(message: str) -> None:
    typer.echo(_printable(message), err=True)
