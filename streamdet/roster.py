"""The series of one partition: taken in, given their settings, rolled up, let go of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamdet.config import AggregateConfig, Config, DetectionConfig
from streamdet.detectors import DETECTORS
from streamdet.errors import RecordError
from streamdet.event_time import EventTime, move_header
from streamdet.kernels.header import NO_ROLLUP, ROLLUP_UNKNOWN
from streamdet.state.store import FULL, MISSING, Pool, Store, ring_length_for
from streamdet.types import Overrides, Partition, Points, Reject, SeriesId

log = logging.getLogger(__name__)

_BEGINNINGS_MAX = 1_000

ROLLUP = "rollup"
"""Dimension that a rolled up series has beside those it is rolled up by: the function's name."""


class Roster:
    """Which series a partition has, and by which settings each is judged.

    Parameters
    ----------
    partition : Partition
    config : Config
    store : Store
        Takes the series in; changed by what is called here.
    event_time : EventTime
        Told of the settings of each.
    """

    def __init__(
        self, partition: Partition, config: Config, store: Store, event_time: EventTime
    ) -> None:
        self._partition = partition
        self._config = config
        self._store = store
        self._event_time = event_time
        every = (config.detection, *(rule.set for rule in config.rules))
        self.rolls_up = any(settings.rollup is not None for settings in every)
        """Whether any series is rolled up into another."""
        self.sends_late = any(settings.late == "topic" for settings in every)
        """Whether the late points of any series go to a topic of their own."""
        self._overridden: dict[int, DetectionConfig] = {}
        self._rolled_up_handles: set[int] = set()
        self._without_leaves: set[int] = set()
        self._refused_a_series = False
        self._beginnings: dict[tuple[int, bool], tuple[DetectionConfig, int, bytes]] = {}
        self._rule = _rule_lookup(config)

    def route(self, points: Points, identify: Callable[[bytes, bool], str]) -> NDArray[np.int64]:
        """Return the handle of each point's series, taking in new ones.

        Parameters
        ----------
        points : Points
            `rejects` grows by the points that turn out to be unusable.
        identify : callable
            A key, and whether it is raw -> the text of the series' identity, with all checks;
            asked once for each key that is new here. Raises RecordError.

        Returns
        -------
        int64[n]
            Handle; MISSING where the point was rejected, FULL where the series has no room.
        """
        handles = self._store.table.find(points.buffer, points.key_start, points.key_size)
        missing = np.flatnonzero(handles == MISSING)
        if len(missing):
            handles[missing] = self._handles_of_new(points, missing, identify)
        return handles

    def _handles_of_new(
        self, points: Points, missing: NDArray[np.int64], identify: Callable[[bytes, bool], str]
    ) -> list[int]:
        """Return the handles of the points at `missing`, whose keys are new here."""
        bytes_of = points.buffer.data
        columns = (points.key_start, points.key_size, points.raw, points.record)
        keys: list[bytes] = []
        texts: dict[bytes, str] = {}
        refusals: dict[bytes, RecordError] = {}
        for start, size, raw, record in zip(*(c[missing].tolist() for c in columns), strict=True):
            key = bytes(bytes_of[start : start + size])
            keys.append(key)
            if key not in texts and key not in refusals:
                try:
                    texts[key] = identify(key, raw)
                except RecordError as error:
                    refusals[key] = error
            if refusal := refusals.get(key):
                points.rejects.append(Reject(record, None, refusal.reason, refusal.message))
        handles = self._handles(texts)
        return [handles.get(key, MISSING) for key in keys]

    def _handles(self, texts: dict[bytes, str]) -> dict[bytes, int]:
        """Return the handle of each key, all of them new, by the text of its series."""
        names = list(dict.fromkeys(texts.values()))
        found = self._store.table.handles([name.encode() for name in names]).tolist()
        handle_of = dict(zip(names, found, strict=True))
        new = [name for name in names if handle_of[name] == MISSING]
        if new:
            settings = [self._rule(name) for name in new]
            handle_of.update(zip(new, self._take_in(new, settings), strict=True))
        handles = {key: handle_of[text] for key, text in texts.items()}
        others = [
            key for key, text in texts.items() if handles[key] == FULL or key != text.encode()
        ]
        if others:
            self._store.alias(others, np.array([handles[key] for key in others], np.int64))
        return handles

    def rollups(self, handles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each of `handles` that of the series it is rolled up into; negative: none."""
        found = self._known_rollups(handles)
        unknown = found == ROLLUP_UNKNOWN
        if not unknown.any():
            return found
        for leaf in dict.fromkeys(handles[unknown].tolist()):  # by who came first
            target = self._rolled_up(leaf)  # which may let a pool grow
            pool, slot = self._store.at(leaf)
            pool.header["rollup"][slot] = target
        return self._known_rollups(handles)

    def _known_rollups(self, handles: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.full(len(handles), NO_ROLLUP, np.int64)
        for number, pool in enumerate(self._store.pools):
            here = np.flatnonzero(handles >> 32 == number)
            found[here] = pool.header["rollup"][handles[here] & 0xFFFFFFFF]
        return found

    def settings(self, handle: int, name: str | None = None) -> DetectionConfig:
        """Return what the series of `handle` is judged by.

        name : the series', where it is known already
        """
        return self._overridden.get(handle) or self._rule(name or self._store.name(handle))

    def series(self, handle: int) -> SeriesId:
        """Return the series of `handle`."""
        return SeriesId.parse(self._store.name(handle))

    def changed(self, handle: int, overrides: Overrides) -> DetectionConfig | None:
        """Return the settings that `overrides` make for the series; None if it has them already."""
        if handle < 0:
            return None
        current = self.settings(handle)
        given = {name: value for name, value in asdict(overrides).items() if value is not None}
        settings = current.model_copy(update=given)
        return None if settings == current else settings

    def override(self, old: int, settings: DetectionConfig) -> int:
        """Let `settings` hold for a series from its next point on. Returns its handle from now."""
        detector = DETECTORS[settings.detector]
        new = self._store.resize(old, detector.ring_points(settings))
        if new != old:
            (from_pool, from_slot), (pool, slot) = self._store.at(old), self._store.at(new)
            move_header(from_pool.rows[from_slot], pool.rows[slot])
            # What came before in this batch may be of an incident; its event is yet to be made.
            pool.rows["incident"][slot] = from_pool.rows["incident"][from_slot]
            self._overridden.pop(old, None)
        self._overridden[new] = settings
        self._configure(*self._store.at(new), settings)
        return new

    def overrides(self, handle: int) -> Overrides | None:
        """Return the parameters that requests set for the series; None: it has its rule's."""
        settings = self._overridden.get(handle) if self._overridden else None
        if settings is None or self.is_rolled_up(handle):
            return None
        rule = self._rule(self._store.name(handle))
        given = {each.name: getattr(settings, each.name) for each in fields(Overrides)}
        return Overrides(**{k: v for k, v in given.items() if v != getattr(rule, k)})

    def is_rolled_up(self, handle: int) -> bool:
        """Return whether the series is made of others."""
        return handle in self._rolled_up_handles

    def restored_settings(self, name: str, overrides: Overrides | None) -> DetectionConfig:
        """Return what a series out of the state topic is judged by now."""
        settings = self._rule(name)
        if overrides is None:
            return settings
        given = {name: value for name, value in asdict(overrides).items() if value is not None}
        return settings.model_copy(update=given)

    def restore(
        self,
        handle: int,
        settings: DetectionConfig,
        overrides: Overrides | None,
        *,
        rolled_up: bool,
    ) -> None:
        """Let `settings` hold for a series whose row was put back into the store.

        One that is rolled up gets its settings from its leaves: `roll_up_again`.
        """
        if rolled_up:
            self._rolled_up_handles.add(handle)
            self._without_leaves.add(handle)
            return
        if overrides is not None:
            self._overridden[handle] = settings
        self._configure(*self._store.at(handle), settings, restored=True)

    def restore_unchanged(
        self, number: int, slots: NDArray[np.int64], settings: Sequence[DetectionConfig]
    ) -> None:
        """As `restore`, of a pool's series whose rows were made with the same configuration.

        Only what is a place in memory is missing from them: which rule of event time holds.
        """
        header = self._store.pools[number].header
        identities = np.array([id(each) for each in settings], np.int64)
        of_first = {id(each): each for each in settings}
        for identity, each in of_first.items():
            header["alignment"][slots[identities == identity]] = self._event_time.rule(each)

    def roll_up_again(self) -> None:
        """Give restored series that are rolled up their settings; those without leaves go."""
        for number, pool in enumerate(self._store.pools if self.rolls_up else ()):
            taken = pool.names.taken()
            unknown = pool.header["rollup"][taken] == ROLLUP_UNKNOWN
            self.rollups((number << 32) | taken[unknown])
        idle = self._without_leaves
        self._store.evict(
            lambda pool: np.array(
                [h & 0xFFFFFFFF for h in sorted(idle) if self._store.at(h)[0] is pool], np.int64
            )
        )
        self._rolled_up_handles -= idle
        self._without_leaves = set()

    def evict(self) -> NDArray[np.int64]:
        """Let go of the series that are idle; return what handles they had. Reads every row."""
        gone = self._store.evict(self._event_time.idle)
        for handle in gone.tolist():
            self._overridden.pop(handle, None)
        self._rolled_up_handles.difference_update(gone.tolist())
        for pool in self._store.pools if len(gone) else ():
            header = pool.header
            header["rollup"][np.isin(header["rollup"], gone)] = ROLLUP_UNKNOWN
        return gone

    def _take_in(
        self,
        names: Sequence[str],
        settings: Sequence[DetectionConfig],
        *,
        rolled_up: bool = False,
    ) -> list[int]:
        """Return the handles of new series with `settings`; FULL for those that have no room."""
        distinct = {id(each): each for each in settings}
        begins = {of: self._beginning(its, rolled_up=rolled_up) for of, its in distinct.items()}
        pools, rows = zip(*[begins[id(each)] for each in settings], strict=True)
        handles: list[int] = self._store.admit(names, pools, rows).tolist()
        if handles[-1] == FULL:
            self._warn_full()
        return handles

    def _beginning(self, settings: DetectionConfig, *, rolled_up: bool) -> tuple[int, bytes]:
        """Return the number of the pool of a series with `settings`, and what its row begins as."""
        known = self._beginnings.get((id(settings), rolled_up))
        if known is not None and known[0] is settings:
            return known[1:]
        detector = DETECTORS[settings.detector]
        length = ring_length_for(detector.ring_points(settings))
        number = self._store.pool_for(detector.layout, length)
        example = Pool(detector.layout, 0)
        example.take([""], example.blank())
        self._configure(example, 0, settings, rolled_up=rolled_up)
        row = example.rows[:1].tobytes()
        if len(self._beginnings) >= _BEGINNINGS_MAX:  # rolled up series bring ever new settings
            self._beginnings.clear()
        self._beginnings[id(settings), rolled_up] = settings, number, row
        return number, row

    def _configure(
        self,
        pool: Pool,
        slot: int,
        settings: DetectionConfig,
        *,
        rolled_up: bool = False,
        restored: bool = False,
    ) -> None:
        DETECTORS[settings.detector].configure(pool.rows, slot, settings)
        self._event_time.configure(pool, slot, settings, rolled_up=rolled_up, restored=restored)

    def _rolled_up(self, leaf: int) -> int:
        """Return the handle of the series that `leaf` is rolled up into; a new one is taken in."""
        settings = self.settings(leaf)
        rollup = settings.rollup
        assert rollup is not None, "only such series are asked about"
        series = self.series(leaf)
        kept = {name: text for name, text in series.dimensions if name in rollup.by}
        target = SeriesId.of(series.metric, {**kept, ROLLUP: rollup.function})
        handle = self._store.table.get(str(target).encode())
        if handle != MISSING and handle not in self._without_leaves:
            return handle
        interval = settings.aggregate.interval if settings.aggregate is not None else None
        own = settings.model_copy(
            update={
                "aggregate": AggregateConfig(interval=interval, function=rollup.function),
                "rollup": None,
                "tolerance": None,
            }
        )
        if handle != MISSING:
            self._without_leaves.discard(handle)
            self._configure(*self._store.at(handle), own, rolled_up=True, restored=True)
        else:
            (handle,) = self._take_in([str(target)], [own], rolled_up=True)
        if handle == FULL:
            return NO_ROLLUP
        self._overridden[handle] = own
        self._rolled_up_handles.add(handle)
        return handle

    def _warn_full(self) -> None:
        if not self._refused_a_series:
            self._refused_a_series = True
            log.error(
                "%s holds limits.max_series = %d series: points of further series are dropped "
                "(streamdet_points_total{outcome='dropped_series_limit'}); raise the limit, or "
                "take a dimension with unbounded values out of the points",
                self._partition,
                self._config.limits.max_series,
            )


def _rule_lookup(config: Config) -> Callable[[str], DetectionConfig]:
    """Return what tells the settings that rules give to a series, by its text."""
    if not config.rules:
        return lambda name: config.detection

    @lru_cache(maxsize=10_000)  # reading the text takes as long as all else of an event
    def lookup(name: str) -> DetectionConfig:
        return config.detection_for(SeriesId.parse(name))

    return lookup
