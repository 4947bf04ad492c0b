"""The request decoder: fields, limits, and the error that Azure has for each."""

import json
from contextlib import suppress
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamdet.errors import RequestError
from streamdet.univariate.grid import slots_of
from streamdet.univariate.operations import answer
from streamdet.univariate.request import POINTS_MAX, read_request
from tests.univariate.requests import body, request, weekly_season

VALUES = weekly_season(28)


def refused(fields, operation="entire", version="v1.1"):
    given_body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    with pytest.raises(RequestError) as caught:
        answer(operation, given_body, version)
    return caught.value


def with_point(index, **change):
    fields = request(VALUES)
    fields["series"][index].update(change)
    return fields


def without(name):
    fields = request(VALUES)
    del fields[name]
    return fields


@pytest.mark.parametrize("broken", [b"", b"  ", b"{", b"[]", b"NaN", b"\xff", b'{"series": NaN}'])
def test_what_is_no_json_object_is_an_invalid_format(broken):
    assert refused(broken).code == "InvalidJsonFormat"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (without("series"), "RequiredSeries", "'series'"),
        (request(VALUES, series=None), "RequiredSeries", "'series'"),
        ({**request(VALUES), "granularity": 7}, "InvalidGranularity", "monthly"),
        ({**request(VALUES), "granularity": "dayly"}, "InvalidGranularity", "monthly"),
        ({**request(VALUES), "customInterval": 0}, "InvalidCustomInterval", "> 0"),
        ({**request(VALUES), "customInterval": 1.5}, "InvalidCustomInterval", "> 0"),
        (request(VALUES, period=-1), "InvalidPeriod", ">= 0"),
        (request(VALUES, period="7"), "InvalidPeriod", ">= 0"),
        (request(VALUES, period=14), "InvalidModelArgument", "2 periods"),
        (request(VALUES, sensitivity=101), "InvalidModelArgument", "between 0 and 99"),
        (request(VALUES, sensitivity=95.5), "InvalidModelArgument", "between 0 and 99"),
        (request(VALUES, maxAnomalyRatio=0), "InvalidModelArgument", "50%"),
        (request(VALUES, maxAnomalyRatio=0.5), "InvalidModelArgument", "50%"),
        (request(VALUES, boundaryVersion="V9"), "InvalidModelArgument", "V1"),
        (request(VALUES, imputeMode="spline"), "InvalidImputeMode", "notFill"),
        (request(VALUES, imputeMode="fixed"), "InvalidImputeFixedValue", "number"),
        (
            request(VALUES, imputeMode="fixed", imputeFixedValue="x"),
            "InvalidImputeFixedValue",
            "number",
        ),
        (request(VALUES[:11]), "InvalidSeries", "at least 12"),
        (request(np.ones(POINTS_MAX + 1), "secondly"), "InvalidSeries", "more than 8640"),
        (with_point(3, value=-1e101), "InvalidSeries", "index 3"),
        (with_point(3, timestamp="2026-01-09T00:00:00Z"), "InvalidSeries", "ascending"),
        (with_point(3, timestamp="2026-01-03T00:00:00Z"), "InvalidSeries", "duplicated"),
        (with_point(3, timestamp="2026-01-04T00:00:01Z"), "InvalidSeries", "index 3"),
        (with_point(3, value=None), "BadArgument", "malformed"),
        (with_point(3, timestamp="the 4th"), "BadArgument", "index 3"),
        (with_point(3, timestamp=None), "BadArgument", "index 3"),
        (request(VALUES, series={}), "BadArgument", "malformed"),
        (
            request(np.ones(60), leave_out=range(1, 40), period=7),
            "InvalidSeries",
            "at least 30 points, but got 21",
        ),
        (
            request(
                weekly_season(20), leave_out=(1, 2, 3, 5, 8, 11), period=9, imputeMode="notFill"
            ),
            "InvalidModelArgument",
            "2 periods",
        ),
    ],
)
def test_a_field_that_is_wrong_has_the_code_of_azure(fields, code, words):
    error = refused(fields)
    assert error.code == code
    assert words in error.message


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (without("granularity"), "RequiredGranularity", "'granularity'"),
        (request(VALUES, stableTrendWindow=2), "InvalidModelArgument", "'stableTrendWindow'"),
        (request(VALUES, stableTrendWindow=14), "InvalidModelArgument", "'stableTrendWindow'"),
        (request(VALUES, threshold=1), "InvalidModelArgument", "'threshold'"),
    ],
)
def test_a_field_of_change_points_that_is_wrong_has_the_code_of_azure(fields, code, words):
    error = refused(fields, "changepoint")
    assert error.code == code
    assert words in error.message


def test_defaults_are_those_of_azure():
    found = read_request("entire", body(VALUES))
    assert (found.max_anomaly_ratio, found.sensitivity, found.period) == (0.25, 99, None)
    assert (found.impute_mode, found.boundary_version, found.custom_interval) == ("auto", "V2", 1)
    assert (found.stable_trend_window, found.threshold) == (5, 0.9)
    assert read_request("changepoint", body(VALUES, "hourly")).threshold == 0.91


def test_null_is_as_if_the_field_were_absent_and_unknown_fields_are_ignored():
    found = read_request("entire", body(VALUES, sensitivity=None, needDetectorId=True))
    assert found.sensitivity == 99


