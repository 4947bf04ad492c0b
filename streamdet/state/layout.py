"""Rows as bytes of a state record: what tells their layout, and how arrays are written.

Arrays are written by planes: the first byte of every item, then the second of every item, and so
on. Bytes of one meaning lie together, which takes a seventh (noise) to a third (counts) off what
zstandard makes of rings, and a third off the time to write them; reading takes as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW_PLANES = 16  # one by one, few long planes are put together 3 times as fast as by a transpose


@cache
def fingerprint(row: np.dtype[np.void]) -> tuple[str, ...]:
    """Return the fields of a row in order, each as its name and format: `season.period <i4`."""
    return tuple(name + " " + form for name, form, _, _ in _fields(row))


@cache
def plane_count(dtype: np.dtype[Any]) -> int:
    """Return how many bytes of an item are written: of a row not those that only fill its line."""
    if dtype.names is None:
        return dtype.itemsize
    size = 0
    for name, _, offset, field_size in _fields(dtype):
        assert offset == size, f"{name} lies where the field before it ends"
        size += field_size
    return size


def differences(layout: list[str], row: np.dtype[np.void]) -> tuple[str, ...]:
    """Return in words where the fields of a fingerprint are not those of `row`; empty: nowhere."""
    if tuple(layout) == fingerprint(row):
        return ()
    there = dict(_named(each) for each in layout)
    here = dict(_named(each) for each in fingerprint(row))
    found = []
    for name in sorted(there.keys() | here.keys()):
        if name not in here:
            found.append(f"{name}: only there")
        elif name not in there:
            found.append(f"{name}: only here")
        elif there[name] != here[name]:
            found.append(f"{name}: {there[name]} there, {here[name]} here")
    return tuple(found) or ("the fields are in another order, or there twice",)


def to_planes(array: NDArray[Any]) -> bytes:
    """Return the bytes of an array's items by planes."""
    items = np.ascontiguousarray(array).reshape(-1)
    planes = items.view(np.uint8).reshape(len(items), items.itemsize)
    return planes[:, : plane_count(items.dtype)].T.tobytes()


def from_planes(planes: bytes, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return `count` items, an array of its own; `planes` has the bytes that they take."""
    n_planes = plane_count(dtype)
    by_plane = np.frombuffer(planes, np.uint8).reshape(n_planes, count)
    items = np.zeros(count, dtype)
    into = items.view(np.uint8).reshape(count, dtype.itemsize)[:, :n_planes]
    if n_planes <= _FEW_PLANES:
        for i in range(n_planes):
            into[:, i] = by_plane[i]
    else:
        into[:] = by_plane.T
    return items


def _fields(row: np.dtype[np.void], above: str = "", at: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield of each field, those of nested ones too: name, format, offset, size in bytes."""
    fields: Mapping[str, Any] = row.fields or {}
    for name in row.names or ():
        dtype, offset = row[name], fields[name][1]
        if dtype.names is not None:
            yield from _fields(dtype, f"{above}{name}.", at + offset)
        else:
            base, shape = dtype.subdtype or (dtype, ())
            assert base.names is None, f"{name}: an array of records has no fingerprint"
            form = base.str + "".join(f"[{n}]" for n in shape)
            yield above + name, form, at + offset, dtype.itemsize


def _named(field: str) -> tuple[str, str]:
    name, _, form = field.partition(" ")
    return name, form
