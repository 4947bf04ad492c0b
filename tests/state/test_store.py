"""Slots, pools and bounds of a partition's state."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.config import Config
from streamdet.event_time import EventTime
from streamdet.kernels.header import HEADER, NEVER, whole_lines
from streamdet.kernels.table import MISSING
from streamdet.state.store import FULL, Pool, Store, ring_length_for
from streamdet.types import SeriesId, StateLayout

ROW = whole_lines([*HEADER, ("level", "<f8")])
LAYOUT = StateLayout("a detector", ROW)


def ids(n):
    return [SeriesId.of("m", {"n": str(i)}) for i in range(n)]


def admit(store: Store, series: SeriesId, layout: StateLayout, ring_points: int) -> int:
    number = store.pool_for(layout, ring_length_for(ring_points))
    return int(store.admit([str(series)], [number], [store.pools[number].blank().tobytes()])[0])


def test_a_series_beyond_the_bound_is_refused_and_the_others_are_unharmed():
    store = Store(series_max=3)
    handles = [admit(store, s, LAYOUT, 64) for s in ids(4)]
    assert handles[3] == FULL
    assert [store.name(h) for h in handles[:3]] == [str(s) for s in ids(3)]
    assert store.n_series == 3


def test_many_series_are_taken_in_as_one_by_one_would_be():
    other = StateLayout("another", ROW)
    stores = [Store(series_max=7) for _ in range(2)]
    for store in stores:
        pools = [store.pool_for(LAYOUT, 64), store.pool_for(other, 0)]
        for series in ids(3):  # slots that were given back are taken again
            admit(store, series, LAYOUT, 64)
        store.evict(lambda pool: np.array([0, 2] if pool.ring_length else [], np.int64))
    at_once, singly = stores
    names = [f"s{i}" for i in range(9)]
    numbers = [pools[i % 3 == 1] for i in range(9)]
    rows = [at_once.pools[number].blank() for number in numbers]
    for i, row in enumerate(rows):
        row["level"] = i
    begins = [row.tobytes() for row in rows]
    handles = at_once.admit(names, numbers, begins)
    one_by_one = [
        int(singly.admit([name], [number], [row])[0])
        for name, number, row in zip(names, numbers, begins, strict=True)
    ]
    assert handles.tolist() == one_by_one
    assert (handles == FULL).tolist() == [False] * 6 + [True] * 3
    assert at_once.n_series == singly.n_series == 7
    for handle, name, row in zip(handles[:6].tolist(), names[:6], rows, strict=False):
        pool, slot = at_once.at(handle)
        other_pool, _ = singly.at(handle)
        assert at_once.name(handle) == name
        assert pool.rows["level"][slot] == row["level"][0]
        assert pool.rows[slot].tobytes() == other_pool.rows[slot].tobytes()
        assert at_once.table.get(name.encode()) == handle


def test_refused_keys_are_remembered_within_bounds_until_there_is_room():
    store = Store(series_max=2)
    handles = [admit(store, s, LAYOUT, 64) for s in ids(2)]
    store.alias([b"a", b"b", b"c"], np.full(3, FULL))
    assert [store.table.get(key) for key in (b"a", b"b", b"c")] == [FULL, FULL, MISSING]
    store.evict(lambda pool: np.array([handles[0]]))
    assert store.table.get(b"a") == MISSING


def test_rows_lie_on_cache_lines_and_keep_their_content_when_the_pool_grows():
    store = Store(series_max=10_000)
    handles = []
    for i, series in enumerate(ids(1000)):
        handle = admit(store, series, LAYOUT, 64)
        pool, slot = store.at(handle)
        pool.rows["level"][slot] = i
        pool.ring[slot, 0] = i
        handles.append(handle)
    pool, _ = store.at(handles[0])
    assert pool.rows.ctypes.data % 64 == 0
    assert pool.rows["level"][:1000].tolist() == list(range(1000))
    assert pool.ring[:1000, 0].tolist() == list(range(1000))


def test_the_header_of_the_rows_is_no_copy_and_of_one_type_for_all_detectors():
    store = Store(series_max=1000)
    other = StateLayout("another", whole_lines([*HEADER, ("more", "<f8", 20)]))
    for layout, series in ((LAYOUT, ids(400)[:200]), (other, ids(400)[200:])):
        handle = [admit(store, s, layout, 64) for s in series][-1]
        pool, slot = store.at(handle)
        assert pool.header.dtype == np.dtype(HEADER)
        assert len(pool.header) == len(pool.rows)
        pool.header["value"][slot] = 5
        assert pool.rows["value"][slot] == 5


def test_a_new_series_holds_no_point_back():
    store = Store(series_max=10)
    pool, slot = store.at(admit(store, ids(1)[0], LAYOUT, 64))
    assert [int(pool.header[name][slot]) for name in ("head", "tail", "n_pending")] == [-1, -1, 0]


def test_ring_lengths_share_a_few_pools():
    store = Store(series_max=100)
    for points, series in zip([1, 64, 129, 288, 8640], ids(5), strict=True):
        admit(store, series, LAYOUT, points)
    assert [pool.ring_length for pool in store.pools] == [64, 288, 8640]


def test_series_of_two_detectors_never_share_a_pool():
    store = Store(series_max=100)
    layouts = [LAYOUT, StateLayout("another", ROW), LAYOUT]
    pools = [
        store.at(admit(store, s, layout, 64))[0] for s, layout in zip(ids(3), layouts, strict=True)
    ]
    assert pools[0] is pools[2]
    assert pools[0] is not pools[1]
    assert [pool.layout.detector for pool in pools] == ["a detector", "another", "a detector"]


def test_a_longer_ring_moves_the_series_and_every_spelling_of_it_follows():
    store = Store(series_max=100)
    [series] = ids(1)
    handle = admit(store, series, LAYOUT, 64)
    store.table.insert(b"another spelling", handle)
    moved = store.resize(handle, 864)
    assert moved != handle
    assert store.at(moved)[0].ring_length == 1440
    assert store.table.get(b"another spelling") == moved
    assert store.table.get(str(series).encode()) == moved
    assert store.resize(moved, 100) == moved
    assert store.n_series == 1


def test_idle_series_make_room_and_their_slots_are_clean():
    store = Store(series_max=2)
    old, young = ids(2)
    handles = [admit(store, old, LAYOUT, 64), admit(store, young, LAYOUT, 64)]
    pool, slot = store.at(handles[0])
    pool.rows["time_us"][:2] = [100, 900]
    pool.rows["level"][slot] = 5
    pool.ring[slot] = 5
    assert store.evict(lambda pool: np.array([slot])).tolist() == [handles[0]]
    assert store.table.get(str(old).encode()) == MISSING
    assert store.table.get(str(young).encode()) == handles[1]
    again = admit(store, SeriesId("new"), LAYOUT, 64)
    pool, slot = store.at(again)
    assert again == handles[0]
    assert pool.rows["level"][slot] == 0
    assert pool.rows["time_us"][slot] == NEVER
    assert np.isnan(pool.ring[slot]).all()


def test_the_size_of_the_state_is_counted():
    store = Store(series_max=1000)
    empty = store.size_bytes
    for series in ids(1000):
        admit(store, series, LAYOUT, 288)
    assert store.size_bytes - empty >= 1000 * (64 + 4 * 288)


def test_the_memory_of_names_ends_with_their_series():
    pool = Pool(LAYOUT, 0)
    pool.give_back(int(pool.take(["one"], pool.blank())[0]))  # its slot stays
    before = pool.size_bytes
    slot = int(pool.take(["twelve bytes"], pool.blank())[0])
    assert pool.size_bytes == before + 12
    pool.give_back(slot)
    assert pool.size_bytes == before
    pool.put(0, np.array([slot], np.int32), ["five5"], pool.rows[:1].copy(), pool.ring[:1].copy())
    assert pool.size_bytes == before + 5


def test_slots_that_are_free_after_a_restore_are_no_series():
    event_time = EventTime(Config.model_validate({"limits": {"series_ttl": "1m"}}))
    store = Store(series_max=100)
    pool = store.pools[store.pool_for(LAYOUT, 64)]
    rows = np.zeros(1, pool.rows.dtype)
    rows["newest_us"] = rows["spoke_us"] = 5
    pool.put(0, np.array([3], np.int32), ["a"], rows, np.zeros((1, 64), np.float32))
    pool.find_free()
    event_time.configure(pool, 3, Config().detection, restored=True)
    event_time.observe(np.array([0, 10**9]), np.array([0, 10**9]))
    assert event_time.idle(pool).tolist() == [3]


def test_a_name_counts_while_its_series_is_there():
    store = Store(series_max=10)
    handle = admit(store, SeriesId("m" * 500), LAYOUT, 64)
    pool, slot = store.at(handle)
    taken = pool.size_bytes
    pool.give_back(slot)
    assert taken - pool.size_bytes == 500 + 4 * 64  # and its ring


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), min_size=1, max_size=6), st.data())
def test_giving_memory_back_never_changes_what_a_series_has(steps, data):
    store = Store(series_max=2_000)
    have: dict[int, float] = {}
    number = 0
    for n_new, share in steps:
        for _ in range(n_new):
            handle = admit(store, SeriesId("m", (("n", str(number)),)), LAYOUT, 64)
            pool, slot = store.at(handle)
            assert np.isnan(pool.ring[slot]).all()
            assert pool.rows["level"][slot] == 0
            pool.ring[slot], pool.rows["level"][slot] = number, number
            have[handle] = number
            number += 1
        seed = data.draw(st.integers(0, 99))
        chance = np.random.default_rng(seed).random(len(have)) < share
        gone = np.array(list(have), np.int64)[chance]
        store.evict(lambda pool, gone=gone: gone & 0xFFFFFFFF)
        for handle in gone.tolist():
            del have[handle]
        for handle, level in have.items():
            pool, slot = store.at(handle)
            assert (pool.ring[slot] == level).all()
            assert pool.rows["level"][slot] == level
            assert store.table.get(store.name(handle).encode()) == handle


def test_series_that_left_count_with_their_rows_and_places_only():
    store = Store(series_max=1_000)
    handles = np.array([admit(store, s, LAYOUT, 1440) for s in ids(1_000)])
    store.evict(lambda pool: handles[:900])
    assert store.size_bytes - store.table.size_bytes < 1_000 * (ROW.itemsize + 12) + 101 * 4 * 1440
