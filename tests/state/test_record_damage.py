"""State records that are broken, foreign or made up: each is refused, in words."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.errors import Damage, StateCorrupt
from streamdet.kernels.header import HEADER, whole_lines
from streamdet.state.envelope import seal, unseal
from streamdet.state.record import decode, encode
from tests.state.state_records import LAYOUTS, chunk, closed, opened, partition, same

RECORDS = [
    chunk(),
    chunk(seed=1),
    chunk(number=3),
    chunk("threshold", ring_length=0),
    chunk("spectral_residual", n_series=1, ring_length=64),
    partition(),
    partition("other"),
    partition(group="others"),
]
WRITTEN = [encode(record) for record in RECORDS]
KEYS = sorted({key for key, _ in WRITTEN})


@st.composite
def damaged(draw):
    """The number of a record, a key, and a value that was the record's."""
    number = draw(st.integers(0, len(WRITTEN) - 1))
    key, value = WRITTEN[number]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        end = min(len(value), at + draw(st.integers(0, 64)))
        match draw(st.sampled_from(["flip", "cut", "cut off", "insert", "repeat", "zero", "swap"])):
            case "flip" if at < len(value):
                flipped = value[at] ^ draw(st.integers(1, 255))
                value = value[:at] + bytes([flipped]) + value[at + 1 :]
            case "cut":
                value = value[:at] + value[end:]
            case "cut off":
                value = draw(st.sampled_from([value[:at], value[at:]]))
            case "insert":
                value = value[:at] + draw(st.binary(min_size=1, max_size=9)) + value[at:]
            case "repeat":
                value = value[:end] + value[at:]
            case "zero":
                value = value[:at] + bytes(end - at) + value[end:]
            case "swap":
                other = draw(st.sampled_from(WRITTEN))[1]
                # at the same place, or at the borders of magic, version, checksum and frame
                at = draw(st.sampled_from([at, 0, 4, 5, 9]))
                value = draw(st.sampled_from([value[:at] + other[at:], other[:at] + value[at:]]))
    if draw(st.booleans()):
        flip = draw(st.binary(min_size=len(key), max_size=len(key)))
        flipped_key = bytes(a ^ b if b < 8 else a for a, b in zip(key, flip, strict=True))
        key = draw(st.sampled_from([flipped_key, *KEYS]))
    return key, value


@settings(max_examples=10_000)
@given(damaged())
def test_a_damaged_record_is_refused_or_it_is_the_original(damaged):
    key, value = damaged
    try:
        found = decode(key, value, LAYOUTS)
    except StateCorrupt:
        return
    written = [record for record, (own, _) in zip(RECORDS, WRITTEN, strict=True) if own == key]
    assert any(same(found, record) for record in written)


@pytest.mark.parametrize("number", [0, 5])
def test_no_single_bit_flips_unseen(number):
    key, value = WRITTEN[number]
    for bit in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateCorrupt):
            decode(key, bytes(flipped), LAYOUTS)


@pytest.mark.parametrize("number", [0, 5])
def test_a_record_that_ends_anywhere_else_is_refused(number):
    key, value = WRITTEN[number]
    for end in range(len(value)):
        with pytest.raises(StateCorrupt):
            decode(key, value[:end], LAYOUTS)


