"""Durations, sizes and limits as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.config import load
from streamdet.config.values import format_duration, format_size, parse_duration, parse_size


class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("250us", 0.00025),
            ("500ms", 0.5),
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("7d", 604_800),
            ("1.5s", 1.5),
            ("10 s", 10),
            ("12", 12),
            (90, 90),
            (0.25, 0.25),
        ],
    )
    def test_a_duration_is_text_with_a_unit_or_seconds(self, text, seconds):
        assert parse_duration(text) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("text", ["", "s", "1w", "1h30m", "-1s", True, None, "1e3", "9" * 18])
    def test_what_says_no_duration_is_refused(self, text):
        with pytest.raises(ValueError, match=r"must be a duration|is longer than"):
            parse_duration(text)

    @given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=36500)))
    def test_a_duration_that_is_shown_reads_back(self, duration):
        if duration < timedelta(seconds=2**33):  # beyond, floats do not hold microseconds
            assert parse_duration(format_duration(duration)) == duration

    @pytest.mark.parametrize(
        ("text", "size"),
        [("1MiB", 2**20), ("512KiB", 2**19), ("2MB", 2_000_000), (77, 77), ("0.5KiB", 512)],
    )
    def test_a_size_is_text_with_a_unit_or_bytes(self, text, size):
        assert parse_size(text) == size

    @pytest.mark.parametrize("text", ["", "1mib", "1.5", "-1", "0.3KiB", True])
    def test_what_says_no_size_is_refused(self, text):
        with pytest.raises(ValueError, match="must be a"):
            parse_size(text)

    @given(st.integers(0, 2**40))
    def test_a_size_that_is_shown_reads_back(self, size):
        assert parse_size(format_size(size)) == size

    def test_zero_or_null_means_that_no_series_is_ever_forgotten(self):
        for nothing in ("0", "0s", "null"):
            assert load(None, [f"limits.series_ttl={nothing}"]).limits.series_ttl is None
        assert load(None, ["limits.series_ttl=0"]).limits.series_ttl_us == 0

    def test_limits_are_told_in_microseconds(self):
        limits = load().limits
        assert limits.series_ttl_us == 14 * 86_400_000_000
        assert limits.max_future_us == 86_400_000_000
        assert limits.earliest_us == 946_684_800_000_000
