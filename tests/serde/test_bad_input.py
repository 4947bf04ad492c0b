"""Every row of the bad-input matrix at the decoder: refused for its reason, alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from streamdet.serde import DecodeLimits, Decoder
from streamdet.types import Reason
from tests.serde.bad_input import CASES, Case
from tests.serde.records import ListBatch, series_of

DECODER = Decoder(DecodeLimits())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_record_has_the_listed_outcome(case: Case):
    batch = ListBatch([case.value], [case.key], case.timestamp_ms)
    points = DECODER.decode(batch, "ms")
    assert [(r.element, r.reason) for r in points.rejects] == list(case.refusals)
    assert len(points) == case.points
    assert points.tombstones == case.tombstone
    assert np.isfinite(points.value).all()
    assert len(series_of(DECODER, batch, points)) == case.points


def test_the_cases_in_one_batch_have_the_outcomes_that_they_have_alone():
    batch = ListBatch(
        [case.value for case in CASES],
        [case.key for case in CASES],
        [case.timestamp_ms for case in CASES],
    )
    points = DECODER.decode(batch, "ms")
    expected = [(i, *refusal) for i, case in enumerate(CASES) for refusal in case.refusals]
    assert [(r.record, r.element, r.reason) for r in points.rejects] == expected
    assert Counter(points.record.tolist()) == Counter(
        {i: case.points for i, case in enumerate(CASES) if case.points}
    )
    assert (np.diff(points.record) >= 0).all()
    assert points.tombstones == 1


def test_every_reason_is_met_by_a_case():
    met = {reason for case in CASES for _, reason in case.refusals}
    assert met == set(Reason)


def test_case_names_are_unique():
    assert max(Counter(case.name for case in CASES).values()) == 1


@pytest.mark.parametrize(
    "secret",
    [
        b'{"metric":"m","timestamp":1,"value":"hunter2"}',
        b'{"metric":"m","timestamp":"hunter2","value":1}',
        b'{"metric":"m\\u0000hunter2","timestamp":1,"value":1}',
        b'{"metric":"m","timestamp":1,"value":1,"dimensions":{"a":"hunter2\\n"}}',
        b'{"metric":"m","timestamp":1,"value":1,"dimensions":"hunter2"}',
        b'{"granularity":"hunter2","series":[{"value":1}]}',
        b"hunter2",
        b'"hunter2"',
    ],
)
def test_a_message_never_tells_a_value(secret: bytes):
    (reject,) = DECODER.decode(ListBatch([secret]), "ms").rejects
    assert "hunter2" not in reject.message


def test_a_message_names_the_unknown_field_and_a_near_one():
    record = b'{"metric":"m","timestmap":1,"value":1}'
    (reject,) = DECODER.decode(ListBatch([record]), "ms").rejects
    assert reject.message == "a point has no field 'timestmap'; did you mean 'timestamp'?"


def test_a_field_name_in_a_message_is_short_and_on_one_line():
    name = b"x\\n" + b"y" * 10_000
    (reject,) = DECODER.decode(ListBatch([b'{"%b":1}' % name]), "ms").rejects
    assert "\n" not in reject.message
    assert len(reject.message) < 200
