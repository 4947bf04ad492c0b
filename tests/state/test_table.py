"""The series table against a dict."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray

from streamdet.kernels.table import MISSING, table_hashes
from streamdet.state.table import SeriesTable

MANY = 8_000 if numba.config.DISABLE_JIT else 400_000


def find(table, keys):
    buffer = np.frombuffer(b"".join(keys) or b"\0", np.uint8)
    size = np.array([len(k) for k in keys], np.int32)
    return table.find(buffer, np.cumsum(size, dtype=np.int64) - size, size).tolist()


class TableMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = SeriesTable(seed=1)
        self.model: dict[bytes, int] = {}

    @rule(key=st.binary(max_size=40), handle=st.integers(0, 5))
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
TestTable.settings = settings(max_examples=30, stateful_step_count=20)


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


def hashes(seed: NDArray[np.uint64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes of keys of eight bytes."""
    start = np.arange(len(keys)) * 8
    size, hashed = np.full(len(keys), 8, np.int32), np.empty(len(keys), np.uint64)
    table_hashes(seed, keys.view(np.uint8), start, size, hashed)
    return hashed


def farthest(table: SeriesTable) -> int:
    """How far the key that is farthest from its place stands from it."""
    entries = table._entries
    used = np.flatnonzero(entries["used"])
    at, mask = entries["hash"][used].astype(np.uint64), np.uint64(len(entries) - 1)
    return int(((used.astype(np.uint64) - at) & mask).max())


def test_names_that_were_chosen_to_collide_under_one_seed_do_not_under_another():
    known, other = SeriesTable(seed=1), SeriesTable(seed=2)
    candidates = np.arange(MANY, dtype=np.uint64)
    low_bits = hashes(known._seed, candidates) & np.uint64(len(known._entries) - 1)
    hostile = [key.tobytes() for key in candidates[low_bits == 0]]
    assert len(hostile) >= 4
    for table in (known, other):
        table.insert_all(hostile, np.arange(len(hostile)))
    assert farthest(known) == len(hostile) - 1
    assert farthest(other) < len(hostile) / 2


def test_no_two_words_undo_each_other_for_every_seed():
    """As they do where a hash is ``(hash ^ word) * constant``, its upper half xored to the lower.

    There a change of the top bit of one word is undone by bits 63 and 31 of the next.
    """
    first, second = bytes(range(16)), bytearray(range(16))
    second[7] ^= 0x80
    second[15] ^= 0x80
    second[11] ^= 0x80
    for seed in range(20):
        table = SeriesTable(seed=seed)
        table.insert_all([first, bytes(second)], np.array([0, 1]))
        used = table._entries[table._entries["used"] == 1]
        assert used["hash"][0] != used["hash"][1]


def test_a_key_has_its_hash_wherever_it_stands():
    seed = SeriesTable(seed=5)._seed
    key = b"http_requests{host=1,region=eu,zone=a}"
    for size in range(len(key) + 1):
        hashed = np.empty(9, np.uint64)
        buffer = np.frombuffer(
            b"".join(bytes([255 - k]) * k + key[:size] for k in range(9)), np.uint8
        )
        start = np.cumsum(np.arange(9) + size) - size
        table_hashes(seed, buffer, start, np.full(9, size, np.int32), hashed)
        assert len(set(hashed.tolist())) == 1


def test_what_is_left_after_a_removal_is_found_with_the_memory_of_what_went():
    table = SeriesTable()
    keys = [b"%d" % i * (i % 20 + 1) for i in range(3_000)]
    table.insert_all(keys, np.arange(3_000))
    before = table.size_bytes
    table.remove(np.arange(100, 3_000))
    assert find(table, keys) == [*range(100), *[MISSING] * 2_900]
    assert table.size_bytes < before / 2
