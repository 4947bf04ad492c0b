"""What the producers write, from the seed alone, and what must become of each record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from streamdet.types import Outcome
from tests.service import MINUTE_MS, START_MS

PRODUCERS = 4
KINDS = (
    "plain", "plain", "plain", "season", "found", "job",
    "sensor", "request", "total", "heartbeat", "sales",
)  # fmt: skip
RULES: tuple[dict[str, Any], ...] = (
    {"match": {"metric": "plain"}, "set": {"period": 0}},
    {"match": {"metric": "season"}, "set": {"period": 12}},
    {"match": {"metric": "job"}, "set": {"period": 0}},
    {
        "match": {"metric": "sensor"},
        "set": {"granularity": "minutely", "allowed_lateness": "5m", "duplicates": "last"},
    },
    {
        "match": {"metric": "request"},
        "set": {"aggregate": {"interval": "5m", "function": "mean"}, "allowed_lateness": "2m"},
    },
    {"match": {"metric": "total"}, "set": {"transform": "rate", "period": 0}},
    {
        "match": {"metric": "heartbeat"},
        "set": {"granularity": "minutely", "absent_after": "10m", "period": 0},
    },
)
"""`found` and `sales` have no rule: their season is looked for, with the longest ring."""
ROLLUP = {"by": ["shard"], "function": "sum"}
SERIES_TTL = "1h"  # so that jobs are forgotten, and their slots taken by others
JOB_MINUTES = 20
TOO_LATE_MINUTES = 30
_DELAY_MAX_MINUTES = {"sensor": 3, "request": 1}
_SPIKES, _DOUBLED, _TOO_LATE, _DELAYED = 0.003, 0.005, 0.002, 0.05
_RESTARTS = 0.01
_BAD, _TOMBSTONES = 0.3, 0.3  # each minute, of each producer
_BAD_BODIES = (b"no JSON", b'{"metric":"m","value":null}', b'{"metric":"","value":1}', b"[]")
_CLOSING_MINUTES = 60


class Sent(NamedTuple):
    """A record to write."""

    key: bytes
    value: bytes | None
    outcome: Outcome
    partition: int = -1
    """-1: the one that the key stands for."""


@dataclass(frozen=True)
class Points:
    """The records of one run.

    Parameters
    ----------
    seed
    n_series
        Jobs are counted once, however many follow each other.
    minutes
        Of event time; each series has about a point in each.
    partitions
    """

    seed: int
    n_series: int
    minutes: int
    partitions: int

    def of(self, producer: int) -> Iterator[list[Sent]]:
        """Yield what `producer` writes, a list for each minute of event time.

        The records of a series are one producer's; those of a minute are written before any of
        the next, by all producers.
        """
        random = np.random.default_rng([self.seed, producer])
        own = [s for s in range(self.n_series) if s // len(KINDS) % PRODUCERS == producer]
        level = random.uniform(10, 1_000, len(own))
        total = np.zeros(len(own))
        delayed: dict[int, list[Sent]] = {}
        for minute in range(self.minutes):
            values = level * (1 + 0.02 * random.standard_normal(len(own)))
            values[random.random(len(own)) < _SPIKES] *= 1.7
            total[random.random(len(own)) < _RESTARTS] = 0
            total += values
            chances = random.random((3, len(own)))
            sent = delayed.pop(minute, [])
            for at in random.permutation(len(own)).tolist():
                series = _Series(own[at])
                value = total[at] if series.kind == "total" else values[at]
                delay = 0
                if series.kind in _DELAY_MAX_MINUTES and chances[2, at] < _DELAYED:
                    delay = 1 + series.number % _DELAY_MAX_MINUTES[series.kind]
                if minute + delay < self.minutes and not series.is_silent(minute):
                    to = delayed.setdefault(minute + delay, []) if delay else sent
                    double, late = chances[0, at] < _DOUBLED, chances[1, at] < _TOO_LATE
                    to += series.records(minute, round(float(value), 4), double, late)
            if random.random() < _BAD:
                bad = _BAD_BODIES[int(random.integers(len(_BAD_BODIES)))]
                sent.append(Sent(b"bad%d" % minute, bad, Outcome.DEAD_LETTERED))
            if random.random() < _TOMBSTONES:
                sent.append(Sent(b"gone%d" % minute, None, Outcome.TOMBSTONE))
            yield sent

    def closing(self) -> list[Sent]:
        """Return points, in each partition, after which nothing waits for time to pass."""
        return [
            Sent(b"tick", _body("plain", minute, 1.0, tick=str(index)), Outcome.OK, index)
            for index in range(self.partitions)
            for minute in (self.minutes + _CLOSING_MINUTES, self.minutes + _CLOSING_MINUTES + 5)
        ]


class _Series:
    def __init__(self, number: int) -> None:
        self.number = number
        self.kind = KINDS[number % len(KINDS)]
        self._key = b"s%d" % number

    def is_silent(self, minute: int) -> bool:
        return self.kind == "heartbeat" and (minute + self.number) % 60 >= 40

    def records(self, minute: int, value: float, double: bool, late: bool) -> Iterator[Sent]:
        yield Sent(self._key, self._record(minute, value), Outcome.OK)
        if double:
            yield Sent(self._key, self._record(minute, value + 1), Outcome.DUPLICATE)
        if late and minute > TOO_LATE_MINUTES:
            back = minute - (TOO_LATE_MINUTES if self.kind in _DELAY_MAX_MINUTES else 2)
            job = self._job(minute)  # a job that is over is not late, but new
            yield Sent(self._key, self._record(back, value, job), Outcome.LATE)

    def _job(self, minute: int) -> int:
        return (minute + self.number) // JOB_MINUTES

    def _record(self, minute: int, value: float, job: int | None = None) -> bytes:
        dimensions = {"host": f"h{self.number}"}
        if self.kind == "job":
            dimensions["run"] = str(self._job(minute) if job is None else job)
        if self.kind == "request":
            dimensions["shard"] = str(self.number % 3)
        if self.kind == "sales":
            return self._request(minute, value)
        return _body(self.kind, minute, value, **dimensions)

    def _request(self, minute: int, value: float) -> bytes:
        """Return a request of the Azure service, whose parameters change now and then."""
        body = {
            "metric": self.kind,
            "dimensions": {"host": f"h{self.number}"},
            "sensitivity": (60, 80, 90)[(minute + self.number) // 15 % 3],
            "period": (0, 30)[(minute + self.number) // 40 % 2],  # of another ring length
            "series": [{"timestamp": START_MS + minute * MINUTE_MS, "value": value}],
        }
        return json.dumps(body).encode()


def _body(metric: str, minute: int, value: float, **dimensions: str) -> bytes:
    dims = ",".join(f'"{name}":"{text}"' for name, text in dimensions.items())
    time_ms = START_MS + minute * MINUTE_MS
    return (
        f'{{"metric":"{metric}","dimensions":{{{dims}}},"timestamp":{time_ms},"value":{value!r}}}'
    ).encode()
