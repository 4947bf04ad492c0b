"""Compiling before the group is joined."""

from __future__ import annotations

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
    warm()
    before = compiled()
    on = broker()
    plain = [point(m, 1.0, host="a").replace(b" ", b"") for m in range(20)]
    plain += [point(m, 1.0, host="b") for m in range(99)] + [point(0, 1.0, "t")]
    produce(on, [*plain, b"[" + point(30, 1.0) + b"]", b"broken", None])
    rules = [
        {
            "match": {"dimensions": {"host": "b"}},
            "set": {"detector": "spectral_residual", "transform": "rate"},
        },
        {"match": {"metric": "t"}, "set": {"detector": "threshold", "lowerBound": 0}},
    ]
    Worker(on, config(rules=rules)).drain()
    assert compiled() == before


@pytest.fixture
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", str(tmp_path))


def test_of_workers_that_start_together_one_compiles_and_the_others_wait(nothing_kept):
    told = []

    def start():
        with jit.compiled_once() as needed:
            told.append(needed)

    other = Thread(target=start)
    with jit.compiled_once() as needed:
        other.start()
        other.join(0.2)
        assert needed
        assert other.is_alive(), "it waits"
    other.join(10)
    assert told == [False]
    start()
    assert told == [False, False]


def test_compiling_that_failed_is_left_to_the_next(nothing_kept):
    with pytest.raises(MemoryError), jit.compiled_once():
        raise MemoryError
    with jit.compiled_once() as needed:
        assert needed


def test_where_nothing_can_be_kept_nobody_waits(monkeypatch):
    monkeypatch.setattr(jit.config, "CACHE_DIR", "")
    with jit.compiled_once() as needed:
        assert not needed
