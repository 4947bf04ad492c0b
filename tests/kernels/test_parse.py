"""The parser of plain points: exact in what it takes, and silent on the rest."""

from __future__ import annotations

import json
import math
import random
import struct
from datetime import UTC, datetime, timedelta

import numba
import numpy as np
import pytest

from streamdet.kernels.fields import DIMENSIONS_MAX
from streamdet.kernels.parse import (
    NOT_SURE,
    SEPARATOR,
    PointRules,
    Rows,
    Scratch,
    join_keys,
    parse_points,
)
from streamdet.kernels.scalars import LAST_US, NO_TIME
from streamdet.kernels.words import WORD_BYTES

MANY = 300 if numba.config.DISABLE_JIT else 100_000
OWN_US = 7_000_000
RULES = PointRules(
    name_max_bytes=256,
    dimension_value_max_bytes=1024,
    dimensions_max=64,
    multiplier=1_000,
    divisor=1,
    earliest_us=-(10**17),
    points_max=8640,
)


class Parsed:
    """The parser's columns over `texts`, each text standing amid bytes that are not its own."""

    def __init__(
        self,
        texts,
        rules=RULES,
        named=True,
        own_us=OWN_US,
        latest_us=LAST_US,
        whole=True,
        room=None,
    ):
        n = len(texts)
        size = np.array([len(text) for text in texts])
        self.blob = b'"}' + b'{"'.join(texts) + b'{"x' + bytes(WORD_BYTES)
        start = 2 + np.cumsum(size + 2) - size - 2
        self.form = np.empty(n, np.uint8)
        self.second_key = np.empty((n, 2), np.int64)
        kinds = np.int32, np.int32, np.int64, np.float64, np.int64, np.int32
        to = Rows(*(np.empty(n if room is None else room, kind) for kind in kinds))
        scratch = Scratch(np.empty((DIMENSIONS_MAX, 2), np.int64), np.empty((2, 3), np.int64))
        self.taken, k = parse_points(
            np.frombuffer(self.blob, np.uint8), start, size, np.full(n, named), whole,
            np.full(n, own_us), np.full(n, latest_us), rules, 0,
            self.form, self.second_key, scratch, to,
        )  # fmt: skip
        self.rows = Rows(*(column[:k] for column in to))
        self.time_us, self.value = self.rows.time_us, self.rows.value

    @property
    def ok(self):
        return self.form != NOT_SURE

    def keys(self) -> list[bytes]:
        spans = self.rows.key_start, self.rows.key_size, self.second_key[self.rows.record]
        return [
            self.blob[at : at + size] + (SEPARATOR.tobytes() + self.blob[c:d] if d else b"")
            for at, size, (c, d) in zip(*spans, strict=True)
        ]


def parse(text: str | bytes, **options):
    """(time, value) of one text, None where the parser is not sure."""
    parsed = Parsed([text.encode() if isinstance(text, str) else text], **options)
    return (int(parsed.time_us[0]), float(parsed.value[0])) if parsed.ok[0] else None


def value_of(text: str) -> str:
    return '{"metric":"m","value":' + text + "}"


def time_of(text: str) -> str:
    return '{"metric":"m","value":1,"timestamp":' + text + "}"


