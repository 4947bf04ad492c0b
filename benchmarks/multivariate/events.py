"""Anomalies that no single variable shows: each stays among the values that it had before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_LEAST = 0.5  # of a variable's standard deviation: less has hardly happened


@dataclass(frozen=True, slots=True)
class Event:
    """Rows `begin` to `end`, less `end`, in which `variables` leave the others."""

    kind: str
    begin: int
    end: int
    variables: tuple[int, ...]


def _other_time(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    """Its own course of another time, from a point near its present value."""
    last = begin - (end - begin) - 200
    places = random.integers(0, last, size=200)
    near = places[np.argmin(np.abs(value[places, j] - value[begin, j]))]
    return value[near : near + end - begin, j]


def _flip(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    return 2 * np.mean(value[begin - 500 : begin, j]) - value[begin:end, j]


def _later(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    lag = int(random.integers(8, 25))
    return value[begin - lag : end - lag, j]


def _stuck(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    wiggle = np.std(np.diff(value[begin - 500 : begin, j])) * 0.5
    return value[begin, j] + wiggle * random.normal(size=end - begin)


def _weaker(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    center = np.mean(value[begin - 500 : begin, j])
    return center + (value[begin:end, j] - center) * random.choice([0.2, 1.8])


def _offset(random: np.random.Generator, value: F64, begin: int, end: int, j: int) -> F64:
    size = np.std(value[begin - 500 : begin, j]) * random.uniform(0.8, 1.5)
    center = np.mean(value[begin - 500 : begin, j])
    toward = -1 if np.mean(value[begin:end, j]) > center else 1
    return value[begin:end, j] + toward * size


KINDS: dict[str, Callable[[np.random.Generator, F64, int, int, int], F64]] = {
    "other time": _other_time,
    "sign flip": _flip,
    "later": _later,
    "stuck": _stuck,
    "weaker or stronger": _weaker,
    "offset": _offset,
}


def disturb(
    random: np.random.Generator, value: F64, begin: int, count: int
) -> tuple[F64, list[Event]]:
    """Return `value` with `count` events after row `begin`, and the events."""
    n, _m = value.shape
    disturbed = value.copy()
    events = []
    slots = np.linspace(begin + 150, n - 100, count + 1).astype(int)
    for k in range(count):
        for _ in range(40):
            length = int(random.integers(10, 61))
            first = int(random.integers(slots[k], max(slots[k] + 1, slots[k + 1] - length - 40)))
            event = _event(random, value, disturbed, first, first + length)
            if event is not None:
                events.append(event)
                break
    return disturbed, events


def _event(
    random: np.random.Generator, value: F64, disturbed: F64, begin: int, end: int
) -> Event | None:
    kind = str(random.choice([*KINDS, "swapped", "together"]))
    m = value.shape[1]
    if kind == "swapped":
        a, b = random.choice(m, size=2, replace=False)
        spread, center = value[:begin].std(axis=0), value[:begin].mean(axis=0)
        scaled = (value[begin:end] - center) / spread
        new = {a: scaled[:, b] * spread[a] + center[a], b: scaled[:, a] * spread[b] + center[b]}
    elif kind == "together":
        chosen = random.choice(m, size=min(m // 2, int(random.integers(2, 4))), replace=False)
        new = {j: _other_time(random, value, begin, end, j) for j in chosen}
    else:
        j = int(random.integers(m))
        new = {j: KINDS[kind](random, value, begin, end, j)}
    for j, course in new.items():
        low, high = np.quantile(value[:begin, j], [0.002, 0.998])
        if np.mean((course < low) | (course > high)) > 0.02:
            return None
        if np.sqrt(np.mean((course - value[begin:end, j]) ** 2)) < _LEAST * value[:begin, j].std():
            return None
    for j, course in new.items():
        disturbed[begin:end, j] = course
    return Event(kind, begin, end, tuple(int(j) for j in new))
