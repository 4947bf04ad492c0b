"""The demo's fleet: some hundred series of event time, with anomalies whose place is known.

The same seed and the same last moment give the same fleet, point for point. Anomalies are
injected into healthy signals (`signals`), one a series at most, after a quiet history that the
detector learns from, so that each label says what a person would say who looks at the chart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamdet.demo.signals import POINTS_PER_DAY, PROFILES, Grid, Kind, Profile, Signal
from streamdet.types import JsonObject, OutgoingRecord, SeriesId

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

DAY_US = 86_400_000_000
INTERVAL_US = DAY_US // POINTS_PER_DAY
HISTORY = 0.6
"""Share of the event time that holds no anomaly."""

_ANOMALIES_PER_SERIES = 0.3
_SHARES = (
    (Kind.SPIKE, 0.34),
    (Kind.DIP, 0.2),
    (Kind.LEVEL_SHIFT, 0.2),
    (Kind.MISSING_PEAK, 0.14),
    (Kind.FLAT_LINE, 0.12),
)
_HOUR = POINTS_PER_DAY // 24
_SHIFT_LABEL = 2 * _HOUR + 1  # points, the last of them two hours after the first
_FLAT = 6 * _HOUR
_PROTECTED = 6 * _HOUR
_AFTER_LAST = 12 * _HOUR  # no onset later than this before the end
_SIGMAS = (12.0, 20.0)  # what a chart shows beyond doubt

# What a topic that many teams write to holds besides points: one for each way to be unreadable.
MALFORMED = (
    b'{"metric":"http_requests","dimensions":{"service":"checkout"},"timest',
    b'{"metric":"cpu_load","timestamp":"2026-01-01T00:00:00Z","value":"12.5"}',
    b'{"dimensions":{"host":"web-1"},"timestamp":"2026-01-01T00:00:00Z","value":1}',
    b'{"metric":"orders","timestamp":"yesterday","value":17}',
    b"cpu_load,host=web-1 value=0.64 1700000000",
)


@dataclass(frozen=True, slots=True)
class Label:
    """An injected anomaly: its series, and its first and last point (microseconds since 1970).

    Of a level shift, which lasts, the label holds the first two hours.
    """

    series: SeriesId
    kind: Kind
    first_us: int
    last_us: int

    @property
    def settled_us(self) -> int:
        """When its aftermath is over: an event until then is no false one."""
        if self.kind is Kind.LEVEL_SHIFT:  # so long the new level may still count as strange
            return self.first_us + 6 * _HOUR * INTERVAL_US
        return self.last_us + _HOUR * INTERVAL_US


@dataclass(frozen=True, slots=True)
class Fleet:
    """m series on n common moments."""

    series: tuple[SeriesId, ...]
    signals: tuple[Signal, ...]
    """The healthy series, complete."""
    times_us: NDArray[np.int64]
    """Shape (n,): event times, microseconds since 1970."""
    values: NDArray[np.float64]
    """Shape (m, n): what is produced; NaN where a point is missing."""
    labels: tuple[Label, ...]
    """In order of onset."""
    malformed: tuple[tuple[int, bytes], ...]
    """Records that are no points: index of the moment they come with, and their value."""

    @property
    def n_points(self) -> int:
        """Number of points that are produced."""
        return int(np.count_nonzero(~np.isnan(self.values)))

    def records_until(self) -> NDArray[np.int64]:
        """Return, shape (n,), the number of records up to each moment, with that moment's."""
        counts = np.count_nonzero(~np.isnan(self.values), axis=0)
        for index, _ in self.malformed:
            counts[index] += 1
        return np.cumsum(counts)

    def records(self, topic: str) -> Iterator[OutgoingRecord]:
        """Yield the records for `topic` in the order of event time, keyed by series."""
        keys = [str(series).encode() for series in self.series]
        heads = [
            _compact({"metric": one.metric, "dimensions": dict(one.dimensions)})[:-1]
            for one in self.series
        ]
        counts = [signal.decimals == 0 for signal in self.signals]
        malformed = dict(self.malformed)
        moments = np.datetime_as_string(self.times_us.astype("datetime64[us]"), unit="s")
        for index, moment in enumerate(moments.tolist()):
            middle = f',"timestamp":"{moment}Z","value":'
            for at, value in enumerate(self.values[:, index].tolist()):
                if value == value:  # noqa: PLR0124  # NaN: this point is missing
                    number = int(value) if counts[at] else value
                    text = f"{heads[at]}{middle}{number}}}"
                    yield OutgoingRecord(topic, keys[at], text.encode())
            if index in malformed:
                yield OutgoingRecord(topic, None, malformed[index])


