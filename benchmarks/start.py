"""From the start of a worker's process to its first poll, and where the time goes.

python -m benchmarks.start --rounds 5

A worker starts on an embedded broker in its own process, in turn with compiled kernels kept where
they usually are (warm) and with an empty folder for them (cold). The parts are the worker's own
moments: it runs as ``python -m benchmarks.start worker``, which is `streamdet run` with a look at
the clock where the composition root calls the next thing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from streamdet.kafka.mock import MockBroker

TOPICS = INPUT, ANOMALIES, DEAD_LETTERS = "start", "start-anomalies", "start-dead-letters"
PARTS = ("interpreter", "imports", "configuration", "topics", "kernels", "clients", "first poll")
BARS_S = {"warm": 2.0, "cold": 15.0}
_TIMEOUT_S = 600


def worker(bootstrap: str) -> None:
    """Start as `streamdet run` does; print when each part was done and end at the first poll."""
    began_s = _process_start_s()
    at = {"interpreter": time.time()}
    from streamdet import app  # noqa: PLC0415  # a part that is measured
    from streamdet.cli.program import load_config  # noqa: PLC0415
    from streamdet.kafka.consumer import KafkaConsumer  # noqa: PLC0415

    at["imports"] = time.time()

    def then(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: object, **named: object) -> object:
            found = function(*arguments, **named)
            at[part] = time.time()
            return found

        return wrapped

    def first_poll(*_arguments: object, **_named: object) -> None:
        at["first poll"] = time.time()
        moments = [began_s, *(at[part] for part in PARTS)]
        took = [b - a for a, b in pairwise(moments)]
        print(json.dumps(dict(zip(PARTS, took, strict=True))), flush=True)
        os._exit(0)

    app.Topics.check = then("topics", app.Topics.check)  # type: ignore[method-assign]
    app.warm = then("kernels", app.warm)
    app.build = then("clients", app.build)
    KafkaConsumer.poll = first_poll  # type: ignore[method-assign,assignment]
    settings = {
        "kafka.bootstrap_servers": bootstrap,
        "input.topics": f"[{INPUT}]",
        "output.anomalies": ANOMALIES,
        "output.dead_letters": DEAD_LETTERS,
        "state.topic": "null",
        "metrics.host": "127.0.0.1",
        "metrics.port": "0",
    }
    config = load_config(None, [f"{name}={value}" for name, value in settings.items()])
    at["configuration"] = time.time()
    app.run(config)


def _process_start_s() -> float:
    """Return when the kernel started this process, in seconds since 1970."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    since_boot_s = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot_s


def start(bootstrap: str, kept: str | None = None) -> dict[str, float]:
    """Return the seconds of each part of one start.

    kept : the folder for compiled kernels; None: the usual one
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": kept} if kept else {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation has its bytecode
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", "worker", bootstrap],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_TIMEOUT_S,
    )
    parts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return parts


def report(rounds: int, cold_rounds: int) -> None:
    """Measure and print a Markdown table."""
    found: dict[str, list[dict[str, float]]] = {"warm": [], "cold": []}
    with MockBroker(TOPICS) as broker, tempfile.TemporaryDirectory() as folder:
        start(broker.bootstrap)  # from here on they are kept
        for number in range(rounds):
            found["warm"].append(start(broker.bootstrap))
            if number < cold_rounds:
                empty = str(Path(folder, f"empty-{number}"))
                found["cold"].append(start(broker.bootstrap, empty))
            told = {name: round(sum(each[-1].values()), 2) for name, each in found.items() if each}
            print(f"round {number + 1}: {told}", flush=True)
    print(f"\n{os.cpu_count()} cores; medians, seconds\n")
    print("| | " + " | ".join(PARTS) + " | all | bar |")
    print("|---" * (len(PARTS) + 3) + "|")
    for name, runs in found.items():
        if not runs:
            continue
        parts = [f"{statistics.median(run[part] for run in runs):.2f}" for part in PARTS]
        whole_s = statistics.median(sum(run.values()) for run in runs)
        word = "met" if whole_s <= BARS_S[name] else "MISSED"
        told = " | ".join(parts)
        print(f"| {name} | {told} | {whole_s:.2f} | {BARS_S[name]:.0f}: {word} |")


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=5, help="of them with an empty folder")
    asked = parser.parse_args()
    report(asked.rounds, asked.cold_rounds)


if __name__ == "__main__":
    main()
