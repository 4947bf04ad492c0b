"""A strong daily pattern through a hole of half a day, by the whole way of a point."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from streamdet.task import Task
from streamdet.types import IncidentState, Partition
from tests.aligned import Point, as_it_stands, columns, configured

START = datetime(2025, 1, 6, tzinfo=UTC)
DAY = 288
DAYS = 24
HOLE = slice(15 * DAY + 60, 15 * DAY + 60 + DAY // 2)  # 05:00 to 17:00 of a Tuesday
LOST_PEAK = slice(17 * DAY + 130, 17 * DAY + 190)


def onsets(seed: int, *, hole: bool, lost_peak: bool) -> list[int]:
    """Return the places of the points that incidents begin with."""
    random = np.random.default_rng(seed)
    phase = np.arange(DAYS * DAY) % DAY
    values = 100 + 80 * np.exp(-(((phase - 160) / 40) ** 2)) + random.normal(0, 2, len(phase))
    if lost_peak:
        values[LOST_PEAK] = 100 + random.normal(0, 2, LOST_PEAK.stop - LOST_PEAK.start)
    kept = np.ones(len(phase), np.bool_)
    kept[HOLE] = not hole
    times = [START + timedelta(minutes=5 * int(k)) for k in np.flatnonzero(kept)]
    stream = [
        Point("a", int(at.timestamp()) * 1_000_000, float(value))
        for at, value in zip(times, values[kept], strict=True)
    ]
    task = Task(Partition("t", 0), configured(period=None, ring_length=None, imputeMode="auto"))
    points = columns(stream)
    judged = task.detect(points, task.route(points, as_it_stands))
    began = judged.released.time_us[judged.verdicts.state == IncidentState.ONSET]
    return [round((at / 1e6 - START.timestamp()) / 300) for at in began.tolist()]


@pytest.mark.parametrize("seed", range(6))
def test_after_half_a_day_without_points_nothing_is_an_alert_that_was_none(seed):
    assert set(onsets(seed, hole=True, lost_peak=False)) <= set(
        onsets(seed, hole=False, lost_peak=False)
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_next_peak_that_fails_to_come_is_found_nevertheless(seed):
    found = onsets(seed, hole=True, lost_peak=True)
    assert [at for at in found if LOST_PEAK.start <= at < LOST_PEAK.start + DAY // 10]
