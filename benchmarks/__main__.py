"""Measure every bar side by side, in turn, on this machine: ``make bench``.

Contenders run in interleaved rounds, each in a process of its own; a ratio is taken within a round
and its median is the figure to quote, for machines are noisy and rates drift. Writes a Markdown
table and a plot. Leave nothing else running.
"""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.bars import Bar, Measured
from benchmarks.latency import latency
from benchmarks.peers.rows import peers
from benchmarks.process import MEMORY, decode, start
from benchmarks.throughput import (
    QUICK,
    Plan,
    hundred_points,
    series_cost,
    two_processes,
    whole_path,
)

ROWS: dict[str, Callable[[Plan], list[Measured]]] = {
    "whole_path": whole_path,
    "hundred_points": hundred_points,
    "quixstreams": peers,
    "two_processes": two_processes,
    "decode": decode,
    "series_cost": series_cost,
    **MEMORY,
    "latency": latency,
    "start": start,
}


def main() -> None:
    """Measure what the arguments ask for, write and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="See also, with --help: benchmarks.latency, .stages, .series_count, .start, "
        ".scaling, .state, .failover, .memory.",
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="a tenth of it, to see that it runs")
    parser.add_argument("--rounds", type=int, help="5 where not said otherwise")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="FOLDER")
    asked = parser.parse_args()
    plan = QUICK if asked.quick else Plan()
    if asked.rounds:
        plan = replace(plan, rounds=asked.rounds)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    size = f"{plan.rounds} rounds{', --quick' if asked.quick else ''}"
    told = f"{report.machine()}, {today}, {size}"
    measured: list[Measured] = []
    for name in asked.only or ROWS:
        print(name, flush=True)
        measured += _measured(name, plan)
        report.write(measured, told, asked.out)  # what there is, should a later one fail
    print(f"\n{report.markdown(measured, told)}\nwritten to {asked.out}")


def _measured(name: str, plan: Plan) -> list[Measured]:
    try:
        return ROWS[name](plan)
    except Exception as error:  # noqa: BLE001  # the other rows are worth having
        traceback.print_exc()
        return [Measured(Bar(name), how=f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    main()
