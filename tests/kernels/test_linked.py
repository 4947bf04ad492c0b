"""Kernels that other kernels call: compiled as a part of these, and for Python only if it asks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import config

from streamdet.kernels.jit import inlined, kernel
from tests.kernels.test_cache import ROOT

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")


def kernels():
    """Return a kernel, one that calls it twice, and one that calls both."""

    @kernel
    def scaled(x, by):
        return x * by

    @inlined
    def twice(x, n):
        return scaled(x, n) + scaled(x, 3)

    @kernel
    def total(x, n):
        result = 0.0
        for each in x:
            result += twice(each, n) + scaled(each, 1)
        return result

    return scaled, twice, total


def test_what_kernels_call_is_compiled_for_python_only_where_python_calls_it():
    scaled, twice, total = kernels()
    assert total(np.arange(4.0), 2) == 36.0
    assert [len(each.signatures) for each in (scaled, twice, total)] == [0, 0, 1]
    assert (scaled(2.0, 3), twice(2.0, 1)) == (6.0, 8.0)
    assert [len(each.signatures) for each in (scaled, twice, total)] == [1, 1, 1]


def test_a_literal_number_is_no_other_type():
    scaled, _, total = kernels()
    total(np.arange(4.0), 2)
    assert [str(each) for each in scaled._part.signatures] == ["(float64, int64)"]


def test_the_parts_of_a_kernel_are_kept_with_it(tmp_path):
    program = """if True:
        import numpy as np
        from streamdet.kernels import period
        values = np.sin(np.arange(96.0) / 12 * 2 * np.pi).astype(np.float32)
        scratch = np.empty(period.scratch_points(96), np.float32)
        print(period.find_period(values, scratch), period.find_period.stats.cache_hits.total())
    """
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
        ).stdout.split()
        for _ in range(2)
    ]
    assert [each[-1] for each in told] == ["0", "1"]
    assert told[0][:-1] == told[1][:-1]
    kept = {file.name.split(".")[1].split("-")[0] for file in tmp_path.rglob("*.nbi")}
    assert kept == {"find_period", "scratch_points"}
