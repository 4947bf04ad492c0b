"""The text of a series' identity, by the short way and by the careful one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.serde.point import RecordDecoder
from streamdet.serde.series import plain_text_of
from tests.serde.records import ListBatch, key_of

CAREFUL = RecordDecoder(DecodeLimits())

name = st.text('aZ_:9-./ "\\é\x7f', min_size=1, max_size=5)
value = st.text('aZ {}=,:"\\é\x7f', max_size=6)


def careful_text(key: bytes) -> str:
    return str(CAREFUL.identify_key(key).series)


@given(name, st.dictionaries(name, value, max_size=4), st.booleans())
def test_the_short_way_finds_the_same_text_or_none(metric, dimensions, blanks):
    separators = (", ", ": ") if blanks else (",", ":")
    point = {"metric": metric, "dimensions": dimensions, "timestamp": 1, "value": 1}
    decoder = Decoder(DecodeLimits(max_future_us=1 << 60))
    batch = ListBatch([json.dumps(point, separators=separators, ensure_ascii=False).encode()])
    points = decoder.decode(batch, "s")
    if len(points) and points.raw[0]:
        key = key_of(points, 0)
        assert plain_text_of(key) in (None, careful_text(key))
        assert decoder.identify(key, True) == careful_text(key)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b'"m"', "m"),
        (b'"m","dimensions":{"b":"x y","a":"{}=,"}', 'm{a="{}=,",b="x y"}'),
        (b'"m-1.x/y:z","dimensions":{"a":""}', 'm-1.x/y:z{a=""}'),
    ],
)
def test_what_is_plain_takes_the_short_way(key, text):
    assert plain_text_of(key) == text == careful_text(key)


@pytest.mark.parametrize(
    "key",
    [
        b'"m", "dimensions":{"a":"b"}',  # blanks
        b'"m","dimensions":{}',
        b'{"a":"b"},"metric":"m"',
        b'"1m"',  # quoted in the text
        b'"m","dimensions":{"1a":"b"}',
        b'"m","dimensions":{"a":"\\n"}',
        b'"m","dimensions":{"a":"\x7f"}',
        '"m","dimensions":{"a":"é"}'.encode(),
    ],
)
def test_what_is_not_plain_does_not(key):
    assert plain_text_of(key) is None
