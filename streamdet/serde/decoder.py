"""Batches of records to columns of points: parsed where plain, decoded carefully where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from streamdet.batch import sizes_of
from streamdet.errors import RecordError
from streamdet.kernels.parse import ARRAY, NOT_SURE, POINT, REQUEST, PointRules
from streamdet.kernels.scalars import LAST_US, NO_TIME
from streamdet.serde.columns import Careful, Parsed, Texts, merged, parse, points_of
from streamdet.serde.limits import TICKS, DecodeLimits, TimestampUnit
from streamdet.serde.point import OpenedRecord, PointTime, RecordDecoder
from streamdet.serde.series import Identity, plain_text_of
from streamdet.types import Overrides, Points, RecordBatch, Reject

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Decoder:
    """Decodes batches. Holds nothing but a memory of spellings, so any order of calls will do."""

    def __init__(self, limits: DecodeLimits) -> None:
        self._limits = limits
        self._records = RecordDecoder(limits)
        self._rules = {unit: _rules(limits, unit) for unit in TICKS}

    def decode(self, batch: RecordBatch, timestamp_unit: TimestampUnit) -> Points:
        """Return the points of `batch` in record order, and a `Reject` for whatever is refused.

        The parser takes the records that are plain: a native point, an array, a request without
        parameters. The others are opened one by one, and it takes the plain ones of the points in
        them. What is left is decoded carefully.

        Parameters
        ----------
        timestamp_unit
            Of integer timestamps.
        """
        own_us, latest_us = self._bounds_us(batch.timestamps_ms)
        values = cast("Sequence[bytes]", batch.values)
        if not batch.sizes.all():  # a tombstone may be among them
            values = [value or b"" for value in values]
        parsed = parse(
            Texts(values, batch.sizes, np.ones(len(values), np.bool_), own_us, latest_us),
            self._rules[timestamp_unit],
            self._limits.max_record_bytes,
            whole=True,
        )
        points = points_of(parsed, batch.offsets, own_us)
        if parsed.all_points or ((parsed.form == POINT) | (parsed.form == REQUEST)).all():
            return points
        opened = self._open(batch, np.flatnonzero(parsed.form == NOT_SURE).tolist())
        careful = self._of_arrays(parsed, opened)
        if opened.texts:
            careful = careful.and_those(self._decode(opened, own_us, latest_us, timestamp_unit))
        if careful.identities:
            points = merged(points, careful, batch.offsets, own_us)
        points.rejects = sorted(opened.rejects, key=_place)
        points.overrides = dict(_first_points(points, opened.overrides))
        points.tombstones = opened.tombstones
        return points

    def identify(self, key: bytes, raw: bool) -> str:
        """Return the text of the series' identity that the key of a point tells.

        raw : as in `Points`

        Raises
        ------
        RecordError
            The point is not to be used: a dead letter.
        """
        if not raw:
            return key.decode()
        return plain_text_of(key) or str(self._records.identify_key(key).series)

    def _open(self, batch: RecordBatch, records: list[int]) -> _Opened:
        opened = _Opened()
        for record in records:
            value = batch.values[record]
            if value is None:
                opened.tombstones += 1
                continue
            try:
                opened.add(record, self._records.open(value, partial(_key_of, batch, record)))
            except RecordError as refusal:
                opened.refuse(record, None, refusal)
        return opened

    def _decode(
        self,
        opened: _Opened,
        own_us: NDArray[np.int64],
        latest_us: NDArray[np.int64],
        unit: TimestampUnit,
    ) -> Careful:
        """Return the points of `opened`, whose refusals grow by those that are none."""
        record = np.array(opened.record)
        own_us = np.where(opened.may_lack_time, own_us[record], NO_TIME)
        latest_us = latest_us[record]
        named = np.array([identity is None for identity in opened.identities])
        texts = Texts(opened.texts, sizes_of(opened.texts), named, own_us, latest_us)
        rules, max_bytes = self._rules[unit], self._limits.max_record_bytes
        parsed = parse(texts, rules, max_bytes, whole=False)
        taken = parsed.form != NOT_SURE
        row = (np.cumsum(taken) - 1).tolist()
        time_us, value = np.empty(len(taken), np.int64), np.empty(len(taken))
        time_us[taken], value[taken] = parsed.rows.time_us, parsed.rows.value
        identities: list[Identity] = []
        for i, text in enumerate(opened.texts):
            identity = opened.identities[i]
            try:
                if taken[i]:
                    identity = identity or self._records.identify_key(parsed.key_bytes(row[i]))
                else:
                    time = PointTime(int(own_us[i]), int(latest_us[i]), unit)
                    time_us[i], value[i], identity = self._records.point(text, identity, time)
                    taken[i] = True
            except RecordError as refusal:
                opened.refuse(opened.record[i], opened.element[i], refusal)
                taken[i] = False
            else:
                identities.append(identity)
        element = np.array(opened.element)
        return Careful(record[taken], element[taken], time_us[taken], value[taken], identities)

    def _of_arrays(self, parsed: Parsed, opened: _Opened) -> Careful:
        """Return the points of arrays of native points; each of them names its own series."""
        rows = parsed.rows
        its = np.flatnonzero(parsed.form[rows.record] == ARRAY)
        identities: list[Identity] = []
        taken = np.ones(len(its), np.bool_)
        for i, row in enumerate(its.tolist()):
            try:
                identities.append(self._records.identify_key(parsed.key_bytes(row)))
            except RecordError as refusal:
                opened.refuse(int(rows.record[row]), int(rows.element[row]), refusal)
                taken[i] = False
        its = its[taken]
        return Careful(
            rows.record[its], rows.element[its], rows.time_us[its], rows.value[its], identities
        )

    def _bounds_us(
        self, timestamps_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each record's own time, or NO_TIME, and the latest event time it may hold."""
        future_us = self._limits.max_future_us
        # As unsigned, what is negative is larger than any time.
        if timestamps_ms.view(np.uint64).max(initial=0) <= LAST_US // 1_000:
            own_us = timestamps_ms * 1_000
            return own_us, np.minimum(own_us + future_us, LAST_US)
        known = (timestamps_ms >= 0) & (timestamps_ms <= LAST_US // 1_000)
        own_us = np.where(known, timestamps_ms, 0) * 1_000
        latest_us = np.where(known, own_us + future_us, LAST_US)
        return np.where(known, own_us, NO_TIME), np.minimum(latest_us, LAST_US)


def _rules(limits: DecodeLimits, unit: TimestampUnit) -> PointRules:
    multiplier, divisor = TICKS[unit]
    return PointRules(
        limits.name_max_bytes,
        limits.dimension_value_max_bytes,
        limits.max_dimensions,
        multiplier,
        divisor,
        limits.earliest_us,
        limits.points_max,
    )


@dataclass(slots=True)
class _Opened:
    """The records that were not plain: their points as texts, and what was refused."""

    texts: list[bytes] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    element: list[int] = field(default_factory=list)
    """-1: the record is that point."""
    identities: list[Identity | None] = field(default_factory=list)
    may_lack_time: list[bool] = field(default_factory=list)
    overrides: dict[int, Overrides] = field(default_factory=dict)
    """By record."""
    rejects: list[Reject] = field(default_factory=list)
    tombstones: int = 0

    def add(self, record: int, content: OpenedRecord) -> None:
        n = len(content.points)
        self.texts += content.points
        self.record += [record] * n
        self.element += [-1] if content.single else range(n)
        self.identities += [content.identity] * n
        self.may_lack_time += [content.identity is None or n == 1] * n
        if content.overrides is not None:
            self.overrides[record] = content.overrides

    def refuse(self, record: int, element: int | None, refusal: RecordError) -> None:
        element = None if element == -1 else element
        self.rejects.append(Reject(record, element, refusal.reason, refusal.message))


def _key_of(batch: RecordBatch, record: int) -> bytes | None:
    return batch.record(record).key


def _place(reject: Reject) -> tuple[int, int]:
    return reject.record, -1 if reject.element is None else reject.element


def _first_points(
    points: Points, overrides: dict[int, Overrides]
) -> Iterator[tuple[int, Overrides]]:
    """Yield each record's parameters with the index of its first point, if a point is left."""
    records = np.array(list(overrides), np.int32)
    firsts = np.searchsorted(points.record, records).tolist()
    for record, first in zip(overrides, firsts, strict=True):
        if first < len(points) and points.record[first] == record:
            yield first, overrides[record]