@pytest.mark.parametrize(
    "text",
    [
        '{"metric":"m","value":2.5}',
        '{"value":2.5,"metric":"m"}',
        ' {\t"metric" :\n"m" ,\r "value": 2.5 } ',
        '{"metric":"a b!~","value":2.5,"dimensions":{}}',
        '{"dimensions": { "a" : "b" , "c":"" } ,"metric":"m","value":2.5}',
    ],
)
def test_a_plain_point_without_timestamp_has_the_records_time(text):
    assert parse(text) == (OWN_US, 2.5)
    assert parse(text, own_us=NO_TIME) is None


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{}", "[]", "null", '{"metric":"m"}', '{"value":1}', '{"metric":"m","value":1',
        '{"metric":"m","value":1}}', '{"metric":"m","value":1},{"metric":"m","value":1}',
        '{"metric":"m","value":1,}', '{,"metric":"m","value":1}', '{"metric":"m" "value":1}',
        '{"metric":"m","value":1,"value":1}', '{"metric":"m","metric":"m","value":1}',
        '{"metric":"m","value":1,"x":1}', '{"metric":"m","Value":1}', '{"metri":"m","value":1}',
        '{"metric":"m","value":1,"":1}', '{"metric":"m","value":1,"dimensionsx":{}}',
        '{"metric":"","value":1}', '{"metric":m,"value":1}', '{"metric":"m\\n","value":1}',
        '{"metric":"m\x7f","value":1}', '{"metric":"\u00e9","value":1}', '{"metric":1,"value":1}',
        '{"metric":"m","value":1,"dimensions":{"a":1}}', '{"metric":"m","value":1,"dimensions":[]}',
        '{"metric":"m","value":1,"dimensions":{"a":"b","a":"b"}}',
        '{"metric":"m","value":1,"dimensions":{"":"b"}}',
        '{"metric":"m","value":1,"dimensions":{"__a":"b"}}',
        '{"metric":"m","value":1,"dimensions":{"a":"b",}}',
        '{"metric":"m","value":1,"dimensions":{"a":"b"', '{"metric":"m","value":1,"dimensions":{',
        '{"metric":"m","value":1,"dimensions":{"a":{}}}',
        '{"metric":"m","value":1,"dimensions":{"a" "b"}}',
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left(text):
    assert parse(text) is None


def test_every_beginning_of_a_point_is_left():
    text = b'{"metric":"m","dimensions":{"a":"b"},"timestamp":"2021-03-02T01:00:00.5+01:00",'
    text += b'"value":1.5e3}'
    assert not Parsed([text[:size] for size in range(len(text))]).ok.any()
    assert Parsed([text]).ok.all()


def test_limits_are_kept():
    def ok(metric="m", dimensions=None, **limits):
        text = json.dumps({"metric": metric, "value": 1, "dimensions": dimensions or {}})
        return parse(text, rules=RULES._replace(**limits)) is not None

    assert ok("mmm", name_max_bytes=3)
    assert not ok("mmmm", name_max_bytes=3)
    assert ok(dimensions={"aaa": "x"}, name_max_bytes=3)
    assert not ok(dimensions={"aaaa": "x"}, name_max_bytes=3)
    assert ok(dimensions={"a": "xx"}, dimension_value_max_bytes=2)
    assert not ok(dimensions={"a": "xxx"}, dimension_value_max_bytes=2)
    assert ok(dimensions={"a": "", "b": ""}, dimensions_max=2)
    assert not ok(dimensions={"a": "", "b": "", "c": ""}, dimensions_max=2)


def test_times_out_of_range_are_left():
    rules = RULES._replace(earliest_us=5_000_000)
    assert parse(time_of("5000"), rules=rules, latest_us=6_000_000) == (5_000_000, 1.0)
    assert parse(time_of("6000"), rules=rules, latest_us=6_000_000) == (6_000_000, 1.0)
    assert parse(time_of("4999"), rules=rules, latest_us=6_000_000) is None
    assert parse(time_of("6001"), rules=rules, latest_us=6_000_000) is None


def test_a_point_of_a_series_has_no_name():
    assert parse('{"timestamp":5,"value":1}', named=False) == (5_000, 1.0)
    assert parse('{"value":1}', named=False) == (OWN_US, 1.0)
    assert parse('{"timestamp":5,"value":1,"metric":"m"}', named=False) is None
    assert parse('{"timestamp":5,"value":1,"dimensions":{}}', named=False) is None


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


