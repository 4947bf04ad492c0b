"""Windows and roll-ups give what polars computes from the same points."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.aligned import DAY, HOUR, MINUTE, SECOND, Point, configured, instant_us, released

CHANGES = {  # around one: of the clocks, or of the side of the date line; UTC
    "UTC": "2024-02-28T00:00",
    "Europe/Berlin": "2023-10-28T20:00",
    "America/New_York": "2023-03-12T03:00",
    "Australia/Lord_Howe": "2023-04-01T11:00",
    "America/Sao_Paulo": "2018-11-04T00:00",
    "Pacific/Apia": "2011-12-30T02:00",
    "Asia/Kathmandu": "2024-12-31T17:00",
}
INTERVALS = {  # the option, as polars writes it, about how long it is
    "10s": ({"aggregate": {"interval": "10s"}}, 10 * SECOND),
    "1m": ({"aggregate": {"interval": "1m"}}, MINUTE),
    "30m": ({"granularity": "minutely", "customInterval": 30}, 30 * MINUTE),
    "1h": ({"granularity": "hourly"}, HOUR),
    "6h": ({"aggregate": {"interval": "6h"}}, 6 * HOUR),
    "1d": ({"granularity": "daily"}, DAY),
    "1w": ({"granularity": "weekly"}, 7 * DAY),
    "1mo": ({"granularity": "monthly"}, 30 * DAY),
    "3mo": ({"granularity": "monthly", "customInterval": 3}, 91 * DAY),
    "1y": ({"granularity": "yearly"}, 365 * DAY),
}
VALUE = pl.col("value")
FUNCTIONS = {
    "mean": VALUE.mean(),
    "sum": VALUE.sum(),
    "min": VALUE.min(),
    "max": VALUE.max(),
    "count": VALUE.count().cast(pl.Float64),
    "last": VALUE.last(),
    "p50": VALUE.quantile(0.5, "linear"),
    "p95": VALUE.quantile(0.95, "linear"),
    "p99": VALUE.quantile(0.99, "linear"),
}
WIDE = {"max_future": "36500d"}  # the clock that ends every window is far ahead
REGIONS, HOSTS = ("eu", "us"), ("a", "b", "c")


def start_us(zone: str, later_us: float) -> int:
    return instant_us(CHANGES[zone]) + math.floor(later_us)


def uneven(seed: int, n: int, spacing_us: int, from_us: int) -> tuple[list[int], list[float]]:
    """Return times that differ, in order, and values: three a window, with bursts and holes."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(spacing_us / 3, n) * rng.choice([0.01, 1, 6], n, p=[0.2, 0.7, 0.1])
    times = from_us + np.cumsum(np.maximum(gaps.astype(np.int64), 1))
    return times.tolist(), rng.normal(10, 20, n).round(3).tolist()


def windowed(points: pl.DataFrame, every: str, zone: str) -> pl.DataFrame:
    """Return the points in order of time, with the start of the window that each is in."""
    at = pl.from_epoch("time_us", "us").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    start = at.dt.truncate(every).dt.convert_time_zone("UTC").dt.epoch("us")
    return points.sort("time_us").with_columns(start_us=start)


def of_windows(points: pl.DataFrame, value: pl.Expr) -> list[tuple[int, float]]:
    found = points.group_by("start_us", maintain_order=True).agg(found=value)
    return found.drop_nulls().select("start_us", "found").rows()


def of_task(config, stream: list[Point], series: str) -> list[tuple[int, float]]:
    """Return the windows of a series, all of them: another one takes the time far beyond."""
    last_us = max(point.time_us for point in stream) + 2000 * DAY
    return released(config, [*stream, Point("clock", last_us, 0.0)]).values(series)


def settings_of(every: str, function: str, zone: str) -> dict:
    given_, _ = INTERVALS[every]
    aggregate = {"function": function} | given_.get("aggregate", {})
    return given_ | {"aggregate": aggregate, "timezone": zone}


