"""`detect`: a request of Azure's univariate API from a file, answered on standard output."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streamdet.errors import ConfigError, RequestError


class Mode(StrEnum):
    """What to detect."""

    ENTIRE = "entire"
    LAST = "last"
    CHANGEPOINT = "changepoint"


def detect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The request as JSON; - is standard input.")
    ],
    mode: Annotated[
        Mode,
        typer.Option(help="Anomalies of the entire series, of the last point, or change points."),
    ] = Mode.ENTIRE,
) -> None:
    """Answer a request of Azure AI Anomaly Detector: JSON in, JSON out.

    The request is {"granularity": "daily", "series": [{"timestamp": ..., "value": ...}, ...]}, 12
    to 8640 points, and may have every field that Azure's univariate API v1.1 has. It needs no
    Kafka and no configuration.

    Example: streamdet detect request.json --mode last
    """
    import msgspec

    from streamdet.univariate.operations import answer

    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        response = answer(mode.value, body)
    except RequestError as error:
        raise ConfigError(f"{file}: {error}") from None
    typer.echo(msgspec.json.encode(response))
