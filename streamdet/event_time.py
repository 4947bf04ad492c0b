"""The event time of one partition: its present, the rules of its series, what they hold back."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.config import Config, DetectionConfig
from streamdet.kernels.align import Arrivals, align, sweep
from streamdet.kernels.header import HEADER, NEVER, NO_ROLLUP, ROLLUP_UNKNOWN
from streamdet.kernels.pending import (
    ALL,
    FIRST,
    LAST,
    MEAN,
    PENDING,
    SUM,
    USED,
    held,
    hold_again,
)
from streamdet.kernels.present import PRESENT, advance
from streamdet.kernels.rate import NONE, RATE_NEXT
from streamdet.kernels.release import (
    ALIGNMENT,
    AUTO,
    COUNTS,
    FIXED,
    GRID_CHANGES,
    LAST_CHANGE,
    LINEAR,
    NOT_FILL,
    PREVIOUS,
    Columns,
    Waiting,
    Zones,
)
from streamdet.kernels.window import FUNCTIONS
from streamdet.state.store import Pool
from streamdet.zones import ZoneTable

log = logging.getLogger(__name__)

_IMPUTE = {
    "auto": AUTO,
    "notFill": NOT_FILL,
    "previous": PREVIOUS,
    "linear": LINEAR,
    "fixed": FIXED,
    "zero": FIXED,
}
_DUPLICATES = {"first": FIRST, "last": LAST, "mean": MEAN, "sum": SUM}
_ARENA_START = 256
_NUMBERED_MAX = 1000
_SWEEPS_PER_WAIT = 16
"""Silent series are looked at this often in the shortest time that one may wait; it reads rows."""


class TimePosition(NamedTuple):
    """The time of a partition at some record: a copy."""

    present: NDArray[np.void]
    """PRESENT[1]."""
    spoke: dict[int, int]
    """absent_after in microseconds (0: the time to live's) -> speaking time, microseconds."""


class Swept(NamedTuple):
    """The time, as of a `TimePosition`, at which silent series were last looked at."""

    time_us: int
    spoke: dict[int, int]


class EventTime:
    """Aligns the points of one partition; see `kernels.align`.

    Parameters
    ----------
    config : Config
        Limits and detection settings.
    """

    def __init__(self, config: Config) -> None:
        waits = sorted({each.absent_after_us for each in config.detections} - {0})
        self._absences = {absent_after_us: 1 + j for j, absent_after_us in enumerate(waits)}
        self.absent_after_s = waits[0] / 1e6 if waits else None
        """The shortest time after which a series counts as absent; None: no rule asks."""
        # A step of the present longer than this was silence of the whole partition.
        self._counted_us = [0, *waits]
        half = [absent_after_us // 2 for absent_after_us in waits]
        self._silence_us = np.array([config.limits.max_future_us, *half], np.int64)
        self._spoke = np.zeros(len(self._silence_us), np.int64)
        self._present = np.zeros(1, PRESENT)
        self._present["time_us"] = NEVER
        self._max_future_us = config.limits.max_future_us
        self._ttl_us = config.limits.series_ttl_us
        self._points_max = config.limits.max_pending_points
        self._zones = ZoneTable()
        self._rules = np.zeros(0, ALIGNMENT)
        self._rule_numbers: dict[bytes, int] = {}
        self._numbered: dict[tuple[int, bool], tuple[DetectionConfig, int]] = {}
        self._arena = np.zeros(_ARENA_START, PENDING)
        self._ends = np.array([-1, 0], np.int64)
        self._scratch = np.empty(self._points_max + 1)
        self.swept: Swept | None = None
        """When silent series were looked at, `sweep_is_due`; None: never."""
        self.replays = False
        """Whether input is read again: then silent series are looked at once, at its end."""
        self._sweep_every_us: int | None = None
        self._counts = np.zeros(COUNTS, np.int64)
        self._changes_logged = 0

    @property
    def watermark_us(self) -> int | None:
        """The partition's time; None before its first point."""
        time_us = int(self._present["time_us"][0])
        return None if time_us == NEVER else time_us

    @property
    def size_bytes(self) -> int:
        """Memory held, in bytes."""
        return self._arena.nbytes + self._scratch.nbytes + self._rules.nbytes

    @property
    def spoke(self) -> NDArray[np.int64]:
        """Time in which the partition spoke, in each way of counting; first the time to live's."""
        return self._spoke

    def position(self) -> TimePosition:
        """Return the partition's time as it is now."""
        return TimePosition(self._present.copy(), self._speaking())

    def _speaking(self) -> dict[int, int]:
        return dict(zip(self._counted_us, self._spoke.tolist(), strict=True))

    def go_to(self, position: TimePosition) -> None:
        """Let the partition's time be what it was at `position`.

        What a new `absent_after` counts by was not counted then: it begins at 0.
        """
        self._present[:] = position.present
        self._spoke[:] = [position.spoke.get(us, 0) for us in self._counted_us]

    def held(self, pool: Pool, slots: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the points that the series of `slots` hold back, PENDING[m], list after list."""
        points = np.empty(int(pool.header["n_pending"][slots].sum()), PENDING)
        held(pool.header, self._arena, slots, points)
        return points

    def hold(self, pool: Pool, slots: NDArray[np.int64], points: NDArray[np.void]) -> None:
        """Let the series of `slots`, one for each of `points`, hold these back again."""
        arena = self._waiting(len(points)).arena
        columns = [points[name].copy() for name in ("time_us", "value", "offset", "element")]
        hold_again(pool.header, arena, self._ends, slots, *columns)

    def take_ahead(self) -> int:
        """Return how many points were too far ahead to move the present, since the last call."""
        n = int(self._present["n_ahead"][0])
        self._present["n_ahead"] = 0
        return n

    def configure(
        self,
        pool: Pool,
        slot: int,
        settings: DetectionConfig,
        *,
        rolled_up: bool = False,
        restored: bool = False,
    ) -> None:
        """Write what `settings` say of event time into a series' row; it holds from now on.

        rolled_up : the series is made of several others, so equal times are no duplicates
        restored : the row comes from the state topic, with a grid that it may have found
        """
        row = pool.header[slot]
        known = len(self._rules) > 0 and not restored
        before = known and self._rules["interval_given"][row["alignment"]]
        if settings.grid_interval > 0 or before:
            row["interval_us"], row["spacing_votes"] = settings.grid_interval, 0
        row["impute_value"] = (
            settings.impute_fixed_value or 0.0 if settings.impute_mode == "fixed" else 0.0
        )
        if settings.transform == "none":
            row["transform"] = NONE
        elif row["transform"] == NONE:
            row["transform"] = RATE_NEXT
        row["rollup"] = NO_ROLLUP if settings.rollup is None else ROLLUP_UNKNOWN
        row["alignment"] = self.rule(settings, rolled_up=rolled_up)

    def rule(self, settings: DetectionConfig, *, rolled_up: bool = False) -> int:
        """Return the number of the ALIGNMENT record of `settings`, which is made if new."""
        known = self._numbered.get((id(settings), rolled_up))
        if known is not None and known[0] is settings:
            return known[1]
        if len(self._numbered) >= _NUMBERED_MAX:  # requests bring ever new ones
            self._numbered.clear()
        number = self._rule(settings, rolled_up)
        self._numbered[id(settings), rolled_up] = settings, number
        return number

    def _rule(self, settings: DetectionConfig, rolled_up: bool) -> int:
        rule = np.zeros((), ALIGNMENT)
        lateness_us, absent_after_us = settings.allowed_lateness_us, settings.absent_after_us
        windows = settings.window > 0
        rule["interval_given"] = settings.grid_interval > 0
        rule["calendar"] = settings.calendar
        rule["lateness_us"] = lateness_us
        rule["tolerance_us"] = settings.tolerance_us
        if not settings.calendar:  # a request may have brought a shorter interval
            rule["tolerance_us"] = min(settings.tolerance_us, (settings.grid_interval - 1) // 2)
        rule["absent_after_us"] = absent_after_us
        rule["absence"] = self._absences.get(absent_after_us, 0)
        rule["zone"] = self._zones.index(settings.timezone or "UTC")
        rule["held"] = windows or lateness_us > 0 or settings.duplicates != "first"
        rule["windows"] = windows
        if settings.aggregate is not None:
            rule["function"] = FUNCTIONS.index(settings.aggregate.function)
        rule["duplicates"] = ALL if rolled_up else _DUPLICATES[settings.duplicates]
        rule["impute"] = _IMPUTE[settings.impute_mode]
        rule["fill_late"] = settings.late == "fill"
        key = rule.tobytes()
        if key not in self._rule_numbers:
            self._rule_numbers[key] = len(self._rules)
            self._rules = np.append(self._rules, rule)
            waits_us = [absent_after_us] if absent_after_us else []
            waits_us += [lateness_us] if rule["held"] else []
            every_us = [wait_us // _SWEEPS_PER_WAIT for wait_us in waits_us]
            if self._sweep_every_us is not None:
                every_us.append(self._sweep_every_us)
            self._sweep_every_us = min(every_us, default=None)
        return self._rule_numbers[key]

    def observe(
        self, time_us: NDArray[np.int64], record_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Follow the partition's time through n points; see `kernels.present.advance`.

        Returns
        -------
        int64[n], int64[j, n], int64[j, n]
            Watermark after each point; the speaking time before and after it.
        """
        n = len(time_us)
        watermark_us = np.empty(n, np.int64)
        before = np.empty((len(self._spoke), n), np.int64)
        spoken = np.empty((len(self._spoke), n), np.int64)
        advance(
            self._present, time_us, record_us, self._max_future_us, watermark_us,
            self._silence_us, self._spoke, before, spoken,
        )  # fmt: skip
        return watermark_us, before, spoken

    def align(
        self, pool: Pool, arrivals: Arrivals, outcome: NDArray[np.uint8]
    ) -> Iterator[Columns]:
        """Align points of one pool; yield what is released, part by part.

        outcome : uint8[n], out
        """
        n = len(arrivals.slot)
        waiting = self._waiting(n)
        start = 0
        while start < n:
            to = _columns(n, pool.ring_length)
            start, k = align(
                pool.header, self._rules, self._zones_now(), waiting, self._ttl_us, self._counts,
                arrivals, start, outcome, to,
            )  # fmt: skip
            self._log_change(pool)
            yield Columns._make([*(column[:k] for column in to[:-1]), to.fill_max])

    def _log_change(self, pool: Pool) -> None:
        """Say which series has another grid from now on; of many, one a part."""
        changes = int(self._counts[GRID_CHANGES])
        if changes == self._changes_logged:
            return
        slot = int(self._counts[LAST_CHANGE])
        others = changes - self._changes_logged - 1
        log.info(
            "%s: its points come every %.6g s now, so it begins anew%s",
            pool.names[slot],
            pool.header["interval_us"][slot] / 1e6,
            f" (and {others} more series)" if others else "",
        )
        self._changes_logged = changes

    def take_counts(self) -> NDArray[np.int64]:
        """Return what was counted since the last call, at the places of `kernels.align`."""
        counts, self._counts = self._counts, np.zeros(COUNTS, np.int64)
        self._changes_logged = 0
        return counts

    def idle(self, pool: Pool) -> NDArray[np.int64]:
        """Return the slots of the series that will begin anew with their next point, by now."""
        header = pool.header[: len(pool.names)]
        absence = self._rules["absence"][header["alignment"]]
        idle = self._spoke[absence] - header["spoke_us"] > self._ttl_us
        idle &= (header["newest_us"] != NEVER) & (header["n_pending"] == 0)
        noted = (absence == 0) | (header["absent"] != 0)
        return np.flatnonzero(idle & noted)

    @property
    def sweeps(self) -> bool:
        """Whether any series holds back points, or may be absent."""
        return self._sweep_every_us is not None

    def sweep_is_due(self) -> bool:
        """Return whether series that are silent should be looked at; then count it as done."""
        if self._sweep_every_us is None or self.replays:
            return False
        if (now_us := self.watermark_us) is None:
            return False
        if self.swept and abs(now_us - self.swept.time_us) <= self._sweep_every_us:
            return False
        self.swept = Swept(now_us, self._speaking())
        return True

    def spoke_at(self, swept: Swept) -> NDArray[np.int64]:
        """Return `spoke` as it was then; a new `absent_after` was not counted: 0."""
        return np.array([swept.spoke.get(us, 0) for us in self._counted_us], np.int64)

    def sweep(self, pool: Pool, watermark_us: int, spoke: NDArray[np.int64]) -> Iterator[Columns]:
        """Yield what is due of the series of `pool` at a time of the partition, part by part."""
        waiting = self._waiting(0)
        start, n_slots = 0, len(pool.names)
        to = _columns(n_slots, pool.ring_length)
        while start < n_slots:
            start, k = sweep(
                pool.header, self._rules, self._zones_now(), waiting, self._counts,
                watermark_us, spoke, start, n_slots, to,
            )  # fmt: skip
            copies = [column[:k].copy() for column in to[:-1]]  # `to` has room for every series
            yield Columns._make([*copies, to.fill_max])

    def _zones_now(self) -> Zones:
        return Zones(self._zones.start, self._zones.change_us, self._zones.offset_us)

    def _waiting(self, n: int) -> Waiting:
        """Return the arena, with room for n points more."""
        if self._sweep_every_us is not None:
            needed, room = int(self._ends[USED]) + n, len(self._arena)
            if needed > room:
                self._arena = np.append(self._arena, np.zeros(max(needed - room, room), PENDING))
        return Waiting(self._arena, self._ends, self._scratch, self._points_max)


class Past:
    """The time that a partition had before the first record of each batch, as far as needed."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._positions: list[TimePosition] = []
        self.newest = 0
        """Offset at which the newest batch begins."""

    def remember(self, offset: int, position: TimePosition) -> None:
        """Note the time before the batch that begins at `offset`."""
        self._offsets.append(offset)
        self._positions.append(position)
        self.newest = offset

    def at(self, offset: int) -> TimePosition | None:
        """Return the time before the first batch that does not begin before `offset`."""
        k = bisect_left(self._offsets, offset)
        return self._positions[k] if k < len(self._positions) else None

    def forget(self, offset: int) -> None:
        """Forget the batches that begin before `offset`."""
        k = bisect_left(self._offsets, offset)
        del self._offsets[:k], self._positions[:k]


def move_header(source: np.void, target: np.void) -> None:
    """Let a series that moves to another row, and begins anew there, keep what it holds back."""
    for name, _ in HEADER:
        if name not in ("time_us", "begun", "stagger"):
            target[name] = source[name]


def _columns(n: int, fill_max: int) -> Columns:
    size = 2 * max(n, 2 * (fill_max + 4))
    return Columns(
        slot=np.empty(size, np.int64),
        use=np.empty(size, np.uint8),
        time_us=np.empty(size, np.int64),
        value=np.empty(size),
        step=np.empty(size, np.int32),
        offset=np.empty(size, np.int64),
        element=np.empty(size, np.int32),
        incomplete=np.empty(size, np.bool_),
        fill_max=fill_max,
    )
