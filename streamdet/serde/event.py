"""Verdicts to events: CloudEvents 1.0 in binary mode, the body described by event.schema.json."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import NamedTuple

import msgspec

from streamdet.serde.instant import format_instant
from streamdet.serde.series import remember
from streamdet.types import IncidentState, OutgoingRecord, Partition, SeriesId, Verdict

ANOMALY_TYPE = "io.streamdet.anomaly.v1"
ABSENCE_TYPE = "io.streamdet.absence.v1"  # a series has brought no point for too long
RECOVERY_TYPE = "io.streamdet.recovery.v1"  # the point that ends an incident or an absence
VERDICT_TYPE = "io.streamdet.verdict.v1"  # any other point, under `publish: all`

MARGIN_SCALE = 99


class _Source(msgspec.Struct, omit_defaults=True):
    topic: str
    partition: int
    offset: int
    index: int | None = None


class _Event(msgspec.Struct, rename="camel"):
    id: str
    metric: msgspec.Raw
    dimensions: msgspec.Raw
    timestamp: str
    value: float | None
    expected_value: float | None
    upper_margin: float | None
    lower_margin: float | None
    upper_boundary: float | None
    lower_boundary: float | None
    is_anomaly: bool
    is_positive_anomaly: bool
    is_negative_anomaly: bool
    severity: float
    score: float | None
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
        self._remembered: dict[SeriesId, _SeriesTexts] = {}

    def encode(self, verdict: Verdict, topic: str) -> OutgoingRecord:
        """Return the event of `verdict` for `topic`, keyed by the series."""
        series = self._series(verdict.series)
        if verdict.kind != "point":
            verdict = _of_an_absence(verdict, series.key)
        event = self._event(verdict, series)
        source = f"/streamdet/{verdict.partition.topic}/{verdict.partition.index}"
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", event.id.encode()),
            ("ce_source", source.encode()),
            ("ce_type", _type(verdict, event.is_anomaly).encode()),
            ("ce_time", event.timestamp.encode()),
            ("ce_subject", series.key),
            ("content-type", b"application/json"),
        )
        return OutgoingRecord(topic, series.key, self._json.encode(event), headers)

    def _event(self, verdict: Verdict, series: _SeriesTexts) -> _Event:
        upper, lower = boundaries(
            verdict.expected_value, verdict.upper_margin, verdict.lower_margin
        )
        above, below = verdict.value > upper, verdict.value < lower
        return _Event(
            id=event_id(
                verdict.config_hash,
                series.key,
                verdict.partition,
                verdict.offset,
                verdict.element,
                verdict.kind,
            ),
            metric=series.metric,
            dimensions=series.dimensions,
            timestamp=format_instant(verdict.time_us),
            value=_known(verdict.value),
            expected_value=_known(verdict.expected_value),
            upper_margin=_known(verdict.upper_margin),
            lower_margin=_known(verdict.lower_margin),
            upper_boundary=_known(upper),
            lower_boundary=_known(lower),
            is_anomaly=above or below,
            is_positive_anomaly=above,
            is_negative_anomaly=below,
            severity=_known(verdict.severity) or 0.0,
            score=_known(verdict.score),
            incident=verdict.incident,
            state=verdict.state.name.lower() if verdict.state else None,
            sensitivity=verdict.sensitivity,
            period=verdict.period,
            detector=verdict.detector,
            status=verdict.status,
            source=_Source(
                verdict.partition.topic,
                verdict.partition.index,
                verdict.offset,
                verdict.element if verdict.element >= 0 else None,
            ),
            transform=msgspec.UNSET if verdict.transform == "none" else verdict.transform,
            aggregate=verdict.aggregate or msgspec.UNSET,
        )

    def _series(self, series: SeriesId) -> _SeriesTexts:
        known = self._remembered.get(series)
        if known is None:
            known = _SeriesTexts(
                str(series).encode(),
                msgspec.Raw(self._json.encode(series.metric)),
                msgspec.Raw(self._json.encode(dict(series.dimensions))),
            )
            remember(self._remembered, series, known, len(known.key))
        return known


def event_id(
    config_hash: str,
    series_key: bytes,
    partition: Partition,
    offset: int,
    element: int,
    kind: str = "point",
) -> str:
    """Return the id of the event: the same whenever this input is judged by these settings.

    A reader drops what comes twice by it (`at_least_once`, or a replay).

    Parameters
    ----------
    kind
        As in `Verdict`. A point, the absence that follows it and the return have one position.
    """
    position = f"{partition.topic}\n{partition.index}\n{offset}\n{element}"
    # No part can hold a line feed: the series' text has no control characters, topics neither
    parts = [config_hash.encode(), series_key, position.encode()]
    if kind != "point":
        parts.append(kind.encode())
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:32]


def _of_an_absence(verdict: Verdict, series_key: bytes) -> Verdict:
    """Return what an event says of a series that is absent or has returned: no value, no band."""
    absent = verdict.kind == "absent"
    nan = math.nan
    return replace(
        verdict,
        value=nan,
        expected_value=nan,
        upper_margin=nan,
        lower_margin=nan,
        score=nan,
        severity=1.0 if absent else 0.0,
        is_anomaly=False,
        incident=event_id(
            verdict.config_hash,
            series_key,
            verdict.partition,
            verdict.offset,
            verdict.element,
            "absent",
        ),
        state=IncidentState.ONSET if absent else IncidentState.RECOVERED,
        status="absent" if absent else "ok",
    )


def _type(verdict: Verdict, is_anomaly: bool) -> str:
    if verdict.kind == "absent":
        return ABSENCE_TYPE
    if is_anomaly:
        return ANOMALY_TYPE
    return RECOVERY_TYPE if verdict.state == IncidentState.RECOVERED else VERDICT_TYPE


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None
