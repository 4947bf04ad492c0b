"""State records from fixed seeds, and ways to take one apart and seal it again."""

from __future__ import annotations

import struct

import msgspec
import numpy as np

from streamdet.detectors import DETECTORS
from streamdet.kernels.header import NO_ROLLUP, ROLLUP_UNKNOWN
from streamdet.kernels.present import PRESENT
from streamdet.state.envelope import seal, unseal
from streamdet.state.layout import plane_count
from streamdet.state.record import (
    HELD,
    ChunkKey,
    ChunkPosition,
    ChunkRecord,
    PartitionKey,
    PartitionRecord,
)
from streamdet.types import Overrides

LAYOUTS = {name: detector.layout.row for name, detector in DETECTORS.items()}


def chunk(
    detector="forecast",
    n_series=3,
    ring_length=8,
    seed=0,
    row=None,
    group="workers",
    topic="metrics",
    number=2,
    held=(2, 0, 3),
):
    """A chunk whose every byte is random that may be, NaNs with all kinds of bits among them."""
    rng = np.random.default_rng(seed)
    k = n_series
    n_pending = np.resize(np.array(held, np.int32), k)
    dtype = row if row is not None else LAYOUTS[detector]
    rows = np.zeros(k, dtype)
    size = plane_count(dtype)
    random = np.frombuffer(rng.bytes(k * size), np.uint8).reshape(k, size)
    rows.view(np.uint8).reshape(k, dtype.itemsize)[:, :size] = random
    rows["n_pending"], rows["head"], rows["tail"], rows["alignment"] = n_pending, -1, -1, 0
    rows["rollup"] = np.resize([NO_ROLLUP, ROLLUP_UNKNOWN], k)
    ring = np.frombuffer(rng.bytes(k * ring_length * 4), "<f4").reshape(k, ring_length)
    ring = np.where(rng.random(ring.shape) < 0.2, np.float32(np.nan), ring)
    m = int(n_pending.sum())
    pending = np.zeros(m, HELD)
    pending["time_us"] = 1_600_000_000_000_000 + np.arange(m)
    pending["value"] = rng.normal(size=m)
    pending["offset"] = rng.integers(0, 1000, m)
    pending["element"] = rng.integers(-1, 5, m)
    overrides = [
        None,
        Overrides(sensitivity=80, impute_fixed_value=0.5, granularity="hourly"),
        Overrides(max_anomaly_ratio=0.25, period=24, impute_mode="linear", custom_interval=5),
    ]
    return ChunkRecord(
        key=ChunkKey(group, topic, detector, ring_length, number),
        offset=1000,
        config_hash="0123456789ab",
        capacity=4 * max(k, 1),
        slots=rng.permutation(4 * k)[:k].astype(np.int32),
        names=[f'requests{{host="hôte-{i}"}}' for i in range(k)],
        overrides=[overrides[i % 3] for i in range(k)],
        rolled_up=np.arange(k) % 2 == 1,
        rows=rows,
        ring=ring.astype(np.float32),
        pending=pending,
    )


def partition(topic="metrics", group="workers"):
    present = np.zeros(1, PRESENT)
    present["time_us"], present["first_us"], present["low_us"] = 1_600_000_000_000_000, -1, -(2**63)
    present["votes"], present["n_ahead"] = 7, 3
    return PartitionRecord(
        key=PartitionKey(group, topic),
        next_offset=1500,
        replay_from=900,
        present=present,
        spoke={300_000_000: 12_000_000_000, 60_000_000: 0},
        swept=(1_614_686_400_000_000, {300_000_000: 11_000_000_000}),
        chunks=[
            ChunkPosition("forecast", 8, 2, 1000),
            ChunkPosition("forecast", 8, 0, 900),
            ChunkPosition("threshold", 0, 0, 1500),
        ],
        config_hash="0123456789ab",
        topic_id="8f14e45f-ceea-467f-a0c2-3b5e1d0c9a11",
        made_by="0.1.0",
    )


def same(one, other):
    """Whether two records are equal in every bit."""
    return type(one) is type(other) and all(
        _same(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__
    )


def _same(one, other):
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return one == other


def opened(value):
    """Key, header as a dict, and arrays of a record's value."""
    payload = unseal(value)
    key, rest = _sized(payload)
    header, arrays = _sized(rest)
    return key, msgspec.msgpack.decode(header), arrays


def closed(key, header, arrays):
    """A value of the same form, with a checksum that fits, whatever is in it."""
    packed = header if isinstance(header, bytes) else msgspec.msgpack.encode(header)
    lengths = struct.pack("<I", len(key)), struct.pack("<I", len(packed))
    return seal(lengths[0] + key + lengths[1] + packed + arrays)


def _sized(payload):
    end = 4 + struct.unpack_from("<I", payload)[0]
    return payload[4:end], payload[end:]