def equal(found: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> None:
    assert [start for start, _ in found] == [start for start, _ in wanted]
    assert [x for _, x in found] == pytest.approx([x for _, x in wanted], rel=1e-12, abs=1e-9)


sizes = st.integers(1, 120)
seeds = st.integers(0, 10**6)
shares = st.floats(-3, 1)


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=25)
@given(st.sampled_from(list(INTERVALS)), st.sampled_from(list(CHANGES)), seeds, sizes, shares)
def test_a_window_is_what_polars_makes_of_its_points(function, every, zone, seed, n, share):
    spacing_us = INTERVALS[every][1]
    times, values = uneven(seed, n, spacing_us, start_us(zone, share * spacing_us))
    stream = [Point("m", *row) for row in zip(times, values, strict=True)]
    points = pl.DataFrame({"time_us": times, "value": values})
    wanted = of_windows(windowed(points, every, zone), FUNCTIONS[function])
    equal(of_task(configured({"m": settings_of(every, function, zone)}, WIDE), stream, "m"), wanted)


@settings(max_examples=50)
@given(st.sampled_from(list(INTERVALS)), st.sampled_from(list(CHANGES)), seeds, sizes, shares)
def test_a_counters_rate_counts_every_increase_since_the_window_before(every, zone, seed, n, share):
    spacing_us = INTERVALS[every][1]
    times, values = uneven(seed, n, spacing_us, start_us(zone, share * spacing_us))
    resets = np.random.default_rng(seed).random(n) < 0.1
    counts, total = [], 0.0
    for value, reset in zip(values, resets, strict=True):
        total = abs(value) if reset else total + abs(value)
        counts.append(total)
    stream = [Point("m", *row) for row in zip(times, counts, strict=True)]
    points = windowed(pl.DataFrame({"time_us": times, "value": counts}), every, zone)
    before = VALUE.shift(1)
    increase = pl.when(before > VALUE).then(VALUE).otherwise(VALUE - before)
    since_us = pl.col("time_us").shift(1).fill_null(pl.col("time_us").first())
    points = points.with_columns(increase=increase, since_us=since_us)
    elapsed_us = pl.col("time_us").last() - pl.col("since_us").first()
    rate = pl.when(elapsed_us > 0).then(pl.col("increase").sum() / (elapsed_us / 1e6))
    config = configured({"m": settings_of(every, "rate", zone)}, WIDE)
    equal(of_task(config, stream, "m"), of_windows(points, rate))


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=15)
@given(st.sampled_from(list(INTERVALS)), st.sampled_from(list(CHANGES)), seeds, sizes, shares)
def test_a_rolled_up_window_is_what_polars_makes_of_all_its_series(
    function, every, zone, seed, n, share
):
    spacing_us = INTERVALS[every][1]
    times, values = uneven(seed, n, spacing_us, start_us(zone, share * spacing_us))
    rng = np.random.default_rng(seed)
    points = pl.DataFrame(
        {
            "time_us": times,
            "value": values,
            "region": [REGIONS[i] for i in rng.integers(0, 2, n)],
            "host": [HOSTS[i] for i in rng.integers(0, 3, n)],
        }
    )
    names = [f'm{{host="{host}",region="{region}"}}' for *_, region, host in points.rows()]
    stream = [Point(*row) for row in zip(names, times, values, strict=True)]
    rule = dict(INTERVALS[every][0]) | {"timezone": zone}
    if "aggregate" in rule:
        rule["aggregate"] = {"function": "last"} | rule["aggregate"]
    rule["rollup"] = {"by": ["region"], "function": function}
    config = configured({"m": rule}, WIDE)
    for region in REGIONS:
        of_region = points.filter(pl.col("region") == region)
        wanted = of_windows(windowed(of_region, every, zone), FUNCTIONS[function])
        equal(of_task(config, stream, f'm{{region="{region}",rollup="{function}"}}'), wanted)


def test_a_roll_up_counts_points_of_one_time_once_for_each_series():
    stream = [
        Point(f'm{{host="{host}",region="eu"}}', minute * MINUTE + 946684800 * SECOND, value)
        for minute in range(3)
        for host, value in (("a", 2.0), ("b", 3.0), ("c", 5.0))
    ]
    rule = {"granularity": "minutely", "rollup": {"by": ["region"], "function": "sum"}}
    found = of_task(configured({"m": rule}, WIDE), stream, 'm{region="eu",rollup="sum"}')
    assert [value for _, value in found] == [10.0, 10.0, 10.0]
