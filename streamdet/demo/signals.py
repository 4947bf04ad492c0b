"""What healthy series look like: one function a metric, from a random generator to a signal.

A signal keeps the pattern apart from the noise, because an anomaly's size is told in sigmas of
the local noise, and a peak that does not come is the pattern without the peak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POINTS_PER_DAY = 288


class Kind(StrEnum):
    """Kinds of anomalies that the demo injects."""

    SPIKE = "spike"
    DIP = "dip"
    LEVEL_SHIFT = "level shift"
    MISSING_PEAK = "missing peak"
    FLAT_LINE = "flat line"


class Grid:
    """The moments of event time that all series share, every 5 minutes, and what the calendar says.

    Parameters
    ----------
    start_us : int
        First moment, microseconds since 1970; a midnight (UTC), so that peaks fall on hours.
    n : int
        Number of moments.
    """

    def __init__(self, start_us: int, n: int) -> None:
        interval_us = 86_400_000_000 // POINTS_PER_DAY
        self.n = n
        self.times_us = start_us + np.arange(n, dtype=np.int64) * interval_us
        days = self.times_us / 86_400e6
        self.day = days - days[0]
        """Shape (n,): days since the first moment."""
        # 1970 began on a Thursday: its first weekend has its middle at day 3.
        from_middle = (days - 3 + 3.5) % 7 - 3.5
        self.weekend = np.clip(2.5 - 2 * np.abs(from_middle), 0, 1)
        """Shape (n,): 0 on a working day, 1 at the weekend; half a day from one to the other,
        because people do not leave at midnight sharp."""

    def wave(self, peak_hour: float, harmonic: int = 1) -> Floats:
        """Return a daily cosine in [-1, 1] with a maximum at `peak_hour`."""
        wave: Floats = np.cos(2 * np.pi * harmonic * (self.day - peak_hour / 24))
        return wave

    def plateau(self, start_hour: float, hours: float, ramp_hours: float) -> Floats:
        """Return a daily trapezium in [0, 1] that starts to rise at `start_hour`."""
        since = (self.day * 24 - start_hour) % 24
        plateau: Floats = np.clip(np.minimum(since, hours - since) / ramp_hours, 0, 1)
        return plateau


@dataclass(frozen=True, slots=True)
class Signal:
    """One healthy series on a grid of n moments."""

    values: Floats
    """Shape (n,): what is measured, pattern and noise."""
    pattern: Floats
    """Shape (n,): what is measured on average."""
    sigma: Floats
    """Shape (n,): standard deviation of the noise; 0 for a constant series."""
    decimals: int
    """Digits after the point; 0 for counts, which leave as integers."""
    least_change: float
    """A change below this is none to a person, however small the noise is."""
    low: float = 0.0
    high: float = np.inf
    peak_start: float = 0.0
    peak_hours: float = 0.0
    """A sharp daily peak: the hour at which it starts to rise, and how long it is; 0: none."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A metric of the fleet."""

    metric: str
    share: float
    """Share of the fleet's series."""
    dimensions: tuple[tuple[str, tuple[str, ...]], ...]
    """Dimensions and their values, the first dimension varying fastest."""
    kinds: tuple[Kind, ...]
    make: Callable[[Generator, Grid], Signal]


def _ar1(rng: Generator, n: int, phi: float) -> Floats:
    """Return noise of standard deviation 1 in which each value keeps `phi` of the one before."""
    steps = rng.standard_normal(n) * np.sqrt(1 - phi * phi)
    noise = np.empty(n)
    last = rng.standard_normal()
    for i, step in enumerate(steps):
        noise[i] = last = phi * last + step
    return noise


def _heavy_tailed(rng: Generator, n: int) -> Floats:
    """Return Student's t noise (6 degrees of freedom), scaled to standard deviation 1.

    Beyond 5 sigma it is cut: such a point would be an anomaly that has no label.
    """
    noise: Floats = np.clip(rng.standard_t(6, n) / np.sqrt(1.5), -5, 5)
    return noise


def _http_requests(rng: Generator, grid: Grid) -> Signal:
    peak = rng.uniform(11, 20)
    shape = 1 + 0.45 * grid.wave(peak) + 0.12 * grid.wave(peak - 2, 2)
    pattern = rng.uniform(600, 6000) * shape * (1 - rng.uniform(0.08, 0.18) * grid.weekend)
    burst = 0.02
    values = rng.poisson(pattern * np.exp(burst * rng.standard_normal(grid.n)))
    sigma = np.sqrt(pattern + (burst * pattern) ** 2)
    return Signal(values.astype(float), pattern, sigma, 0, 20)


def _latency_p95(rng: Generator, grid: Grid) -> Signal:
    pattern = rng.uniform(60, 400) * (1 + 0.12 * grid.wave(rng.uniform(11, 20)))
    relative = rng.uniform(0.03, 0.06)
    values = pattern * np.exp(relative * _heavy_tailed(rng, grid.n))
    return Signal(values, pattern, relative * pattern, 1, 10)


def _errors(rng: Generator, grid: Grid) -> Signal:
    pattern = np.full(grid.n, rng.uniform(0.2, 1.2))
    values = rng.poisson(pattern).astype(float)
    return Signal(values, pattern, np.sqrt(pattern), 0, 15)


