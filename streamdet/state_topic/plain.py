"""Rows and rings as plain values: what export writes, and what one series is shown by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamdet.detectors import DETECTORS
from streamdet.kernels.header import NEVER
from streamdet.state.record import ChunkRecord
from streamdet.types import Overrides, Partition, SeriesId

_PLACES = ("head", "tail", "alignment", "rollup")
_INCIDENT = "incident"
TIMES = ("time_us", "newest_us", "raw_us")
"""Fields of a row that are event times; NEVER is None."""


class SeriesState(NamedTuple):
    """All that a chunk says of one series, in plain values; None: not known, or NaN."""

    series: SeriesId
    input: Partition
    detector: str
    ring_length: int
    chunk: int
    slot: int
    offset: int
    config_hash: str
    rolled_up: bool
    overrides: Overrides | None
    time_us: int | None
    """Newest event time that was judged."""
    period: int | None
    """Of the season, in points; None: none is known."""
    incident: str | None
    """Id of the event that began the open incident."""
    ring: list[float | None]
    """The oldest first; see `Detector.history`."""
    pending: list[dict[str, Any]]
    """Points held back: time_us, value, offset, element."""
    row: dict[str, Any]
    """Fields of the row by name; fields of fields are nested."""


def plain(chunk: ChunkRecord, place: Partition) -> Iterator[SeriesState]:
    """Yield the series of a chunk of a partition of the input."""
    detector = DETECTORS[chunk.key.detector]
    rows = _records(chunk.rows)
    held = _records(chunk.pending)
    ends = [0, *np.cumsum(chunk.rows["n_pending"], dtype=np.int64).tolist()]
    for k, (name, (start, end)) in enumerate(zip(chunk.names, pairwise(ends), strict=True)):
        row = rows[k]
        open_incident = bytes(row.pop(_INCIDENT)).hex() if row["to_recovery"] else None
        row.pop(_INCIDENT, None)
        yield SeriesState(
            series=SeriesId.parse(name),
            input=place,
            detector=chunk.key.detector,
            ring_length=chunk.key.ring_length,
            chunk=chunk.key.number,
            slot=int(chunk.slots[k]),
            offset=chunk.offset,
            config_hash=chunk.config_hash,
            rolled_up=bool(chunk.rolled_up[k]),
            overrides=chunk.overrides[k],
            time_us=row["time_us"],
            period=(row.get("season") or {}).get("period") or None,
            incident=open_incident,
            ring=_column("ring", detector.history(chunk.rows[k], chunk.ring[k])),
            pending=held[start:end],
            row=row,
        )


def row_fields() -> Mapping[str, Any]:
    """Return the fields of every detector's row, as `SeriesState.row` has them: name -> dtype, or
    such a mapping where it has fields of its own."""
    found: dict[str, Any] = {}
    for detector in DETECTORS.values():
        found = {**found, **_fields(detector.layout.row)}
    found.pop(_INCIDENT)
    return found


def _fields(dtype: np.dtype[Any]) -> dict[str, Any]:
    names = [name for name in dtype.names or () if name not in _PLACES]
    return {
        name: _fields(dtype[name]) if dtype[name].names is not None else dtype[name]
        for name in names
    }


def _records(array: NDArray[np.void]) -> list[dict[str, Any]]:
    """Return each record as a dict; what is only a place in memory is left out."""
    columns = {
        name: _column(name, array[name]) for name in array.dtype.names or () if name not in _PLACES
    }
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in rows]


def _column(name: str, array: NDArray[Any]) -> list[Any]:
    if array.dtype.names is not None:
        return _records(array)
    if array.ndim > 1:
        return [_column(name, each) for each in array]
    values: list[Any] = array.tolist()
    unknown = array == NEVER if name in TIMES else ~np.isfinite(array)
    for k in np.flatnonzero(unknown).tolist():
        values[k] = None
    return values
