"""Values that more than one layer speaks of: partitions, records, points, verdicts.

Rules: no behaviour beyond what a value knows of itself; wide data are columns (numpy arrays of
one length), never lists of objects. An offset is the offset of *that* record; `next_offset` is
the next one to read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes | None], ...]

_BARE_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:./-]*")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One input partition: a topic's name and the partition's number in it."""

    topic: str
    index: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it was read, whole: what a dead letter has to carry."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class RecordBatch(Protocol):
    """Records of one partition in offset order, as columns; the whole record only on request."""

    @property
    def partition(self) -> Partition:
        """Where the records lie."""

    @property
    def values(self) -> Sequence[bytes | None]:
        """Their values; None is a tombstone."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Their sizes in bytes, a tombstone's 0; see `streamdet.batch.sizes_of`."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Their offsets, ascending, not always without gaps."""

    @property
    def timestamps_ms(self) -> NDArray[np.int64]:
        """The records' own time (CreateTime or LogAppendTime), ms since 1970; -1 unknown."""

    def record(self, index: int) -> Record:
        """Return record `index` of this batch with its key and headers."""


class OutgoingRecord(NamedTuple):
    """A record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    """None: the time at which it is produced."""
    partition: int | None = None
    """None: the one that its key stands for."""


@dataclass(frozen=True, slots=True)
class SeriesId:
    """Identity of a series: the metric and its dimensions sorted by name, whatever the key was."""

    metric: str
    dimensions: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(metric: str, dimensions: Mapping[str, str]) -> SeriesId:
        """Return the identity of `metric` with `dimensions` in any order."""
        return SeriesId(metric, tuple(sorted(dimensions.items())))

    def __str__(self) -> str:
        """Prometheus' series notation, `name{key="value"}`; names it cannot hold bare are quoted.

        One identity has one text and one text has one identity, so the text serves as the key
        of output records and of the series table.
        """
        bare = _BARE_NAME.fullmatch(self.metric) is not None
        parts = [] if bare else [_quoted(self.metric)]
        parts += [f"{_name(name)}={_quoted(value)}" for name, value in self.dimensions]
        braces = "{" + ",".join(parts) + "}" if parts else ""
        return (self.metric if bare else "") + braces

    @staticmethod
    def parse(text: str) -> SeriesId:
        """Return the identity that `text` (written by `str`) stands for."""
        bare = _BARE_NAME.match(text)
        metric = bare.group() if bare else ""
        at = len(metric)
        dimensions = []
        while at < len(text) and text[at] != "}":
            name, at = _token(text, at + 1)  # skips "{" or ","
            if at < len(text) and text[at] == "=":
                value, at = _token(text, at + 1)
                dimensions.append((name, value))
            else:
                metric = name
        return SeriesId(metric, tuple(dimensions))


_QUOTE = json.JSONEncoder(ensure_ascii=False).encode  # made once: `json.dumps` makes one a call


def _quoted(text: str) -> str:
    return _QUOTE(text)


def _name(text: str) -> str:
    return text if _BARE_NAME.fullmatch(text) else _quoted(text)


def _token(text: str, at: int) -> tuple[str, int]:
    if found := _JSON_STRING.match(text, at):
        return json.loads(found.group()), found.end()
    found = _BARE_NAME.match(text, at)
    if found is None:
        raise ValueError(f"no name at character {at} of series {text!r}")
    return found.group(), found.end()


class Reason(StrEnum):
    """Why a record, or one point of it, became a dead letter. A closed set: it labels a metric."""

    EMPTY = "empty"  # a value of no bytes, or a batch without a point
    TOO_LARGE = "too_large"  # over limits.max_record_bytes
    DECODE = "decode"  # no JSON, no UTF-8, too deep
    SCHEMA = "schema"  # JSON, but of neither form: a field missing, unknown or of a wrong type
    VALUE = "value"  # not a finite number
    TIMESTAMP = "timestamp"  # none, unreadable, or without a zone
    TIMESTAMP_RANGE = "timestamp_range"  # before limits.earliest, or too far past the record's time
    DIMENSIONS = "dimensions"  # a name or dimension over the limits, or with control characters
    TOO_MANY_POINTS = "too_many_points"  # more than 8640 in one record


class Outcome(IntEnum):
    """What became of a point. Every consumed point has exactly one; each labels a metric."""

    OK = 0
    LATE = 1  # older than the series' newest point
    DUPLICATE = 2  # as old as the series' newest point
    DEAD_LETTERED = 3
    DROPPED_SERIES_LIMIT = 4  # a new series beyond limits.max_series
    TOMBSTONE = 5  # a record with a null value
    OFF_GRID = 6  # further from its series' grid than the tolerance


class IncidentState(IntEnum):
    """Where a point stands in an incident of its series; the numbers of `kernels.incident`."""

    NONE = 0
    ONSET = 1  # the anomaly that it begins with
    ONGOING = 2
    RECOVERED = 3  # the point that ends it; no anomaly


@dataclass(frozen=True, slots=True)
class Overrides:
    """Detection parameters that came with a request, for its series from then on. None: unset.

    The names are those of `config.DetectionConfig`.
    """

    sensitivity: int | None = None
    max_anomaly_ratio: float | None = None
    period: int | None = None
    impute_mode: str | None = None
    impute_fixed_value: float | None = None
    granularity: str | None = None
    custom_interval: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """One record, or one point of it, that cannot be used."""

    record: int
    """Index of the record in its batch."""
    element: int | None
    """Index of the point in the record's array; None when the whole record is refused."""
    reason: Reason
    message: str
    """What is wrong and where; never the value itself."""


