"""One input partition: its series, its next offset, and what it did since the last commit.

A task lives from assignment to revocation. It knows nothing of Kafka's clients: batches come
in, verdicts go out. After an abort it is thrown away whole, never repaired.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config
from streamdet.detectors import DETECTORS
from streamdet.event_time import EventTime, Past
from streamdet.kernels import release as counted
from streamdet.kernels.align import Arrivals
from streamdet.kernels.incident import ONSET
from streamdet.kernels.release import Columns
from streamdet.lifecycle import State, step
from streamdet.metrics import Tally, severity_class
from streamdet.roster import Roster
from streamdet.selection import Selection
from streamdet.state.ledger import Ledger
from streamdet.state.store import FULL, MISSING, Pool, Store
from streamdet.types import (
    Judged,
    Outcome,
    Partition,
    PartitionStatus,
    Points,
    RecordBatch,
    Released,
    Verdict,
    Verdicts,
)

log = logging.getLogger(__name__)

_SWEEPS_PER_TTL = 16
"""Idle series are looked for this often in the time they may be idle; reading all rows costs."""

_SLOT, _OUTCOMES = 0xFFFFFFFF, tuple(Outcome)
_WHOLE = ("handle", "use", "time_us", "offset", "element", "state")
_TRUTHS = ("is_anomaly", "incomplete")
Times = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""What `EventTime.observe` returns."""


