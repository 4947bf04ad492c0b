"""Names in one piece of memory, against a list of texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.state import names as module
from streamdet.state.names import Names

TEXTS = st.text(max_size=12)


@given(st.lists(st.one_of(st.lists(TEXTS, max_size=5), st.integers(0, 40)), max_size=40))
def test_what_is_put_is_found_and_what_is_cleared_is_free(steps):
    names, twin = Names(), []
    for step in steps:
        if isinstance(step, int):
            taken = [slot for slot, name in enumerate(twin) if name is not None]
            if taken:
                slot = taken[step % len(taken)]
                names.clear(slot)
                twin[slot] = None
        else:
            slots = (names.free() + list(range(len(twin), len(twin) + len(step))))[: len(step)]
            names.grow(max([len(twin), *(slot + 1 for slot in slots)]))
            twin += [None] * (len(names) - len(twin))
            names.put(np.array(slots, np.int64), step)
            for slot, text in zip(slots, step, strict=True):
                twin[slot] = text
        assert list(names) == twin
        assert names.free() == [slot for slot, name in enumerate(twin) if name is None]
        assert names.taken(1, 4).tolist() == [
            slot for slot, name in enumerate(twin) if name is not None and 1 <= slot < 4
        ]


def test_memory_of_names_that_are_gone_is_used_again(monkeypatch):
    monkeypatch.setattr(module, "_TIDY_FROM_BYTES", 100)
    names = Names()
    names.grow(100)
    slots = np.arange(100)
    names.put(slots, [f"first-{slot}" for slot in slots])
    once_bytes = len(names._texts)
    for turn in range(20):
        for slot in slots[10:].tolist():
            names.clear(slot)
        names.put(slots[10:], [f"turn{turn:2}-{slot}" for slot in slots[10:]])
        assert names[5] == "first-5"
        assert names[99] == f"turn{turn:2}-99"
        assert len(names._texts) < 3 * once_bytes


def test_a_slot_is_freed_once_and_there_is_none_beyond_the_last():
    names = Names()
    names.grow(1)
    names.put(np.array([0]), ["hôte"])
    assert names[0] == "hôte"
    names.clear(0)
    with pytest.raises(AssertionError, match="once"):
        names.clear(0)
    with pytest.raises(IndexError, match="slot 1 of 1"):
        names[1]
