"""A series' identity and its text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamdet.types import SeriesId

NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(["cpu", "a.b", 'we"ird', "{x}", "1st"])
SERIES = st.builds(SeriesId.of, NAMES, st.dictionaries(NAMES, st.text(max_size=8), max_size=4))


@given(SERIES)
def test_the_text_of_a_series_tells_the_series(series):
    assert SeriesId.parse(str(series)) == series


@given(SERIES, SERIES)
def test_two_series_never_share_a_text(one, other):
    assert (str(one) == str(other)) == (one == other)


def test_the_order_of_dimensions_does_not_matter():
    one = SeriesId.of("m", {"a": "1", "b": "2"})
    assert one == SeriesId.of("m", {"b": "2", "a": "1"})
    assert str(one) == 'm{a="1",b="2"}'


def test_names_that_prometheus_cannot_hold_bare_are_quoted():
    assert (
        str(SeriesId.of("http requests", {"my dim": 'a"b'})) == r'{"http requests","my dim"="a\"b"}'
    )
