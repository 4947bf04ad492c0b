"""Requests of Azure's univariate API, made up and seeded."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = {
    "weekly": timedelta(weeks=1),
    "daily": timedelta(days=1),
    "hourly": timedelta(hours=1),
    "minutely": timedelta(minutes=1),
    "secondly": timedelta(seconds=1),
}


def points(values, granularity="daily", interval=1, leave_out=()):
    step = STEPS[granularity] * interval
    return [
        {"timestamp": (START + index * step).isoformat(), "value": float(value)}
        for index, value in enumerate(values)
        if index not in leave_out
    ]


def request(values, granularity="daily", interval=1, leave_out=(), **fields):
    """Return the fields of a request as a dict."""
    series = points(values, granularity, interval, leave_out)
    return {
        "granularity": granularity,
        "customInterval": interval,
        "series": series,
        **fields,
    }


def body(values, granularity="daily", interval=1, leave_out=(), **fields):
    return json.dumps(request(values, granularity, interval, leave_out, **fields)).encode()


def weekly_season(count=84, seed=1, noise=1.0):
    phases = np.array([100.0, 104, 110, 108, 112, 70, 60])
    return phases[np.arange(count) % 7] + np.random.default_rng(seed).normal(0, noise, count)
