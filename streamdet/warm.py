"""Compiles every kernel, or takes it from the cache: ``python -m streamdet.warm``.

A worker does this before it joins its group, for the detectors of its configuration, and an image
at its build, so that no batch waits for the compiler. A batch with every form of input goes the
ordinary way, so the kernels meet the very types that they will meet in the pipeline.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Collection

import numpy as np

from streamdet.batch import sizes_of
from streamdet.config import Config
from streamdet.detectors import DETECTORS
from streamdet.kernels.jit import compiled_once
from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.state.store import Pool
from streamdet.task import Task
from streamdet.types import Partition, Record

_LARGEST, _SMALLEST = "forecast", "threshold"

_PLAIN = b'{"metric":"a","dimensions":{"b":"c"},"timestamp":1600000000000,"value":1}'
_APART = b'{"metric":"a","timestamp":1600000060000,"value":1,"dimensions":{"b":"c"}}'
_CAREFUL = b'[{"metric":"d","timestamp":1600000000000,"value":1}]'


class _Batch:
    """A few records of no topic."""

    partition = Partition("warm", 0)

    def __init__(self, values: list[bytes | None]) -> None:
        self.values = values
        self.sizes = sizes_of(values)
        self.offsets = np.arange(len(values), dtype=np.int64)
        self.timestamps_ms = np.full(len(values), 1_600_000_000_000, np.int64)

    def record(self, index: int) -> Record:
        """Return record `index`."""
        return Record(self.partition, index, -1, None, self.values[index])


def warm(detectors: Collection[str] = tuple(DETECTORS)) -> None:
    """Send plain points, and points of every form, through decode, route and `detectors`.

    With nothing kept, half of the compiling, the largest detector's kernel, is done by a second
    process at the same time; when several workers start together, by one of them for all.
    """
    # The smallest always: its points go through all else while the largest is compiled aside.
    names = sorted({_SMALLEST, *detectors}, key=lambda each: (each == _LARGEST, each))
    with compiled_once(names) as needed:
        aside = None
        if needed and _LARGEST in names and (os.cpu_count() or 1) > 1:
            aside = subprocess.Popen(  # noqa: S603  # this module
                [sys.executable, "-m", "streamdet.warm", _LARGEST], stdin=subprocess.DEVNULL
            )
        for name in names:
            if name == _LARGEST and aside is not None:
                aside.wait()  # whatever came of it: what it has not kept is compiled here
            detection = {"detector": name, "upperBound": 0}  # `threshold` needs a bound
            _send(Config.model_validate({"detection": detection}))


def warm_detector(name: str) -> None:
    """Compile the kernel of one detector, as it judges the points of a pool, here of none."""
    detector = DETECTORS[name]
    pool = Pool(detector.layout, 64)
    slot, step = np.empty(0, np.int64), np.empty(0, np.int32)
    detector.run(pool.rows, pool.ring, slot, step, np.empty(0), np.empty(0, np.uint8))


def _send(config: Config) -> None:
    decoder = Decoder(DecodeLimits())
    task = Task(_Batch.partition, config)
    batches: list[list[bytes | None]] = [[_PLAIN], [_PLAIN, _APART, _CAREFUL, None]]
    for values in batches:
        batch = _Batch(values)
        points = decoder.decode(batch, "ms")
        handles = task.route(points, decoder.identify)
        task.detect(points, handles)
    list(task.sweep())
    task.store.table.remove(np.empty(0, np.int64))


if __name__ == "__main__":
    if sys.argv[1:]:
        gc.disable()  # a tenth of the time; the process ends before its memory matters
        warm_detector(sys.argv[1])
    else:
        warm()