@dataclass(frozen=True, slots=True)
class StateLayout:
    """What a detector keeps for a series, beside its ring: declared there, allocated by the store.

    The row begins with the fields of `kernels.align.HEADER` and fills whole lines of 64 bytes.
    """

    detector: str
    row: np.dtype[np.void]


@dataclass(slots=True)
class Points:
    """What decoding made of a batch: columns of n points, and what was refused.

    The points stand in record order, so in event order within a series as it was produced.
    """

    record: NDArray[np.int32]
    """Shape (n,): index of the point's record in the batch."""
    element: NDArray[np.int32]
    """Shape (n,): index of the point in its record's array; -1 when the record is one point."""
    time_us: NDArray[np.int64]
    """Shape (n,): event time, microseconds since 1970."""
    value: NDArray[np.float64]
    """Shape (n,): finite."""
    buffer: NDArray[np.uint8]
    """Bytes that hold the keys below."""
    key_start: NDArray[np.int64]
    key_size: NDArray[np.int32]
    """Shape (n,): buffer[key_start:key_start+key_size] tells the point's series. Either the
    identity's own text, or (see `raw`) the metric and dimensions as the producer wrote them."""
    raw: NDArray[np.bool_]
    """Shape (n,): the key is the producer's spelling; equal bytes mean an equal identity, but
    different bytes may mean an equal identity too."""
    offset: NDArray[np.int64]
    """Shape (n,): of the point's record."""
    record_us: NDArray[np.int64]
    """Shape (n,): the record's own time, microseconds since 1970; the smallest int64: unknown."""
    rejects: list[Reject] = field(default_factory=list)
    overrides: dict[int, Overrides] = field(default_factory=dict)
    """Point index -> parameters that hold from this point of its series on."""
    tombstones: int = 0

    def __len__(self) -> int:
        return len(self.record)

    def keys(self) -> list[bytes]:
        """Return the key of each point. Python code a point: not for the hot path."""
        buffer = self.buffer.tobytes()
        spans = zip(self.key_start.tolist(), self.key_size.tolist(), strict=True)
        return [buffer[start : start + size] for start, size in spans]


