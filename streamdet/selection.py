"""Which verdicts of a partition are published, with all that an event says of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config
from streamdet.kernels.header import ABSENT, JUDGE, RETURNED
from streamdet.roster import Roster
from streamdet.serde.event import event_id
from streamdet.state.store import Store
from streamdet.types import (
    IncidentState,
    Judged,
    Outcome,
    Partition,
    Points,
    Released,
    SeriesId,
    Verdict,
    Verdicts,
)

_KINDS = {JUDGE: "point", ABSENT: "absent", RETURNED: "returned"}


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
        recovered = verdicts.state == IncidentState.RECOVERED
        published = {
            "anomalies": verdicts.is_anomaly | recovered,
            "onsets": (verdicts.state == IncidentState.ONSET) | recovered,
            "all": released.use == JUDGE,
        }[self._config.output.publish] | (released.use >= ABSENT)
        # In the order of release: of a series that is event time's, wherever batches end.
        for i in np.flatnonzero(published).tolist():
            yield self._row(released, verdicts, i)

    def keep_onsets(self, judged: Judged) -> None:
        """Keep the ids that `select` would keep, where nothing is published: in a replay."""
        released, verdicts = judged.released, judged.verdicts
        for i in np.flatnonzero(verdicts.state == IncidentState.ONSET).tolist():
            handle = int(released.handle[i])
            place = int(released.offset[i]), int(released.element[i])
            self._incident(handle, IncidentState.ONSET, self._store.name(handle), *place)

    def _row(self, released: Released, verdicts: Verdicts, i: int) -> Verdict:
        handle = int(released.handle[i])
        name = self._store.name(handle)
        state = IncidentState(verdicts.state[i])
        offset, element = int(released.offset[i]), int(released.element[i])
        kind = _KINDS[int(released.use[i])]
        pool, _ = self._store.at(handle)
        settings = self._roster.settings(handle)
        status = "incomplete" if released.incomplete[i] else "ok"
        if kind == "point" and np.isnan(verdicts.expected_value[i]):
            status = "warming"
        return Verdict(
            series=SeriesId.parse(name),
            partition=self._partition,
            offset=offset,
            element=element,
            time_us=int(released.time_us[i]),
            value=float(verdicts.value[i]),
            expected_value=float(verdicts.expected_value[i]),
            upper_margin=float(verdicts.upper_margin[i]),
            lower_margin=float(verdicts.lower_margin[i]),
            score=float(verdicts.score[i]),
            severity=float(verdicts.severity[i]),
            is_anomaly=bool(verdicts.is_anomaly[i]),
            incident=self._incident(handle, state, name, offset, element),
            state=state,
            sensitivity=int(verdicts.sensitivity[i]),
            period=int(verdicts.period[i]),
            detector=pool.layout.detector,
            status=status,
            config_hash=self._config.detection_hash,
            transform=settings.transform,
            aggregate=settings.aggregate.function if settings.aggregate is not None else None,
            kind=kind,
        )

    def _incident(
        self, handle: int, state: IncidentState, name: str, offset: int, element: int
    ) -> str | None:
        """Return the id of the incident that a point is of, and keep that of an onset."""
        if state == IncidentState.NONE:
            return None
        pool, slot = self._store.at(handle)
        kept = pool.rows["incident"][slot]
        if state == IncidentState.ONSET:
            made = event_id(
                self._config.detection_hash, name.encode(), self._partition, offset, element
            )
            kept[:] = np.frombuffer(bytes.fromhex(made), np.uint8)
        return str(kept.tobytes().hex())
