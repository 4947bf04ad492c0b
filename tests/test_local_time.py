"""A year of hours, whose pattern is of local time, through both changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from streamdet.task import Task
from streamdet.types import IncidentState, Partition
from tests.aligned import Point, as_it_stands, columns, configured

HOUR_US = 3_600_000_000
START = datetime(2025, 1, 6, tzinfo=UTC)
HOURS = 365 * 24
NEAR = timedelta(days=3)


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return when the clocks of `zone` are changed in the year."""
    hours = [START + timedelta(hours=hour) for hour in range(HOURS)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hour for i, hour in enumerate(hours) if i and offsets[i] != offsets[i - 1]]


def office(hour: int) -> float:
    """Smooth, with two steps in it."""
    return np.exp(-(((hour - 14) / 4) ** 2)) + 0.3 * (8 <= hour < 18)


def afternoon(hour: int) -> float:
    return np.exp(-0.5 * ((hour - 13.2) / 2.9) ** 2)


def shop(hour: int) -> float:
    return 1.0 * (8 <= hour < 18)


def rush_hours(hour: int) -> float:
    return sum(np.exp(-0.5 * ((hour - at) / 0.8) ** 2) for at in (8, 17))


def found(name: str, seed: int, busy=office, **detection):
    """Return when a series that is busy as its zone has it was judged, and the verdicts."""
    zone = ZoneInfo(name)
    random = np.random.default_rng(seed)
    stream = []
    for hour in range(HOURS):
        at = START + timedelta(hours=hour)
        local = at.astimezone(zone).hour
        value = 100 + 60 * busy(local) + random.normal(0, 2)
        stream.append(Point("a", int(at.timestamp()) * 1_000_000, value))
    task = Task(Partition("t", 0), configured(period=None, ring_length=None, **detection))
    points = columns(stream)
    judged = task.detect(points, task.route(points, as_it_stands))
    times = [datetime.fromtimestamp(t / 1e6, UTC) for t in judged.released.time_us.tolist()]
    return np.array(times), judged.verdicts


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("seed", range(4))
def test_with_its_zone_a_local_pattern_goes_through_both_changes_without_an_alert(name, seed):
    times, verdicts = found(name, seed, timezone=name, granularity="hourly")
    anomalies = times[verdicts.is_anomaly]
    for change in changes(ZoneInfo(name)):
        assert not [at for at in anomalies if abs(at - change) <= NEAR]


@pytest.mark.parametrize("busy", [office, afternoon, shop, rush_hours])
@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("seed", range(4))
def test_without_its_zone_a_local_pattern_has_at_most_one_onset_at_each_change(name, seed, busy):
    times, verdicts = found(name, seed, busy)
    onsets = times[verdicts.state == IncidentState.ONSET]
    for change in changes(ZoneInfo(name)):
        assert len([at for at in onsets if abs(at - change) <= NEAR]) <= 1