@st.composite
def made_up(draw):
    """A record with a checksum that fits, whose header or arrays somebody changed."""
    key, value = draw(st.sampled_from(WRITTEN))
    named, header, arrays = opened(value)
    packed = bytearray(msgspec.msgpack.encode(header))
    arrays = bytearray(arrays)
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from([packed, arrays])) or packed
        at = draw(st.integers(0, len(part) - 1))
        part[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
        if not packed:
            packed.append(0x80)
    return key, closed(named, bytes(packed), bytes(arrays))


@settings(max_examples=1000)
@given(made_up())
def test_a_made_up_record_is_refused_or_one_that_could_have_been_written(made_up):
    key, value = made_up
    try:
        found = decode(key, value, LAYOUTS)
    except StateCorrupt:
        return
    assert same(decode(*encode(found), LAYOUTS), found)


def refused(key, value, layouts=LAYOUTS, **options):
    with pytest.raises(StateCorrupt) as caught:
        decode(key, value, layouts, **options)
    assert key[:20].decode() in str(caught.value)
    return caught.value


def rewritten(record, **changes):
    """A record whose header says something else."""
    key, value = encode(record)
    named, header, arrays = opened(value)
    return key, closed(named, header | changes, arrays)


def test_what_is_torn_is_told_from_what_was_changed():
    key, value = WRITTEN[0]
    assert refused(key, b"").damage == Damage.TORN
    assert refused(key, value[:8]).damage == Damage.TORN
    error = refused(key, value[:-1])
    assert error.damage == Damage.CHECKSUM
    assert "it was cut or changed" in str(error)


def test_a_record_of_something_else_is_foreign():
    assert refused(WRITTEN[0][0], b'{"metric": "m"}').damage == Damage.FOREIGN


def test_a_newer_version_is_named_if_the_record_is_sound():
    key, value = WRITTEN[0]
    newer = value[:4] + b"\x02" + value[5:]
    error = refused(key, newer)
    assert error.damage == Damage.VERSION
    assert "format version 2, a newer streamdet wrote it; this one reads version 1" in str(error)
    assert refused(key, newer[:-1] + b"?").damage == Damage.CHECKSUM
    assert refused(key, value[:4] + b"\x00" + value[5:]).damage == Damage.VERSION


def framed(frame):
    return struct.pack("<4sBI", b"SDST", 1, zlib.crc32(frame)) + frame


def test_a_frame_that_declares_too_much_is_refused_before_memory_is_taken():
    eight_bytes_of_size, checksum, single = 3 << 6, 1 << 2, 1 << 5
    descriptor = bytes([eight_bytes_of_size | checksum | single])
    bomb = framed(b"\x28\xb5\x2f\xfd" + descriptor + struct.pack("<Q", 1 << 40) + bytes(20))
    tracemalloc.start()
    try:
        error = refused(WRITTEN[0][0], bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.damage == Damage.TOO_LARGE
    assert f"{1 << 40} bytes" in str(error)
    assert peak < 1 << 20


def test_the_bound_on_the_size_can_be_set():
    key, value = WRITTEN[0]
    size = len(unseal(value))
    assert same(decode(key, value, LAYOUTS, size_max_bytes=size), RECORDS[0])
    assert refused(key, value, size_max_bytes=size - 1).damage == Damage.TOO_LARGE


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "no zstandard frame"),
        (struct.pack("<II", 0x184D2A50, 4) + b"skip", "no zstandard frame"),
        (b"\x28\xb5\x2f\xfd", "cannot be read"),
        (zstandard.ZstdCompressor(write_checksum=False).compress(b"a"), "no checksum"),
        (
            zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(b"a"),
            "does not declare a size",
        ),
        (unseal(WRITTEN[0][1]), "no zstandard frame"),
        (WRITTEN[0][1][9:] + b"more", "cannot be read"),
        (WRITTEN[0][1][9:] * 2, "cannot be read"),
        (WRITTEN[0][1][9:-5], "cannot be read"),
    ],
)
def test_a_frame_of_another_form_is_refused(frame, why):
    error = refused(WRITTEN[0][0], framed(frame))
    assert error.damage == Damage.INCONSISTENT
    assert why in str(error)


def test_a_value_under_the_key_of_another_record_is_refused():
    error = refused(WRITTEN[0][0], WRITTEN[2][1])
    assert 'it was written under the key \'["workers","metrics","forecast",8,3]\'' in str(error)
    assert refused(WRITTEN[0][0], WRITTEN[5][1]).damage == Damage.INCONSISTENT
    assert refused(WRITTEN[5][0], WRITTEN[0][1]).damage == Damage.INCONSISTENT


def test_a_layout_that_is_not_this_versions_is_refused_with_what_differs():
    now = whole_lines([*HEADER[1:], ("time_us", "<i4"), ("level", "<f8")])
    then = whole_lines([*HEADER, ("trend", "<f8")])
    error = refused(*encode(chunk("threshold", row=then)), {"threshold": now})
    assert error.damage == Damage.LAYOUT
    assert error.differs == (
        "level: only here",
        "time_us: <i8 there, <i4 here",
        "trend: only there",
    )
    assert "time_us: <i8 there, <i4 here" in str(error)
    turned = whole_lines([*HEADER[1:], HEADER[0], ("trend", "<f8")])
    error = refused(*encode(chunk("threshold", row=then)), {"threshold": turned})
    assert error.differs == ("the fields are in another order, or there twice",)