def test_v1_0_knows_no_imputation():
    holes = body(VALUES, leave_out=(5, 6), imputeMode="no such mode")
    assert read_request("entire", holes, "v1.0").impute_mode == "auto"
    assert refused(holes).code == "InvalidImputeMode"


def test_without_granularity_points_need_no_timestamps():
    series = [{"value": float(value)} for value in VALUES]
    found = read_request("entire", json.dumps({"series": series}).encode())
    assert found.slots.tolist() == list(range(28))


@pytest.mark.parametrize(
    "stamps",
    [
        ("2021-12-31 23:59:58", "2021-12-31 23:59:59"),
        ("2022-01-01T00:59:58+01:00", "2021-12-31T23:59:59Z"),
        ("2021-12-31T23:59:58.0000000Z", "2021-12-31T23:59:59.000Z"),
        ("12/31/2021 11:59:58 PM ", "12/31/2021 11:59:59 PM"),
    ],
)
def test_timestamps_may_be_written_in_these_ways(stamps):
    from streamdet.univariate.timestamps import parse_timestamps

    assert np.diff(parse_timestamps(stamps)).tolist() == [1_000_000]


_PLAIN = "2024-02-28T23:59:59Z"


@given(st.tuples(*[st.integers(0, most) for most in (9999, 13, 32, 24, 60, 60)]))
def test_timestamps_that_are_all_plain_are_what_each_is_alone(parts):
    from streamdet.univariate.timestamps import parse_timestamps

    stamp = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*parts)
    try:
        expected = datetime.fromisoformat(stamp)
    except ValueError:
        with pytest.raises(RequestError, match="index 1 "):
            parse_timestamps([_PLAIN, stamp])
        return
    found = parse_timestamps([_PLAIN, stamp])
    assert np.diff(found) == (expected - datetime.fromisoformat(_PLAIN)) // timedelta(
        microseconds=1
    )


@pytest.mark.parametrize("at", range(len(_PLAIN)))
@pytest.mark.parametrize("sign", ["x", "+", " ", "/", ":", "\0", "é", ""])
def test_a_timestamp_with_a_wrong_sign_is_told_by_its_index(at, sign):
    from streamdet.univariate.timestamps import parse_timestamps

    stamp = _PLAIN[:at] + sign + _PLAIN[at + 1 :]
    try:
        datetime.fromisoformat(stamp)
    except ValueError:
        with pytest.raises(RequestError, match="index 2 "):
            parse_timestamps([_PLAIN, _PLAIN, stamp])


def microseconds(*dates):
    return np.array(dates, "datetime64[us]").astype(np.int64)


def test_months_go_by_the_calendar():
    times = microseconds("2023-11-15", "2023-12-15", "2024-02-15", "2025-02-15")
    assert slots_of(times, "monthly", 1).tolist() == [0, 1, 3, 15]
    ends = microseconds("2024-01-31", "2024-02-29", "2024-04-30", "2024-05-31")
    assert slots_of(ends, "monthly", 1).tolist() == [0, 1, 3, 4]
    late = microseconds("2024-01-30", "2024-02-29", "2024-03-30")
    assert slots_of(late, "monthly", 1).tolist() == [0, 1, 2]
    years = microseconds("2020-02-29", "2021-02-28", "2024-02-29")
    assert slots_of(years, "yearly", 1).tolist() == [0, 1, 4]


@pytest.mark.parametrize("second", ["2024-02-14", "2024-02-15T01", "2024-01-16"])
def test_what_is_no_whole_month_later_is_off_the_grid(second):
    with pytest.raises(RequestError, match="index 1"):
        slots_of(microseconds("2024-01-15", second), "monthly", 1)


def test_a_day_is_24_hours_also_where_clocks_change():
    times = microseconds("2026-03-28T12", "2026-03-29T12", "2026-03-30T12")
    assert slots_of(times, "daily", 1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("granularity", "interval", "unit_us"),
    [("minutely", 5, 300_000_000), ("microsecond", 1, 1000), ("weekly", 2, 1_209_600_000_000)],
)
def test_a_slot_is_the_interval_times_the_granularity(granularity, interval, unit_us):
    times = np.array([0, 1, 4]) * unit_us + 17
    assert slots_of(times, granularity, interval).tolist() == [0, 1, 4]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "series", "granularity", "customInterval", "period", "maxAnomalyRatio", "sensitivity",
        "imputeMode", "imputeFixedValue", "boundaryVersion", "stableTrendWindow", "threshold",
    ]
)  # fmt: skip
stamps = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(datetime.isoformat)
some_points = st.lists(
    st.fixed_dictionaries(
        {"timestamp": stamps | st.text(max_size=5), "value": st.floats(allow_nan=False)}
    ),
    min_size=12,
    max_size=14,
)


@given(st.binary(max_size=200), st.sampled_from(["entire", "last", "changepoint"]))
def test_no_bytes_end_in_anything_but_a_request_error(given_body, operation):
    with pytest.raises(RequestError):
        read_request(operation, given_body)


@given(st.dictionaries(names, json_values, max_size=5), some_points | st.none())
def test_no_json_ends_in_anything_but_a_request_error(fields, series):
    if series is not None:
        series.sort(key=lambda point: point["timestamp"])
        fields = {**fields, "series": series}
    with suppress(RequestError):
        read_request("entire", json.dumps(fields).encode())
