"""Which verdicts of a partition are published, with all that an event says of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config
from streamdet.kernels.header import ABSENT, JUDGE, RETURNED
from streamdet.kernels.incident import NONE, ONSET, RECOVERED
from streamdet.roster import Roster
from streamdet.serde.event import event_id
from streamdet.state.store import Pool, Store
from streamdet.types import (
    IncidentState,
    Judged,
    Outcome,
    Partition,
    Points,
    Released,
    Verdict,
    Verdicts,
)

_KINDS = {JUDGE: "point", ABSENT: "absent", RETURNED: "returned"}
_STATES = tuple(IncidentState)


class Selection:
    """Chooses among the verdicts of one partition.

    Parameters
    ----------
    partition : Partition
    config : Config
    store : Store
        The incident of a series is kept in its row, which changes.
    roster : Roster
    """

    def __init__(self, partition: Partition, config: Config, store: Store, roster: Roster) -> None:
        self._partition = partition
        self._config = config
        self._store = store
        self._roster = roster

    def late(
        self, points: Points, handles: NDArray[np.int64], judged: Judged
    ) -> list[tuple[int, int | None]]:
        """Return record and element of each late point that a rule wants in the late topic."""
        if not self._roster.sends_late:
            return []
        late = np.flatnonzero(judged.outcome == Outcome.LATE)
        return [
            (int(points.record[i]), None if points.element[i] < 0 else int(points.element[i]))
            for i in late.tolist()
            if self._roster.settings(int(handles[i])).late == "topic"
        ]

    def select(self, judged: Judged) -> Iterator[Verdict]:
        """Yield the verdicts that `output.publish` asks for as rows, with all that an event says.

        An incident has the id of its onset's event. It is kept with the series from here on, for
        the points that follow; so every way of publishing has the onsets, and all are taken.
        """
        released, verdicts = judged.released, judged.verdicts
        publish = self._config.output.publish
        if publish == "all":
            published = released.use == JUDGE
        else:
            told = verdicts.is_anomaly if publish == "anomalies" else verdicts.state == ONSET
            published = told | (verdicts.state == RECOVERED)
        index = (published | (released.use >= ABSENT)).nonzero()[0]
        if len(index):
            yield from self._rows(released, verdicts, index)

    def keep_onsets(self, judged: Judged) -> None:
        """Keep the ids that `select` would keep, where nothing is published: in a replay."""
        released, verdicts = judged.released, judged.verdicts
        for i in np.flatnonzero(verdicts.state == ONSET).tolist():
            handle = int(released.handle[i])
            pool, slot = self._store.at(handle)
            made = event_id(
                self._config.detection_hash, self._store.name(handle), self._partition,
                int(released.offset[i]), int(released.element[i]), _KINDS[int(released.use[i])],
            )  # fmt: skip
            Incidents(pool).keep(slot, made)

    def _rows(
        self, released: Released, verdicts: Verdicts, index: NDArray[np.int64]
    ) -> Iterator[Verdict]:
        """Yield the rows at `index` in the order of release.

        Of a series that is event time's, wherever batches end.
        """
        told = (
            released.handle, released.use, released.offset, released.element,
            released.incomplete, verdicts.state, released.time_us, verdicts.value,
            verdicts.expected_value, verdicts.upper_margin, verdicts.lower_margin, verdicts.score,
            verdicts.severity, verdicts.is_anomaly, verdicts.sensitivity, verdicts.period,
        )  # fmt: skip
        pools = self._store.pools
        incidents: list[Incidents | None] = [None] * len(pools)
        partition, config_hash = self._partition, self._config.detection_hash
        for (
            handle, use, offset, element, incomplete, state, time_us, value, expected,
            upper, lower, score, severity, is_anomaly, sensitivity, period,
        ) in zip(*(column[index].tolist() for column in told), strict=True):  # fmt: skip
            number, slot = handle >> 32, handle & 0xFFFFFFFF
            pool = pools[number]
            name = pool.names[slot]
            assert name is not None, "a handle in use has a name"
            settings = self._roster.settings(handle, name)
            kind = _KINDS[use]
            made = event_id(config_hash, name, partition, offset, element, kind)
            status = "incomplete" if incomplete else "ok"
            if kind == "point" and math.isnan(expected):
                status = "warming"
            incident = None
            if state != NONE:
                its = incidents[number] = incidents[number] or Incidents(pool)
                if state == ONSET:
                    its.keep(slot, made)
                incident = its.of(slot)
            yield Verdict(
                made, name, partition, offset, element, time_us, value, expected, upper, lower,
                score, severity, is_anomaly, incident, _STATES[state], sensitivity, period,
                pool.layout.detector, status, config_hash, settings.transform,
                settings.aggregate.function if settings.aggregate is not None else None, kind,
            )  # fmt: skip


class Incidents:
    """The ids of the open incidents of a pool's series, kept in their rows.

    Read and written as bytes: numpy takes a microsecond for a field of one record.
    """

    def __init__(self, pool: Pool) -> None:
        rows = pool.rows
        self._bytes = rows.view(np.uint8).data
        self._row_bytes = rows.itemsize
        assert rows.dtype.fields is not None, "a row has fields"
        kind, self._start, *_ = rows.dtype.fields["incident"]
        self._size = kind.itemsize

    def of(self, slot: int) -> str:
        """Return the id that is kept for a series."""
        at = slot * self._row_bytes + self._start
        return self._bytes[at : at + self._size].hex()

    def keep(self, slot: int, made: str) -> None:
        """Keep the id of an onset's event."""
        at = slot * self._row_bytes + self._start
        self._bytes[at : at + self._size] = bytes.fromhex(made)
