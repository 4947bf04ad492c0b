"""What event time promises: order and doubles decide nothing, and no producer harms another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.types import Outcome
from tests.aligned import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Point,
    configured,
    instant_us,
    judged,
    released,
)
from tests.naive_align import ABSENT, RETURNED

START = instant_us("2024-03-30T20:00")
LATENESS = 5 * MINUTE
RULES = {
    "points": {},
    "given grid": {"granularity": "minutely", "imputeMode": "linear"},
    "snapped": {"granularity": "minutely", "tolerance": "20s", "imputeMode": "auto"},
    "local time": {"granularity": "minutely", "timezone": "Europe/Berlin"},
    "mean": {"duplicates": "mean"},
    "last": {"duplicates": "last"},
    "counter": {"transform": "rate"},
    "windows": {"aggregate": {"interval": "3m", "function": "mean"}},
    "quantiles": {"aggregate": {"interval": "10m", "function": "p95"}, "duplicates": "last"},
    "rates": {"aggregate": {"interval": "5m", "function": "rate"}},
    "rolled up": {"granularity": "minutely", "rollup": {"by": [], "function": "sum"}},
}


def clean(seed: int, n: int, n_series: int = 3) -> list[Point]:
    """Return points of some series in order of time: jitter, holes, one spike."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n_series):
        minutes = np.flatnonzero(rng.random(n) > 0.1)
        values = 50 + 10 * np.sin(minutes / 5) + rng.normal(size=len(minutes))
        values[len(values) * 3 // 4 :][:1] += 200
        times = START + minutes * MINUTE + rng.integers(-15 * SECOND, 15 * SECOND, len(minutes))
        rows += [
            Point(f'm{{host="{k}"}}', int(t), float(v)) for t, v in zip(times, values, strict=True)
        ]
    return sorted(rows, key=lambda point: point.time_us)


def on_the_road(stream: list[Point], seed: int) -> list[Point]:
    """Return the points as they come: each up to LATENESS after its time, some twice or more."""
    rng = np.random.default_rng(seed)
    sent = stream + [stream[i] for i in rng.integers(0, len(stream), len(stream) // 4)]
    comes_us = [point.time_us + int(rng.integers(0, LATENESS)) for point in sent]
    return [sent[i] for i in np.argsort(comes_us, kind="stable")]


def ended(stream: list[Point]) -> list[Point]:
    """Return the stream with a point of another series, after which nothing is held back."""
    return [*stream, Point("clock", max(point.time_us for point in stream) + HOUR, 0.0)]


cuts = st.lists(st.integers(0, 500), max_size=6)
seeds = st.integers(0, 10**6)


@settings(max_examples=60)
@given(st.sampled_from(list(RULES)), seeds, st.integers(2, 100), cuts)
def test_neither_order_within_the_lateness_nor_doubles_nor_cuts_decide_anything(rule, seed, n, at):
    stream = clean(seed, n)
    config = configured({"m": RULES[rule] | {"allowed_lateness": "5m"}})
    want = released(config, ended(stream))
    got = released(config, ended(on_the_road(stream, seed)), at)
    assert got.without_offsets() == want.without_offsets()
    assert {Outcome.LATE} & set(got.outcomes) == set()
    assert got.outcomes.count(Outcome.DUPLICATE) == len(got.outcomes) - len(want.outcomes)


@settings(max_examples=15)
@given(st.sampled_from(list(RULES)), seeds, cuts)
def test_verdicts_are_those_of_the_clean_input_byte_for_byte(rule, seed, at):
    stream = clean(seed, 150)
    config = configured({"m": RULES[rule] | {"allowed_lateness": "5m", "warmup": 12}})
    want = judged(config, ended(stream))
    assert judged(config, ended(on_the_road(stream, seed)), at) == want
    if rule == "given grid":
        assert any(b"\x01" in columns["is_anomaly"] for columns in want.values())


HELD = {"allowed_lateness": "2m", "granularity": "minutely", "absent_after": "10m"}


def every_minute(series: str, minutes, value: float = 1.0) -> list[Point]:
    return [Point(series, START + minute * MINUTE, value) for minute in minutes]


def together(*streams: list[Point]) -> list[Point]:
    return sorted((point for stream in streams for point in stream), key=lambda p: p.time_us)


def test_one_future_timestamp_does_not_move_the_watermark():
    others = together(every_minute("a", range(60)), every_minute("b", range(60)))
    ahead = Point("mad", START + 3650 * DAY, 1.0)
    at = len(others) // 2
    config = configured({"*": HELD})
    want, got = released(config, others), released(config, [*others[:at], ahead, *others[at:]])
    assert got.values("a") == want.values("a")
    assert got.values("b") == want.values("b")
    assert len(want.values("a")) == 57  # the newest are within the lateness
    assert got.values("mad") == []
    assert got.notes("a") == got.notes("b") == []


def test_a_producer_whose_clock_stays_years_ahead_harms_nobody():
    others = together(every_minute("a", range(200)), every_minute("b", range(200)))
    mad = [
        p._replace(series="mad", time_us=p.time_us + 3650 * DAY, record_us=p.time_us)
        for p in others[::3]
    ]
    stream = sorted([*others, *mad], key=lambda p: p.record_us or p.time_us)
    config = configured({"*": HELD})
    want, got = released(config, others), released(config, stream)
    for name in ("a", "b"):
        assert got.values(name) == want.values(name)
        assert got.notes(name) == []
    assert set(got.outcomes) == {Outcome.OK}


def test_when_all_have_gone_on_elsewhere_the_watermark_follows():
    before, later = every_minute("a", range(30)), every_minute("a", range(100_000, 100_060))
    found = released(configured({"*": HELD}), [*before, *later])
    assert len(found.values("a")) == 30 + 57
    assert Outcome.LATE not in found.outcomes


def test_a_silent_producer_holds_nobody_back():
    config = configured({"*": HELD})
    speaking = every_minute("a", range(60))
    alone = released(config, speaking)
    beside = released(config, [*every_minute("silent", [0]), *speaking])
    assert beside.values("a") == alone.values("a")
    assert beside.values("silent") == [(START, 1.0)]


def test_a_series_that_stops_while_others_speak_is_absent_once_and_returns():
    config = configured({"*": {"absent_after": "10m", "granularity": "minutely"}})
    stream = together(every_minute("a", [*range(20), *range(60, 80)]), every_minute("b", range(80)))
    for cut in ([], range(len(stream)), [25, 41, 70]):
        found = released(config, stream, cut)
        assert found.notes("a") == [ABSENT, RETURNED]
        assert found.notes("b") == []
        absent, returned = (row for row in found.released["a"] if row.use >= ABSENT)
        last = stream.index(Point("a", START + 19 * MINUTE, 1.0))
        assert (absent.time_us, absent.offset) == (START + 29 * MINUTE, last)
        assert (returned.time_us, returned.offset) == (START + 60 * MINUTE, last)


def test_a_partition_that_is_silent_as_a_whole_makes_nobody_absent():
    config = configured({"*": {"absent_after": "10m", "granularity": "minutely"}})
    minutes = [*range(20), *range(600, 620), *range(5000, 5020)]
    stream = together(*(every_minute(name, minutes) for name in ("a", "b", "c")))
    found = released(config, stream, [30, 61, 100])
    assert [found.notes(name) for name in ("a", "b", "c")] == [[], [], []]


def test_silence_of_all_does_not_count_towards_the_absence_of_one():
    config = configured({"*": {"absent_after": "10m", "granularity": "minutely"}})
    stopped = every_minute("a", range(20))
    speaking = every_minute("b", [*range(26), *range(600, 604)])
    assert released(config, together(stopped, speaking)).notes("a") == []
    more = every_minute("b", range(604, 610))
    assert released(config, [*together(stopped, speaking), *more]).notes("a") == [ABSENT]


def test_a_series_that_holds_too_much_releases_its_oldest_points_early():
    config = configured({"*": {"allowed_lateness": "2h"}}, {"max_pending_points": 16})
    found = released(config, every_minute("a", range(60)))
    assert len(found.values("a")) == 60 - 16


def test_a_pool_that_grows_while_series_are_rolled_up_loses_no_point():
    rule = {"granularity": "minutely", "rollup": {"by": ["host"], "function": "count"}}
    names = [f'm{{core="{core}",host="{host}"}}' for host in range(150) for core in range(2)]
    stream = together(*(every_minute(name, range(3)) for name in names))
    found = released(configured({"m": rule}), ended(stream))
    for host in range(150):
        rolled = f'm{{host="{host}",rollup="count"}}'
        assert [value for _, value in found.values(rolled)] == [2.0, 2.0, 2.0]
