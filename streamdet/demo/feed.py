"""Feeds the fleet to the topic: fast through the history, then at a pace that an eye can follow.

The embedded broker keeps the newest 5 MiB or 100,000 records of a partition and drops older ones
without a word, so the feed never runs further ahead of the worker than `_AHEAD_MAX`.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from streamdet.clock import Clock
from streamdet.demo.fleet import DAY_US, Fleet
from streamdet.ports import RecordProducer

_SECONDS_A_DAY = 5.0  # of event time, once the history is over
_AHEAD_MAX = 20_000  # records over all partitions: even in one of them below 5 MiB
_AT_ONCE_MAX = 2_000  # records between two looks at anything else
_FLUSH_TIMEOUT_S = 30.0


class Feed:
    """Sends a fleet's records, paced, with back-pressure.

    Parameters
    ----------
    fleet : Fleet
    topic : str
    producer : RecordProducer
        Not transactional.
    clock : Clock
    """

    def __init__(self, fleet: Fleet, topic: str, producer: RecordProducer, clock: Clock) -> None:
        self._records = fleet.records(topic)
        self._producer = producer
        self._clock = clock
        self._times_us = fleet.times_us
        self._until = fleet.records_until()
        self.n_records = int(self._until[-1])
        first_us = fleet.labels[0].first_us if fleet.labels else int(fleet.times_us[-1])
        self._history = int(self._until[np.searchsorted(self._times_us, first_us)])
        live_s = (int(self._times_us[-1]) - first_us) / DAY_US * _SECONDS_A_DAY
        self._rate = (self.n_records - self._history) / max(live_s, 1.0)
        self._live_from_s: float | None = None
        self.produced = 0

    @property
    def done(self) -> bool:
        """Whether everything is sent."""
        return self.produced >= self.n_records

    def advance(self, committed: int) -> None:
        """Send what is due, given that the worker has `committed` so many records.

        Raises
        ------
        FatalError
            The broker did not take everything.
        """
        limit = min(self._due(), committed + _AHEAD_MAX, self.produced + _AT_ONCE_MAX)
        if self.done or limit <= self.produced:
            return
        batch = list(islice(self._records, limit - self.produced))
        self._producer.send(batch)
        self.produced += len(batch)
        if self.done:
            self._producer.flush(_FLUSH_TIMEOUT_S)

    def event_time_us(self, n_records: int) -> int:
        """Return the event time that the first `n_records` records reach."""
        at = int(np.searchsorted(self._until, n_records))
        return int(self._times_us[min(at, len(self._times_us) - 1)])

    def _due(self) -> int:
        if self.produced < self._history:
            return self._history
        now_s = self._clock.monotonic_s()
        if self._live_from_s is None:
            self._live_from_s = now_s
        due = self._history + round((now_s - self._live_from_s) * self._rate)
        return min(due, self.n_records)