def _cpu_load(rng: Generator, grid: Grid) -> Signal:
    pattern = rng.uniform(25, 40) + rng.uniform(4, 10) * grid.wave(rng.uniform(10, 18))
    pattern = pattern * (1 - 0.1 * grid.weekend)
    sigma = rng.uniform(0.8, 1.6)
    values = pattern + sigma * _ar1(rng, grid.n, 0.6)
    return Signal(values, pattern, np.full(grid.n, sigma), 2, 5, high=100)


def _queue_depth(rng: Generator, grid: Grid) -> Signal:
    level, relative = rng.uniform(40, 300), rng.uniform(0.08, 0.15)
    pattern = np.full(grid.n, level)
    values = np.round(pattern * np.exp(relative * _ar1(rng, grid.n, 0.7)))
    return Signal(values, pattern, relative * pattern, 0, 20)


def _orders(rng: Generator, grid: Grid) -> Signal:
    start, hours = float(rng.integers(9, 17)), 5.0
    busy = grid.plateau(start, hours, 1.0) * (1 - rng.uniform(0.05, 0.15) * grid.weekend)
    pattern = rng.uniform(40, 150) * (1 + rng.uniform(3, 5) * busy)
    values = rng.poisson(pattern).astype(float)
    return Signal(values, pattern, np.sqrt(pattern), 0, 15, peak_start=start, peak_hours=hours)


def _temperature(rng: Generator, grid: Grid) -> Signal:
    pattern = rng.uniform(8, 22) + rng.uniform(4, 7) * grid.wave(rng.uniform(13, 16))
    sigma = rng.uniform(0.08, 0.15)
    values = pattern + sigma * rng.standard_normal(grid.n)
    return Signal(values, pattern, np.full(grid.n, sigma), 2, 1, low=-40)


def _disk_used(rng: Generator, grid: Grid) -> Signal:
    growth = rng.uniform(0.2, 0.8)
    pattern = rng.uniform(20, 55) + growth * grid.day
    sigma = rng.uniform(0.02, 0.05)
    values = pattern + sigma * rng.standard_normal(grid.n)
    return Signal(values, pattern, np.full(grid.n, sigma), 3, 1, high=100)


def _disk_io(rng: Generator, grid: Grid) -> Signal:
    start, hours = float(rng.integers(0, 6)), 3.0  # the nightly backup
    pattern = rng.uniform(8, 20) * (1 + rng.uniform(4, 7) * grid.plateau(start, hours, 0.75))
    relative = rng.uniform(0.04, 0.08)
    values = pattern * np.exp(relative * rng.standard_normal(grid.n))
    return Signal(values, pattern, relative * pattern, 2, 3, peak_start=start, peak_hours=hours)


def _replicas(rng: Generator, grid: Grid) -> Signal:
    pattern = np.full(grid.n, float(rng.integers(4, 13)))
    return Signal(pattern.copy(), pattern, np.zeros(grid.n), 0, 2)


def _cache_hit_ratio(rng: Generator, grid: Grid) -> Signal:
    pattern = rng.uniform(0.88, 0.96) + 0.01 * grid.wave(rng.uniform(10, 18))
    sigma = rng.uniform(0.003, 0.006)
    values = np.minimum(pattern + sigma * rng.standard_normal(grid.n), 1.0)
    return Signal(values, pattern, np.full(grid.n, sigma), 4, 0.04, high=1.0)


_SERVICES = ("checkout", "search", "cart", "payments", "catalog", "login", "mail", "media")
_REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south")
_SERVICE = (("service", _SERVICES), ("region", _REGIONS))
_HOST = (("host", tuple(f"{role}-{i}" for i in range(1, 9) for role in ("web", "db", "batch"))),)
_QUEUE = (("queue", ("mail", "invoices", "thumbnails", "exports", "webhooks")), _SERVICE[1])
_SHOP = (("shop", ("books", "garden", "kitchen", "sports")), ("country", ("de", "fr", "it", "pl")))
_SENSOR = (("sensor", ("intake", "exhaust", "roof")), ("room", ("a", "b", "c", "d", "e", "f")))

_BOTH = (Kind.SPIKE, Kind.DIP)
PROFILES = (
    Profile("http_requests", 0.17, _SERVICE, (*_BOTH, Kind.LEVEL_SHIFT), _http_requests),
    Profile("latency_p95", 0.13, _SERVICE, (Kind.SPIKE, Kind.LEVEL_SHIFT), _latency_p95),
    Profile("errors", 0.10, _SERVICE, (Kind.SPIKE,), _errors),
    Profile("cpu_load", 0.12, _HOST, (*_BOTH, Kind.LEVEL_SHIFT), _cpu_load),
    Profile("queue_depth", 0.08, _QUEUE, (Kind.SPIKE, Kind.LEVEL_SHIFT), _queue_depth),
    Profile("orders", 0.08, _SHOP, (Kind.MISSING_PEAK,), _orders),
    Profile("temperature", 0.08, _SENSOR, (Kind.FLAT_LINE,), _temperature),
    Profile("disk_used", 0.07, _HOST, (Kind.SPIKE, Kind.LEVEL_SHIFT), _disk_used),
    Profile("disk_io", 0.05, _HOST, (Kind.SPIKE, Kind.MISSING_PEAK), _disk_io),
    Profile("replicas", 0.05, _SERVICE, (Kind.DIP,), _replicas),
    Profile("cache_hit_ratio", 0.07, _SERVICE, (Kind.DIP,), _cache_hit_ratio),
)
