"""Events: what they say, that they follow their schema, and that they agree with themselves."""

from __future__ import annotations

import json
import math
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamdet.config import AggregateFunction
from streamdet.serde import EventEncoder, boundaries
from streamdet.types import IncidentState, Partition, SeriesId
from tests.serde.verdicts import (
    NAN,
    ONSET_ID,
    OUTSIDE,
    SCHEMA,
    absent,
    body,
    headers,
    returned,
    verdict,
    warming,
)

ENCODER = EventEncoder()
BAND_AND_VALUE = (
    "value", "expectedValue", "upperMargin", "lowerMargin", "upperBoundary", "lowerBoundary",
    "score",
)  # fmt: skip
FUNCTIONS = get_args(AggregateFunction)


def encode(made):
    return ENCODER.encode(made, "anomalies")


def test_an_anomaly_says_all_of_it():
    record = encode(verdict())
    event = body(record)
    assert event == {
        "id": event["id"],
        "metric": "http_requests",
        "dimensions": {"host": "a", "region": "eu"},
        "timestamp": "2021-03-02T01:00:00.25Z",
        "value": 31.5,
        "expectedValue": 20.25,
        "upperMargin": 4.5,
        "lowerMargin": 5.0,
        "upperBoundary": 24.75,
        "lowerBoundary": 15.25,
        "isAnomaly": True,
        "isPositiveAnomaly": True,
        "isNegativeAnomaly": False,
        "severity": 0.75,
        "score": 9.5,
        "incident": event["id"],
        "state": "onset",
        "sensitivity": 75,
        "period": 288,
        "detector": "forecast",
        "status": "ok",
        "source": {"topic": "metrics", "partition": 3, "offset": 41},
    }
    assert list(event) == SCHEMA["required"]
    assert record.topic == "anomalies"
    assert record.key == b'http_requests{host="a",region="eu"}'
    assert record.timestamp_ms is None


def test_the_headers_are_cloudevents_in_binary_mode():
    record = encode(verdict())
    assert headers(record) == {
        "ce_specversion": "1.0",
        "ce_id": body(record)["id"],
        "ce_source": "/streamdet/metrics/3",
        "ce_type": "io.streamdet.anomaly.v1",
        "ce_time": "2021-03-02T01:00:00.25Z",
        "ce_subject": 'http_requests{host="a",region="eu"}',
        "content-type": "application/json",
    }


def test_a_normal_point_is_of_another_type():
    record = encode(verdict(value=20.0, is_anomaly=False, severity=0.0, **OUTSIDE))
    assert headers(record)["ce_type"] == "io.streamdet.verdict.v1"
    assert body(record)["isAnomaly"] is False


def test_a_point_of_an_incident_carries_its_id_and_a_recovery_is_of_a_type_of_its_own():
    normal = {"value": 20.0, "is_anomaly": False, "severity": 0.0, "offset": 50}
    for state, kind in (("ONGOING", "verdict"), ("RECOVERED", "recovery")):
        record = encode(verdict(state=IncidentState[state], **normal))
        assert headers(record)["ce_type"] == f"io.streamdet.{kind}.v1"
        assert body(record)["incident"] == ONSET_ID != body(record)["id"]
        assert body(record)["state"] == state.lower()
    ongoing = encode(verdict(state=IncidentState.ONGOING))
    assert headers(ongoing)["ce_type"] == "io.streamdet.anomaly.v1"


def test_a_warming_series_has_no_band():
    event = body(encode(warming()))
    unknown = [name for name, value in event.items() if value is None]
    assert unknown == [
        "expectedValue", "upperMargin", "lowerMargin", "upperBoundary", "lowerBoundary", "score",
        "incident", "state",
    ]  # fmt: skip
    assert (event["status"], event["isAnomaly"], event["severity"]) == ("warming", False, 0.0)


def test_a_rate_says_that_it_is_one_and_a_value_says_nothing():
    assert body(encode(verdict(transform="rate")))["transform"] == "rate"
    assert "transform" not in body(encode(verdict()))


def test_an_absence_is_the_onset_of_an_outage_without_any_number():
    record = encode(absent())
    event = body(record)
    assert headers(record)["ce_type"] == "io.streamdet.absence.v1"
    assert event == {
        **body(encode(verdict())),
        "id": event["id"],
        "timestamp": "2021-03-02T01:15:00.25Z",
        **dict.fromkeys(BAND_AND_VALUE),
        "isAnomaly": False,
        "isPositiveAnomaly": False,
        "severity": 1.0,
        "incident": event["id"],
        "state": "onset",
        "status": "absent",
    }


def test_the_return_of_a_series_recovers_from_its_absence():
    gone, record = body(encode(absent())), encode(returned())
    event = body(record)
    assert headers(record)["ce_type"] == "io.streamdet.recovery.v1"
    assert event == {
        **gone,
        "id": event["id"],
        "timestamp": "2021-03-02T02:00:00.25Z",
        "severity": 0.0,
        "state": "recovered",
        "status": "ok",
    }
    assert event["incident"] == gone["id"]


def test_what_is_said_of_an_absence_depends_on_nothing_but_series_settings_and_position():
    """Also not on an incident of its values that is open meanwhile."""
    other = {"value": NAN, "severity": 0.0, "is_anomaly": False, "status": "incomplete", **OUTSIDE}
    for made in (absent, returned):
        assert encode(made()) == encode(made(**other))


