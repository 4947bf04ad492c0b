"""Batches to columns: both roads agree, nothing is lost, and identities are what they seem."""

from __future__ import annotations

import json
import math
import random
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.errors import RecordError
from streamdet.kernels.scalars import LAST_US, NO_TIME
from streamdet.serde import DecodeLimits, Decoder
from streamdet.serde.point import PointTime, RecordDecoder
from streamdet.types import Overrides, Reason, SeriesId
from tests.serde.bad_input import CASES, point, request
from tests.serde.records import NOON_MS, ListBatch, rows, series_of

LIMITS = DecodeLimits(earliest_us=0)
DECODER = Decoder(LIMITS)
CAREFUL = RecordDecoder(LIMITS)


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


def decode(*values: bytes | None, unit="ms", limits=LIMITS, **batch):
    decoder = Decoder(limits)
    batch = ListBatch(values, **batch)
    points = decoder.decode(batch, unit)
    return points, series_of(decoder, batch, points)


def single(value: bytes, **options) -> tuple[int, float, SeriesId]:
    points, series = decode(value, **options)
    assert points.rejects == []
    assert len(points) == 1
    return int(points.time_us[0]), float(points.value[0]), series[0]


def careful_outcome(value: bytes, unit="ms"):
    """What the careful decoder alone makes of a native point."""
    time = PointTime(NOON_MS * 1_000, NOON_MS * 1_000 + LIMITS.max_future_us, unit)
    try:
        opened = CAREFUL.open(value, lambda: None)
        assert opened.single
        time_us, number, identity = CAREFUL.point(opened.points[0], None, time)
    except RecordError as refusal:
        return refusal.reason
    return time_us, bits(number), identity.series


def check_plain_points_against_the_careful_decoder(values: list[bytes], unit="ms") -> int:
    """Return how many were plain."""
    batch = ListBatch(values)
    points = DECODER.decode(batch, unit)
    plain = 0
    for row in rows(points):
        if row.raw:
            plain += 1
            series = SeriesId.parse(DECODER.identify(row.key, row.raw))
            expected = careful_outcome(values[row.record], unit)
            assert (row.time_us, bits(row.value), series) == expected, values[row.record]
    return plain


def test_the_native_point_of_the_documentation():
    value = b"""{"metric": "http_requests", "dimensions": {"host": "a", "region": "eu"},
                 "timestamp": "2021-03-02T01:00:00Z", "value": -10.56}"""
    series = SeriesId("http_requests", (("host", "a"), ("region", "eu")))
    assert single(value) == (1_614_646_800_000_000, -10.56, series)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)
names = names.filter(lambda name: len(name.encode()) <= 256 and not name.startswith("__"))
instants = st.datetimes(
    datetime(1970, 1, 1), datetime(2021, 3, 2, 12), timezones=st.just(UTC)
) | st.integers(0, NOON_MS)
numbers = st.floats(-1e30, 1e30) | st.integers(-(2**70), 2**70)


@st.composite
def native_points(draw):
    """A point's meaning and one spelling of it."""
    metric = draw(names)
    dimensions = draw(st.dictionaries(names, names, max_size=4))
    instant = draw(instants)
    number = draw(numbers)
    spelled = instant.isoformat() if isinstance(instant, datetime) else instant
    fields = {"metric": metric, "dimensions": dimensions, "timestamp": spelled, "value": number}
    if not dimensions and draw(st.booleans()):
        del fields["dimensions"]
    fields = {name: fields[name] for name in draw(st.permutations(list(fields)))}
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    text = json.dumps(fields, separators=separators, ensure_ascii=draw(st.booleans()))
    if isinstance(instant, datetime):
        time_us = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    else:
        time_us = instant * 1_000
    return text.encode(), (time_us, float(number), SeriesId.of(metric, dimensions))


@settings(max_examples=200)
@given(st.lists(native_points(), max_size=5))
def test_points_are_what_was_written(written):
    points, series = decode(*(text for text, _ in written))
    assert points.rejects == []
    found = [(row.time_us, bits(row.value)) for row in rows(points)]
    assert found == [(time_us, bits(value)) for _, (time_us, value, _) in written]
    assert series == [series for _, (_, _, series) in written]