@dataclass(slots=True)
class Released:
    """n values as `align` released them, each of its series in the order of event time."""

    handle: NDArray[np.int64]
    """Shape (n,): of the series."""
    use: NDArray[np.uint8]
    """Shape (n,): what it is for, see `kernels.header`; values to JUDGE have verdicts."""
    time_us: NDArray[np.int64]
    """Shape (n,): event time; of a window its start."""
    offset: NDArray[np.int64]
    element: NDArray[np.int32]
    """Shape (n,): where the point came from, the last one of a window; -1: it was imputed."""
    incomplete: NDArray[np.bool_]
    """Shape (n,): more than a tenth of the series' newest values are missing."""


@dataclass(slots=True)
class Verdicts:
    """What the detector says of n values: columns of one length.

    `expected_value`, margins and `score` are NaN while a series warms up and for values that were
    not to be judged.
    """

    value: NDArray[np.float64]
    """Shape (n,): what was judged: the point's value, its rate, or the aggregate of a window."""
    expected_value: NDArray[np.float64]
    upper_margin: NDArray[np.float64]
    lower_margin: NDArray[np.float64]
    """Shape (n,): >= 0, in the unit of the series; margins at marginScale 99."""
    score: NDArray[np.float64]
    """Shape (n,): how strange the point is, >= 0, on the scale of its detector."""
    severity: NDArray[np.float64]
    """Shape (n,): how bad the anomaly is, 0 to 1; 0 where the point is none."""
    is_anomaly: NDArray[np.bool_]
    """Shape (n,): value outside [expected - lower margin, expected + upper margin]."""
    state: NDArray[np.uint8]
    """Shape (n,): `IncidentState`; never NONE of an anomaly."""
    alert: NDArray[np.float64]
    """Shape (n,): how much the point looks like the onset of something; NaN as `score` is."""
    sensitivity: NDArray[np.uint8]
    period: NDArray[np.int32]
    """Shape (n,): the settings the point was judged by."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a batch's points, and what was released and judged because of them."""

    outcome: NDArray[np.uint8]
    """Shape (n,): `Outcome` of each point."""
    released: Released
    verdicts: Verdicts
    """Of each released value."""


class Verdict(NamedTuple):
    """One point's verdict with everything an event says: the row form, for the few that leave.

    A named tuple, since a frozen dataclass of so many fields takes ten times as long to make.
    """

    id: str
    """Of the event that says this, see `serde.event.event_id`."""
    series: str
    """The text of the series' identity."""
    partition: Partition
    offset: int
    element: int
    time_us: int
    value: float
    expected_value: float
    upper_margin: float
    lower_margin: float
    score: float
    severity: float
    is_anomaly: bool
    incident: str | None
    """Id of the event of the incident's onset; None outside of an incident."""
    state: IncidentState
    sensitivity: int
    period: int
    detector: str
    status: str
    """`ok`, `warming` while the series has no band yet, or `incomplete` where many are missing."""
    config_hash: str
    """Identifies the detection settings; part of the event's id."""
    transform: str = "none"
    """What `value` is of the point's: itself (`none`), or its `rate`."""
    aggregate: str | None = None
    """Function by which `value` was made of the points of a window; None: it is a point's own."""
    kind: str = "point"
    """`point`, or news of the series itself: it is `absent`, or has `returned`. Of such news only
    series, time, position and settings are said; both have the position of the last point before
    the silence."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """What a worker knows of one assigned partition, as of its last commit."""

    partition: Partition
    next_offset: int | None
    """None where nothing was ever committed or read."""
    end_offset: int | None
    """None until the broker told it."""
    newest_time_us: int | None
    """The watermark; None before the first point."""
    n_series: int
    state_bytes: int
    n_pending: int = 0
    """Points held back until their time has come."""
    n_absent: int = 0
    """Series that count as absent."""
    held: bool = False
    """It waits for the dead-letter topic to take a record again."""
    silent: bool = False
    """No record has come, by the worker's clock, for longer than the shortest `absent_after`."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's state for /readyz and /metrics: one frozen value, replaced at each commit."""

    not_ready: str | None
    """Why the worker is not ready, in words; None when it is."""
    partitions: tuple[PartitionStatus, ...] = ()


JsonObject = dict[str, Any]
