"""What each ingredient of the detector `forecast` brings, on labelled points of your own.

    python -m benchmarks.ablation INPUT --labels FILE

INPUT and FILE are what ``streamdet backtest`` takes. The detector runs once as it is and once
without each ingredient, in a process and a copy of the sources of its own, in which a few lines
are others: the kernels need no switches for what nobody is to switch off.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from streamdet.backtest import FileInput
from streamdet.backtest.evaluation import DELAY, Segments, evaluate
from streamdet.backtest.labels import read_labels
from streamdet.backtest.verdicts import judge
from streamdet.config import Config
from streamdet.detectors import DETECTORS

Change = tuple[str, str]  # what stands in one of the kernels, what stands there instead

_MOST = "(row.recent, row.usual)"
_OF_FIRST = """    if count < LEARN_FROM:
        tail.mean += (residual - tail.mean) / (count + 1.0)
"""
_OF_MEAN = """    if count >= clamp_after:
        residual = min(residual, tail_residual(_CLAMP_SCORE, unit, xi))
    if count >= 0:
        tail.mean += (residual - tail.mean) / min(count + 1.0, memory)
"""
INGREDIENTS: dict[str, tuple[Change, ...]] = {
    "the whole detector": (),
    "recent values are normal too": ((f"min{_MOST}, max{_MOST}", "row.usual, row.usual"),),
    "the shock guard (usual is recent)": (
        ("if count >= _CLIP_AFTER and abs(away) >", "if count < 0 and abs(away) >"),
    ),
    "the tail model (a multiple of the mean deviation)": (
        (_OF_FIRST, _OF_MEAN),
        ("    if residual <= unit:\n", "    if residual <= unit * SCORE_MAX / L0:\n"),
        ("return unit * math.exp(xi * (score - L0))", "return unit * score / L0"),
    ),
    "the slow tail steps (3 in place of 1)": (("\n_STEP = 1.0\n", "\n_STEP = 3.0\n"),),
    "the season": (("    if strength < _STRONG or ", "    if strength < np.inf or "),),
    "going with the season": (
        ("    row.recent += gain * moved\n    row.usual += gain * moved\n", ""),
    ),
    "the slow channel": (("speaks = _slow_is_ready(row)", "speaks = False"),),
    "the week": (("season.error_week >= 0.0 and", "season.error_week < -9 and"),),
    "the longer memory (ring not halved)": (
        ("if season.stride >= _STRIDE_MAX:", "if season.stride > 0:"),
    ),
}


def without(changes: tuple[Change, ...], folder: Path) -> None:
    """Copy the sources to `folder`, with `changes`.

    Raises
    ------
    ValueError
        A change is for text that is not there, or twice: INGREDIENTS has to follow the kernels.
    """
    root = Path(__file__).parent.parent
    for package in ("streamdet", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / package, folder / package, ignore=ignored)
    kernels = sorted((folder / "streamdet" / "kernels").glob("*.py"))
    for old, new in changes:
        times = sum(file.read_text().count(old) for file in kernels)
        if times != 1:
            raise ValueError(f"{old!r} stands {times} times in the kernels, not once")
        for file in kernels:
            file.write_text(file.read_text().replace(old, new))


def delay_f1(
    series: NDArray[np.int64], label: NDArray[np.bool_], score: NDArray[np.float64]
) -> float:
    """Return the best F1 over all thresholds, with every point of a segment counted as found.

    The rule of the AIOps challenge: a segment is found when one of its first DELAY + 1 points is
    flagged. Points are sorted by series.
    """
    first, end = Segments(series, label).bounds()
    until = np.minimum(first + DELAY + 1, end)
    found = np.array([score[a:b].max() for a, b in zip(first, until, strict=True)])
    all_scores = np.concatenate([found, score[~label]])
    right = np.concatenate([end - first, np.zeros(np.count_nonzero(~label), np.int64)])
    wrong = np.concatenate([np.zeros(len(found), np.int64), np.ones(np.count_nonzero(~label))])
    order = np.argsort(-all_scores, kind="stable")
    sorted_scores, right, wrong = all_scores[order], right[order].cumsum(), wrong[order].cumsum()
    last = np.append(sorted_scores[1:] != sorted_scores[:-1], True)
    f1 = 2 * right / (right + wrong + (end - first).sum())
    return float(f1[last].max())


def measure(source: Path, labels: Path) -> dict[str, float]:
    """Return what this process' own detector reaches, and the time of its kernel."""
    config = Config()
    with Progress(disable=True) as progress:
        history = FileInput(source, {}, None).read(config, progress)
    known = read_labels(labels, history, {}, None, config)
    spent_s = 0.0
    detector = DETECTORS["forecast"]

    def timed(*arguments: object) -> None:
        nonlocal spent_s
        began_s = time.process_time()
        detector.kernel(*arguments)
        spent_s += time.process_time() - began_s

    DETECTORS["forecast"] = dataclasses.replace(detector, kernel=timed)
    judge(history, config)  # compiles
    spent_s = 0.0
    verdicts = judge(history, config)
    order = np.lexsort((history.time_us, history.series))
    series, label = history.series[order], known.label[order]
    flags = verdicts.is_anomaly[order]
    score = np.nan_to_num(verdicts.score[order], nan=-np.inf, posinf=np.inf)
    met = evaluate(series, label, flags, score, len(history.keys), detector.threshold)
    return {
        "delay F1, best threshold": delay_f1(series, label, score),
        "delay F1": delay_f1(series, label, flags.astype(np.float64) - (~flags)),
        "event F1": met.total.f1,
        "recall": met.total.recall,
        "precision": met.total.precision,
        "false flags, %": 100 * met.false_flags / met.normal_points,
        "ns/point": 1e9 * spent_s / len(series),
    }


def run(changes: tuple[Change, ...], source: Path, labels: Path) -> dict[str, float]:
    """Measure a detector with `changes` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        without(changes, Path(folder))
        command = [sys.executable, "-m", "benchmarks.ablation", str(source.resolve())]
        command += ["--labels", str(labels.resolve()), "--here"]
        environment = os.environ | {"PYTHONPATH": folder, "NUMBA_CACHE_DIR": f"{folder}/cache"}
        finished = subprocess.run(
            command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
    found: dict[str, float] = json.loads(finished.stdout)
    return found


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("input", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.input, given.labels)))
        return
    for at, (name, changes) in enumerate(INGREDIENTS.items()):
        found = run(changes, given.input, given.labels)
        if at == 0:
            print(f"| without | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
        cells = [f"{value:.0f}" if value >= 10 else f"{value:.3f}" for value in found.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
