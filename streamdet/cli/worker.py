"""`run` and `demo`: a worker, on your brokers or to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from streamdet.cli.program import ConfigFile, Overrides, load_config, start_log


def run(
    config: ConfigFile = None,
    overrides: Overrides = None,
    workers: Annotated[
        int, typer.Option(min=1, max=1_024, help="Processes: one for each core to be used.")
    ] = 1,
) -> None:
    """Run a worker, or several on this machine, until SIGTERM or Ctrl-C.

    All that have the same kafka.group_id share the partitions, on whatever machine they are. Of
    several, one that ends is started again.

    Example: streamdet run --config streamdet.yaml --workers 4
    """
    settings = load_config(config, overrides)
    start_log(settings)
    if workers > 1:
        from streamdet import workers as several

        raise typer.Exit(several.run(settings, workers))
    from streamdet import app as worker

    raise typer.Exit(worker.run(settings))


def demo(
    series: Annotated[int, typer.Option(min=1, max=100_000, help="Number of series.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other points.")] = 1,
    days: Annotated[
        float, typer.Option(min=4, max=366, help="Days of event time to play, as fast as it goes.")
    ] = 21.0,
    plain: Annotated[bool, typer.Option("--plain", help="Lines rather than a live view.")] = False,
) -> None:
    """See it work, on an embedded broker and made-up metrics.

    A producer, an ordinary worker and a reader; the anomalies are known, so the summary tells how
    many were found. Needs no Kafka and no configuration, ends by itself or with Ctrl-C.

    Example: streamdet demo --series 50 --plain
    """
    from streamdet import demo as show

    raise typer.Exit(show.run(series, seed, plain=plain, days=days))
