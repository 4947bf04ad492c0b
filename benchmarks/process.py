"""The rows of one process: starting it, decoding in it, and what its series take of memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import start as start_up
from benchmarks.bars import Bar, Measured
from benchmarks.stages import Path as Stages
from benchmarks.stages import batches, messages
from benchmarks.throughput import QUICK, Plan
from streamdet.config import Config
from streamdet.kafka.mock import MockBroker

_BATCH = 4_000
_RINGS = {64: (1.2, 0.9), 288: (2.2, 1.8), 1440: (7, 6.5)}


def start(plan: Plan) -> list[Measured]:
    """From the start of `streamdet run` to its first poll, its kernels compiled before or not."""
    warm = Measured(Bar("start to first poll, warm cache", 2, 1, less_is_better=True, unit=" s"))
    cold = Measured(Bar("start to first poll, no cache", 15, 8, less_is_better=True, unit=" s"))
    with MockBroker(start_up.TOPICS) as broker, tempfile.TemporaryDirectory() as folder:
        for number in range(plan.rounds):
            empty = str(Path(folder, str(number)))
            for row in (cold, warm):
                row.figures.append(sum(start_up.start(broker.bootstrap, empty).values()))
            print(f"  round {number + 1}: {cold.figures[-1]:.1f} s, then {warm.figures[-1]:.1f} s")
    cold.how = "streamdet run on the embedded broker, an empty folder for machine code"
    warm.how = "the same once more"
    return [warm, cold]


def decode(plan: Plan) -> list[Measured]:
    """Decode and route in the pipeline's own calls beside msgspec and a dict, batch by batch."""
    bar = Measured(Bar("decode and route, times as fast as msgspec and a dict", 6, 9))
    config = Config.model_validate({"limits": {"max_series": plan.n_series}})
    path, rng = Stages(config), np.random.default_rng(1)
    ours, theirs = [], []
    for tick in range(plan.rounds + 1):
        took = [
            path.ns(values, tick, 1)
            for values in batches(messages(plan.n_series, 1, tick, rng, False), _BATCH)
        ]
        if tick:  # the first takes the series in
            ours.append(statistics.median(each["decode"] + each["route"] for each in took))
            theirs.append(statistics.median(each["msgspec"] for each in took))
    bar.figures = [b / a for a, b in zip(ours, theirs, strict=True)]
    medians = [statistics.median(each) for each in (ours, theirs)]
    bar.how = "{:.0f} ns a point, msgspec {:.0f}; no broker; benchmarks.stages has more".format(
        *medians
    )
    return [bar]


def memory(plan: Plan, ring: int) -> list[Measured]:
    """What the process grows by for each series, of the system's own account."""
    must, aim = _RINGS[ring]
    title = f"kB a series, all in, ring of {ring:,}"
    bar = Measured(Bar(title, must, aim, less_is_better=True))
    n = 20_000 if plan is QUICK else 100_000
    program = f"from benchmarks.process import grown; print(*grown({n}, {ring}))"
    held = 0.0
    for _ in range(plan.rounds if plan is QUICK else 3):
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        resident, held = map(float, done.stdout.split())
        bar.figures.append(resident / 1e3)
    bar.how = f"resident memory by {n:,} series; {held:,.0f} B of rows, rings, table and names"
    return [bar]


def grown(n_series: int, ring: int) -> tuple[float, float]:
    """Return bytes a series: by which the process grows, and that the store tells."""
    settings = {"detection": {"ring_length": ring}, "limits": {"max_series": n_series}}
    rng = np.random.default_rng(1)
    warm = Stages(Config.model_validate(settings), with_msgspec=False)
    # What a batch takes while it is worked on is no series'.
    warm.ns(messages(_BATCH, 1, 0, rng, False), 0, 1)
    path = Stages(Config.model_validate(settings), with_msgspec=False)
    before = _resident_bytes()
    for first in range(0, n_series, _BATCH):
        made = messages(_BATCH, 1, 0, rng, False, first=first)
        path.ns(made, 0, 1)
        del made
    store = path.task.store
    return (_resident_bytes() - before) / store.n_series, store.size_bytes / store.n_series


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


MEMORY = {f"memory_{ring}": partial(memory, ring=ring) for ring in _RINGS}