@settings(max_examples=200)
@given(st.lists(native_points(), min_size=1, max_size=5))
def test_an_array_holds_what_its_points_alone_hold(written):
    points, series = decode(b"[" + b" , ".join(text for text, _ in written) + b"]")
    assert points.rejects == []
    assert points.element.tolist() == list(range(len(written)))
    assert points.time_us.tolist() == [time_us for _, (time_us, _, _) in written]
    assert series == [series for _, (_, _, series) in written]


@settings(max_examples=200)
@given(native_points())
def test_plain_points_are_what_the_careful_decoder_makes_of_them(written):
    check_plain_points_against_the_careful_decoder([written[0]])


_PIECES = [
    b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b" ", b"\n", b"0", b"1", b"9", b"-", b"+",
    b".", b"e", b"E5", b"T", b"Z", b"+01:00", b"null", b"true", b'"metric":', b'"value":',
    b'"timestamp":', b'"dimensions":', b'"a":"b"', b'"__a"', b"\\u0061", b"\xc3\xa9", b"\xff",
    b"\x00", b"\x7f", b"2020-02-29", b"23:59:60", b"1e999", b"1614686400000", b"series",
    b"\xef\xbb\xbf",
]  # fmt: skip
_SEEDS = [
    b'{"metric":"m","dimensions":{"host":"a","region":"eu"},"timestamp":"2021-03-02T01:00:00Z",'
    b'"value":-10.56}',
    b'{"metric": "m", "timestamp": 1614646800000, "value": 0.1234567890123456,'
    b' "dimensions": {"a": ""}}',
    b'{"dimensions":{},"metric":"a b","value":1e5,'
    b'"timestamp":"2021-02-28T23:59:59.123456789+05:30"}',
    b'{"value":12345678901234567,"metric":"m"}',
]


def mutated(chance: random.Random, seeds: list[bytes] = _SEEDS) -> bytes:
    """A record changed in a few places: most by a byte of the same kind, some by anything."""
    text = chance.choice(seeds)
    gentle = chance.random() < 0.5
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        start = chance.randrange(len(text))
        stop = min(len(text), start + chance.choice((0, 1, 1, 1, 2, 5, 20)))
        piece = chance.choice(_PIECES) if chance.random() < 0.7 else text[start:stop] * 2
        if gentle:
            stop = start + 1
            piece = text[start:stop]
            piece = b"%d" % chance.randrange(10) if piece.isdigit() else piece + b" "
        elif chance.random() < 0.3:
            piece = bytes([chance.randrange(256)])
        text = text[:start] + piece + text[stop:]
    return text


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_mutated_points_are_plain_only_where_the_careful_decoder_agrees(unit):
    chance = random.Random(unit)
    values = [mutated(chance) for _ in range(50_000)]
    assert check_plain_points_against_the_careful_decoder(values, unit) > 5_000


def test_mutated_points_are_lost_nowhere():
    chance = random.Random(9)
    values = [mutated(chance) for _ in range(20_000)]
    points, series = decode(*values)
    outcomes = {row.record for row in rows(points)} | {reject.record for reject in points.rejects}
    assert outcomes == set(range(len(values)))
    assert len(series) == len(points)


_RECORD_SEEDS = [
    b'{"metric":"m","dimensions":{"a":"b"},"series":[{"timestamp":1614646800000,"value":1.5},'
    b'{"value":-2,"timestamp":"2021-03-02T01:01:00Z"}]}',
    b'{"series" : [ {"value":7} ] ,"metric":"m"}',
    b'{"metric":"m","series":[{"timestamp":1,"value":1e5},{"timestamp":2,"value":0.1}],'
    b'"dimensions":{"a":""}}',
    b'{"metric":"m","series":[{"timestamp":1,"value":2}],"sensitivity":80}',
    b'[{"metric":"m","timestamp":1614646800000,"value":1},'
    b'{"dimensions":{"a":"b"},"metric":"n","value":12345678901234567}]',
    b' [ {"metric":"m","value":1,"dimensions":{"a":"b"}} ] ',
]


