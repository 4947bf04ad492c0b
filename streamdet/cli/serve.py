"""`serve`: the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, start_log


def serve(
    config: ConfigFile = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address to listen on.", show_default="serve.host"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port; 0: any free one.", show_default="serve.port, 8080"
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Serve Azure AI Anomaly Detector's HTTP API, and series kept here, until SIGTERM or Ctrl-C.

    Point the endpoint of Azure's clients at it and they work. It needs no Kafka. Beyond Azure, POST
    one point to /v1/series/METRIC/points and the verdict is in the answer; the state of the series
    is kept in serve.folder. /openapi.json lists all operations.

    Without serve.keys it listens on this machine only.

    Example: streamdet serve --port 8080 --set serve.folder=./state
    """
    given = list(overrides or [])
    if host is not None:
        given.append(f"serve.host={host}")
    if port is not None:
        given.append(f"serve.port={port}")
    settings = load_config(config, given)
    from streamdet.serve import server

    start_log(settings)
    raise typer.Exit(server.run(settings))
