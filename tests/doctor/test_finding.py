"""How findings tell times and shares."""

import pytest

from streamdet.doctor.finding import listed, setting_of_at_least, share, span
from tests.doctor.facts import config


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0012, "1.2 ms"),
        (0.99999, "1 s"),
        (5.5, "5.5 s"),
        (60, "1 m"),
        (100_800, "1 d 4 h"),
        (86_460, "1 d"),
        (3_599.9, "1 h"),
    ],
)
def test_a_time_has_two_units_at_most(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1, 7, 88, 3_601, 86_400, 604_800])
def test_a_suggested_setting_is_valid_and_not_shorter(seconds):
    text = setting_of_at_least(seconds)
    found = config(detection={"allowed_lateness": text}).detection.allowed_lateness
    assert found.total_seconds() >= seconds


def test_what_no_setting_can_bridge_has_no_suggestion():
    assert setting_of_at_least(604_801) is None


def test_a_share_is_not_rounded_to_nothing_nor_to_all():
    assert share(0, 10) == "0 %"
    assert share(1, 1_000_000) == "less than 0.01 %"
    assert share(999_999, 1_000_000) == "more than 99.9 %"
    assert share(10, 10) == "100 %"


def test_a_long_list_is_cut_and_counted():
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert listed(["a", "b"]) == "a, b"
