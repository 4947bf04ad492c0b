"""The bad-input matrix: records as producers get them wrong, and what becomes of each.

Each case stands alone: record bytes under the default limits, read with `timestamp_unit` ms and
the record time `NOON_MS` unless the case says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamdet.types import Reason
from tests.serde.records import NOON_MS

NOON = "2021-03-02T12:00:00Z"


@dataclass(frozen=True)
class Case:
    """One record and its outcome: `points` good ones, and (element, reason) of each refusal."""

    name: str
    value: bytes | None
    refusals: tuple[tuple[int | None, Reason], ...] = ()
    points: int = 0
    tombstone: bool = False
    key: bytes | None = b"some key"
    timestamp_ms: int = NOON_MS

    @property
    def producible(self) -> bool:
        """A broker with default settings takes it."""
        return self.timestamp_ms == NOON_MS and len(self.value or b"") < 1_000_000


def point(**fields: object) -> bytes:
    """A good native point with `fields` changed; a field that is ... is left out."""
    whole = {"metric": "m", "timestamp": NOON, "value": 1.5, **fields}
    return json.dumps({k: v for k, v in whole.items() if v is not ...}).encode()


def value(text: str) -> bytes:
    return b'{"metric":"m","timestamp":"%b","value":%b}' % (NOON.encode(), text.encode())


def timestamp(text: str) -> bytes:
    return b'{"metric":"m","value":1,"timestamp":%b}' % text.encode()


def request(**fields: object) -> bytes:
    """A good request of one point with `fields` changed."""
    series = [{"timestamp": NOON, "value": 1}]
    whole = {"granularity": "hourly", "series": series, **fields}
    return json.dumps({k: v for k, v in whole.items() if v is not ...}).encode()


def refused(name: str, record: bytes, reason: Reason, **more) -> Case:
    return Case(name, record, ((None, reason),), **more)


def accepted(name: str, record: bytes, **more) -> Case:
    return Case(name, record, points=more.pop("points", 1), **more)


_GOOD = point()
_R = Reason

NOTHING = [
    Case("tombstone", None, tombstone=True),
    refused("no bytes", b"", _R.EMPTY),
    refused("blanks", b"  \n", _R.DECODE),
    refused("an array without a point", b"[]", _R.EMPTY),
    refused("a series without a point", request(series=[]), _R.EMPTY),
]
BROKEN = [
    refused("no JSON", b"hello", _R.DECODE),
    refused("truncated", _GOOD[:-5], _R.DECODE),
    refused("trailing garbage", _GOOD + b"x", _R.DECODE),
    refused("two documents", _GOOD + b"," + _GOOD, _R.DECODE),
    refused("two lines", _GOOD + b"\n" + _GOOD, _R.DECODE),
    refused("trailing comma", _GOOD[:-1] + b",}", _R.DECODE),
    refused("single quotes", _GOOD.replace(b'"', b"'"), _R.DECODE),
    refused("a NUL behind", _GOOD + b"\0", _R.DECODE),
    refused("raw control character", point(metric="a~b").replace(b"~", b"\x01"), _R.DECODE),
    refused("broken UTF-8", point(metric="a~b").replace(b"~", b"\xff"), _R.DECODE),
    refused("broken UTF-8 in a value", value('"~"').replace(b"~", b"\xff"), _R.DECODE),
    refused("UTF-16", _GOOD.decode().encode("utf-16"), _R.DECODE),
    refused("lone surrogate", _GOOD.replace(b'"m"', b'"\\ud800"'), _R.DECODE),
    accepted("byte order mark", b"\xef\xbb\xbf" + _GOOD),
    refused("byte order mark alone", b"\xef\xbb\xbf", _R.DECODE),
    refused("nested 200,000 deep", b"[" * 200_000, _R.DECODE),
    refused(
        "nested 200,000 deep in a field",
        point(value="~").replace(b'"~"', b'{"a":' * 200_000),
        _R.DECODE,
    ),
    Case("an array in an array", b"[[" + _GOOD + b"]]", ((0, _R.SCHEMA),)),
    refused("10 MB string", point(metric="a" * 10_000_000), _R.TOO_LARGE),
    refused("over max_record_bytes", _GOOD + b" " * 1_048_577, _R.TOO_LARGE),
    accepted("at max_record_bytes", _GOOD + b" " * (1_048_576 - len(_GOOD))),
]
SCHEMA = [
    refused("a number", b"5", _R.SCHEMA),
    refused("a string", b'"abc"', _R.SCHEMA),
    refused("null", b"null", _R.SCHEMA),
    refused("no field", b"{}", _R.SCHEMA),
    refused("no metric", point(metric=...), _R.SCHEMA),
    refused("no value", point(value=...), _R.SCHEMA),
    refused("metric null", point(metric=None), _R.SCHEMA),
    refused("metric a number", point(metric=5), _R.SCHEMA),
    refused("unknown field", point(tags={}), _R.SCHEMA),
    refused("field in capitals", point(value=..., Value=1), _R.SCHEMA),
    refused("field twice", _GOOD[:-1] + b',"value":2}', _R.SCHEMA),
    refused("field twice, once escaped", _GOOD[:-1] + b',"v\\u0061lue":2}', _R.SCHEMA),
    refused(
        "dimension twice", point(dimensions={"a": "x", "b": "y"}).replace(b'"b"', b'"a"'), _R.SCHEMA
    ),
    refused("dimensions null", point(dimensions=None), _R.SCHEMA),
    refused("dimensions an array", point(dimensions=["a"]), _R.SCHEMA),
    refused("dimension a number", point(dimensions={"a": 1}), _R.SCHEMA),
    refused("dimension an object", point(dimensions={"a": {"b": "c"}}), _R.SCHEMA),
]
VALUES = [
    refused("value null", value("null"), _R.VALUE),
    refused("value true", value("true"), _R.VALUE),
    refused("value false", value("false"), _R.VALUE),
    refused("value a string", value('"1.5"'), _R.VALUE),
    refused("value an array", value("[1]"), _R.VALUE),
    refused("value an object", value("{}"), _R.VALUE),
    refused("value 1e999", value("1e999"), _R.VALUE),
    refused("value -1e999", value("-1e999"), _R.VALUE),
    refused("value of 5000 digits", value("1" * 5_000), _R.VALUE),
    refused("value NaN", value("NaN"), _R.DECODE),
    refused("value Infinity", value("Infinity"), _R.DECODE),
    refused("value -Infinity", value("-Infinity"), _R.DECODE),
    refused("value in the locale's form", value("1,5"), _R.DECODE),
    refused("value hexadecimal", value("0x10"), _R.DECODE),
    refused("value with a plus", value("+1"), _R.DECODE),
    refused("value with a leading zero", value("01"), _R.DECODE),
    refused("value without digits behind the point", value("1."), _R.DECODE),
    refused("value without digits before the point", value(".5"), _R.DECODE),
    refused("value with underscores", value("1_000"), _R.DECODE),
    accepted("value -0.0", value("-0.0")),
    accepted("value denormal", value("5e-324")),
    accepted("value too small", value("1e-999")),
    accepted("value 1e30", value("1e30")),
    refused("value 1.1e30", value("-1.1e30"), _R.VALUE),
    refused("value 1e308", value("1e308"), _R.VALUE),
    accepted("value above 2**53", value("9007199254740993")),
    accepted("value of 400 digits behind the point", value("0." + "3" * 400)),
]
TIMES = [
    accepted("no timestamp", point(timestamp=...)),
    refused("no timestamp, no record time", point(timestamp=...), _R.TIMESTAMP, timestamp_ms=-1),
    refused("timestamp null", timestamp("null"), _R.TIMESTAMP),
    refused("timestamp true", timestamp("true"), _R.TIMESTAMP),
    refused("timestamp a fraction", timestamp("1614686400000.5"), _R.TIMESTAMP),
    refused("timestamp with exponent", timestamp("1.6146864e12"), _R.TIMESTAMP),
    refused("timestamp an integer in a string", timestamp('"1614686400000"'), _R.TIMESTAMP),
    refused("timestamp empty", timestamp('""'), _R.TIMESTAMP),
    refused("timestamp no time", timestamp('"yesterday"'), _R.TIMESTAMP),
    refused("timestamp without zone", timestamp('"2021-03-02T12:00:00"'), _R.TIMESTAMP),
    refused("timestamp a date", timestamp('"2021-03-02"'), _R.TIMESTAMP),
    refused("29 February of a common year", timestamp('"2021-02-29T12:00:00Z"'), _R.TIMESTAMP),
    refused("month 13", timestamp('"2021-13-01T12:00:00Z"'), _R.TIMESTAMP),
    refused("day 0", timestamp('"2021-03-00T12:00:00Z"'), _R.TIMESTAMP),
    refused("hour 24", timestamp('"2021-03-01T24:00:00Z"'), _R.TIMESTAMP),
    refused("leap second", timestamp('"2016-12-31T23:59:60Z"'), _R.TIMESTAMP),
    refused("offset of 24 hours", timestamp('"2021-03-02T12:00:00+24:00"'), _R.TIMESTAMP),
    refused("year 0", timestamp('"0000-03-02T12:00:00Z"'), _R.TIMESTAMP),
    refused("digits of another script", timestamp('"２021-03-02T12:00:00Z"'), _R.TIMESTAMP),
    refused("timestamp of 30 digits", timestamp("1" * 30), _R.TIMESTAMP),
    refused("timestamp negative", timestamp("-1"), _R.TIMESTAMP_RANGE),
    refused("timestamp before 2000", timestamp('"1999-12-31T23:59:59Z"'), _R.TIMESTAMP_RANGE),
    accepted("timestamp at 2000", timestamp('"2000-01-01T00:00:00Z"')),
    refused("timestamp 0", timestamp("0"), _R.TIMESTAMP_RANGE),
    refused("timestamp in s, not ms", timestamp("1614686400"), _R.TIMESTAMP_RANGE),
    refused("timestamp in us, not ms", timestamp("1614686400000000"), _R.TIMESTAMP_RANGE),
    refused("timestamp in ns, not ms", timestamp("1614686400000000000"), _R.TIMESTAMP_RANGE),
    refused("year 9999", timestamp('"9999-12-31T23:59:59Z"'), _R.TIMESTAMP_RANGE),
    refused(
        "past the year 9999", timestamp("999999999999999"), _R.TIMESTAMP_RANGE, timestamp_ms=-1
    ),
    accepted(
        "year 9999, record time unknown", timestamp('"9999-12-31T23:59:59Z"'), timestamp_ms=-1
    ),
    refused("over a day ahead", timestamp('"2021-03-03T12:00:01Z"'), _R.TIMESTAMP_RANGE),
    accepted("a day ahead", timestamp('"2021-03-03T12:00:00Z"')),
    refused(
        "record time past the year 9999", point(timestamp=...), _R.TIMESTAMP, timestamp_ms=2**62
    ),
]
IDENTITIES = [
    accepted("64 dimensions", point(dimensions={f"d{i}": "x" for i in range(64)})),
    refused("65 dimensions", point(dimensions={f"d{i}": "x" for i in range(65)}), _R.DIMENSIONS),
    refused("metric empty", point(metric=""), _R.DIMENSIONS),
    accepted("metric of 256 bytes", point(metric="m" * 256)),
    refused("metric of 257 bytes", point(metric="m" * 257), _R.DIMENSIONS),
    refused("metric of 257 bytes in 129 characters", point(metric="m" + "é" * 128), _R.DIMENSIONS),
    refused("dimension name empty", point(dimensions={"": "x"}), _R.DIMENSIONS),
    refused("dimension name of 257 bytes", point(dimensions={"d" * 257: "x"}), _R.DIMENSIONS),
    accepted("dimension empty", point(dimensions={"a": ""})),
    accepted("dimension of 1024 bytes", point(dimensions={"a": "x" * 1024})),
    refused("dimension of 1025 bytes", point(dimensions={"a": "x" * 1025}), _R.DIMENSIONS),
    refused("reserved dimension name", point(dimensions={"__name__": "x"}), _R.DIMENSIONS),
    refused("NUL in the metric", point(metric="a\0b"), _R.DIMENSIONS),
    refused("line feed in a dimension", point(dimensions={"a": "x\ny"}), _R.DIMENSIONS),
    refused("escape character in a dimension", point(dimensions={"a": "\x1b[2J"}), _R.DIMENSIONS),
    refused("DEL in a dimension name", point(dimensions={"a\x7f": "x"}), _R.DIMENSIONS),
    refused("C1 control in a dimension", point(dimensions={"a": "x\x85y"}), _R.DIMENSIONS),
    accepted("right-to-left override", point(dimensions={"a": "\u202egnp.exe"})),
    accepted("homoglyph", point(metric="cрu")),
    accepted("HTML and a formula", point(dimensions={"a": "<script>", "b": "=cmd|' /C calc'!A0"})),
]  # fmt: skip
BATCHES = [
    Case(
        "one bad of 1000",
        b"[" + b",".join([_GOOD] * 700 + [value("null")] + [_GOOD] * 299) + b"]",
        ((700, _R.VALUE),),
        points=999,
    ),
    Case(
        "each bad in its own way",
        b"[5," + b",".join((point(metric=""), value("true"), timestamp('"x"'), _GOOD)) + b",null]",
        ((0, _R.SCHEMA), (1, _R.DIMENSIONS), (2, _R.VALUE), (3, _R.TIMESTAMP), (5, _R.SCHEMA)),
        points=1,
    ),
    refused("NaN in a batch", b"[" + _GOOD + b"," + value("NaN") + b"]", _R.DECODE),
    accepted("8640 points", b"[" + b",".join([_GOOD] * 8640) + b"]", points=8640),
    refused("8641 points", b"[" + b",".join([_GOOD] * 8641) + b"]", _R.TOO_MANY_POINTS),
    Case("request in an array", b"[" + request() + b"]", ((0, _R.SCHEMA),)),
]
REQUESTS = [
    accepted("request, metric from the key", request()),
    refused("request without metric and key", request(), _R.SCHEMA, key=None),
    refused("request with an empty key", request(), _R.SCHEMA, key=b""),
    refused("request with a key that is not UTF-8", request(), _R.SCHEMA, key=b"\xff"),
    refused("request with a key with control characters", request(), _R.DIMENSIONS, key=b"a\nb"),
    refused("request without series", request(series=...), _R.SCHEMA),
    refused("series no array", request(series={}), _R.SCHEMA),
    refused("request with a value", request(value=1), _R.SCHEMA),
    refused("unknown request field", request(sensitivty=90), _R.SCHEMA),
    refused("granularity unknown", request(granularity="fortnightly"), _R.SCHEMA),
    refused("granularity null", request(granularity=None), _R.SCHEMA),
    refused("customInterval 0", request(customInterval=0), _R.SCHEMA),
    refused("customInterval a string", request(customInterval="1"), _R.SCHEMA),
    refused("customInterval of centuries", request(customInterval=2**31 - 1), _R.SCHEMA),
    refused("sensitivity 100", request(sensitivity=100), _R.SCHEMA),
    refused("sensitivity -1", request(sensitivity=-1), _R.SCHEMA),
    refused("sensitivity 5.0", request(sensitivity=5.0), _R.SCHEMA),
    refused("sensitivity true", request(sensitivity=True), _R.SCHEMA),
    refused("maxAnomalyRatio 0", request(maxAnomalyRatio=0), _R.SCHEMA),
    refused("maxAnomalyRatio 0.5", request(maxAnomalyRatio=0.5), _R.SCHEMA),
    refused("period -1", request(period=-1), _R.SCHEMA),
    refused("imputeMode unknown", request(imputeMode="median"), _R.SCHEMA),
    refused("imputeMode fixed without a value", request(imputeMode="fixed"), _R.SCHEMA),
    refused("imputeFixedValue a string", request(imputeFixedValue="0"), _R.SCHEMA),
    Case(
        "request with one bad point",
        request(series=[{"timestamp": NOON, "value": v} for v in (1, None, 3)]),
        ((1, _R.VALUE),),
        points=2,
    ),
    Case(
        "request with points without timestamps",
        request(series=[{"value": 1}, {"timestamp": NOON, "value": 2}]),
        ((0, _R.TIMESTAMP),),
        points=1,
    ),
    accepted("request with one point without timestamp", request(series=[{"value": 1}])),
    Case(
        "request with a point that has a metric",
        request(series=[{"timestamp": NOON, "value": 1, "metric": "n"}]),
        ((0, _R.SCHEMA),),
    ),
]

CASES = [*NOTHING, *BROKEN, *SCHEMA, *VALUES, *TIMES, *IDENTITIES, *BATCHES, *REQUESTS]