def test_a_detector_that_is_not_there_is_named():
    error = refused(*encode(chunk("median", row=LAYOUTS["threshold"])))
    assert error.damage == Damage.LAYOUT
    assert "no detector 'median', only forecast" in str(error)


def test_a_present_of_other_fields_is_refused_with_what_differs():
    fields = {"time_us": 1, "first_us": 1, "low_us": 1, "votes": 1, "behind": 1}
    error = refused(*rewritten(partition(), present=fields))
    assert error.damage == Damage.LAYOUT
    assert error.differs == ("behind: only there", "n_ahead: only here")


def wrong_rows(field, number):
    def change(record):
        record.rows[field][1] = number

    return change


def assign(**changes):
    def change(record):
        for name, (at, number) in changes.items():
            getattr(record, name)[at] = number

    return change


def pending(field, at, number):
    def change(record):
        record.pending[field][at] = number

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (assign(slots=(0, -1)), "slot -1 of a chunk with 12"),
        (assign(slots=(0, 12)), "slot 12 of a chunk with 12"),
        (lambda record: assign(slots=(0, record.slots[1]))(record), "a slot is taken twice"),
        (assign(names=(1, 'requests{host="hôte-0"}')), "a name is there twice"),
        (assign(names=(1, "")), "a series without a name"),
        (wrong_rows("n_pending", 1), "the rows hold back 6 points, 5 are there"),
        (wrong_rows("n_pending", -1), "the rows hold back 4 points, 5 are there"),
        (pending("offset", 0, -1), "not from before offset 1000"),
        (pending("offset", 0, 1000), "not from before offset 1000"),
        (pending("element", 0, -2), "element or value cannot be"),
        (pending("value", 0, np.nan), "element or value cannot be"),
        (pending("time_us", 1, 5), "not in the order of their time"),
        (wrong_rows("head", 3), "head of a row"),
        (wrong_rows("tail", 0), "tail of a row"),
        (wrong_rows("alignment", 1), "alignment of a row"),
        (wrong_rows("rollup", 1 << 32), "rollup of a row"),
        (wrong_rows("rollup", -3), "rollup of a row"),
    ],
)
def test_a_chunk_that_cannot_be_is_refused(monkeypatch, change, why):
    record = chunk()
    change(record)
    with monkeypatch.context() as patched:
        patched.setattr("streamdet.state.chunk_record._disagreements", lambda *_: iter(()))
        patched.setattr("streamdet.state.chunk_record._PLACES", {})
        patched.setattr("streamdet.state.chunk_record.ROLLUP_UNKNOWN", record.rows["rollup"].max())
        written = encode(record)
    error = refused(*written)
    assert error.damage == Damage.INCONSISTENT
    assert why in str(error)