def careful_points(value: bytes, unit: str) -> tuple[list, list]:
    """What the careful decoder alone makes of a record: its points, and what it refuses."""
    try:
        opened = CAREFUL.open(value, lambda: None)
    except RecordError as refusal:
        return [], [(None, refusal.reason)]
    points, rejects = [], []
    for place, text in enumerate(opened.points):
        element = None if opened.single else place
        may_lack_time = opened.identity is None or len(opened.points) == 1
        own_us = NOON_MS * 1_000 if may_lack_time else NO_TIME
        time = PointTime(own_us, NOON_MS * 1_000 + LIMITS.max_future_us, unit)
        try:
            time_us, number, identity = CAREFUL.point(text, opened.identity, time)
        except RecordError as refusal:
            rejects.append((element, refusal.reason))
        else:
            points.append((element, time_us, bits(number), identity.series))
    return points, rejects


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_mutated_records_hold_what_the_careful_decoder_alone_finds(unit):
    chance = random.Random(unit)
    values = [mutated(chance, _SEEDS + 3 * _RECORD_SEEDS) for _ in range(20_000)]
    points, series = decode(*values, unit=unit)
    found: list[tuple[list, list]] = [([], []) for _ in values]
    for row, its in zip(rows(points), series, strict=True):
        element = None if row.element < 0 else row.element
        found[row.record][0].append((element, row.time_us, bits(row.value), its))
    for reject in points.rejects:
        found[reject.record][1].append((reject.element, reject.reason))
    for value, its in zip(values, found, strict=True):
        assert its == careful_points(value, unit), value


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 10**12), numbers), min_size=1, max_size=40),
    st.permutations(['"metric":"m"', '"dimensions":{"a":"b"}', "series"]),
    st.sampled_from(["", " ", "\n\t"]),
)
def test_a_request_holds_what_its_points_are(written, fields, blank):
    samples = [f'{{"timestamp":{ms},{blank}"value":{value!r}}}' for ms, value in written]
    series = f'"series":[{f",{blank}".join(samples)}]{blank}'
    text = ",".join(series if field == "series" else field for field in fields)
    points, named = decode(f"{{{blank}{text}}}".encode(), b'{"metric":"x","value":1}')
    found = [(row.element, row.time_us, bits(row.value)) for row in rows(points)]
    expected = [(at, ms * 1_000, bits(value)) for at, (ms, value) in enumerate(written)]
    assert found == [*expected, (-1, NOON_MS * 1_000, bits(1.0))]
    assert named == [SeriesId("m", (("a", "b"),))] * len(written) + [SeriesId("x")]


def test_a_request_without_parameters_is_the_parsers():
    text = b'{"metric":"m","series":[{"timestamp":1,"value":2},{"timestamp":2,"value":2.5}]'
    assert decode(text + b"}")[0].raw.all()
    assert not decode(text + b',"sensitivity":80}')[0].raw.any()


def test_more_points_than_a_record_may_hold_are_refused_together():
    many = ",".join('{"timestamp":1,"value":2}' for _ in range(4)).encode()
    limits = replace(LIMITS, points_max=3)
    for value in (b'{"metric":"m","series":[%b]}' % many, b"[%b]" % many):
        points, _ = decode(value, limits=limits)
        assert [reject.reason for reject in points.rejects] == [Reason.TOO_MANY_POINTS]
        assert len(points) == 0


def test_a_batch_without_records():
    points, _ = decode()
    assert (len(points), points.rejects, points.tombstones) == (0, [], 0)


