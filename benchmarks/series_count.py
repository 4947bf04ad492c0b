"""What a point costs with few series and with many: ``python -m benchmarks.series_count``.

The stages of `benchmarks.stages`, which are the pipeline's own calls, with 1,000, 100,000 and
1,000,000 known series: each has been taken in, has its kernel's row past the cold start, and its
points come in an order that chance makes anew each tick, so that with many series a point finds its
row in no cache. The contenders take turns, a batch each, so that noise of the machine meets all.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
from collections.abc import Iterator

import numpy as np

from benchmarks.stages import STAGES, Path, batches, messages
from streamdet.config import Config

SERIES = (1_000, 100_000, 1_000_000)
BAR, AIM = 1.6, 1.3
WARMUP_POINTS = 12
OURS = tuple(stage for stage in STAGES if stage != "msgspec")


class Contender:
    """A partition with so many known series, and the batches that come next."""

    def __init__(self, n_series: int, ring_length: int, batch_records: int) -> None:
        self.n_series = n_series
        detection = {"ring_length": ring_length, "warmup": WARMUP_POINTS, "period": 0}
        limits = {"max_series": n_series}
        config = Config.model_validate({"detection": detection, "limits": limits})
        self._path = Path(config, with_msgspec=False)
        self._random = np.random.default_rng(n_series)
        self._batches = self._following(batch_records)
        for _ in range(-(-WARMUP_POINTS * n_series // batch_records)):
            self.step()
        self.found: list[dict[str, float]] = []

    def _following(self, batch_records: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield batches and the tick of each; of few series a batch holds several ticks."""
        held: list[bytes] = []
        for tick in itertools.count():
            held += messages(self.n_series, 1, tick, self._random, iso=False)
            whole = len(held) - len(held) % batch_records
            yield from ((tick, values) for values in batches(held[:whole], batch_records))
            held = held[whole:]

    def step(self) -> dict[str, float]:
        """Return ns a point, by stage, of the next batch."""
        tick, values = next(self._batches)
        return self._path.ns(values, tick, 1)

    @property
    def n_known(self) -> int:
        """How many series have state."""
        return self._path.task.store.n_series


def report(counts: tuple[int, ...], ring_length: int, batch_records: int, rounds: int) -> None:
    """Measure and print a Markdown table."""
    contenders = []
    for n_series in counts:
        contenders.append(Contender(n_series, ring_length, batch_records))
        print(f"{contenders[-1].n_known:,} series known", flush=True)
    gc.collect()
    gc.freeze()  # as a worker's: what was made so far is never looked at again
    for _ in range(rounds):
        for each in contenders:
            each.found.append(each.step())
    print(
        f"\nring {ring_length}, batches of {batch_records:,}, {rounds} each; ns a point, medians\n"
    )
    print("| series | " + " | ".join(OURS) + " | all | ratio to the fewest |")
    print("|---" * (len(OURS) + 3) + "|")
    ratio = 1.0
    for each in contenders:
        stages = [f"{statistics.median(ns[stage] for ns in each.found):.0f}" for stage in OURS]
        # Within a round, for the machine's noise meets all of it.
        pairs = zip(each.found, contenders[0].found, strict=True)
        ratio = statistics.median(whole_ns(ns) / whole_ns(least) for ns, least in pairs)
        whole = statistics.median(whole_ns(ns) for ns in each.found)
        print(f"| {each.n_series:,} | {' | '.join(stages)} | {whole:.0f} | {ratio:.2f} |")
    word = "met" if ratio <= BAR else "MISSED"
    print(f"\nbar, most series to fewest: at most {BAR} (aim {AIM}): {word}")


def whole_ns(stages: dict[str, float]) -> float:
    """Return ns a point of all stages that are ours."""
    return sum(stages[stage] for stage in OURS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series_count", description=__doc__)
    parser.add_argument("--series", type=int, nargs="+", default=SERIES)
    parser.add_argument("--ring", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4_000, help="records")
    parser.add_argument("--rounds", type=int, default=100)
    asked = parser.parse_args()
    report(tuple(asked.series), asked.ring, asked.batch, asked.rounds)


if __name__ == "__main__":
    main()
