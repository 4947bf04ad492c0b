"""What becomes of a request on a topic."""

import json

import numpy as np
import pytest

from streamdet import answering
from streamdet.answering import Answerer, Plan, Tally
from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.transfer import check_topics
from streamdet.types import Partition, Record
from tests.serve.samples import as_json, daily

GOOD = json.dumps(as_json(daily(), sensitivity=85)).encode()
PLAN = Plan("requests", "answers")


class Batch:
    """Requests of one partition, a `streamdet.types.RecordBatch`."""

    partition = Partition("requests", 0)

    def __init__(self, *records):
        self._records = records
        self.values = [value for value, _ in records]
        self.offsets = np.arange(len(records))
        self.timestamps_ms = np.zeros(len(records), np.int64)

    def record(self, index):
        value, headers = self._records[index]
        return Record(self.partition, index, 0, b"key", value, headers)


def answered(*records, **limits):
    return Answerer(PLAN, Config.model_validate({"limits": limits})).make(Batch(*records))


def test_a_request_without_an_operation_is_of_the_entire_series():
    (answer,), tally = answered((GOOD, (("requestId", b"7"), ("error", b"old"))))
    assert (answer.topic, answer.key) == ("answers", b"key")
    assert answer.headers == (("requestId", b"7"),)
    assert json.loads(answer.value)["isAnomaly"][41]
    assert tally == Tally(records=1, written=1)


@pytest.mark.parametrize(
    ("operation", "field"),
    [(b"entire", "isAnomaly"), (b"last", "suggestedWindow"), (b"changepoint", "isChangePoint")],
)
def test_the_header_says_what_is_asked_for(operation, field):
    (answer,), _ = answered((GOOD, (("operation", operation),)))
    assert field in json.loads(answer.value)


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (b"", (), "InvalidJsonFormat"),
        (b"[" * 100_000, (), "InvalidJsonFormat"),
        (b'{"granularity":"daily"}', (), "RequiredSeries"),
        (GOOD, (("operation", b"\xff"),), "InvalidOperation"),
    ],
)
def test_what_cannot_be_answered_is_answered_with_its_code(value, headers, code):
    (answer, good), tally = answered((value, headers), (GOOD, ()))
    assert dict(answer.headers)["error"] == code.encode()
    assert json.loads(answer.value)["code"] == code
    assert "error" not in dict(good.headers)
    assert (tally.written, tally.errors) == (2, 1)


def test_an_error_of_our_own_does_not_stop_the_requests_behind_it(monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(answering, "answer", fail)
    answers, _ = answered((GOOD, ()), (GOOD, ()))
    assert [dict(each.headers)["error"] for each in answers] == [b"UnexpectedError"] * 2
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_that_no_record_can_hold_is_an_error():
    large = json.dumps(as_json(daily(1000))).encode()
    (answer,), _ = answered((large, ()), max_record_bytes=64 * 1024 + 1000)
    assert json.loads(answer.value)["code"] == "AnswerTooLarge"


def test_a_tombstone_has_no_answer():
    answers, tally = answered((None, ()))
    assert answers == []
    assert tally.tombstones == 1


@pytest.mark.parametrize("plan", [Plan("a", "a"), Plan("^a", "b")])
def test_a_plan_that_would_read_its_own_answers_is_refused(plan):
    with pytest.raises(ConfigError):
        check_topics(plan.source, plan.target)
