"""Requests whose answers by Azure's service are known, beside ours: how many agree.

A case is a JSON file with `request`, `response` and `type` (entire or last). It agrees where the
period, every verdict and its direction are the same, and the expected values lie within 5 %; what
a response does not hold is not compared. Prints case by case, then the totals.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from streamdet.univariate.operations import answer

PASSED_BAR, PASSED_AIM = 38, 46
VERDICTS_BAR, VERDICTS_AIM = 0.97, 0.99
VERDICTS = ("isAnomaly", "isPositiveAnomaly", "isNegativeAnomaly")
EXPECTED = ("expectedValue", "expectedValues")
_WITHIN = 0.05
_NIL = 1e-8


def compare(true: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    """Return, for each of period, verdicts and expected that `true` has, the share that agrees."""
    shares = {}
    if "period" in true:
        shares["period"] = float(true["period"] == found["period"])
    verdicts = [
        np.asarray(true[name]) == np.asarray(found[name]) for name in VERDICTS if name in true
    ]
    if verdicts:
        shares["verdicts"] = float(np.mean([each.mean() for each in verdicts]))
    for name in EXPECTED:
        if name in true:
            truth = np.asarray(true[name], float)
            off = np.abs(np.asarray(found[name]) - truth)
            shares["expected"] = float(np.mean(off <= np.maximum(_NIL, _WITHIN * np.abs(truth))))
    return shares


def main() -> None:
    """Compare every case of a folder and print what agrees."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.azure_golden", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    passed, verdicts, total = 0, [], 0
    print("| case | n | period | verdicts | expected | passed | ms |")
    print("|---|---|---|---|---|---|---|")
    for file in sorted(folder.glob("*.json")):
        case = json.loads(file.read_text())
        body = json.dumps(case["request"]).encode()
        started = time.perf_counter()
        found = answer(case["type"], body)
        took_ms = 1000 * (time.perf_counter() - started)
        shares = compare(case["response"], found)
        if case["type"] == "entire" and "isAnomaly" in case["response"]:
            verdicts.append(
                np.asarray(case["response"]["isAnomaly"]) == np.asarray(found["isAnomaly"])
            )
        ok = all(share == 1 for share in shares.values())
        passed += ok
        total += 1
        cells = [
            f"{shares[part]:.2%}" if part in shares else ""
            for part in ("period", "verdicts", "expected")
        ]
        print(
            f"| {file.stem} | {len(case['request']['series'])} | {' | '.join(cells)}"
            f" | {'yes' if ok else 'no'} | {took_ms:.0f} |"
        )
    agreed = float(np.concatenate(verdicts).mean()) if verdicts else float("nan")
    print(f"\npassed {passed} of {total} (bar {PASSED_BAR} of 54, aim {PASSED_AIM})")
    print(
        f"verdicts of entire cases that agree {agreed:.2%}"
        f" (bar {VERDICTS_BAR:.0%}, aim {VERDICTS_AIM:.0%})"
    )


if __name__ == "__main__":
    main()