def test_points_stand_in_record_order_whatever_road_they_took():
    apart = b'{"metric":"apart","timestamp":1,"value":1,"dimensions":{"a":"b"}}'
    values = [point(), b"[" + point(metric="in", value=1) + b"," + point(value=2) + b"]", None]
    values += [point(metric="\u00e9"), b"x", apart, point(value=3)]
    points, series = decode(*values)
    assert [(row.record, row.element, row.value) for row in rows(points)] == [
        (0, -1, 1.5), (1, 0, 1.0), (1, 1, 2.0), (3, -1, 1.5), (5, -1, 1.0), (6, -1, 3.0),
    ]  # fmt: skip
    assert [name.metric for name in series] == ["m", "in", "m", "\u00e9", "apart", "m"]
    assert [reject.record for reject in points.rejects] == [4]
    assert points.tombstones == 1


def test_the_order_of_dimensions_and_the_record_key_do_not_matter():
    forward = point(dimensions={"a": "x", "b": "y"})
    backward = point(dimensions={"b": "y", "a": "x"})
    _, series = decode(forward, backward, keys=[b"k1", None])
    assert series[0] == series[1]


def test_empty_dimensions_are_none():
    _, series = decode(point(), point(dimensions={}), b"[" + point(dimensions={}) + b"]")
    assert set(series) == {SeriesId("m")}


def test_different_series_have_different_keys_whatever_the_road():
    spellings = [
        b'"metric":"m"', b'"metric":"m","dimensions":{"a":"b"}',
        b'"dimensions":{"a":"b"},"metric":"m"',
        b'"metric":"{\'a\':\'b\'}"', b'"metric":"m{a}"', b'"metric":"m,a","dimensions":{"a":"b"}',
        b'"metric":"m","dimensions":{"a":"b","c":"d"}', b'"metric":"m","dimensions":{"a":"b,c"}',
        b'"metric":"{}","dimensions":{}', b'"metric":"a","dimensions":{"b":"m"}',
    ]  # fmt: skip
    values = [b"{%b,%b}" % (s, b'"value":1') for s in spellings]
    values += [b"[{%b,%b}]" % (s, b'"value":1') for s in spellings]
    points, series = decode(*values)
    by_key = {}
    for row, name in zip(rows(points), series, strict=True):
        assert by_key.setdefault(row.key, name) == name
    assert len(set(series)) == len(spellings) - 1  # two spell the same


def test_integers_beyond_2_to_53_become_the_nearest_double():
    assert single(point(value=2**53 + 1))[1] == 2.0**53
    assert single(point(value=2**53 + 3))[1] == 2.0**53 + 4


def test_minus_zero_and_denormals_keep_their_bits():
    assert bits(single(point(value=-0.0))[1]) == bits(-0.0)
    assert single(point(value=5e-324))[1] == 5e-324
    assert single(b'{"metric":"m","value":1e-999}')[1] == 0.0


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T00:00:00,25Z", 250_000),
        ("1970-01-01T00:00:00.1234567Z", 123_456),
        ("2000-02-29T12:00:00-00:30", 951_827_400_000_000),
    ],
)
def test_iso_times_of_other_spellings_are_read(text, time_us):
    assert single(point(timestamp=text))[0] == time_us


