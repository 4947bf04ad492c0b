"""Dead letters: what came, as it came, with the reason beside it."""

from __future__ import annotations

import hashlib

import pytest

from streamdet import __version__
from streamdet.serde import dead_letter
from streamdet.serde.dead_letter import KEPT_BYTES, PREFIX
from streamdet.types import Partition, Reason, Record, Reject

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