class Task:
    """The work on one partition.

    Parameters
    ----------
    partition : Partition
    config : Config
        Limits and detection settings.
    next_offset : int, optional
        The committed offset; None where nothing was committed yet.
    topic_id : str
        Kafka's id of the input topic, a UUID; empty: unknown.
    """

    def __init__(
        self,
        partition: Partition,
        config: Config,
        next_offset: int | None = None,
        *,
        topic_id: str = "",
    ) -> None:
        self.partition = partition
        self.topic_id = topic_id
        self.next_offset = next_offset
        self.tally = Tally()
        self.state = State.ASSIGNED
        self.dead_letter_from: int | None = None
        """Offset of the first record since the last commit of which a dead letter was sent."""
        self.changed = False
        """Whether the state topic lacks anything that a batch brought."""
        self.store = Store(config.limits.max_series)
        self.event_time = EventTime(config)
        self.ledger = Ledger()
        self.past = Past()
        self.contains_before = 0
        """Records before this offset are contained in all state: it was restored from later on."""
        self.roster = Roster(partition, config, self.store, self.event_time)
        self.selection = Selection(partition, config, self.store, self.roster)
        self.heard_s: float | None = None
        """When records came last, by the clock of `status`; None: nobody has asked yet."""
        self._was_silent = False
        self.config = config
        self._ttl_us = config.limits.series_ttl_us
        self._swept_us = 0

    def enter(self, state: State) -> None:
        """Go on to a state that may follow the present one; raises IllegalStep where it may not."""
        self.state = step(self.partition, self.state, state)

    def route(self, points: Points, identify: Callable[[bytes, bool], str]) -> NDArray[np.int64]:
        """Return the handle of each point's series, taking in new ones; see `Roster.route`."""
        return self.roster.route(points, identify)

    def detect(self, points: Points, handles: NDArray[np.int64]) -> Judged:
        """Align the points, in order; judge and learn what is released.

        Parameters
        ----------
        points : Points
        handles : int64[n]
            As `route` gave them; changed in place where a series moves to a longer ring.
        """
        outcome = np.zeros(len(points), np.uint8)  # OK, also what restored state contains
        known = np.arange(len(points))
        if len(known) and (handles.min() < 0 or points.offset[0] < self.contains_before):
            outcome[handles == MISSING] = Outcome.DEAD_LETTERED
            outcome[handles == FULL] = Outcome.DROPPED_SERIES_LIMIT
            # Points of series without room move the time too, or idle ones would never make any.
            known = np.flatnonzero((handles != MISSING) & (points.offset >= self.contains_before))
        if len(known):
            self.past.remember(int(points.offset[known[0]]), self.event_time.position())
        observed = (_at(column, known) for column in (points.time_us, points.record_us))
        times = self.event_time.observe(*observed)
        known, times = self._fresh(points, handles, known, times)
        columns = handles, points.time_us, points.value, points.offset, points.element
        arrivals = Arrivals._make([*(_at(column, known) for column in columns), *times])
        parts: list[tuple[Released, Verdicts]] = []
        start = 0
        for at, overridden in self._stops(points, known, arrivals.watermark_us):
            parts += self._detect_span(arrivals, known, start, at, outcome)
            start = at
            if overridden is None:
                parts += self.sweep(int(arrivals.watermark_us[at - 1]), arrivals.before[:, at])
                continue
            settings = self.roster.changed(int(handles[overridden]), points.overrides[overridden])
            if settings is not None:
                old = int(handles[overridden])
                pool, slot = self.store.at(old)
                self.ledger.mark(old >> 32, pool, np.array([slot]), self.past.newest)
                new = self.roster.override(old, settings)
                for column in (handles, arrivals.slot, *(released.handle for released, _ in parts)):
                    column[column == old] = new
        parts += self._detect_span(arrivals, known, start, len(known), outcome)
        if self.event_time.sweep_is_due():
            parts += self.sweep()
        return Judged(outcome, *joined(parts))

    def _fresh(
        self,
        points: Points,
        handles: NDArray[np.int64],
        known: NDArray[np.int64],
        times: Times,
    ) -> tuple[NDArray[np.int64], Times]:
        """Leave out the points that the state of their series, restored, contains already."""
        if len(known) == 0 or int(points.offset[known[0]]) >= self.ledger.restored_to:
            return known, times
        contained = np.full(len(known), -1, np.int64)
        for number, pool in enumerate(self.store.pools):
            here = np.flatnonzero(handles[known] >> 32 == number)
            contained[here] = self.ledger.contains(number, pool, handles[known[here]] & _SLOT)
        fresh = points.offset[known] >= contained
        before, after, later = times
        return known[fresh], (before[fresh], after[:, fresh], later[:, fresh])

    def _stops(
        self, points: Points, known: NDArray[np.int64], watermark_us: NDArray[np.int64]
    ) -> list[tuple[int, int | None]]:
        """Return the arrivals before which something happens to the series beside them, in order.

        Either the parameters that came with a point (its index) begin to hold, or (None) the
        partition's time moved back: then all that was due until there goes, or whether it had
        gone would depend on where the batch ended.
        """
        if not points.overrides and not self.event_time.sweeps:
            return []
        overridden = np.intersect1d(np.array(sorted(points.overrides), np.int64), known)
        changes = np.searchsorted(known, overridden)
        stops: list[tuple[int, int | None]] = []
        if self.event_time.sweeps:
            stops += [(at + 1, None) for at in np.flatnonzero(np.diff(watermark_us) < 0).tolist()]
        stops += zip(changes.tolist(), overridden.tolist(), strict=True)
        return sorted(stops, key=lambda stop: stop[0])

    def sweep(
        self, watermark_us: int | None = None, spoke: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[Released, Verdicts]]:
        """Release and judge what is due of series that are silent.

        watermark_us, spoke : the partition's time and speaking times; None: now
        """
        now_us = self.event_time.watermark_us if watermark_us is None else watermark_us
        if now_us is None:
            return
        spoke = self.event_time.spoke if spoke is None else spoke
        for number, pool in enumerate(self.store.pools):
            yield from self._judge(number, self._swept(number, pool, now_us, spoke))

    def _swept(
        self, number: int, pool: Pool, now_us: int, spoke: NDArray[np.int64]
    ) -> Iterator[Columns]:
        for released in self.event_time.sweep(pool, now_us, spoke):
            self.ledger.mark(number, pool, released.slot, self.past.newest)
            yield released

    def _detect_span(
        self,
        arrivals: Arrivals,
        known: NDArray[np.int64],
        start: int,
        stop: int,
        outcome: NDArray[np.uint8],
    ) -> Iterator[tuple[Released, Verdicts]]:
        """Align and judge arrivals `start` to `stop`, for rolled up series as well.

        known : int64[m]      index of each arrival among the points
        outcome : uint8[n]    of the points; changed in place
        """
        handles = arrivals.slot[start:stop]
        found = outcome[known[start:stop]]
        yield from self._align(arrivals, handles, start, found)
        outcome[known[start:stop]] = found
        if self.roster.rolls_up:
            # What a series has no use for, nor has another.
            into = np.where(found == Outcome.OK, self.roster.rollups(handles), MISSING)
            yield from self._align(arrivals, into, start, found)

    def _align(
        self,
        arrivals: Arrivals,
        handles: NDArray[np.int64],
        start: int,
        outcome: NDArray[np.uint8],
    ) -> Iterator[tuple[Released, Verdicts]]:
        """Align and judge n arrivals from `start` on for the series of `handles`, pool by pool.

        Series of two pools never meet. `outcome`, uint8[n], is changed in place.
        """
        for number, pool in enumerate(self.store.pools):
            index = (handles >> 32 == number).nonzero()[0]
            if len(index) == 0:
                continue
            columns = [_at(column[..., start : start + len(handles)], index) for column in arrivals]
            its = Arrivals._make([_at(handles, index) & _SLOT, *columns[1:]])
            self.ledger.mark(number, pool, its.slot, self.past.newest)
            its_outcome = np.empty(len(index), np.uint8)
            yield from self._judge(number, self.event_time.align(pool, its, its_outcome))
            outcome[index] = its_outcome

    def _judge(
        self, number: int, released: Iterable[Columns]
    ) -> Iterator[tuple[Released, Verdicts]]:
        """Judge and learn what is released of one pool."""
        pool = self.store.pools[number]
        detector = DETECTORS[pool.layout.detector]
        for some in released:
            if len(some.slot) == 0:
                continue
            verdicts = detector.run(
                pool.rows, pool.ring, some.slot, some.step, some.value, some.use
            )
            yield (
                Released(
                    handle=some.slot | (number << 32),
                    use=some.use,
                    time_us=some.time_us,
                    offset=some.offset,
                    element=some.element,
                    incomplete=some.incomplete,
                ),
                verdicts,
            )

    def late(
        self, points: Points, handles: NDArray[np.int64], judged: Judged
    ) -> list[tuple[int, int | None]]:
        """Return record and element of each late point that a rule wants in the late topic."""
        return self.selection.late(points, handles, judged)

    def select(self, judged: Judged) -> Iterator[Verdict]:
        """Yield the verdicts that are to be published; see `Selection.select`."""
        return self.selection.select(judged)

    def note_dead_letters(self, batch: RecordBatch, points: Points) -> None:
        """Remember the first record of a batch that a dead letter is about to be sent of."""
        if points.rejects and self.dead_letter_from is None:
            first = min(reject.record for reject in points.rejects)
            self.dead_letter_from = int(batch.offsets[first])

    def end_replay(self) -> None:
        """Do what was done, and told, of silent series before the input was read again."""
        event_time = self.event_time
        event_time.replays = False
        if event_time.swept is not None:
            parts = self.sweep(event_time.swept.time_us, event_time.spoke_at(event_time.swept))
            self.selection.keep_onsets(Judged(np.empty(0, np.uint8), *joined(list(parts))))

    def count(self, batch: RecordBatch, points: Points, judged: Judged, consumed: int) -> None:
        """Add a finished batch to the tally and advance to the offset after it.

        consumed : points that decoding found, each refused one and each tombstone included.
        """
        tally, verdicts = self.tally, judged.verdicts
        tally.records += len(batch.values)
        tally.size_bytes += int(batch.sizes.sum())
        tally.points += consumed
        of_outcome = np.bincount(judged.outcome, minlength=len(_OUTCOMES)).tolist()
        for outcome, n in zip(_OUTCOMES, of_outcome, strict=True):
            tally.outcomes[outcome] += n
        # A point that `route` refused is among the rejects too, but counted above already.
        refused_later = of_outcome[Outcome.DEAD_LETTERED]
        tally.outcomes[Outcome.DEAD_LETTERED] += len(points.rejects) - refused_later
        tally.outcomes[Outcome.TOMBSTONE] += points.tombstones
        for reject in points.rejects:
            tally.dead_letters[reject.reason] += 1
            tally.undecodable[reject.reason] += reject.element is None
        for i in verdicts.is_anomaly.nonzero()[0].tolist():
            above = verdicts.value[i] > verdicts.expected_value[i]
            direction = "positive" if above else "negative"
            tally.anomalies[direction, severity_class(float(verdicts.severity[i]))] += 1
            tally.incidents[direction] += int(verdicts.state[i]) == ONSET
        self._count_event_time()
        self.next_offset = int(batch.offsets[-1]) + 1
        self.changed = True

    def _count_event_time(self) -> None:
        tally, counts = self.tally, self.event_time.take_counts()
        tally.future += self.event_time.take_ahead()
        tally.released_early += int(counts[counted.RELEASED_EARLY])
        tally.imputed += int(counts[counted.IMPUTED])
        tally.absences += int(counts[counted.ABSENCES])
        tally.returns += int(counts[counted.RETURNS])
        tally.grid_changes += int(counts[counted.GRID_CHANGES])

    def take_tally(self) -> Tally:
        """Return what was done since the last call, and begin a new tally."""
        tally, self.tally = self.tally, Tally()
        return tally

    def evict(self) -> None:
        """Let go of series that have been idle, in event time, for longer than the limit."""
        lived_us = int(self.event_time.spoke[0])
        if self._ttl_us == 0 or lived_us - self._swept_us < self._ttl_us // _SWEEPS_PER_TTL:
            return
        self._swept_us = lived_us
        gone = self.roster.evict()
        self.tally.evicted += len(gone)
        for number, pool in enumerate(self.store.pools):
            its = gone[gone >> 32 == number] & _SLOT
            self.ledger.mark(number, pool, its, self.next_offset or 0)

    def status(self, end_offset: int | None, now_s: float) -> PartitionStatus:
        """Return what /metrics shows of this partition."""
        if self.heard_s is None:
            self.heard_s = now_s
        silent_after_s = self.event_time.absent_after_s
        silent = silent_after_s is not None and now_s - self.heard_s > silent_after_s
        if silent and not self._was_silent:
            log.warning(
                "%s is silent as a whole: none of its series counts as absent", self.partition
            )
        self._was_silent = silent
        # Looked for only where there may be any: it reads every row.
        headers = [pool.header for pool in self.store.pools if self.event_time.sweeps]
        return PartitionStatus(
            partition=self.partition,
            next_offset=self.next_offset,
            end_offset=end_offset,
            newest_time_us=self.event_time.watermark_us,
            n_series=self.store.n_series,
            state_bytes=self.store.size_bytes + self.event_time.size_bytes,
            n_pending=sum(int(header["n_pending"].sum()) for header in headers),
            n_absent=sum(int(header["absent"].sum()) for header in headers),
            silent=silent,
        )


def joined(parts: Sequence[tuple[Released, Verdicts]]) -> tuple[Released, Verdicts]:
    """Return the columns of all parts, one behind the other."""
    if len(parts) == 1:  # most often
        return parts[0]
    released = Released(**_columns(Released, [some for some, _ in parts]))
    return released, Verdicts(**_columns(Verdicts, [some for _, some in parts]))


def _columns(kind: type[Released | Verdicts], parts: Sequence[Any]) -> dict[str, NDArray[Any]]:
    names = [column.name for column in fields(kind)]
    if not parts:
        types = dict.fromkeys(_WHOLE, np.int64) | dict.fromkeys(_TRUTHS, np.bool_)
        return {name: np.empty(0, types.get(name, np.float64)) for name in names}
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


def _at(column: NDArray[Any], index: NDArray[np.int64]) -> NDArray[Any]:
    """Return `column` at the places of `index`, which ascend; itself, not copied, for all."""
    return column if len(index) == column.shape[-1] else column[..., index]