def test_points_of_one_series_may_be_older_than_those_of_the_series_before_it():
    record = chunk()
    record.pending["time_us"] = [8, 9, 1, 2, 2]
    assert same(decode(*encode(record), LAYOUTS), record)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"offset": -1}, "Expected `int` >= 0 - at `$.offset`"),
        ({"offset": 1 << 63}, "at `$.offset`"),
        ({"offset": 1.5}, "at `$.offset`"),
        ({"offset": None}, "at `$.offset`"),
        ({"new": 1}, "unknown field `new`"),
        ({"n_series": 4}, "4 series take"),
        ({"n_series": 1 << 30}, "series take"),
        ({"n_series": 1 << 31}, "at `$.n_series`"),
        ({"n_pending": 4}, "3 series take"),
        ({"names_bytes": 3}, "3 series take"),
        ({"capacity": 1}, "of a chunk with 1"),
        ({"config_hash": 1}, "at `$.config_hash`"),
        ({"overrides": [(3, {})]}, "overrides of series 3 of 3"),
        ({"overrides": [(1, {}), (1, {})]}, "overrides of series 1 of 3, or a second time"),
        ({"overrides": [(1, {"mode": 1})]}, "overrides of series 1: unknown 'mode'"),
        ({"overrides": [(1, {"period": 1.5})]}, "overrides of series 1: Expected `int | null`"),
        ({"overrides": [(1, {"period": True})]}, "Expected `int | float | str`, got `bool`"),
        ({"overrides": [(1, {"max_anomaly_ratio": float("nan")})]}, "a number that is not finite"),
    ],
)
def test_a_header_of_a_chunk_that_cannot_be_is_refused(changes, why):
    error = refused(*rewritten(chunk(), **changes))
    assert error.damage == Damage.INCONSISTENT
    assert why in str(error)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"replay_from": 1501}, "a replay would begin at 1501, after the next offset, 1500"),
        ({"next_offset": 1499}, "is from after the next offset, 1499"),
        ({"chunks": [("a", 8, 0, 900)] * 2}, "a chunk is there twice"),
        ({"chunks": [("a", 8, -1, 900)]}, "at `$.chunks[0][2]`"),
        ({"spoke": [(1, 1), (1, 2)]}, "a speaking time is there twice"),
        ({"spoke": [(1, -1)]}, "at `$.spoke[0][1]`"),
        ({"present": {"time_us": 1 << 63}}, "at `$.present[...]`"),
        ({"topic_id": None}, "at `$.topic_id`"),
        ({"made_by": None}, "at `$.made_by`"),
    ],
)
def test_a_partition_that_cannot_be_is_refused(changes, why):
    error = refused(*rewritten(partition(), **changes))
    assert error.damage == Damage.INCONSISTENT
    assert why in str(error)


def test_arrays_that_cannot_be_are_refused():
    key, value = WRITTEN[0]
    named, header, arrays = opened(value)
    sizes = len(arrays) - header["names_bytes"] - 12
    doubtful = arrays[: sizes - 1] + b"\x02" + arrays[sizes:]
    assert "rolled_up is neither 0 nor 1" in str(refused(key, closed(named, header, doubtful)))
    longer = arrays[:sizes] + b"\xff" + arrays[sizes + 1 :]
    assert "their sizes add up to" in str(refused(key, closed(named, header, longer)))
    assert "a name is not UTF-8" in str(refused(key, closed(named, header, arrays[:-1] + b"\xff")))
    assert "3 series take" in str(refused(key, closed(named, header, arrays + b"\x00")))
    key, value = WRITTEN[5]
    named, header, _ = opened(value)
    assert "1 bytes follow its header" in str(refused(key, closed(named, header, b"\x00")))


@pytest.mark.parametrize(
    ("header", "damage"),
    [
        (b"", Damage.INCONSISTENT),
        (b"\xdd\xff\xff\xff\xff", Damage.INCONSISTENT),
        (b"\xdf\xff\xff\xff\xff", Damage.INCONSISTENT),
        (b"\x81\xa6layout\xdd\xff\xff\xff\xff", Damage.INCONSISTENT),
        (b"\x81\xa6layout\x91\xa1\xff", Damage.INCONSISTENT),
        (b"\x81\xa1\xff\x00", Damage.INCONSISTENT),
        (b"\x91" * 1_000_000, Damage.INCONSISTENT),
        (b"\x81\xa1a" * 1_000_000, Damage.INCONSISTENT),
        (b"\x81\xa6layout" + b"\x91" * 1_000_000, Damage.INCONSISTENT),
        (bytes(5 << 20), Damage.TOO_LARGE),
    ],
)
def test_a_header_that_would_take_much_memory_or_depth_is_refused(header, damage):
    key = WRITTEN[0][0]
    assert refused(key, closed(key, header, b"")).damage == damage


def test_a_payload_that_ends_early_is_torn():
    key, value = WRITTEN[5]
    payload = unseal(value)
    for end in range(len(payload)):
        assert refused(key, seal(payload[:end])).damage == Damage.TORN


def test_a_message_does_not_grow_with_what_the_record_says():
    error = refused(*rewritten(chunk(), layout=["x" * 100_000]))
    assert len(str(error)) < 2000
