"""State records: what goes in comes out, in the bytes of the golden files.

A difference from tests/golden/state is another format: raise `envelope.VERSION`, keep reading the
old one, and add files with ``python -m tests.state.test_record``; those of old versions stay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.detectors import DETECTORS
from streamdet.errors import Damage, StateCorrupt
from streamdet.kernels.header import NO_ROLLUP, ROLLUP_UNKNOWN
from streamdet.kernels.pending import PENDING
from streamdet.kernels.present import PRESENT
from streamdet.state import chunk_record, partition_record
from streamdet.state.envelope import MAGIC, VERSION, unseal
from streamdet.state.record import (
    HELD,
    ChunkKey,
    PartitionKey,
    decode,
    decode_key,
    encode,
    encode_key,
)
from tests.state.state_records import LAYOUTS, chunk, partition, same

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "state"

# Written out, since the rows of the detectors may change without a change of the format.
ROW = np.dtype(
    {
        "names": ["time_us", "head", "tail", "n_pending", "alignment", "rollup", "id", "season"],
        "formats": [
            "<i8", "<i4", "<i4", "<i4", "<u2", "<i8", ("u1", 3), [("level", "<f8"), ("use", "u1")]
        ],
        "itemsize": 64,
    }
)  # fmt: skip

RECORDS = {
    "chunk-v1.bin": lambda: chunk("golden", n_series=5, ring_length=8, seed=20, row=ROW),
    "chunk-of-nothing-v1.bin": lambda: chunk("golden", 0, 0, row=ROW, held=()),
    "partition-v1.bin": partition,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_version_1_is_read_bit_by_bit(name):
    record = RECORDS[name]()
    found = decode(encode_key(record.key), (GOLDEN / name).read_bytes(), {"golden": ROW})
    assert same(found, record)


@pytest.mark.parametrize("name", RECORDS)
def test_the_payload_written_today_is_the_golden_one(name):
    written = encode(RECORDS[name]())[1]
    golden = (GOLDEN / name).read_bytes()
    assert unseal(written) == unseal(golden)
    assert written[:5] == golden[:5] == MAGIC + bytes([VERSION])


def test_what_the_golden_chunk_says_is_known_without_the_encoder():
    value = (GOLDEN / "chunk-v1.bin").read_bytes()
    record = decode(b'["workers","metrics","golden",8,2]', value, {"golden": ROW})
    assert record.offset == 1000
    assert record.names[4] == 'requests{host="hôte-4"}'
    assert record.overrides[4].sensitivity == 80
    assert record.rolled_up.tolist() == [False, True, False, True, False]
    assert record.rows["n_pending"].tolist() == [2, 0, 3, 2, 0]
    assert record.pending["time_us"].tolist() == [1_600_000_000_000_000 + i for i in range(7)]
    assert record.ring.shape == (5, 8)


@pytest.mark.parametrize("detector", DETECTORS)
@settings(max_examples=60)
@given(
    n_series=st.integers(0, 40),
    ring_length=st.sampled_from([0, 1, 64]),
    seed=st.integers(0, 1 << 32),
    held=st.lists(st.integers(0, 4), min_size=1, max_size=5),
)
def test_a_chunk_comes_back_in_every_bit(detector, n_series, ring_length, seed, held):
    record = chunk(detector, n_series, ring_length, seed, held=held)
    assert same(decode(*encode(record), LAYOUTS), record)


@given(st.binary(min_size=4 * 16, max_size=4 * 16))
def test_a_nan_keeps_its_payload(bits):
    record = chunk(n_series=2, held=(0,))
    record.ring = np.frombuffer(bits, "<f4").reshape(2, 8)
    assert decode(*encode(record), LAYOUTS).ring.tobytes() == bits


def test_a_partition_comes_back():
    record = partition()
    assert same(decode(*encode(record), LAYOUTS), record)


def test_what_is_only_a_place_in_memory_is_not_written():
    record, moved = chunk(), chunk()
    moved.rows["head"], moved.rows["tail"], moved.rows["alignment"] = 17, 19, 3
    moved.rows["rollup"] = 1 << 32, ROLLUP_UNKNOWN, NO_ROLLUP
    record.rows["rollup"] = ROLLUP_UNKNOWN, ROLLUP_UNKNOWN, NO_ROLLUP
    assert encode(moved) == encode(record)
    assert moved.rows["head"].tolist() == [17] * 3, "the encoder leaves the rows as they are"


def test_the_bytes_that_fill_a_row_are_not_written():
    record, dirty = chunk("threshold"), chunk("threshold")
    size = LAYOUTS["threshold"].itemsize
    dirty.rows.view(np.uint8).reshape(3, size)[:, -1] = 0xFF
    assert encode(dirty) == encode(record)


def test_a_decoded_chunk_has_arrays_of_its_own():
    record = decode(*encode(chunk()), LAYOUTS)
    for array in (record.rows, record.ring, record.pending, record.slots, record.rolled_up):
        assert array.flags.writeable
        assert array.flags.c_contiguous


def test_an_impossible_chunk_is_not_written():
    record = chunk()
    record.names[1] = record.names[0]
    with pytest.raises(AssertionError, match="a name is there twice"):
        encode(record)


def test_points_held_back_are_written_whole():
    assert {name for name in PENDING.names if name not in ("before", "after")} == set(HELD.names)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (ChunkKey("g", "metrics", "forecast", 288, 17), b'["g","metrics","forecast",288,17]'),
        (PartitionKey("g", "metrics"), b'["g","metrics","partition"]'),
        (ChunkKey("a", "b", "partition", 0, 0), b'["a","b","partition",0,0]'),
    ],
)
def test_a_key_is_a_json_array(key, text):
    assert encode_key(key) == text
    assert decode_key(text) == key


@pytest.mark.parametrize(
    "key",
    [
        None, b"", b"[", b"{}", b"[]", b'["m"]', b'["g","m","forecast"]', b'["m","partition"]',
        b'["m","forecast",288,1]', b'["g","m","forecast",288]', b'["g","m","forecast",288,-1]',
        b'["g","m","forecast",288,1.0]', b'["g","m","forecast",288,true]',
        b'["g","m", "partition"]', b'["g","m","forecast",288,1,1]',
        b'["g","m","forecast",288,99999999999]', b'["g","\xff","partition"]', b"[" * 100_000,
        b'["g","\\u006d","partition"]',
    ],
)  # fmt: skip
def test_a_key_of_another_form_is_refused(key):
    with pytest.raises(StateCorrupt, match="is not the key of a state record") as caught:
        decode_key(key)
    assert caught.value.damage == Damage.FOREIGN


def test_the_page_on_the_format_has_every_field_and_every_damage():
    page = (ROOT / "docs" / "state.md").read_text()
    headers = (chunk_record._ChunkHeader, partition_record._PartitionHeader)
    fields = [name for header in headers for name in header.__struct_fields__]
    for name in (*fields, *HELD.names, *chunk_record._PLACES, *Damage, *PRESENT.names):
        assert f"`{name}`" in page, name
    assert f"Version {VERSION} " in page


if __name__ == "__main__":
    for file, record in RECORDS.items():
        (GOLDEN / file).write_bytes(encode(record())[1])