@pytest.mark.parametrize(
    ("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_integer_times_have_the_unit_of_the_topic(unit, per_second):
    value = point(timestamp=1_614_646_800 * per_second)
    for spelling in (value, b"[" + value + b"]", value.replace(b'"m"', b'"\\u00e9"')):
        assert single(spelling, unit=unit)[0] == 1_614_646_800_000_000


def test_parts_of_a_microsecond_before_1970_are_cut_downwards():
    limits = replace(LIMITS, earliest_us=-(10**15))
    for value in (point(timestamp=-1), point(timestamp=-1, metric="\u00e9")):
        assert single(value, unit="ns", limits=limits)[0] == -1


def test_the_records_time_stands_in_for_an_absent_timestamp():
    for value in (point(timestamp=...), b"[" + point(timestamp=...) + b"]"):
        assert single(value, timestamps_ms=5)[0] == 5_000


def test_the_range_is_not_checked_upwards_when_the_records_time_is_unknown():
    late = int(LAST_US // 1_000)
    assert single(point(timestamp=late), timestamps_ms=-1)[0] == late * 1_000


def test_a_request_brings_its_parameters():
    value = request(
        metric="r", dimensions={"a": "b"}, customInterval=5, granularity="minutely", sensitivity=90,
        maxAnomalyRatio=0.1, period=12, imputeMode="fixed", imputeFixedValue=-1,
        series=[{"timestamp": 1_000, "value": 1}, {"timestamp": 2_000, "value": 2}],
    )  # fmt: skip
    points, series = decode(point(), value, point())
    assert series[1:3] == [SeriesId("r", (("a", "b"),))] * 2
    assert points.element.tolist() == [-1, 0, 1, -1]
    assert points.time_us.tolist()[1:3] == [1_000_000, 2_000_000]
    expected = Overrides(90, 0.1, 12, "fixed", -1.0, "minutely", 5)
    assert points.overrides == {1: expected}


def test_a_request_of_points_alone_changes_nothing():
    points, series = decode(b'{"series":[{"timestamp":1,"value":1}]}', keys=[b"from the key"])
    assert points.overrides == {}
    assert series == [SeriesId("from the key")]


def test_parameters_hold_from_the_first_good_point_of_their_request():
    series = [{"timestamp": 1, "value": None}, {"timestamp": 2, "value": 1}]
    points, _ = decode(
        point(), request(series=series, sensitivity=80), request(series=series[:1]), keys=[b"k"] * 3
    )
    assert list(points.overrides) == [1]
    assert points.overrides[1].sensitivity == 80
    assert [(reject.record, reject.element) for reject in points.rejects] == [(1, 0), (2, 0)]


def test_a_dimension_called_series_makes_no_request():
    assert single(point(dimensions={"series": "a"}))[2].dimensions == (("series", "a"),)


def test_the_limits_are_those_given():
    limits = DecodeLimits(
        max_record_bytes=200, earliest_us=10**15, max_future_us=0, max_dimensions=1,
        name_max_bytes=3, dimension_value_max_bytes=2, points_max=1,
    )  # fmt: skip
    fine = point(metric="mmm", dimensions={"ddd": "xx"})
    cases = {
        fine + b" " * 200: Reason.TOO_LARGE,
        point(timestamp=1): Reason.TIMESTAMP_RANGE,
        point(timestamp="2021-03-02T12:00:00.000001Z"): Reason.TIMESTAMP_RANGE,
        point(dimensions={"a": "", "b": ""}): Reason.DIMENSIONS,
        point(metric="mmmm"): Reason.DIMENSIONS,
        point(dimensions={"dddd": ""}): Reason.DIMENSIONS,
        point(dimensions={"d": "xxx"}): Reason.DIMENSIONS,
        b"[" + b",".join([b"1"] * 2) + b"]": Reason.TOO_MANY_POINTS,
    }
    points, _ = decode(fine, *cases, limits=limits)
    assert [reject.reason for reject in points.rejects] == list(cases.values())
    assert len(points) == 1


def test_a_memory_of_spellings_does_not_grow_without_end():
    decoder = Decoder(LIMITS)
    values = [point(metric=f"\u00e9{i}") for i in range(10_100)]
    decoder.decode(ListBatch(values), "ms")
    decoder.decode(ListBatch([b"[%b]" % point(metric=f"m{i}") for i in range(10_100)]), "ms")
    assert len(decoder._records._identities._remembered) <= 10_000
    assert len(decoder._records._keys) <= 10_000


def test_a_large_spelling_is_not_remembered():
    decoder = Decoder(LIMITS)
    large = point(metric="\u00e9", dimensions={"a": "x" * 1_000, "b": "y" * 1_000})
    decoder.decode(ListBatch([large, b"[" + large + b"]"]), "ms")
    assert not decoder._records._identities._remembered
    assert not decoder._records._keys


def test_decoding_twice_gives_the_same():
    batch = ListBatch([case.value for case in CASES], [case.key for case in CASES])
    first, second = DECODER.decode(batch, "ms"), DECODER.decode(batch, "ms")
    assert rows(first) == rows(second)
    assert first.rejects == second.rejects


def test_no_point_is_not_finite():
    points, _ = decode(*(case.value for case in CASES))
    assert all(math.isfinite(value) for value in points.value)
