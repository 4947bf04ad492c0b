"""The stage `align` does what its slow twin does, for any options, stream, and cut into batches."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.aligned import DAY, HOUR, MINUTE, Point, configured, instant_us, naively, released

CHANGES = {  # when the clocks change, or the date line does; UTC
    None: "2023-03-31T23:10",
    "Europe/Berlin": "2023-10-29T01:00",
    "America/New_York": "2023-03-12T07:00",
    "Australia/Lord_Howe": "2023-04-01T15:00",
    "America/Sao_Paulo": "2018-02-18T02:00",
    "Pacific/Apia": "2011-12-30T10:00",
    "Asia/Kathmandu": "2024-02-29T18:15",
}
GRIDS = {  # how far apart the points are, about, and the options that say so
    "found": (MINUTE, {}),
    "minutes": (5 * MINUTE, {"granularity": "minutely", "customInterval": 5}),
    "hours": (HOUR, {"granularity": "hourly"}),
    "third of a day": (8 * HOUR, {"granularity": "hourly", "customInterval": 8}),
    "days": (DAY, {"granularity": "daily"}),
    "weeks": (7 * DAY, {"granularity": "weekly", "customInterval": 2}),
    "months": (20 * DAY, {"granularity": "monthly"}),
    "quarters": (60 * DAY, {"granularity": "monthly", "customInterval": 3}),
    "years": (200 * DAY, {"granularity": "yearly"}),
}
FUNCTIONS = ("mean", "sum", "min", "max", "count", "last", "p50", "p95", "p99", "rate")
FIRST_US, LAST_US = instant_us("2000-01-02"), instant_us("2090-01-01")  # zones: up to 2100
SERIES = ("a", "b", "c")


def duration(us: int) -> str:
    return f"{us}us"


@st.composite
def rules(draw, spacing_us: int, grid: dict, zone: str | None) -> dict:
    """What a rule may say of event time, for points so far apart."""
    rule = {"timezone": zone} | grid
    rule["duplicates"] = draw(st.sampled_from(["first", "last", "mean", "sum"]))
    lateness = st.sampled_from([0, 0, spacing_us // 4, spacing_us, 3 * spacing_us])
    rule["allowed_lateness"] = duration(min(draw(lateness), 7 * DAY))
    absent = draw(st.sampled_from([None, None, 4, 9]))
    rule["absent_after"] = absent and duration(absent * spacing_us)
    modes = ["auto", "previous", "linear", "fixed", "zero", "notFill"]
    rule["imputeMode"] = draw(st.sampled_from(modes))
    rule["imputeFixedValue"] = -1.5
    shape = draw(st.sampled_from(["points", "points", "tolerance", "windows", "windows", "rate"]))
    if shape in ("points", "tolerance"):
        rule["late"] = draw(st.sampled_from(["drop", "fill"]))
    if shape == "tolerance" and grid:
        rule["tolerance"] = duration(spacing_us // 8)
    elif shape == "windows":
        rule["aggregate"] = {"function": draw(st.sampled_from(FUNCTIONS))}
        if not grid:
            rule["aggregate"]["interval"] = duration(2 * spacing_us)
    elif shape == "rate":
        rule["transform"] = "rate"
        rule["duplicates"] = draw(st.sampled_from(["first", "last"]))
    return rule


@st.composite
def streams(draw, spacing_us: int, from_us: int, goes_back: bool) -> list[Point]:
    """Points that come in time, late, twice, with jitter, after holes, and from wrong clocks."""
    far = [400, -1200] if goes_back else [400]
    step = st.sampled_from([0, 0, 1, 2, 4, 4, 4, 4, 4, 5, 8, 13, 40, *far])
    back = st.sampled_from([0, 0, 0, 0, 0, 1, 4, 9, 30, -500])
    jitter = st.sampled_from([0, 0, 0, 1, -1, spacing_us // 9, -(spacing_us // 7)])
    value = st.sampled_from([0.0, 1.0, 1.5, 2.0, 10.0, -3.0, 0.1, 1e9])
    again = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3])
    row = st.tuples(st.sampled_from(SERIES), step, back, jitter, value, again)
    # Only where points come regularly for a while is a grid found.
    stream = [Point("a", from_us - k * spacing_us, float(k % 3)) for k in range(15, 3, -1)]
    stream, now_us = stream[draw(st.sampled_from([0, 12])) :], from_us - 3 * spacing_us
    n = draw(st.integers(0, 100))
    for name, steps, steps_back, off_us, x, before in draw(st.lists(row, min_size=n, max_size=n)):
        now_us += steps * spacing_us // 4
        time_us = now_us - steps_back * spacing_us // 4 + off_us
        stream.append(Point(name, min(max(time_us, FIRST_US), LAST_US), x))
        if 0 < before < len(stream):
            stream.append(stream[-1 - before]._replace(value=x))
    return stream


@st.composite
def cases(draw, goes_back: bool = False):
    """What `configured` takes, a stream, and where it is cut.

    goes_back : at times all that is sent is old, as after a clock that was wrong
    """
    zone = draw(st.sampled_from(list(CHANGES)))
    spacing_us, grid = GRIDS[draw(st.sampled_from(list(GRIDS)))]
    limits = {
        "series_ttl": draw(st.sampled_from([None, None, duration(20 * spacing_us)])),
        "max_future": duration(draw(st.sampled_from([6, 50, 180])) * spacing_us),
        "max_pending_points": draw(st.sampled_from([16, 4096])),
    }
    of_series = {name: draw(rules(spacing_us, grid, zone)) for name in SERIES}
    stream = draw(streams(spacing_us, instant_us(CHANGES[zone]), goes_back))
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=5))
    return of_series, limits, stream, cuts


def agree(case) -> None:
    of_series, limits, stream, cuts = case
    config = configured(of_series, limits)
    want, got = naively(config, stream), released(config, stream, cuts)
    assert [outcome.name for outcome in got.outcomes] == [o.name for o in want.outcomes]
    assert got.shown() == want.shown()


@settings(max_examples=150)
@given(cases())
def test_outcomes_and_released_values_are_the_twins(case):
    agree(case)


@settings(max_examples=100)
@given(cases(goes_back=True))
def test_they_are_where_the_present_moves_back(case):
    agree(case)


@settings(max_examples=50)
@given(cases())
def test_where_the_stream_is_cut_into_batches_decides_nothing(case):
    of_series, limits, stream, cuts = case
    config = configured(of_series, limits)
    whole, cut = released(config, stream), released(config, stream, cuts)
    single = released(config, stream, list(range(len(stream))))
    assert whole.outcomes == cut.outcomes == single.outcomes
    assert whole.shown() == cut.shown() == single.shown()
