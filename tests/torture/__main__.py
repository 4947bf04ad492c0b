"""`python -m tests.torture`: run once, print what was found; exit code 1 if an invariant fails."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from tests.torture.run import Plan, run


def main() -> int:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long points are written")
    parser.add_argument("--seed", type=int, default=1, help="of points, faults and settings")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--series", type=int, default=2_000)
    parser.add_argument("--points", type=int, default=200_000)
    asked = parser.parse_args()
    plan = Plan(
        asked.minutes, asked.seed, asked.workers, asked.partitions, asked.series, asked.points
    )
    report = run(plan, partial(print, flush=True))
    print("\n".join(report.lines()))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
