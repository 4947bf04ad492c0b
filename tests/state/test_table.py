"""The series table against a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamdet.kernels.table import MISSING
from streamdet.state.table import SeriesTable


def find(table, keys):
    buffer = np.frombuffer(b"".join(keys) or b"\0", np.uint8)
    size = np.array([len(k) for k in keys], np.int32)
    return table.find(buffer, np.cumsum(size, dtype=np.int64) - size, size).tolist()


class TableMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = SeriesTable(seed=1)
        self.model: dict[bytes, int] = {}

    @rule(key=st.binary(max_size=20), handle=st.integers(0, 5))
    def insert(self, key, handle):
        if key not in self.model:
            self.table.insert(key, handle)
            self.model[key] = handle

    @rule(handles=st.sets(st.integers(0, 5)))
    def remove(self, handles):
        self.table.remove(np.array(sorted(handles), np.int64))
        self.model = {k: h for k, h in self.model.items() if h not in handles}

    @rule(old=st.integers(0, 5), new=st.integers(6, 9))
    def move(self, old, new):
        self.table.move(old, new)
        self.model = {k: new if h == old else h for k, h in self.model.items()}

    @invariant()
    def finds_exactly_what_is_there(self):
        keys = [*self.model, b"absent key"]
        assert find(self.table, keys) == [*self.model.values(), MISSING]
        assert len(self.table) == len(self.model)


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_many_keys_survive_growth():
    table = SeriesTable()
    keys = [f"http_requests{{host={i}}}".encode() for i in range(20_000)]
    for handle, key in enumerate(keys):
        table.insert(key, handle)
    assert find(table, keys) == list(range(20_000))
    assert table.get(b"http_requests{host=20000}") == MISSING


def test_keys_with_equal_hashes_stay_apart():
    table = SeriesTable(seed=3)
    table.insert(b"a", 0)
    table._entries["hash"] = 0  # every entry now collides; only the bytes tell them apart
    first = np.flatnonzero(table._entries["used"])
    assert len(first) == 1
    assert table.get(b"b") == MISSING
