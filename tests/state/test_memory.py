"""Memory that grows where it stands."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest

from streamdet.state.memory import GrowingMemory

ROW = np.dtype([("a", "<i8"), ("b", "<f4"), ("c", "u1")])


@pytest.mark.parametrize("held", [False, True], ids=["alone", "while somebody holds a view"])
def test_what_was_written_stays_and_zeros_follow(held):
    memory = GrowingMemory(ROW)
    rows = memory.array(10)
    rows["a"] = np.arange(10)
    view = rows["b"] if held else None
    del rows
    for count in (1_000, 500_000, 600):
        rows = memory.array(count)
        assert rows["a"][:10].tolist() == list(range(10))
        assert not rows["a"][10:].any()
        assert rows.ctypes.data % 64 == 0
        rows["a"][10:] = 7
        rows["a"][10:] = 0
        del rows
    assert view is None or not view.any()


def test_an_array_that_is_held_stays_as_it_was():
    memory = GrowingMemory(np.dtype(np.float32), (3,))
    before = memory.array(2)
    after = memory.array(4)
    after[:] = 1.0
    assert before.shape == (2, 3)
    assert not before.any()


def test_an_array_of_nothing_takes_nothing():
    memory = GrowingMemory(np.dtype(np.float32), (0,))
    assert memory.array(64).shape == (64, 0)
    assert memory.array(128).shape == (128, 0)


def test_released_pages_are_zeros_that_can_be_written_again_and_their_neighbours_stay():
    memory = GrowingMemory(np.dtype(np.float32), (64,))  # sixteen items a page
    rings = memory.array(4_096)
    rings[:] = 1.0
    memory.release(10, 1_000)  # pages hold 16 to 992
    assert (rings[:16] == 1.0).all()
    assert not rings[16:992].any()
    assert (rings[992:] == 1.0).all()
    rings[16:992] = 2.0
    assert (memory.array(8_192)[16:992] == 2.0).all()


def _resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_released_pages_take_no_memory():
    memory = GrowingMemory(np.dtype(np.float32), (1440,))
    rings = memory.array(2_000)
    rings[:] = 1.0
    before = _resident_bytes()
    memory.release(0, 2_000)
    assert _resident_bytes() < before - 10_000_000
