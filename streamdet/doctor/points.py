"""What the newest points of a topic are like, and whether the settings fit them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config, DetectionConfig
from streamdet.doctor.finding import (
    Check,
    Finding,
    Told,
    listed,
    setting_of_at_least,
    share,
    span,
)
from streamdet.doctor.sample import Column, TopicSample
from streamdet.kernels.header import NEVER
from streamdet.kernels.zone import lines_around
from streamdet.types import Reason
from streamdet.zones import ZoneTable

_FEW = 0.001  # a share that nobody has to act on
_KEPT = 0.999  # of the points that are late
_OTHER_DISTANCE = 0.25  # by which the points' own distance may differ from the one that is set
_AHEAD_US = 60_000_000
_GRID_POINTS_MAX = 20_000  # each is a call; the newest are as good as all
_ADVICE = {
    Reason.TIMESTAMP_RANGE: "see input.timestamp_unit, limits.earliest and limits.max_future, and "
    "the producers' clocks",
    Reason.TOO_LARGE: "raise limits.max_record_bytes, or send fewer points a record",
    Reason.DIMENSIONS: "raise limits.max_dimensions, or drop dimensions where they are made",
}


def check_points(sample: TopicSample, config: Config) -> Iterator[Finding]:
    """Judge the points of one topic."""
    yield _decoding(sample)
    if sample.points:
        yield _keys(sample)
        yield _order(sample)
        yield _grid(sample)
        yield _ahead(sample, config)


def _decoding(sample: TopicSample) -> Finding:
    told = Told(Check.DECODING, sample.topic)
    if not sample.n_records:
        why = "the topic holds no record"
        if sample.cut_short:
            why = f"no record was read: {sample.cut_short}"
        return told.unknown(why, "send points, for example with: streamdet replay")
    found = f"{sample.n_records:,} newest records, {sample.points:,} points of "
    found += f"{len(sample.series):,} series"
    if sample.cut_short:
        found += f" ({sample.cut_short})"
    if sample.n_tombstones:
        found += f", {sample.n_tombstones:,} tombstones"
    refused = sample.refused.total()
    if not refused:
        return told.ok(f"{found}, none refused")
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sample.refused.most_common())
    first, _ = sample.refused.most_common(1)[0]
    found += f"; {share(refused, refused + sample.points)} refused ({reasons}); first: "
    found += sample.first_refused[first]
    advice = _ADVICE.get(first, "correct the producer; docs/formats.md has what is accepted")
    return told.warn(found, advice) if sample.points else told.fail(found, advice)


def _keys(sample: TopicSample) -> Finding:
    told = Told(Check.KEYS, sample.topic)
    spread = [series.text for series in sample.series if len(series.partitions) > 1]
    keyless = share(sample.n_keyless, sample.n_records)
    if not spread:
        found = f"each of {len(sample.series):,} series is in one partition"
        n_partitions = len(set(sample.partition.tolist()))
        if sample.n_keyless and n_partitions > 1:
            return told.warn(
                f"{found}, in this sample; but {keyless} of the records have no key",
                "let producers set the series as the key, or copy the topic: streamdet rekey",
            )
        return told.ok(found)
    why = f"{keyless} of the records have no key"
    if not sample.n_keyless:
        why = "records have keys, but not one for each series"
    return told.fail(
        f"{len(spread):,} of {len(sample.series):,} series lie in several partitions "
        f"({listed(spread)}); {why}: each worker judges its part as if it were the whole",
        "let producers set the series as the key, or copy the topic: streamdet rekey --from "
        f"{sample.topic}; after partitions were added it passes by itself",
    )


def lateness_us(sample: TopicSample) -> Column:
    """Return how far behind the partition's time each point is; 0 of those in order in a series.

    With an `allowed_lateness` of as much the point would have been put in order.
    """
    late_us = np.zeros(sample.points, np.int64)
    order = np.lexsort((sample.partition, sample.of))  # stable: as they came, in each
    of, partition, time_us = sample.of[order], sample.partition[order], sample.time_us[order]
    begins = np.flatnonzero((np.diff(of) != 0) | (np.diff(partition) != 0)) + 1
    for its in np.split(np.arange(sample.points), begins):
        behind = its[time_us[its] < np.maximum.accumulate(time_us[its])]
        late_us[order[behind]] = sample.present_us[order[behind]] - time_us[behind]
    return np.maximum(late_us, 0)


def _order(sample: TopicSample) -> Finding:
    told = Told(Check.ORDER, sample.topic)
    late_us = lateness_us(sample)
    behind = late_us > 0
    if not behind.any():
        return told.ok("the points of each series come in order")
    allowed_us = _by_series(sample, lambda detection: detection.allowed_lateness_us)
    n_late = int(np.count_nonzero(late_us > allowed_us))
    kept_us = int(np.quantile(late_us[behind], _KEPT, method="higher"))
    found = (
        f"{share(int(np.count_nonzero(behind)), sample.points)} of the points come out of order, "
        f"at most {span(int(late_us.max()) / 1e6)} behind; "
        f"{share(n_late, sample.points)} are later than allowed_lateness"
    )
    if n_late <= _FEW * sample.points:
        return told.ok(found)
    setting = setting_of_at_least(kept_us / 1e6)
    if setting is None:
        return told.warn(found, "more than allowed_lateness can bridge; see why they come so late")
    keeps = f"set allowed_lateness: {setting}, which keeps {_KEPT:.1%} of those out of order"
    return told.warn(found, f"{keeps}; verdicts come so much later")


def _grid(sample: TopicSample) -> Finding:
    told = Told(Check.GRID, sample.topic)
    given = [s for s in sample.series if s.detection.interval_us and not s.detection.aggregate]
    other = [
        f"{series.text} ({span(series.spacing_us / 1e6)})"
        for series in given
        if series.spacing_us
        and abs(series.spacing_us - series.detection.interval_us)
        > _OTHER_DISTANCE * series.detection.interval_us
    ]
    if len(other) > _FEW * len(given):
        return told.warn(
            f"{len(other):,} of {len(given):,} series with a granularity have points at another "
            f"distance: {listed(other)}",
            "set granularity and customInterval to what the points are, or leave them out",
        )
    off = _off_grid(sample)
    if off is None:
        if not given:
            return told.ok("no granularity is set: the distance of points is found")
        return told.ok(f"{len(given):,} series have points as far apart as granularity says")
    n_off, n = off
    found = f"{share(n_off, n)} of the points are further from their grid than tolerance"
    if n_off > _FEW * n:
        return told.warn(found, "they are left out: raise tolerance, or set it to null")
    return told.ok(found)


def _off_grid(sample: TopicSample) -> tuple[int, int] | None:
    """Return how many points are off their grid, and of how many; None where nobody asks."""
    zones, off, n = ZoneTable(), 0, 0
    asks = np.array([series.detection.tolerance is not None for series in sample.series])
    for i in np.flatnonzero(asks[sample.of])[-_GRID_POINTS_MAX:].tolist():
        detection = sample.series[sample.of[i]].detection
        zone = zones.index(detection.timezone or "UTC")
        time_us = int(sample.time_us[i])
        low_us, high_us = lines_around(
            zones.start,
            zones.change_us,
            zones.offset_us,
            zone,
            time_us,
            detection.grid_interval,
            detection.calendar,
        )
        n += 1
        off += min(time_us - low_us, high_us - time_us) > detection.tolerance_us
    return (off, n) if n else None


def _ahead(sample: TopicSample, config: Config) -> Finding:
    told = Told(Check.AHEAD, sample.topic)
    known = sample.record_us != NEVER
    if not known.any():
        return told.unknown("records have no time of their own")
    ahead_us = sample.time_us[known] - sample.record_us[known]
    n, most_us = int(np.count_nonzero(ahead_us > 0)), int(ahead_us.max())
    if not n:
        return told.ok("no point is ahead of its record")
    found = f"{share(n, len(ahead_us))} of the points are ahead of their record, at most "
    found += f"{span(most_us / 1e6)}; limits.max_future is "
    found += span(config.limits.max_future.total_seconds())
    if most_us <= _AHEAD_US:
        return told.ok(found)
    return told.warn(
        found,
        "see input.timestamp_unit, and the clocks of where points are measured; forecasts do not "
        "belong on this topic",
    )


def _by_series(sample: TopicSample, setting: Callable[[DetectionConfig], int]) -> NDArray[np.int64]:
    """Return for each point a setting of its series."""
    of_series = np.array([setting(series.detection) for series in sample.series], np.int64)
    return of_series[sample.of]
