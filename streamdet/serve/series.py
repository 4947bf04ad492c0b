"""Series whose state is on the server: the worker's own task, fed one point a request.

Everything here runs in one thread. A point goes the way of a record in a worker: decoded by the
same decoder, routed, aligned and judged by the same `Task`; the verdict is the event that a worker
with `output.publish: all` would send, of the topic `http`.
"""

from __future__ import annotations

import bisect
import hashlib
import logging
from collections.abc import Callable
from http import HTTPStatus

import msgspec
import numpy as np

from streamdet.clock import Clock
from streamdet.config import Config
from streamdet.errors import RequestError
from streamdet.metrics import Metrics
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.instant import format_instant
from streamdet.serde.limits import DecodeLimits
from streamdet.serve.recent import Recent
from streamdet.serve.state_file import StateFile
from streamdet.state.store import FULL
from streamdet.task import Task
from streamdet.types import (
    JsonObject,
    Outcome,
    Partition,
    PartitionStatus,
    Record,
    SeriesId,
)

log = logging.getLogger(__name__)

PARTITION = Partition("http", 0)
_REFUSED = {
    Outcome.LATE: ("LatePoint", "is older than what its series has judged already"),
    Outcome.DUPLICATE: ("DuplicatePoint", "has the time of another point of its series"),
    Outcome.OFF_GRID: ("OffGridPoint", "is further from the grid of its series than tolerance"),
}
MayRead = Callable[[str], bool] | None
"""Of a metric's name: whether the key that asks is for it. None: it is for all."""


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """A point as it is sent; the decoder reads its parts."""

    value: msgspec.Raw
    timestamp: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dimensions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _NativePoint(msgspec.Struct):
    metric: str
    timestamp: msgspec.Raw | msgspec.UnsetType
    value: msgspec.Raw
    dimensions: msgspec.Raw | msgspec.UnsetType


class _OnePoint:
    """A batch of one record, a `streamdet.types.RecordBatch`."""

    partition = PARTITION

    def __init__(self, value: bytes, offset: int, time_ms: int) -> None:
        self.values = [value]
        self.sizes = np.array([len(value)], np.int64)
        self.offsets = np.array([offset], np.int64)
        self.timestamps_ms = np.array([time_ms], np.int64)

    def record(self, index: int) -> Record:
        """Return the record."""
        offset, time_ms = int(self.offsets[index]), int(self.timestamps_ms[index])
        return Record(PARTITION, offset, time_ms, None, self.values[index])


