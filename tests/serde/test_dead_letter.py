"""Dead letters and late records: what came, as it came, with the reason beside it."""

from __future__ import annotations

import hashlib

import pytest

from streamdet import __version__
from streamdet.serde import dead_letter
from streamdet.serde.dead_letter import KEPT_BYTES, PREFIX, late_records
from streamdet.types import OutgoingRecord, Partition, Reason, Record, Reject
from tests.serde.records import ListBatch

REJECT = Reject(0, None, Reason.DECODE, "the record must be an object")


def record(**fields: object) -> Record:
    whole: dict[str, object] = {
        "partition": Partition("metrics", 2),
        "offset": 17,
        "timestamp_ms": 1_614_686_400_000,
        "key": b"k",
        "value": b"{broken",
        "headers": (("trace", b"\xff"), ("empty", None)),
    }
    return Record(**{**whole, **fields})  # type: ignore[arg-type]


def errors(letter) -> dict[str, str]:
    found = [
        (n.removeprefix(PREFIX), v.decode()) for n, v in letter.headers if n.startswith(PREFIX)
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_key_value_and_headers_are_as_they_came():
    letter = dead_letter(record(), [REJECT], "dead")
    assert (letter.topic, letter.key, letter.value) == ("dead", b"k", b"{broken")
    assert letter.headers[:2] == (("trace", b"\xff"), ("empty", None))
    assert letter.timestamp_ms is None


def test_the_headers_tell_reason_and_place():
    assert errors(dead_letter(record(), [REJECT], "dead")) == {
        "reason": "decode",
        "message": "the record must be an object",
        "exception": "RecordError",
        "topic": "metrics",
        "partition": "2",
        "offset": "17",
        "timestamp": "1614686400000",
        "decoder": "json",
        "version": __version__,
    }


def test_a_refused_point_of_an_array_has_its_index():
    letter = dead_letter(record(), [Reject(0, 7, Reason.VALUE, "value must be a number")], "dead")
    assert errors(letter)["index"] == "7"


def test_a_record_with_many_bad_points_is_one_dead_letter_that_lists_them():
    bad = [Reject(0, at, Reason.VALUE, f"point {at}") for at in (2, 5, 9)]
    found = errors(dead_letter(record(), bad, "dead"))
    assert (found["index"], found["message"]) == ("2,5,9", "point 2")


def test_headers_of_an_earlier_refusal_are_replaced():
    before = (("a", b"1"), (PREFIX + "reason", b"old"), (PREFIX + "index", b"3"), ("a", b"2"))
    letter = dead_letter(record(headers=before), [REJECT], "dead")
    assert letter.headers[:2] == (("a", b"1"), ("a", b"2"))
    assert errors(letter)["reason"] == "decode"
    assert "index" not in errors(letter)
    assert "headers_truncated" not in errors(letter)


@pytest.mark.parametrize("told", [b"2", b"17"])
def test_a_record_that_was_sent_in_again_keeps_its_attempt(told):
    before = ((PREFIX + "attempt", b"9"), (PREFIX + "attempt", told))
    letter = dead_letter(record(headers=before), [REJECT], "dead")
    assert errors(letter)["attempt"] == told.decode()
    batch = ListBatch([b"{}"])
    batch.headers = before
    (again,) = late_records(batch, [(0, None)], "late")
    assert errors(again)["attempt"] == told.decode()


@pytest.mark.parametrize("told", [b"1", b"0", b"", None, b"-2", b"two", b"10000"])
def test_a_first_attempt_is_not_told(told):
    letter = dead_letter(record(headers=((PREFIX + "attempt", told),)), [REJECT], "dead")
    assert "attempt" not in errors(letter)


def test_a_message_has_a_kibibyte_at_most():
    letter = dead_letter(record(), [Reject(0, None, Reason.DECODE, "é" * 2_000)], "dead")
    assert errors(letter)["message"] == "é" * 512
    letter = dead_letter(record(), [Reject(0, None, Reason.DECODE, "a" + "é" * 2_000)], "dead")
    assert errors(letter)["message"] == "a" + "é" * 511


def test_a_value_that_cannot_be_produced_is_cut_and_told_by_its_hash():
    value = bytes(range(256)) * 4_000
    letter = dead_letter(record(value=value), [REJECT], "dead")
    assert letter.value == value[:KEPT_BYTES]
    found = errors(letter)
    assert found["sha256"] == hashlib.sha256(value).hexdigest()
    assert (found["size"], found["truncated"]) == ("1024000", "true")


def test_a_value_that_can_be_produced_is_whole():
    value = b"x" * (900 * 1024 - 1)
    letter = dead_letter(record(value=value), [REJECT], "dead")
    assert letter.value == value
    assert "truncated" not in errors(letter)


@pytest.mark.parametrize("key_size", [0, 1, 900_000, 10_000_000])
@pytest.mark.parametrize("value_size", [0, 1, 900_000, 10_000_000])
@pytest.mark.parametrize("max_bytes", [1_000, 200_000, 900 * 1024])
def test_key_and_value_never_exceed_what_may_be_produced(key_size, value_size, max_bytes):
    big = record(key=b"k" * key_size, value=b"v" * value_size)
    letter = dead_letter(big, [REJECT], "dead", max_bytes=max_bytes)
    assert len(letter.key) + len(letter.value) <= max_bytes
    assert ("key_truncated" in errors(letter)) == (len(letter.key) < key_size)
    assert ("truncated" in errors(letter)) == (len(letter.value) < value_size)


def test_a_record_without_key_has_a_dead_letter_without_key():
    assert dead_letter(record(key=None), [REJECT], "dead").key is None


def test_a_thousand_headers_are_cut_at_a_hundred():
    headers = tuple((f"h{i}", b"x") for i in range(1_000))
    letter = dead_letter(record(headers=headers), [REJECT], "dead")
    assert letter.headers[:100] == headers[:100]
    assert all(name.startswith(PREFIX) for name, _ in letter.headers[100:])
    assert errors(letter)["headers_truncated"] == "true"


def test_a_megabyte_of_headers_is_cut_at_64_kibibytes():
    headers = tuple((f"h{i}", b"x" * 30_000) for i in range(30))
    letter = dead_letter(record(headers=headers), [REJECT], "dead")
    assert letter.headers[:2] == headers[:2]
    assert letter.headers[2][0].startswith(PREFIX)
    assert errors(letter)["headers_truncated"] == "true"


def test_the_largest_dead_letter_fits_the_default_message_size():
    headers = tuple((f"h{i:02}", b"x" * 652) for i in range(100))
    reject = Reject(0, 8_639, Reason.DECODE, "m" * 5_000)
    topic = "t" * 249
    big = record(
        value=b"v" * 900 * 1024, key=b"", headers=headers, partition=Partition(topic, 10**5)
    )
    letter = dead_letter(big, [reject], "dead")
    assert len(letter.headers) > 100
    size = len(letter.key) + len(letter.value)
    size += sum(len(name) + len(value) + 10 for name, value in letter.headers)
    assert size < 1_000_000


def late(values, points, **fields) -> list[OutgoingRecord]:
    batch = ListBatch(values, **fields)
    return list(late_records(batch, points, "late"))


def test_a_late_record_is_as_it_came_and_says_where_it_lay():
    batch = ListBatch([b'{"value": 1}'], [b"k"], 1_614_686_400_000, Partition("metrics", 2))
    batch.headers = (("trace", b"\xff"), ("empty", None))
    (found,) = late_records(batch, [(0, None)], "late")
    assert found == OutgoingRecord(
        "late",
        b"k",
        b'{"value": 1}',
        (
            ("trace", b"\xff"),
            ("empty", None),
            ("__streamdet.errors.reason", b"late"),
            ("__streamdet.errors.topic", b"metrics"),
            ("__streamdet.errors.partition", b"2"),
            ("__streamdet.errors.offset", b"100"),
            ("__streamdet.errors.timestamp", b"1614686400000"),
            ("__streamdet.errors.version", __version__.encode()),
        ),
        None,
    )


def test_a_record_with_many_late_points_leaves_once_and_lists_them():
    """In whatever order the stages found them, and if two series found the same."""
    first, second = late(
        [b"[1]", b"{}", b"[2]"], [(2, 10), (0, 4), (2, 9), (2, 10), (2, 0), (2, 5)]
    )
    assert (first.value, errors(first)["index"]) == (b"[1]", "4")
    assert (second.value, errors(second)["index"]) == (b"[2]", "0,5,9,10")
    assert [errors(each)["offset"] for each in (first, second)] == ["100", "102"]


def test_without_late_points_there_is_no_late_record():
    assert late([b"{}"], []) == []


def test_a_late_record_that_was_sent_in_again_tells_its_newest_place_only():
    batch = ListBatch([b"{}"])
    batch.headers = (("a", b"1"), (PREFIX + "reason", b"late"), (PREFIX + "index", b"3"))
    (again,) = late_records(batch, [(0, None)], "late")
    assert again.headers[0] == ("a", b"1")
    assert (errors(again)["reason"], "index" in errors(again)) == ("late", False)


def test_a_late_record_too_large_to_be_produced_is_cut_as_a_dead_letter_is():
    value = b"x" * 1_000_000
    (found,) = late([value], [(0, 7)])
    assert found.value == value[:KEPT_BYTES]
    assert (errors(found)["truncated"], errors(found)["index"]) == ("true", "7")
