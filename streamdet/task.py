"""One input partition: its series, its next offset, and what it did since the last commit.

A task lives from assignment to revocation. It knows nothing of Kafka's clients: batches come
in, verdicts go out. After an abort it is thrown away whole, never repaired.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config, DetectionConfig
from streamdet.detectors import DETECTORS
from streamdet.errors import RecordError
from streamdet.kernels.align import NEVER, align
from streamdet.kernels.rate import rate
from streamdet.metrics import Tally, severity_class
from streamdet.serde.event import event_id
from streamdet.state.store import FULL, MISSING, Store
from streamdet.types import (
    IncidentState,
    Outcome,
    Overrides,
    Partition,
    PartitionStatus,
    Points,
    RecordBatch,
    Reject,
    SeriesId,
    Verdict,
    Verdicts,
)

log = logging.getLogger(__name__)

_SWEEPS_PER_TTL = 16
"""Idle series are looked for this often in the time they may be idle; reading all rows costs."""

_SLOT = 0xFFFFFFFF


class Task:
    """The work on one partition.

    Parameters
    ----------
    partition : Partition
    config : Config
        Limits and detection settings.
    next_offset : int, optional
        The committed offset; None where nothing was committed yet.
    """

    def __init__(
        self, partition: Partition, config: Config, next_offset: int | None = None
    ) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.tally = Tally()
        self.store = Store(config.limits.max_series)
        self._config = config
        self._ttl_us = config.limits.series_ttl_us
        self._newest_us = NEVER
        self._swept_us = NEVER
        self._overridden: dict[int, DetectionConfig] = {}
        self._refused_a_series = False
        self._has_counters = False

    def route(self, points: Points, identify: Callable[[int], SeriesId]) -> NDArray[np.int64]:
        """Return the handle of each point's series, taking in new ones.

        Parameters
        ----------
        points : Points
            `rejects` grows by the points that turn out to be unusable.
        identify : callable
            Index of a record in the batch -> the series of the one point it is, decoded with all
            checks; asked once for each spelling of a series that is new here. Raises RecordError.

        Returns
        -------
        int64[n]
            Handle; MISSING where the point was rejected, FULL where the series has no room.
        """
        handles = self.store.table.find(points.buffer, points.key_start, points.key_size)
        for i in np.flatnonzero(handles == MISSING).tolist():
            start = int(points.key_start[i])
            key = points.buffer[start : start + int(points.key_size[i])].tobytes()
            handle = self.store.table.get(key)
            if handle == MISSING:
                record = int(points.record[i])
                try:
                    raw = points.raw[i]
                    series = identify(record) if raw else SeriesId.parse(key.decode())
                except RecordError as error:
                    points.rejects.append(Reject(record, None, error.reason, error.message))
                    continue
                handle = self._admit(series, key)
            handles[i] = handle
        return handles

    def detect(self, points: Points, handles: NDArray[np.int64]) -> Verdicts:
        """Judge the points in order and learn them.

        Parameters
        ----------
        points : Points
        handles : int64[n]
            As `route` gave them; changed in place where a series moves to a longer ring.
        """
        n = len(points)
        verdicts = unjudged(n, Outcome.DEAD_LETTERED)
        verdicts.outcome[handles == FULL] = Outcome.DROPPED_SERIES_LIMIT
        if n == 0:
            return verdicts
        # Points of series without room move the time too, or idle series would never make any.
        seen_us = np.where(handles != MISSING, points.time_us, NEVER)
        newest_us = np.maximum(np.maximum.accumulate(seen_us), self._newest_us)
        self._newest_us = int(newest_us[-1])
        start = 0
        for stop in sorted(points.overrides):
            settings = self._changed(int(handles[stop]), points.overrides[stop])
            if settings is not None:
                self._detect_span(points, handles, newest_us, slice(start, stop), verdicts)
                self._override(handles, stop, settings)
                start = stop
        self._detect_span(points, handles, newest_us, slice(start, n), verdicts)
        return verdicts

    def select(
        self,
        batch: RecordBatch,
        points: Points,
        handles: NDArray[np.int64],
        verdicts: Verdicts,
    ) -> Iterator[Verdict]:
        """Yield the verdicts that `output.publish` asks for as rows, with all that an event says.

        An incident has the id of its onset's event. It is kept with the series from here on, for
        the points that follow; so every way of publishing has the onsets, and all are taken.
        """
        recovered = verdicts.state == IncidentState.RECOVERED
        published = {
            "anomalies": verdicts.is_anomaly | recovered,
            "onsets": (verdicts.state == IncidentState.ONSET) | recovered,
            "all": (verdicts.outcome == Outcome.OK) & ~np.isnan(verdicts.value),
        }
        for i in np.flatnonzero(published[self._config.output.publish]).tolist():
            name = self.store.name(int(handles[i]))
            state = IncidentState(verdicts.state[i])
            offset, element = int(batch.offsets[points.record[i]]), int(points.element[i])
            warming = bool(np.isnan(verdicts.expected_value[i]))
            pool, slot = self.store.at(int(handles[i]))
            yield Verdict(
                series=SeriesId.parse(name),
                partition=self.partition,
                offset=offset,
                element=element,
                time_us=int(points.time_us[i]),
                value=float(verdicts.value[i]),
                expected_value=float(verdicts.expected_value[i]),
                upper_margin=float(verdicts.upper_margin[i]),
                lower_margin=float(verdicts.lower_margin[i]),
                score=float(verdicts.score[i]),
                severity=float(verdicts.severity[i]),
                is_anomaly=bool(verdicts.is_anomaly[i]),
                incident=self._incident(int(handles[i]), state, name, offset, element),
                state=state,
                sensitivity=int(verdicts.sensitivity[i]),
                period=int(verdicts.period[i]),
                detector=pool.layout.detector,
                status="warming" if warming else "ok",
                config_hash=self._config.detection_hash,
                transform="rate" if pool.rows["transform"][slot] else "none",
            )

    def count(self, batch: RecordBatch, points: Points, verdicts: Verdicts, consumed: int) -> None:
        """Add a finished batch to the tally and advance to the offset after it.

        consumed : points that decoding found, each refused one and each tombstone included.
        """
        tally = self.tally
        tally.records += len(batch.values)
        tally.size_bytes += sum(len(value) for value in batch.values if value is not None)
        tally.points += consumed
        for code, n in enumerate(np.bincount(verdicts.outcome, minlength=len(Outcome)).tolist()):
            tally.outcomes[Outcome(code)] += n
        # A point that `route` refused is among the rejects too, but counted above already.
        refused_later = int((verdicts.outcome == Outcome.DEAD_LETTERED).sum())
        tally.outcomes[Outcome.DEAD_LETTERED] += len(points.rejects) - refused_later
        tally.outcomes[Outcome.TOMBSTONE] += points.tombstones
        for reject in points.rejects:
            tally.dead_letters[reject.reason] += 1
            tally.undecodable[reject.reason] += reject.element is None
        for i in np.flatnonzero(verdicts.is_anomaly).tolist():
            above = verdicts.value[i] > verdicts.expected_value[i]
            direction = "positive" if above else "negative"
            tally.anomalies[direction, severity_class(float(verdicts.severity[i]))] += 1
            tally.incidents[direction] += int(verdicts.state[i]) == IncidentState.ONSET
        self.next_offset = int(batch.offsets[-1]) + 1

    def take_tally(self) -> Tally:
        """Return what was done since the last call, and begin a new tally."""
        tally, self.tally = self.tally, Tally()
        return tally

    def evict(self) -> None:
        """Let go of series that have been idle, in event time, for longer than the limit."""
        if self._ttl_us == 0 or self._newest_us == NEVER:
            return
        if self._newest_us - self._swept_us < self._ttl_us // _SWEEPS_PER_TTL:
            return
        self._swept_us = self._newest_us
        gone = self.store.evict(self._newest_us - self._ttl_us)
        for handle in gone.tolist():
            self._overridden.pop(handle, None)
        self.tally.evicted += len(gone)

    def status(self, end_offset: int | None) -> PartitionStatus:
        """Return what /metrics shows of this partition."""
        return PartitionStatus(
            partition=self.partition,
            next_offset=self.next_offset,
            end_offset=end_offset,
            newest_time_us=None if self._newest_us == NEVER else self._newest_us,
            n_series=self.store.n_series,
            state_bytes=self.store.size_bytes,
        )

    def _incident(
        self, handle: int, state: IncidentState, name: str, offset: int, element: int
    ) -> str | None:
        """Return the id of the incident that a point is of, and keep that of an onset."""
        if state == IncidentState.NONE:
            return None
        pool, slot = self.store.at(handle)
        kept = pool.rows["incident"][slot]
        if state == IncidentState.ONSET:
            made = event_id(
                self._config.detection_hash, name.encode(), self.partition, offset, element
            )
            kept[:] = np.frombuffer(bytes.fromhex(made), np.uint8)
        return str(kept.tobytes().hex())

    def _admit(self, series: SeriesId, key: bytes) -> int:
        text = str(series).encode()
        handle = self.store.table.get(text)
        if handle == MISSING:
            settings = self._config.detection_for(series)
            detector = DETECTORS[settings.detector]
            handle = self.store.admit(series, detector.layout, detector.ring_points(settings))
            if handle == FULL:
                self._warn_full()
                self.store.refuse(key)
                return FULL
            pool, slot = self.store.at(handle)
            detector.configure(pool.rows, slot, settings)
            self._has_counters |= settings.transform == "rate"
        if key != text:
            self.store.table.insert(key, handle)
        return handle

    def _warn_full(self) -> None:
        if not self._refused_a_series:
            self._refused_a_series = True
            log.error(
                "%s holds limits.max_series = %d series: points of further series are dropped "
                "(streamdet_points_total{outcome='dropped_series_limit'}); raise the limit, or "
                "take a dimension with unbounded values out of the points",
                self.partition,
                self._config.limits.max_series,
            )

    def _changed(self, handle: int, overrides: Overrides) -> DetectionConfig | None:
        """Return the settings that `overrides` make for the series; None if it has them already."""
        if handle < 0:
            return None
        current = self._overridden.get(handle)
        if current is None:
            current = self._config.detection_for(SeriesId.parse(self.store.name(handle)))
        given = {name: value for name, value in asdict(overrides).items() if value is not None}
        settings = current.model_copy(update=given)
        return None if settings == current else settings

    def _override(self, handles: NDArray[np.int64], at: int, settings: DetectionConfig) -> None:
        old = int(handles[at])
        detector = DETECTORS[settings.detector]
        new = self.store.resize(old, detector.ring_points(settings))
        if new != old:
            handles[handles == old] = new
            (from_pool, from_slot), (pool, slot) = self.store.at(old), self.store.at(new)
            # What came before in this batch may be of an incident; its event is yet to be made.
            pool.rows["incident"][slot] = from_pool.rows["incident"][from_slot]
            self._overridden.pop(old, None)
        self._overridden[new] = settings
        pool, slot = self.store.at(new)
        detector.configure(pool.rows, slot, settings)

    def _detect_span(
        self,
        points: Points,
        handles: NDArray[np.int64],
        newest_us: NDArray[np.int64],
        span: slice,
        verdicts: Verdicts,
    ) -> None:
        """Align and detect the points of `span`, pool by pool; series of two pools never meet."""
        in_span = handles[span]
        for number, pool in enumerate(self.store.pools):
            index = np.flatnonzero((in_span >> 32) == number) + span.start
            if len(index) == 0:
                continue
            slot = handles[index] & _SLOT
            outcome = np.empty(len(index), np.uint8)
            step = np.empty(len(index), np.int32)
            align(
                pool.rows,
                slot,
                points.time_us[index],
                newest_us[index],
                self._ttl_us,
                outcome,
                step,
            )
            value = points.value[index]
            if self._has_counters:
                rate(pool.rows, slot, points.time_us[index], outcome, step, value)
                verdicts.outcome[index] = outcome
                judged = ~np.isnan(value)
                index, slot, step = index[judged], slot[judged], step[judged]
                value, outcome = value[judged], outcome[judged]
            detector = DETECTORS[pool.layout.detector]
            found = detector.run(pool.rows, pool.ring, slot, step, value, outcome)
            place(found, index, verdicts)


def unjudged(n: int, outcome: int) -> Verdicts:
    """Return the verdicts of n points that were not detected on, all with `outcome`."""
    return Verdicts(
        outcome=np.full(n, outcome, np.uint8),
        value=np.full(n, np.nan),
        expected_value=np.full(n, np.nan),
        upper_margin=np.full(n, np.nan),
        lower_margin=np.full(n, np.nan),
        score=np.full(n, np.nan),
        severity=np.zeros(n),
        is_anomaly=np.zeros(n, np.bool_),
        state=np.zeros(n, np.uint8),
        alert=np.full(n, np.nan),
        sensitivity=np.zeros(n, np.uint8),
        period=np.zeros(n, np.int32),
    )


def place(found: Verdicts, index: NDArray[np.int64], verdicts: Verdicts) -> None:
    """Write `found` to the places `index` of `verdicts`, which is changed in place."""
    for column in fields(Verdicts):
        getattr(verdicts, column.name)[index] = getattr(found, column.name)
