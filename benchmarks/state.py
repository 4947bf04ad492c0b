"""What state costs: to write and to load it, to restore it, and beside the work.

python -m benchmarks.state records | restore | cost
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from typing import NamedTuple

from benchmarks import cost, restore
from benchmarks.learnt import learn, settings
from streamdet.config import Config
from streamdet.snapshot import load, take
from streamdet.task import Task
from streamdet.types import Partition, Record


class Taken(NamedTuple):
    """The state of a partition: what it takes in memory and as records, and how long that took."""

    memory_bytes: int
    n_records: int
    size_bytes: int
    written_s: float
    steps_s: tuple[float, ...]
    """Of loading it; work of others goes on between two steps."""

    @property
    def loaded_s(self) -> float:
        """Seconds to load all."""
        return sum(self.steps_s)


def take_and_load(n_series: int, ring_length: int, minutes: int) -> Taken:
    """Write the state of series that have learnt for so many minutes, and load it, in memory."""
    config = Config.model_validate(settings(n_series, ring_length))
    partition = Partition("points", 0)
    task = learn(partition, config, range(n_series), minutes)

    began_s = time.perf_counter()
    taken = list(take(task, "state", 1 << 62))
    written_s = time.perf_counter() - began_s
    size_bytes = sum(len(record.key or b"") + len(record.value or b"") for record in taken)

    where = Partition("state", 0)
    stored = [Record(where, i, 0, r.key, r.value) for i, r in enumerate(taken)]
    fresh = Task(partition, config)
    at_s = [time.perf_counter()]
    for step in load(fresh, stored, minutes):
        found = step
        at_s.append(time.perf_counter())
    assert found.n_series == n_series, found.problems[:3]
    steps_s = tuple(b - a for a, b in pairwise(at_s))
    return Taken(task.store.size_bytes, len(taken), size_bytes, written_s, steps_s)


def records(n_series: int, ring_length: int, minutes: int) -> None:
    """Print what records of the state take, in bytes and in time, without any broker."""
    found = take_and_load(n_series, ring_length, minutes)
    print(f"{n_series:,} series, ring {ring_length}, {minutes} points each")
    print(
        f"written: {found.n_records:,} records, {found.size_bytes:,} bytes, "
        f"{found.size_bytes / n_series:.0f} each"
    )
    print(f"         {found.written_s:.2f} s, {found.written_s / n_series * 1e6:.1f} us a series")
    print(
        f"loaded:  {found.loaded_s:.2f} s, {found.loaded_s / n_series * 1e6:.1f} us "
        f"a series; {len(found.steps_s)} steps, the longest {max(found.steps_s):.3f} s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.state", description=__doc__)
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--series", type=int, default=100_000)
    every.add_argument("--ring", type=int, default=288, help="length of each series' ring")
    every.add_argument("--minutes", type=int, default=300, help="points that each has learnt from")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("records", parents=[every], help=records.__doc__)
    restoring = commands.add_parser("restore", parents=[every], help=restore.report.__doc__)
    restoring.add_argument("--replayed", type=int, default=200_000, help="points to replay")
    restoring.add_argument("--rounds", type=int, default=3)
    costing = commands.add_parser("cost", parents=[every], help=cost.report.__doc__)
    costing.add_argument("--points", type=int, default=3_000_000, help="of the input of a run")
    costing.add_argument("--rounds", type=int, default=5)
    asked = vars(parser.parse_args())
    run = {"records": records, "restore": restore.report, "cost": cost.report}[asked.pop("command")]
    run(asked.pop("series"), asked.pop("ring"), asked.pop("minutes"), **asked)


if __name__ == "__main__":
    main()