class KeptSeries:
    """All series, their state and their newest verdicts.

    Parameters
    ----------
    config : Config
    clock : Clock
    metrics : Metrics
        Points and anomalies are counted as a worker counts them.
    file : StateFile, optional
        Where the state comes from, and goes with `save`.
    """

    def __init__(
        self, config: Config, clock: Clock, metrics: Metrics, file: StateFile | None
    ) -> None:
        self._config = judging_all(config)
        self._clock = clock
        self._metrics = metrics
        self._file = file
        self._task = Task(PARTITION, self._config, 0)
        self._decoder = Decoder(DecodeLimits.of(config.limits))
        self._events = EventEncoder()
        self._recent: dict[str, Recent] = {}
        if file is not None:
            file.load_into(self._task)
        self._know_again()

    def status(self) -> PartitionStatus:
        """Return what /metrics shows."""
        offset = self._task.next_offset
        return self._task.status(offset, self._clock.monotonic_s())

    def take(self, metric: str, body: bytes) -> bytes | None:
        """Judge one point; return its event, or None where it has to wait for others.

        Raises
        ------
        RequestError
            It is no point, late, a duplicate, off the grid, or of a series too many.
        """
        offset = self._task.next_offset or 0
        batch = _OnePoint(_native(metric, body), offset, int(self._clock.time_s() * 1000))
        task = self._task
        points = self._decoder.decode(batch, self._config.input.timestamp_unit)
        consumed = len(points) + len(points.rejects) + points.tombstones
        handles = task.route(points, self._decoder.identify)
        n_evicted = task.tally.evicted
        judged = task.detect(points, handles)
        event: bytes | None = None
        for verdict in task.select(judged):
            encoded = self._events.encode(verdict, PARTITION.topic).value
            assert encoded is not None
            if verdict.kind == "point":
                self._ring(verdict.series).add(verdict)
                event = encoded if verdict.offset == offset else event
        task.count(batch, points, judged, consumed)
        task.evict()
        if task.tally.evicted > n_evicted:
            self._know_again()
        self._metrics.record({PARTITION: task.take_tally()})
        if points.rejects:
            raise RequestError("InvalidPoint", f"{points.rejects[0].message}.")
        if int(handles[0]) == FULL:
            raise RequestError(
                "TooManySeries",
                f"This server keeps {self._config.limits.max_series} series (limits.max_series) "
                "and takes no further one.",
                HTTPStatus.CONFLICT,
            )
        self._know(task.store.name(int(handles[0])))
        outcome = Outcome(int(judged.outcome[0]))
        if outcome in _REFUSED:
            code, fault = _REFUSED[outcome]
            raise RequestError(code, f"The point {fault}.", HTTPStatus.CONFLICT)
        return event

    def page(self, may_read: MayRead, skip: int, top: int) -> tuple[list[JsonObject], bool]:
        """Return `top` series after the first `skip`, by name, and whether there are more."""
        wanted = [text for text in self._texts if _may(may_read, text)]
        page = wanted[skip : skip + top]
        return [self._told(text) for text in page], skip + top < len(wanted)

    def verdicts(self, series: str, may_read: MayRead) -> JsonObject:
        """Return the newest verdicts of a series, by the id that the list has for it.

        Raises
        ------
        RequestError
            There is none, or the key is not for it: nobody learns which.
        """
        text = self._ids.get(series)
        if text is None or not _may(may_read, text):
            raise RequestError("SeriesNotExist", "The series does not exist.", HTTPStatus.NOT_FOUND)
        ring = self._recent.get(text)
        return {**self._told(text), "verdicts": ring.rows() if ring else []}

    def save(self) -> None:
        """Write the state to its file, if anything has changed."""
        if self._file is not None and self._task.changed:
            self._file.save(self._task)

    def _ring(self, text: str) -> Recent:
        found = self._recent.get(text)
        if found is None:
            found = self._recent[text] = Recent(self._config.serve.recent_verdicts)
        return found

    def _know(self, text: str) -> None:
        made = series_id(text)
        if made not in self._ids:
            self._ids[made] = text
            bisect.insort(self._texts, text)

    def _know_again(self) -> None:
        """List the series that there are, where some came or went at once."""
        pools = self._task.store.pools
        self._texts = sorted(text for pool in pools for text in pool.names if text is not None)
        self._ids = {series_id(text): text for text in self._texts}
        left = set(self._texts)
        self._recent = {text: ring for text, ring in self._recent.items() if text in left}

    def _told(self, text: str) -> JsonObject:
        series = SeriesId.parse(text)
        ring = self._recent.get(text)
        newest_us = ring.newest_us if ring else None
        return {
            "id": series_id(text),
            "metric": series.metric,
            "dimensions": dict(series.dimensions),
            "lastTimestamp": None if newest_us is None else format_instant(newest_us),
        }


def judging_all(config: Config) -> Config:
    """Return `config` with a verdict for every point; how it is judged stays the same."""
    output = config.output.model_copy(update={"publish": "all"})
    # state is known again by its group, which here is nobody's
    kafka = config.kafka.model_copy(update={"group_id": PARTITION.topic})
    return config.model_copy(update={"output": output, "kafka": kafka})


def _may(may_read: MayRead, text: str) -> bool:
    return may_read is None or may_read(SeriesId.parse(text).metric)


def series_id(text: str) -> str:
    """Return a name of a series that fits a path; a hash, so that it can be told beforehand."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _native(metric: str, body: bytes) -> bytes:
    try:
        sent = msgspec.json.decode(body, type=_Body)
    except msgspec.ValidationError as error:
        raise RequestError("InvalidPoint", f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("InvalidJsonFormat", f"Invalid Json Format, {error}.") from None
    return msgspec.json.encode(_NativePoint(metric, sent.timestamp, sent.value, sent.dimensions))
