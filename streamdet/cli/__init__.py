"""The command line: parses, calls, turns errors into one message and an exit code.

Here is the list of the commands; `program` has what they share. Nothing heavy is imported before a
command needs it, so that ``streamdet --help`` is instant.
"""

from __future__ import annotations

import sys

import typer

from streamdet.cli import (
    answer,
    backtest,
    configuration,
    detect,
    dlq,
    doctor,
    program,
    rekey,
    serve,
    state,
    topics,
    worker,
)

app = typer.Typer(
    name="streamdet",
    cls=program.Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take as long to import as all the rest, twice over
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback()(program.streamdet)
app.command()(worker.run)
app.command()(worker.demo)
app.command()(configuration.validate)
app.command()(topics.replay)
app.command()(rekey.rekey)
app.command()(answer.answer)
app.command()(doctor.doctor)
app.command()(serve.serve)
app.command()(backtest.backtest)
app.command()(backtest.tune)
app.command()(detect.detect)
app.command()(program.version)

_config = typer.Typer(no_args_is_help=True, help="Show the configuration and its schema.")
_config.command("show")(configuration.config_show)
_config.command("schema")(configuration.config_schema)
app.add_typer(_config, name="config")

_topics = typer.Typer(no_args_is_help=True, help="Make the topics a worker needs.")
_topics.command("create")(topics.topics_create)
app.add_typer(_topics, name="topics")

_dlq = typer.Typer(no_args_is_help=True, help="Look at dead letters, and send them in again.")
_dlq.command("list")(dlq.dlq_list)
_dlq.command("show")(dlq.dlq_show)
_dlq.command("replay")(dlq.dlq_replay)
app.add_typer(_dlq, name="dlq")

_state = typer.Typer(no_args_is_help=True, help="Look at the state of series, and delete it.")
_state.command("inspect")(state.state_inspect)
_state.command("export")(state.state_export)
_state.command("purge")(state.state_purge)
app.add_typer(_state, name="state")


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="streamdet")
    except Exception as error:  # noqa: BLE001  # a defect of ours; typer has dealt with the rest
        kind = type(error).__name__
        program.say(
            f"streamdet: internal error, please report it (--debug tells more): {kind}: {error}"
        )
        sys.exit(program.EXIT_RUNTIME)
