"""Compiling before the group is joined."""

from __future__ import annotations

from streamdet.kernels import align, forecast, parse, rate, spectral_residual, table, threshold
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