def check_numbers(texts: list[str]) -> float:
    """Compare with `float`; return the share that was taken."""
    parsed = Parsed([value_of(text).encode() for text in texts])
    wrong = [
        text
        for text, value in zip(np.array(texts)[parsed.ok], parsed.value.tolist(), strict=True)
        if bits(value) != bits(float(text))
    ]
    assert not wrong, wrong[:5]
    return float(parsed.ok.mean())


def test_short_numbers_are_all_taken_and_exact():
    texts = [
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0e5",
        "1e22",
        "1E-22",
        "1e+2",
        "1e0000022",
        "9007199254740992",
    ]
    texts += [f"{m}e{e}" for m in (1, 7, 123456789) for e in range(-22, 22)]
    assert check_numbers(texts) == 1.0


def test_full_precision_doubles_are_taken_and_exact():
    chance = random.Random(5)
    texts = [repr(chance.gauss(0, 10.0 ** chance.randint(-3, 12))) for _ in range(MANY)]
    assert check_numbers(texts) > 0.99


def test_numbers_of_every_length_are_exact_or_left():
    chance = random.Random(6)

    def digits(most):
        return "".join(chance.choices("0123456789", k=chance.randint(1, most)))

    texts = []
    for _ in range(MANY):
        whole = str(int(digits(20)))
        fraction = "." + digits(22) if chance.random() < 0.7 else ""
        exponent = f"e{chance.randint(-30, 30)}" if chance.random() < 0.3 else ""
        texts.append(chance.choice(("", "-")) + whole + fraction + exponent)
    assert check_numbers(texts) > 0.4


