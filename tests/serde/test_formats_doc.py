"""docs/formats.md: its examples work, and its tables are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamdet.config.detection import RING_LENGTH_MAX
from streamdet.serde import DecodeLimits, Decoder, EventEncoder
from streamdet.serde.dead_letter import PREFIX, late_records
from streamdet.serde.request import GRANULARITIES, IMPUTE_MODES, REQUEST_FIELDS
from streamdet.types import Reason, SeriesId
from tests.serde.records import ListBatch, series_of
from tests.serde.verdicts import SCHEMA, absent, body, headers, returned, verdict

TEXT = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
DECODER = Decoder(DecodeLimits())


def block(kind: str) -> str:
    (found,) = re.findall(rf"```json {kind}\n(.*?)```", TEXT, re.S)
    return found


def decode(text: str):
    batch = ListBatch([text.encode()])
    points = DECODER.decode(batch, "ms")
    return points, series_of(DECODER, batch, points)


def test_the_example_of_a_point_is_plain():
    points, series = decode(block("point"))
    assert points.raw.tolist() == [True]
    assert series == [SeriesId("http_requests", (("host", "a"), ("region", "eu")))]


def test_the_example_of_a_batch_has_two_points():
    points, series = decode(block("points"))
    assert points.value.tolist() == [21.5, 21.25]
    assert series == [SeriesId("temperature")] * 2


def test_the_example_of_a_request_has_its_parameters():
    points, series = decode(block("request"))
    assert series == [SeriesId("sales", (("shop", "7"),))] * 2
    assert points.overrides[0].sensitivity == 90
    assert points.overrides[0].granularity == "hourly"


REFUSAL_TABLE = TEXT.partition("### What is refused")[2].partition("## Events")[0]
REFUSALS = re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:`([^|]*)` )?\|$", REFUSAL_TABLE, re.M)


@pytest.mark.parametrize(("reason", "example"), REFUSALS)
def test_the_examples_of_refusals_are_refused_for_that_reason(reason, example):
    if example:
        points, _ = decode(example)
        assert [reject.reason for reject in points.rejects] == [reason]


def test_every_reason_is_told():
    assert [reason for reason, _ in REFUSALS] == list(Reason)


def test_the_example_of_an_event_is_what_is_encoded():
    record = EventEncoder().encode(verdict(), "anomalies")
    assert json.loads(block("event")) == body(record)
    assert list(json.loads(block("event"))) == list(body(record))
    for name, value in headers(record).items():
        assert f"| `{name}` |" in TEXT
        assert name in ("ce_id", "ce_source", "ce_time", "ce_subject") or f"`{value}`" in TEXT


def test_the_example_of_an_absence_is_what_is_encoded():
    record = EventEncoder().encode(absent(), "anomalies")
    assert json.loads(block("absence")) == body(record)
    assert list(json.loads(block("absence"))) == list(body(record))
    for made in (absent(), returned()):
        kind = headers(EventEncoder().encode(made, "anomalies"))["ce_type"]
        assert f"`{kind}`" in TEXT


def test_every_status_and_every_function_of_a_window_is_told():
    for field in ("status", "aggregate"):
        for word in SCHEMA["properties"][field]["enum"]:
            assert f"`{word}`" in TEXT


def test_every_header_of_a_late_record_is_told():
    (record,) = late_records(ListBatch([b"[]"]), [(0, 3)], "late")
    told = TEXT.partition("## Late records")[2]
    for name, _ in record.headers:
        assert f"`{name}`" in told or f"`.{name.removeprefix(PREFIX)}`" in told


def test_the_example_of_a_quoted_key_is_what_is_written():
    assert f"`{SeriesId('petit déjeuner', (('host', 'a'),))}`" in TEXT


def test_every_request_field_and_choice_is_told():
    for word in (*REQUEST_FIELDS, *GRANULARITIES, *IMPUTE_MODES):
        assert f"`{word}`" in TEXT
    assert f"| `period` | 0 to {RING_LENGTH_MAX // 3} |" in TEXT


def test_every_dead_letter_header_is_told():
    source = (Path(__file__).parents[2] / "streamdet" / "serde" / "dead_letter.py").read_text()
    names = re.findall(r'^        "(\w+)": ', source, re.M) + re.findall(
        r'errors\["(\w+)"\]', source
    )
    assert len(names) > 12
    for name in names:
        assert f"`{PREFIX}{name}`" in TEXT or f"`.{name}`" in TEXT
