"""Series in the shape of Azure's documented samples, made here."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

START = datetime(2018, 3, 1, tzinfo=UTC)


def daily(n: int = 49, spike_at: int | None = 41) -> list[tuple[datetime, float]]:
    """Return a week's pattern a day at a time, as the sample `request-data` has it."""
    noise = np.random.default_rng(7).normal(size=n)
    points = []
    for i in range(n):
        value = 3.2e7 + 4e6 * math.sin(2 * math.pi * i / 7) + 1.5e5 * noise[i]
        points.append((START + timedelta(days=i), value + (2.5e7 if i == spike_at else 0.0)))
    return points


def shifted(n: int = 96) -> list[tuple[datetime, float]]:
    """Return days whose level changes in the middle."""
    noise = np.random.default_rng(8).normal(size=n)
    return [
        (START + timedelta(days=i), 100 + noise[i] + (40 if i >= n // 2 else 0)) for i in range(n)
    ]


def as_json(points: list[tuple[datetime, float]], **more: object) -> dict[str, object]:
    """Return the body of a request."""
    series = [{"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "value": value} for at, value in points]
    return {"series": series, "granularity": "daily", **more}