def test_numbers_between_two_doubles_are_exact_or_left():
    chance = random.Random(7)
    texts = []
    for _ in range(MANY // 10):
        low = chance.randint(2**53, 2**59)
        low -= low % (2 ** (low.bit_length() - 53))
        half = 2 ** (low.bit_length() - 54)
        texts += [str(low + half), str(low + half - 1), str(low + half + 1)]
        texts.append(f"{low + half}e{chance.randint(-22, 22)}")
    check_numbers(texts)


@pytest.mark.parametrize(
    "text",
    ["", "-", "+1", ".5", "5.", "01", "-01", "00", "1e", "1e+", "e5", "1.e5", "0x10", "1_0", "NaN",
     "nan", "Infinity", "1e999", "-1e999", "1e23", "1e-23", '"1"', "true", "null", "1 2", "1,5",
     "1" * 20, "0." + "1" * 23, "--1", "1-", "1.5.5", "1e5e5", "1e5.5"],
)  # fmt: skip
def test_other_numbers_are_left(text):
    assert parse(value_of(text)) is None


def test_iso_times_are_those_of_datetime():
    chance = random.Random(8)
    texts, expected = [], []
    for _ in range(MANY // 4):
        micros = chance.choice((0, 500_000, chance.randrange(10**6)))
        offset = timedelta(minutes=chance.choice((0, 60, -330, chance.randint(-1439, 1439))))
        instant = datetime(1900, 1, 1) + timedelta(days=chance.randrange(100_000))
        instant += timedelta(seconds=chance.randrange(86_400), microseconds=micros)
        fraction = f".{micros:06}" + "".join(chance.choices("0123456789", k=chance.randint(0, 3)))
        sign = "-" if offset < timedelta() else "+"
        minutes = abs(offset) // timedelta(minutes=1)
        zone = "Z" if not offset else f"{sign}{minutes // 60:02}:{minutes % 60:02}"
        texts.append(time_of(f'"{instant.isoformat()[:19]}{fraction}{zone}"').encode())
        expected.append((instant - offset - datetime(1970, 1, 1)) // timedelta(microseconds=1))
    parsed = Parsed(texts)
    assert parsed.ok.all()
    assert parsed.time_us.tolist() == expected


def test_fractions_are_cut_at_the_microsecond():
    texts = [f'"1969-12-31T23:59:59.{fraction}Z"' for fraction in ("9", "999999", "999999999", "0")]
    assert [parse(time_of(text))[0] for text in texts] == [-100_000, -1, -1, -1_000_000]


@pytest.mark.parametrize("year", [1600, 1900, 2000, 2023, 2024, 2100])
def test_month_lengths_and_leap_years(year):
    for month in range(1, 13):
        for day in range(33):
            try:
                expected = datetime(year, month, day, tzinfo=UTC).timestamp() * 1e6
            except ValueError:
                expected = None
            found = parse(time_of(f'"{year}-{month:02}-{day:02}T00:00:00Z"'))
            assert (found and found[0]) == expected, (year, month, day)


@pytest.mark.parametrize(
    "text",
    ["2021-03-02", "2021-03-02T01:00:00", "2021-03-02T01:00Z", "2021-03-02T24:00:00Z",
     "2021-03-02T23:60:00Z", "2021-03-02T23:59:60Z", "2021-13-02T01:00:00Z", "0000-01-01T00:00:00Z",
     "2021-00-02T01:00:00Z", "2021-03-02 01:00:00Z", "2021-03-02t01:00:00z", "2021-3-2T01:00:00Z",
     "2021-03-02T01:00:00.Z", "2021-03-02T01:00:00.0123456789Z", "2021-03-02T01:00:00+0100",
     "2021-03-02T01:00:00+24:00", "2021-03-02T01:00:00+01:60", "2021-03-02T01:00:00+01",
     "2021-03-02T01:00:00Z ", "2021-03-02T01:00:00ZZ", " 2021-03-02T01:00:00Z", "20210302T010000Z",
     "2021/03/02T01:00:00Z", "2021-03-02T01:00:00,5Z", "+2021-03-02T01:00:00Z",
     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"],
)  # fmt: skip
def test_other_times_are_left(text):
    assert parse(time_of(f'"{text}"')) is None


@pytest.mark.parametrize(
    ("text", "multiplier", "divisor", "time_us"),
    [
        ("1614646800", 1_000_000, 1, 1_614_646_800_000_000),
        ("1614646800123", 1_000, 1, 1_614_646_800_123_000),
        ("1614646800123456", 1, 1, 1_614_646_800_123_456),
        ("1614646800123456789", 1, 1_000, 1_614_646_800_123_456),
        ("-1", 1, 1_000, -1),
        ("-1999", 1, 1_000, -2),
        ("-1", 1_000_000, 1, -1_000_000),
        ("0", 1_000, 1, 0),
        ("-0", 1_000, 1, 0),
        ("253402300799999", 1_000, 1, 253_402_300_799_999_000),
        ("253402300800000", 1_000, 1, None),
        ("9999999999999999999", 1, 1_000, None),
        ("18446744073709551617", 1, 1_000, None),
        ("1614646800", 1_000_000_000, 1, None),
        ("01", 1_000, 1, None),
        ("-", 1_000, 1, None),
        ("1.0", 1_000, 1, None),
        ("1e3", 1_000, 1, None),
        ("+1", 1_000, 1, None),
    ],
)
def test_integer_times_have_the_unit_of_the_topic(text, multiplier, divisor, time_us):
    rules = RULES._replace(multiplier=multiplier, divisor=divisor)
    found = parse(time_of(text), rules=rules)
    assert (found[0] if found else None) == time_us


def test_keys_are_the_producers_bytes():
    texts = [
        b'{"metric":"m","value":1}',
        b'{"metric":"m","dimensions":{"a":"b"},"value":1}',
        b'{"value":1,"dimensions":{"a":"b"},"metric":"m"}',
        b'{"metric":"m","value":1,"dimensions":{"a":"b"}}',
        b'{"dimensions":{"a":"b"},"value":1,"metric":"m"}',
    ]
    parsed = Parsed(texts)
    assert parsed.ok.all()
    together = b'"m","dimensions":{"a":"b"}'
    reversed_ = b'{"a":"b"},"metric":"m"'
    assert parsed.keys() == [b'"m"', together, reversed_, together, together]


def test_join_keys_writes_what_stands_apart_as_if_together():
    parsed = Parsed([b'{"metric":"m%d","value":1,"dimensions":{"a":"b"}}' % i for i in range(3)])
    expected = b"".join(parsed.keys())
    out = np.empty(len(expected), np.uint8)
    start, size = parsed.rows.key_start, parsed.rows.key_size.astype(np.int64)
    join_keys(np.frombuffer(parsed.blob, np.uint8), start, size, parsed.second_key, out)
    assert size.sum() == len(expected)
    assert out.tobytes() == expected


def test_values_that_overflow_nothing_stay_finite():
    assert math.isfinite(parse(value_of("9" * 18 + "e12"))[1])


def test_a_value_beyond_the_bound_goes_the_careful_way():
    parsed = Parsed(
        [value_of(text).encode() for text in ("1e22", "1000000e22", "-1000000e22", "1000001e24")]
    )
    assert parsed.ok.tolist() == [True, True, True, False]


def test_a_text_for_whose_points_there_is_no_room_is_the_next_to_be_parsed():
    point = b'{"metric":"m","value":1}'
    samples = b",".join(b'{"timestamp":%d,"value":1}' % i for i in range(3))
    request = b'{"metric":"m","series":[%b]}' % samples
    for many in (request, b"[%b,%b,%b]" % (point, point, point)):
        parsed = Parsed([point, many, point], room=3)
        assert (parsed.taken, len(parsed.value)) == (1, 1)
        parsed = Parsed([point, many, point], room=5)
        assert (parsed.taken, len(parsed.value)) == (3, 5)
        assert parsed.rows.record.tolist() == [0, 1, 1, 1, 2]
        assert parsed.rows.element.tolist() == [-1, 0, 1, 2, -1]
        assert parsed.keys() == [b'"m"'] * 5


def test_of_several_points_each_needs_a_time_of_its_own_but_not_of_native_ones():
    sample, timed = b'{"value":1}', b'{"value":1,"timestamp":5}'
    for text, ok in (
        (b'{"metric":"m","series":[%b]}' % sample, True),
        (b'{"metric":"m","series":[%b,%b]}' % (sample, timed), False),
        (b'{"metric":"m","series":[%b,%b]}' % (timed, sample), False),
        (b'[{"metric":"m","value":1},{"metric":"m","value":1}]', True),
    ):
        assert Parsed([text], room=2).ok.all() == ok


@pytest.mark.parametrize(
    "text",
    ["[]", "[[]]", '[[{"metric":"m","value":1}]]', '{"metric":"m","series":[]}',
     '{"metric":"m","series":[{"timestamp":1,"value":1}],"value":1}',
     '{"metric":"m","series":[{"timestamp":1,"value":1}],"timestamp":1}',
     '{"metric":"m","series":[{"timestamp":1,"value":1,"metric":"m"}]}',
     '{"metric":"m","series":[{"timestamp":1,"value":1},]}', '{"series":[{"value":1}]}',
     '{"metric":"m","series":[{"timestamp":1,"value":1}]', '{"metric":"m","series":{"value":1}}',
     '{"metric":"m","series":[{"timestamp":1,"value":1}],"series":[]}',
     '[{"metric":"m","series":[{"timestamp":1,"value":1}]}]', '[{"metric":"m","value":1},]',
     '[{"metric":"m","value":1}', '[{"metric":"m","value":1}]]', '[{"metric":"m"}]',
     '[{"metric":"m","value":1,"dimensions":{"a":"b"}}]'],
)  # fmt: skip
def test_arrays_and_requests_that_are_not_plain_are_left(text):
    assert not Parsed([text.encode()]).ok.any()


def test_a_text_that_is_one_point_holds_no_array():
    for text in (b'[{"metric":"m","value":1}]', b'{"metric":"m","series":[{"value":1}]}'):
        assert Parsed([text]).ok.all()
        assert not Parsed([text], whole=False).ok.any()