def test_a_point_its_absence_and_its_return_have_ids_of_their_own():
    ids = {body(encode(made()))["id"] for made in (verdict, absent, returned)}
    assert len(ids) == 3
    assert ONSET_ID in ids, "the id of a point is what it always was"


def test_a_series_with_holes_is_judged_and_says_that_it_has_some():
    event = body(encode(verdict(status="incomplete")))
    assert (event["status"], event["isAnomaly"]) == ("incomplete", True)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_value_of_a_window_tells_the_function_that_made_it(function):
    assert body(encode(verdict(aggregate=function)))["aggregate"] == function


def test_the_value_of_a_point_names_no_function():
    assert "aggregate" not in body(encode(verdict()))


def test_a_status_or_a_function_that_nobody_knows_is_not_of_the_schema():
    event = body(encode(verdict(aggregate="mean")))
    for changed in ({"status": "gone"}, {"aggregate": "median"}, {"value": "31.5"}):
        assert not Draft202012Validator(SCHEMA).is_valid({**event, **changed})


def test_a_point_of_an_array_tells_its_place():
    assert body(encode(verdict(element=7)))["source"]["index"] == 7


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (10_000_000, "1970-01-01T00:00:10Z"),
        (100_000, "1970-01-01T00:00:00.1Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_timestamps_have_as_many_digits_as_they_need(time_us, text):
    assert body(encode(verdict(time_us=time_us)))["timestamp"] == text


numbers = st.floats(allow_nan=False, allow_infinity=False)
margins = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


@given(
    value=numbers,
    expected_value=numbers,
    upper_margin=margins,
    lower_margin=margins,
    severity=st.floats(0, 1),
    score=margins | st.just(math.inf),
    series=st.builds(SeriesId.of, names, st.dictionaries(names, st.text())),
    period=st.integers(0, 8640),
    sensitivity=st.integers(0, 99),
    time_us=st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    element=st.integers(-1, 8639),
    topic=st.from_regex(r"[a-zA-Z0-9._-]+", fullmatch=True),
)
def test_every_event_follows_the_schema_and_its_band_agrees_with_its_verdict(topic, **fields):
    event = body(encode(verdict(partition=Partition(topic, 0), **fields)))
    upper, lower = event["upperBoundary"], event["lowerBoundary"]
    above = upper is not None and event["value"] > upper
    below = lower is not None and event["value"] < lower
    assert event["isPositiveAnomaly"] is above
    assert event["isNegativeAnomaly"] is below
    assert event["isAnomaly"] is (above or below)
    assert event["value"] == fields["value"]
    assert event["dimensions"] == dict(fields["series"].dimensions)


def test_a_value_on_the_boundary_is_inside():
    upper, lower = boundaries(0.1, 0.2, 0.7)
    for edge, beyond in ((upper, math.inf), (lower, -math.inf)):
        fields = {"expected_value": 0.1, "upper_margin": 0.2, "lower_margin": 0.7}
        assert not body(encode(verdict(value=edge, **fields)))["isAnomaly"]
        assert body(encode(verdict(value=math.nextafter(edge, beyond), **fields)))["isAnomaly"]


def test_the_id_is_the_same_for_the_same_input_and_settings():
    assert encode(verdict()) == EventEncoder().encode(verdict(), "anomalies")
    assert body(encode(verdict()))["id"] == body(encode(verdict(value=-5.0, score=1.0)))["id"]


@pytest.mark.parametrize(
    "changed",
    [
        {"config_hash": "c0ffef"},
        {"series": SeriesId("http_requests", (("host", "b"), ("region", "eu")))},
        {"partition": Partition("metrics", 4)},
        {"partition": Partition("metric", 3)},
        {"offset": 42},
        {"element": 0},
    ],
)
def test_the_id_changes_with_settings_series_and_position(changed):
    assert body(encode(verdict()))["id"] != body(encode(verdict(**changed)))["id"]


@given(
    metric=st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:./-]{0,9}", fullmatch=True) | names,
    dimensions=st.dictionaries(
        names | st.sampled_from(["a", "b:c", "x-y"]), st.text('ab"\\,={}é\n')
    ),
)
def test_a_series_is_told_in_json_as_its_fields_are(metric, dimensions):
    record = encode(verdict(series=SeriesId.of(metric, dimensions)))
    told = msgspec.json.encode({"metric": metric, "dimensions": dict(sorted(dimensions.items()))})
    assert told[1:-1] in (record.value or b"")


def test_the_encoder_remembers_a_bounded_number_of_series():
    encoder = EventEncoder()
    for i in range(10_100):
        encoder.encode(verdict(series=SeriesId(f"m{i}")), "anomalies")
    assert len(encoder._remembered) <= 10_000


def test_the_schema_is_sound_and_closed():
    Draft202012Validator.check_schema(SCHEMA)
    event = body(encode(verdict()))
    event["extra"] = 1
    assert not Draft202012Validator(SCHEMA).is_valid(event)


def test_names_that_need_escapes_are_safe_in_the_body():
    series = SeriesId('a"b\\c', (("\u2028", '</script>"'),))
    record = encode(verdict(series=series))
    assert body(record)["metric"] == 'a"b\\c'
    assert SeriesId.parse((record.key or b"").decode()) == series
    assert json.loads(record.value)["dimensions"] == {"\u2028": '</script>"'}
