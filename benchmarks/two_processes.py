"""Two workers on two cores beside one: ``python -m benchmarks.two_processes``.

The whole path, exactly_once, on an embedded broker in its own process. One process reads all
topics; or two read half of them each, in groups of their own, so that what is measured is cores
and not a rebalance. The contenders take turns; the ratio is taken within a round. Broker and
workers share the machine: with two cores, the broker's work is in the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from benchmarks.data import N_POINTS, TOPICS, fill
from benchmarks.whole_path import Span, whole_path
from streamdet.kafka.mock import MockBroker

BAR, AIM = 1.5, 1.8


def rate(bootstrap: str, n_processes: int) -> float:
    """Return the points a second that so many processes do together."""
    share = len(TOPICS) // n_processes
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.two_processes", "--worker", bootstrap, *topics],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for topics in (TOPICS[i * share : (i + 1) * share] for i in range(n_processes))
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "it says why on standard error"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        spans = [Span(*json.loads(process.communicate()[0])) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    began_s, ended_s = min(s.began_s for s in spans), max(s.ended_s for s in spans)
    return sum(span.n_points for span in spans) / (ended_s - began_s)


def worker(bootstrap: str, topics: list[str]) -> None:
    """Do one process's share, when told to."""

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    print(json.dumps(whole_path(bootstrap, "exactly_once", topics, wait)))


def report(rounds: int) -> None:
    """Measure and print a Markdown table."""
    print(f"{N_POINTS:,} points, {os.cpu_count()} cores, embedded broker in its own process")
    rates: dict[int, list[float]] = {1: [], 2: []}
    with MockBroker() as broker:
        fill(broker)
        for number in range(rounds):
            for n_processes, found in rates.items():
                found.append(rate(broker.bootstrap, n_processes))
            told = ", ".join(f"{n}: {found[-1]:,.0f}" for n, found in rates.items())
            print(f"round {number + 1}, points/s by processes: {told}", flush=True)
    ratio = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    print("\n| processes | points/s, median | ratio, median |\n|---|---|---|")
    print(f"| 1 | {statistics.median(rates[1]):,.0f} | 1 |")
    print(f"| 2 | {statistics.median(rates[2]):,.0f} | {ratio:.2f} |")
    print(f"\nbar: at least {BAR} (aim {AIM}): {'met' if ratio >= BAR else 'MISSED'}")


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_processes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    report(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
