"""A year of hours, whose pattern is of local time, through both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamdet.task import Task
from streamdet.types import Partition
from tests.aligned import Point, columns, configured, never_asked

HOUR_US = 3_600_000_000
START = datetime(2025, 1, 6, tzinfo=UTC)
HOURS = 365 * 24
NEAR = timedelta(days=3)


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return when the clocks of `zone` are changed in the year."""
    hours = [START + timedelta(hours=hour) for hour in range(HOURS)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hour for i, hour in enumerate(hours) if i and offsets[i] != offsets[i - 1]]


def anomalies(name: str, seed: int, **detection) -> list[datetime]:
    """Return when a series has anomalies that is busy by day, as its zone has it."""
    zone = ZoneInfo(name)
    random = np.random.default_rng(seed)
    stream = []
    for hour in range(HOURS):
        at = START + timedelta(hours=hour)
        local = at.astimezone(zone).hour
        busy = np.exp(-(((local - 14) / 4) ** 2)) + 0.3 * (8 <= local < 18)
        value = 100 + 60 * busy + random.normal(0, 2)
        stream.append(Point("a", int(at.timestamp()) * 1_000_000, value))
    task = Task(Partition("t", 0), configured(period=None, ring_length=None, **detection))
    points = columns(stream)
    judged = task.detect(points, task.route(points, never_asked))
    times = judged.released.time_us[judged.verdicts.is_anomaly]
    return [datetime.fromtimestamp(time_us / 1e6, UTC) for time_us in times.tolist()]


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("seed", range(4))
def test_with_its_zone_a_local_pattern_goes_through_both_changes_without_an_alert(name, seed):
    found = anomalies(name, seed, timezone=name, granularity="hourly")
    for change in changes(ZoneInfo(name)):
        assert not [at for at in found if abs(at - change) <= NEAR]
