"""The whole path beside a bare consume-and-drop loop on the same records, and the kernels beside
one that only writes the ring (`benchmarks.detect`): ``make bench``.

Contenders run in turn, each in a process of its own, several rounds; the ratio is taken within a
round and its median is the figure to quote, for these machines are noisy and rates drift.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys

from benchmarks import detect
from benchmarks.data import N_POINTS, N_SERIES, fill
from streamdet.kafka.mock import MockBroker

CONTENDERS = ("bare", "exactly_once", "at_least_once", "unaligned")
NAMES = {
    "bare": "bare consume(1000) and drop",
    "exactly_once": "streamdet, whole path, exactly_once",
    "at_least_once": "streamdet, whole path, at_least_once",
    "unaligned": "likewise exactly_once, without align",
}


def rate(contender: str, bootstrap: str) -> float:
    """Return the points a second of one run."""
    command = [sys.executable, "-m", "benchmarks.whole_path", contender, bootstrap]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(finished.stdout.split()[-1])


def main() -> None:
    """Measure and print Markdown tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="See also, with --help: benchmarks.series_count, .two_processes, .start, .scaling, "
        ".state, .failover, .memory, .ablation.",
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{N_POINTS:,} points, {N_SERIES:,} series a topic, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, embedded broker in its own process")
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with MockBroker() as broker:
        fill(broker)
        for number in range(rounds):
            for name in CONTENDERS:
                rates[name].append(rate(name, broker.bootstrap))
                print(f"round {number + 1}: {NAMES[name]}: {rates[name][-1]:,.0f}", flush=True)
    print("\n| | points/s, median (least to most) | ratio to bare, median |\n|---|---|---|")
    for name in CONTENDERS:
        found = rates[name]
        ratio = statistics.median(a / b for a, b in zip(found, rates["bare"], strict=True))
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"| {NAMES[name]} | {statistics.median(found):,.0f} ({spread}) | {ratio:.2f} |")
    costs = [b / a - 1 for a, b in zip(rates["exactly_once"], rates["unaligned"], strict=True)]
    print(f"\nalign costs {statistics.median(costs):.1%} of the time without it, median")
    print("\nthe kernels", end=", ", flush=True)
    detect.report(rounds)


if __name__ == "__main__":
    main()
