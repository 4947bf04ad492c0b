"""Verdicts to events: CloudEvents 1.0 in binary mode, the body described by event.schema.json."""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import msgspec

from streamdet.serde.instant import format_instant
from streamdet.serde.series import remember
from streamdet.types import IncidentState, OutgoingRecord, Partition, SeriesId, Verdict

ANOMALY_TYPE = b"io.streamdet.anomaly.v1"
ABSENCE_TYPE = b"io.streamdet.absence.v1"  # a series has brought no point for too long
RECOVERY_TYPE = b"io.streamdet.recovery.v1"  # the point that ends an incident or an absence
VERDICT_TYPE = b"io.streamdet.verdict.v1"  # any other point, under `publish: all`

_SPEC_VERSION = ("ce_specversion", b"1.0")
_CONTENT_TYPE = ("content-type", b"application/json")

STATES = [None, *(state.name.lower() for state in IncidentState if state)]
"""What an event calls each `IncidentState`."""

MARGIN_SCALE = 99


class _Source(msgspec.Struct, omit_defaults=True):
    topic: str
    partition: int
    offset: int
    index: int | None = None


class _Event(msgspec.Struct, rename="camel"):
    """The body. Numbers that are not finite become null."""

    id: str
    metric: msgspec.Raw
    dimensions: msgspec.Raw
    timestamp: str
    value: float
    expected_value: float
    upper_margin: float
    lower_margin: float
    upper_boundary: float
    lower_boundary: float
    is_anomaly: bool
    is_positive_anomaly: bool
    is_negative_anomaly: bool
    severity: float
    score: float
    incident: str | None
    state: str | None
    sensitivity: int
    period: int
    detector: str
    status: str
    source: _Source
    transform: str | msgspec.UnsetType = msgspec.UNSET
    aggregate: str | msgspec.UnsetType = msgspec.UNSET


class _SeriesTexts(NamedTuple):
    key: bytes
    metric: msgspec.Raw
    dimensions: msgspec.Raw


def boundaries(
    expected_value: float, upper_margin: float, lower_margin: float
) -> tuple[float, float]:
    """Return (upperBoundary, lowerBoundary), by Azure's formula at marginScale 99.

    A point is an anomaly when it is outside them; NaN, while a series warms up, has no outside.
    """
    width = 100 - MARGIN_SCALE
    return expected_value + width * upper_margin, expected_value - width * lower_margin


class EventEncoder:
    """Encodes verdicts; remembers what repeats between the events of a series."""

    def __init__(self) -> None:
        self._json = msgspec.json.Encoder()
        self._remembered: dict[str, _SeriesTexts] = {}
        self._sources: dict[Partition, bytes] = {}

    def encode(self, verdict: Verdict, topic: str) -> OutgoingRecord:
        """Return the event of `verdict` for `topic`, keyed by the series."""
        series = self._remembered.get(verdict.series) or self._series(verdict.series)
        if verdict.kind != "point":
            verdict = _of_an_absence(verdict)
        event = self._event(verdict, series)
        headers = (
            _SPEC_VERSION,
            ("ce_id", verdict.id.encode()),
            ("ce_source", self._sources.get(verdict.partition) or self._source(verdict.partition)),
            ("ce_type", _type(verdict, event.is_anomaly)),
            ("ce_time", event.timestamp.encode()),
            ("ce_subject", series.key),
            _CONTENT_TYPE,
        )
        return OutgoingRecord(topic, series.key, self._json.encode(event), headers)

    def _event(self, verdict: Verdict, series: _SeriesTexts) -> _Event:
        upper, lower = boundaries(
            verdict.expected_value, verdict.upper_margin, verdict.lower_margin
        )
        above, below = verdict.value > upper, verdict.value < lower
        place = verdict.partition
        source = _Source(
            place.topic,
            place.index,
            verdict.offset,
            verdict.element if verdict.element >= 0 else None,
        )
        # In the order of the fields: by name it takes half as long again.
        return _Event(
            verdict.id,
            series.metric,
            series.dimensions,
            format_instant(verdict.time_us),
            verdict.value,
            verdict.expected_value,
            verdict.upper_margin,
            verdict.lower_margin,
            upper,
            lower,
            above or below,
            above,
            below,
            verdict.severity,
            verdict.score,
            verdict.incident,
            STATES[verdict.state],
            verdict.sensitivity,
            verdict.period,
            verdict.detector,
            verdict.status,
            source,
            msgspec.UNSET if verdict.transform == "none" else verdict.transform,
            verdict.aggregate or msgspec.UNSET,
        )

    def _series(self, name: str) -> _SeriesTexts:
        told = _plain(name)
        if told is None:
            series = SeriesId.parse(name)
            told = self._json.encode(series.metric), self._json.encode(dict(series.dimensions))
        known = _SeriesTexts(name.encode(), *map(msgspec.Raw, told))
        remember(self._remembered, name, known, len(known.key))
        return known

    def _source(self, partition: Partition) -> bytes:
        known = f"/streamdet/{partition.topic}/{partition.index}".encode()
        remember(self._sources, partition, known, len(known))
        return known


def _plain(name: str) -> tuple[bytes, bytes] | None:
    """Return metric and dimensions as JSON of a series' text (see `types.SeriesId`).

    None where it takes more than other punctuation: a value with escapes, a name in quotes.
    """
    metric, _, pairs = name.partition("{")
    if not metric or "\\" in name or '"' in metric:
        return None
    texts = pairs.split('"')  # each name with what stands before and behind it, each value
    members = []
    for at in range(0, len(texts) - 1, 2):
        key = texts[at].removeprefix(",")
        if len(key) < 2 or key[-1] != "=":
            return None
        members.append(f'"{key[:-1]}":"{texts[at + 1]}"')
    return f'"{metric}"'.encode(), f"{{{','.join(members)}}}".encode()


def event_id(
    config_hash: str,
    series: str,
    partition: Partition,
    offset: int,
    element: int,
    kind: str = "point",
) -> str:
    """Return the id of the event: the same whenever this input is judged by these settings.

    A reader drops what comes twice by it (`at_least_once`, or a replay).

    Parameters
    ----------
    series
        The text of its identity.
    kind
        As in `Verdict`. A point, the absence that follows it and the return have one position.
    """
    # No part can hold a line feed: the series' text has no control characters, topics neither
    text = f"{config_hash}\n{series}\n{partition.topic}\n{partition.index}\n{offset}\n{element}"
    if kind != "point":
        text += f"\n{kind}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _of_an_absence(verdict: Verdict) -> Verdict:
    """Return what an event says of a series that is absent or has returned: no value, no band."""
    absent = verdict.kind == "absent"
    nan = math.nan
    return verdict._replace(
        value=nan,
        expected_value=nan,
        upper_margin=nan,
        lower_margin=nan,
        score=nan,
        severity=1.0 if absent else 0.0,
        is_anomaly=False,
        incident=event_id(
            verdict.config_hash,
            verdict.series,
            verdict.partition,
            verdict.offset,
            verdict.element,
            "absent",
        ),
        state=IncidentState.ONSET if absent else IncidentState.RECOVERED,
        status="absent" if absent else "ok",
    )


def _type(verdict: Verdict, is_anomaly: bool) -> bytes:
    if verdict.kind == "absent":
        return ABSENCE_TYPE
    if is_anomaly:
        return ANOMALY_TYPE
    return RECOVERY_TYPE if verdict.state == IncidentState.RECOVERED else VERDICT_TYPE