def make(n_series: int = 200, seed: int = 1, days: float = 21.0, *, end_us: int) -> Fleet:
    """Make a fleet whose event time ends at the last midnight (UTC) before `end_us`.

    Parameters
    ----------
    n_series : int
        Number of series; about 0.3 anomalies for each.
    seed : int
        Seed of everything random.
    days : float
        Days of event time, at least 4; a season is known after some days, and what goes against it
        is told from its noise after two weeks.
    end_us : int
        Microseconds since 1970.
    """
    rng = np.random.default_rng(seed)
    n = round(days * POINTS_PER_DAY)
    grid = Grid(end_us // DAY_US * DAY_US - n * INTERVAL_US, n)
    profiles = _profiles(n_series)
    series = tuple(_identity(profiles, at) for at in range(n_series))
    signals = tuple(profile.make(rng, grid) for profile in profiles)
    values = np.array([signal.values for signal in signals])
    labels = _inject(rng, grid, series, profiles, signals=signals, values=values)
    _round(values, signals)
    _leave_gaps(rng, grid, values, labels, series)
    moments = np.sort(rng.choice(np.arange(n // 10, n), len(MALFORMED), replace=False))
    malformed = tuple(zip(moments.tolist(), MALFORMED, strict=True))
    return Fleet(series, signals, grid.times_us, values, labels, malformed)


def _compact(value: JsonObject) -> str:
    return json.dumps(value, separators=(",", ":"))


def _profiles(n_series: int) -> list[Profile]:
    shares = np.array([profile.share for profile in PROFILES])
    ends = np.round(np.cumsum(shares) / shares.sum() * n_series).astype(int)
    return [PROFILES[int(np.searchsorted(ends, at, side="right"))] for at in range(n_series)]


def _identity(profiles: list[Profile], at: int) -> SeriesId:
    """Return the identity of series `at`: its number within the metric picks the dimensions."""
    profile = profiles[at]
    number = at - profiles.index(profile)
    dimensions = {}
    for name, values in profile.dimensions:
        number, choice = divmod(number, len(values))
        dimensions[name] = values[choice]
    if number:  # more series than combinations
        dimensions["instance"] = str(number)
    return SeriesId.of(profile.metric, dimensions)


def _inject(
    rng: Generator,
    grid: Grid,
    series: tuple[SeriesId, ...],
    profiles: list[Profile],
    *,
    signals: tuple[Signal, ...],
    values: NDArray[np.float64],
) -> tuple[Label, ...]:
    """Inject anomalies into `values`, spread evenly over the time after the history."""
    wanted = round(_ANOMALIES_PER_SERIES * len(series))
    kinds = [kind for kind, share in _SHARES for _ in range(round(share * wanted))]
    rng.shuffle(kinds)
    first, last = round(HISTORY * grid.n), grid.n - _AFTER_LAST
    free = set(range(len(series)))
    labels = []
    for number, kind in enumerate(kinds):
        candidates = sorted(at for at in free if kind in profiles[at].kinds)
        near = round(first + (number + rng.uniform()) / len(kinds) * (last - first))
        rng.shuffle(candidates)
        for at in candidates:
            onset = _onset(kind, grid, signals[at], near=near, first=first, last=last)
            if onset is None:
                continue
            end = _distort(rng, kind, signals[at], values[at], onset)
            times = grid.times_us[[onset, end - 1]].tolist()
            labels.append(Label(series[at], kind, *times))
            free.remove(at)
            break
    return tuple(sorted(labels, key=lambda label: (label.first_us, str(label.series))))


def _onset(
    kind: Kind, grid: Grid, signal: Signal, *, near: int, first: int, last: int
) -> int | None:
    """Return the moment closest to `near` at which `kind` stands out in `signal`, if there is one.

    Searched within a day around `near`, between `first` and `last`.
    """
    half_day = POINTS_PER_DAY // 2
    around = np.arange(max(first, near - half_day), min(last, near + half_day))
    pattern, sigma = signal.pattern[around], signal.sigma[around]
    if kind is Kind.MISSING_PEAK:
        fits = np.isclose((grid.day[around] * 24 - signal.peak_start) % 24, 0, atol=1e-6)
    elif kind is Kind.FLAT_LINE:  # an hour later the series has to be elsewhere
        fits = abs(signal.pattern[around + _HOUR] - pattern) >= 8 * sigma
    elif kind is Kind.DIP:  # room enough above the lowest possible value
        fits = pattern - signal.low >= np.maximum(_SIGMAS[1] * sigma, signal.least_change)
    else:
        fits = np.ones(len(around), dtype=bool)
    onsets = around[fits]
    return int(onsets[np.argmin(abs(onsets - near))]) if len(onsets) else None


def _distort(
    rng: Generator, kind: Kind, signal: Signal, values: NDArray[np.float64], onset: int
) -> int:
    """Write the anomaly into `values`; return the end (exclusive) of its label."""
    size = max(rng.uniform(*_SIGMAS) * signal.sigma[onset], signal.least_change)
    if kind is Kind.LEVEL_SHIFT:
        down = signal.pattern[onset:].min() - signal.low > 1.5 * size and rng.random() < 0.4
        values[onset:] = np.clip(
            values[onset:] + (-size if down else size), signal.low, signal.high
        )
        return onset + _SHIFT_LABEL
    if kind is Kind.FLAT_LINE:
        values[onset : onset + _FLAT] = values[onset]
        return onset + _FLAT
    if kind is Kind.MISSING_PEAK:
        length = round(signal.peak_hours * _HOUR)
        window = slice(onset, onset + length)
        usual = np.linspace(signal.pattern[onset], signal.pattern[onset + length], length)
        values[window] *= usual / signal.pattern[window]
        return onset + length
    end = onset + int(rng.integers(1, 5))
    change = size if kind is Kind.SPIKE else -size
    values[onset:end] = np.clip(values[onset:end] + change, signal.low, signal.high)
    return end


def _round(values: NDArray[np.float64], signals: tuple[Signal, ...]) -> None:
    for at, signal in enumerate(signals):
        values[at] = np.round(values[at], signal.decimals)


def _leave_gaps(
    rng: Generator,
    grid: Grid,
    values: NDArray[np.float64],
    labels: tuple[Label, ...],
    series: tuple[SeriesId, ...],
) -> None:
    """Leave out single points everywhere and, in one series of six, up to three hours at a time.

    Labelled points and the six hours after them stay, so that each anomaly is there to be found.
    """
    keep = np.zeros(values.shape, dtype=bool)
    at_of = {one: at for at, one in enumerate(series)}
    for label in labels:
        first = int(np.searchsorted(grid.times_us, label.first_us))
        end = int(np.searchsorted(grid.times_us, label.last_us)) + _PROTECTED
        keep[at_of[label.series], first:end] = True
    missing = rng.random(values.shape) < 0.001
    for at in rng.choice(len(values), len(values) // 6, replace=False).tolist():
        for start in rng.integers(0, grid.n, int(rng.integers(1, 4))).tolist():
            missing[at, start : start + int(rng.integers(2, 3 * _HOUR))] = True
    values[missing & ~keep] = np.nan
