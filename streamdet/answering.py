"""Requests of Azure's univariate API on a topic, their answers on another one, each exactly once.

A request's headers come back with its answer, `requestId` among them. What cannot be answered is
answered too: with code and message, and the code in the header `error`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

import msgspec

from streamdet.config import Config
from streamdet.errors import ConfigError, RequestError
from streamdet.transfer import Numbers
from streamdet.types import OutgoingRecord, Record, RecordBatch
from streamdet.univariate.operations import answer

log = logging.getLogger(__name__)

OPERATION = "operation"
"""Header that says what is asked for; without it, `entire`."""
ERROR = "error"
BATCH_RECORDS = 8
"""Requests of one turn. A request may take a second, and a transaction half a minute."""
_OPERATIONS = ("entire", "last", "changepoint")
_HEADERS_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """From where to where."""

    source: str
    target: str

    def group(self, config: Config) -> str:
        """Return the consumer group; it begins with the workers', for a prefixed ACL."""
        return f"{config.kafka.group_id}-answer-{self.source}-{self.target}"


@dataclass(slots=True, kw_only=True)
class Tally(Numbers):
    """What became of requests; those with an error are among the answers written."""

    errors: int = 0


class Answerer:
    """Makes the answers to batches of requests."""

    def __init__(self, plan: Plan, config: Config) -> None:
        self._plan = plan
        self._max_bytes = config.limits.max_record_bytes - _HEADERS_BYTES

    def make(self, batch: RecordBatch) -> tuple[list[OutgoingRecord], Tally]:
        """Return an answer for each request of `batch`, in their order."""
        tally = Tally(records=len(batch.values))
        answers = list(self._answers(batch, tally))
        tally.written = len(answers)
        return answers, tally

    def _answers(self, batch: RecordBatch, tally: Tally) -> Iterator[OutgoingRecord]:
        for index, value in enumerate(batch.values):
            if value is None:
                tally.tombstones += 1
                continue
            record = batch.record(index)
            headers = tuple(each for each in record.headers if each[0] != ERROR)
            try:
                body = self._answered(record, value)
            except RequestError as error:
                tally.errors += 1
                body = msgspec.json.encode({"code": error.code, "message": error.message})
                headers = (*headers, (ERROR, error.code.encode()))
            yield OutgoingRecord(self._plan.target, record.key, body, headers)

    def _answered(self, record: Record, value: bytes) -> bytes:
        name = (dict(record.headers).get(OPERATION) or b"entire").decode(errors="replace")
        if name not in _OPERATIONS:
            raise RequestError(
                "InvalidOperation",
                f"The header {OPERATION} must be one of {', '.join(_OPERATIONS)}.",
            )
        operation = cast(Literal["entire", "last", "changepoint"], name)
        try:
            body = msgspec.json.encode(answer(operation, value))
        except (RequestError, ConfigError):
            raise
        except Exception:
            # the request behind it must not wait for ever
            log.exception("%s:%d: the request failed", record.partition, record.offset)
            raise RequestError("UnexpectedError", "The log has the reason.") from None
        if len(body) > self._max_bytes:
            raise RequestError(
                "AnswerTooLarge",
                f"The answer has {len(body)} bytes; {self._max_bytes} are what "
                "limits.max_record_bytes leaves for one.",
            )
        return body
