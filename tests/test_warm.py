"""Compiling before the group is joined."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from streamdet.kernels import align, forecast, jit, parse, rate, spectral_residual, table, threshold
from streamdet.warm import warm
from tests.service import Worker, broker, config, point, produce


def compiled():
    return {
        (module.__name__, name): len(function.signatures)
        for module in (align, forecast, parse, rate, spectral_residual, table, threshold)
        for name, function in vars(module).items()
        if hasattr(function, "signatures")
    }


def test_after_warming_up_no_batch_waits_for_the_compiler():
    rules = [
        {
            "match": {"dimensions": {"host": "b"}},
            "set": {"detector": "spectral_residual", "transform": "rate"},
        },
        {"match": {"metric": "t"}, "set": {"detector": "threshold", "lowerBound": 0}},
    ]
    settings = config(rules=rules)
    warm(settings.detectors)
    before = compiled()
    on = broker()
    plain = [point(m, 1.0, host="a").replace(b" ", b"") for m in range(20)]
    plain += [point(m, 1.0, host="b") for m in range(99)] + [point(0, 1.0, "t")]
    produce(on, [*plain, b"[" + point(30, 1.0) + b"]", b"broken", None])
    Worker(on, settings).drain()
    assert compiled() == before


KEPT = """if True:
    import sys
    from streamdet.kernels import forecast, spectral_residual, threshold
    from streamdet.warm import warm
    warm(sys.argv[1:])
    for each in (forecast._detect, spectral_residual.detect, threshold.detect):
        print(len(each.signatures), sum(each.stats.cache_hits.values()))
"""


def test_only_the_detectors_that_are_asked_for_are_compiled(tmp_path):
    def start(*names):
        done = subprocess.run(
            [sys.executable, "-c", KEPT, *names],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
        )
        return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]

    assert start("threshold") == [(0, 0), (0, 0), (1, 0)]
    assert start("spectral_residual") == [(0, 0), (1, 0), (1, 1)]
    assert start("spectral_residual") == [(0, 0), (1, 1), (1, 1)]


@pytest.fixture
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", str(tmp_path))


def test_of_workers_that_start_together_one_compiles_and_the_others_wait(nothing_kept):
    told = []

    def start():
        with jit.compiled_once(["a"]) as needed:
            told.append(needed)

    other = Thread(target=start)
    with jit.compiled_once(["a"]) as needed:
        other.start()
        other.join(0.2)
        assert needed
        assert other.is_alive(), "it waits"
    other.join(10)
    assert told == [False]
    start()
    assert told == [False, False]


def test_what_was_compiled_with_more_beside_it_is_not_compiled_again(nothing_kept):
    needs = []
    for kernels in (["a"], ["a", "b"], ["b"], ["a", "b"], ["c"]):
        with jit.compiled_once(kernels) as needed:
            needs.append(needed)
    assert needs == [True, True, False, False, True]


def test_compiling_that_failed_is_left_to_the_next(nothing_kept):
    with pytest.raises(MemoryError), jit.compiled_once(["a"]):
        raise MemoryError
    with jit.compiled_once(["a"]) as needed:
        assert needed


def test_where_nothing_can_be_kept_nobody_waits(monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", "")
    with jit.compiled_once(["a"]) as needed:
        assert not needed
