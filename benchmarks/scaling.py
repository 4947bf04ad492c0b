"""How many machines a load needs: ``python -m benchmarks.scaling``.

Short measurements of this machine first; then the arithmetic of docs/scaling.md for a load that is
far larger, and a simulation of what arithmetic does not know: how uneven partitions and members
are, since keys are hashed and members get partitions blindly, and how long the points of members
that died wait. Nothing here is a promise: a machine that is busy measures too little.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.series_count import Contender, whole_ns
from benchmarks.state import take_and_load
from benchmarks.throughput import Plan as Run
from benchmarks.throughput import points_per_s as measured_points_per_s
from streamdet.config import Config

RINGS = (64, 288, 1440)
_FEW_SERIES = 1_000
_BATCH_RECORDS = 4_000
_LEARNT_MORE_MINUTES = 12
"""Beyond a full ring."""
EVENT_SHARE, EVENT_BYTES = 0.007, 700
POINT_BYTES = 130
"""Of a record with one point: value, key, and Kafka's own."""
SEGMENT_BYTES = 64 << 20
_KEYS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Figures:
    """What one core does, measured."""

    points_per_s: float
    """Of the whole path, exactly_once, one point a record, a few thousand series."""
    slowdown: float
    """Cost of a point with as many series as a member will have, by that with few."""
    memory_bytes: dict[int, float]
    """Of a series, by ring length."""
    state_bytes: dict[int, float]
    """Likewise in the state topic."""
    load_s: dict[int, float]
    """Likewise to load it."""


@dataclass(frozen=True)
class Load:
    """What is asked for."""

    points_per_s: float = 5e6
    n_series: int = 10_000_000
    ring_length: int = 288
    share: float = 0.5
    """Of its capacity that a member is to use: the rest works off what waits."""
    partitions_per_member: int = 8
    replication: int = 3
    session_s: float = 45.0
    """Until a member that died is missed: session.timeout.ms."""


@dataclass(frozen=True)
class Plan:
    """What it takes."""

    load: Load
    capacity: float
    """Points a second of one member."""
    members: int
    partitions: int
    memory_bytes: float
    """Of the series of one member."""
    state_bytes: float
    """Of all chunks."""
    state_rate: float
    """Bytes a second that all members write to the state topic."""
    turn_s: float
    """Until every chunk was written once; so much input is replayed at a restart."""
    load_s: float
    """To load the state of one partition."""

    @property
    def restore_s(self) -> float:
        """To take up one partition: load, and replay at full speed."""
        per_partition = self.load.points_per_s / self.partitions
        return self.load_s + self.turn_s * per_partition / self.capacity

    @property
    def topic_bytes(self) -> float:
        """What the state topic may take of one copy's disk before compaction."""
        return 2 * self.state_bytes + self.partitions * SEGMENT_BYTES

    @property
    def broker_in_bytes(self) -> float:
        """Bytes a second that all brokers together take in, followers included."""
        load = self.load
        events = load.points_per_s * EVENT_SHARE * EVENT_BYTES
        return load.replication * (load.points_per_s * POINT_BYTES + events + self.state_rate)

    @property
    def broker_out_bytes(self) -> float:
        """Bytes a second that they send: once to the members, and to followers."""
        copied = self.broker_in_bytes / self.load.replication * (self.load.replication - 1)
        return self.load.points_per_s * POINT_BYTES + copied


def plan(figures: Figures, load: Load, bytes_per_second: float) -> Plan:
    """Return what `load` takes; `bytes_per_second` is the setting ``state.bytes_per_second``."""
    capacity = figures.points_per_s / figures.slowdown
    members = math.ceil(load.points_per_s / (capacity * load.share))
    partitions = members * load.partitions_per_member
    state_bytes = load.n_series * figures.state_bytes[load.ring_length]
    return Plan(
        load=load,
        capacity=capacity,
        members=members,
        partitions=partitions,
        memory_bytes=load.n_series / members * figures.memory_bytes[load.ring_length],
        state_bytes=state_bytes,
        state_rate=members * bytes_per_second,
        turn_s=state_bytes / (members * bytes_per_second),
        load_s=load.n_series / partitions * figures.load_s[load.ring_length],
    )


def partitions_of(n_series: int, n_partitions: int) -> NDArray[np.int32]:
    """Return where Kafka's default partitioner, murmur2, puts the keys of so many series."""
    found = np.empty(n_series, np.int32)
    for start in range(0, n_series, _KEYS_AT_ONCE):
        keys = series_keys(np.arange(start, min(start + _KEYS_AT_ONCE, n_series)))
        found[start : start + len(keys)] = (murmur2(keys) & 0x7FFFFFFF) % n_partitions
    return found


def series_keys(numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the keys of series, a row each, all of one length, a multiple of four."""
    before, after = b'requests{host="', b'"}..'
    digits = numbers[:, None] // 10 ** np.arange(8, -1, -1) % 10 + ord("0")
    n = len(numbers)
    parts = [
        np.broadcast_to(np.frombuffer(before, np.uint8), (n, len(before))),
        digits.astype(np.uint8),
        np.broadcast_to(np.frombuffer(after, np.uint8), (n, len(after))),
    ]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def murmur2(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return Kafka's hash of each row; its length is a multiple of four."""
    assert keys.shape[1] % 4 == 0
    multiplier, seed = np.uint32(0x5BD1E995), np.uint32(0x9747B28C)
    found = np.full(len(keys), seed ^ np.uint32(keys.shape[1]), np.uint32)
    for word in keys.view("<u4").T:
        mixed = word * multiplier
        mixed = (mixed ^ mixed >> np.uint32(24)) * multiplier
        found = found * multiplier ^ mixed
    found = (found ^ found >> np.uint32(13)) * multiplier
    return found ^ found >> np.uint32(15)


def zipf_rates(n_series: int, exponent: float) -> NDArray[np.float64]:
    """Return each series' share of the points: its rank to the power of -exponent; 0: all alike."""
    shares = np.arange(1, n_series + 1, dtype=np.float64) ** -exponent
    return shares / shares.sum()


def partition_loads(
    where: NDArray[np.int32],
    n_partitions: int,
    shares: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return each partition's share of the points, with the busy series at another place."""
    shifted = np.roll(where, int(rng.integers(len(where))))
    return np.bincount(shifted, weights=shares, minlength=n_partitions)


def assigned(n_partitions: int, n_members: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the member of each partition: as many for each, and no look at their load."""
    return rng.permutation(n_partitions) % n_members


@dataclass(frozen=True)
class Skew:
    """The busiest, by the mean, medians over the rounds."""

    series: float
    """Share of all points that the busiest series has."""
    partition: float
    member: float


def skew(
    where: NDArray[np.int32], n_partitions: int, n_members: int, exponent: float, rounds: int
) -> Skew:
    """Return how uneven partitions and members are where rates of series are so."""
    rng = np.random.default_rng(1)
    shares = zipf_rates(len(where), exponent)
    partitions, members = [], []
    for _ in range(rounds):
        load = partition_loads(where, n_partitions, shares, rng)
        its = np.bincount(assigned(n_partitions, n_members, rng), weights=load)
        partitions.append(float(load.max()) * n_partitions)
        members.append(float(its.max()) * n_members)
    return Skew(float(shares[0]), statistics.median(partitions), statistics.median(members))


def caught_up_s(
    made: Plan, loads: NDArray[np.float64], k: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return, of each survivor of `k` deaths, when it has worked off what waited; inf: never.

    loads : each partition's share of the points

    From a death on, in points: what came for the orphans until they were missed and since then,
    their replay, and its own, are done at `capacity`, once their state is loaded.
    """
    n = made.members
    member = assigned(made.partitions, n, rng)
    orphans = np.flatnonzero(member < k)
    heir = np.full(made.partitions, -1)
    heir[orphans] = k + rng.permutation(len(orphans)) % (n - k)
    rates = loads * made.load.points_per_s
    own = np.bincount(member, weights=rates, minlength=n)[k:]
    new = np.bincount(heir[orphans], weights=rates[orphans], minlength=n)[k:]
    n_new = np.bincount(heir[orphans], minlength=n)[k:]
    waiting = new * (made.load.session_s + made.turn_s) + n_new * made.load_s * made.capacity
    spare = made.capacity - own - new
    late_s = np.where(spare > 0, waiting / np.maximum(spare, 1e-9), np.inf)
    return np.where(n_new > 0, made.load.session_s + late_s, 0.0)


def measure(n_series: int, rounds: int, n_learnt: int, points_per_s: float | None) -> Figures:
    """Measure this machine: points a second, where it is not given, and what series take.

    n_series : of a member, for the slowdown
    n_learnt : series that bytes and seconds of the state are taken from
    """
    if points_per_s is None:
        points_per_s = measured_points_per_s(Run(rounds=rounds))
    few, many = (Contender(n, 64, _BATCH_RECORDS) for n in (_FEW_SERIES, n_series))
    ratios = [whole_ns(many.step()) / whole_ns(few.step()) for _ in range(20 * rounds)]
    take_and_load(1_000, RINGS[0], 1)  # what the first call loads is no series'
    taken = {ring: take_and_load(n_learnt, ring, ring + _LEARNT_MORE_MINUTES) for ring in RINGS}
    return Figures(
        points_per_s=points_per_s,
        slowdown=max(1.0, statistics.median(ratios)),
        memory_bytes={ring: each.memory_bytes / n_learnt for ring, each in taken.items()},
        state_bytes={ring: each.size_bytes / n_learnt for ring, each in taken.items()},
        load_s={ring: each.loaded_s / n_learnt for ring, each in taken.items()},
    )


def show_figures(figures: Figures, n_series: int) -> None:
    """Print what was measured."""
    print("| one core | |\n|---|---|")
    print(f"| whole path, exactly_once, few series | {figures.points_per_s:,.0f} points/s |")
    print(f"| cost of a point with {n_series:,} series, by few | {figures.slowdown:.2f} |")
    print("\n| ring | memory a series | in the state topic | to load 100,000 series |")
    print("|---|---|---|---|")
    for ring in RINGS:
        memory, state = figures.memory_bytes[ring], figures.state_bytes[ring]
        print(f"| {ring} | {memory:,.0f} B | {state:,.0f} B | {figures.load_s[ring] * 1e5:.1f} s |")


def show_plan(made: Plan) -> None:
    """Print what the load takes."""
    load = made.load
    rows = (
        ("a member's capacity, points/s", f"{made.capacity:,.0f}"),
        (f"members, each {load.share:.0%} busy: cores", f"{made.members:,}"),
        ("partitions", f"{made.partitions:,}"),
        ("series a member", f"{load.n_series / made.members:,.0f}"),
        ("memory of a member's series", _bytes(made.memory_bytes)),
        ("state, all chunks", _bytes(made.state_bytes)),
        ("state topic, one copy, at most", _bytes(made.topic_bytes)),
        ("written to it", f"{_bytes(made.state_rate)}/s"),
        ("a turn of all chunks", f"{made.turn_s:.0f} s"),
        ("to take up one partition", f"{made.restore_s:.1f} s"),
        ("brokers take in, copies included", f"{_bytes(made.broker_in_bytes)}/s"),
        ("brokers send", f"{_bytes(made.broker_out_bytes)}/s"),
    )
    print(f"\n{load.points_per_s:,.0f} points/s of {load.n_series:,} series, ring", end=" ")
    print(f"{load.ring_length}, {load.replication} copies\n\n| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


def show_simulation(made: Plan, exponents: list[float], rounds: int) -> None:
    """Print how uneven it gets, and how long the points of dead members wait."""
    where = partitions_of(made.load.n_series, made.partitions)
    print(f"\nbusiest by mean, medians of {rounds} rounds\n")
    print("| rates of series | busiest series, points/s | partition | member | its core |")
    print("|---|---|---|---|---|")
    for exponent in exponents:
        found = skew(where, made.partitions, made.members, exponent, rounds)
        name = f"Zipf {exponent:g}" if exponent else "all alike"
        most = found.series * made.load.points_per_s
        busy = found.member * made.load.points_per_s / made.members / made.capacity
        print(f"| {name} | {most:,.0f} | {found.partition:.2f} | {found.member:.2f} | {busy:.0%} |")
    print("\nafter deaths, all alike: until the last of the survivors has worked off what waited\n")
    print("| members that die | median, s | worst round, s |\n|---|---|---|")
    rng = np.random.default_rng(2)
    loads = partition_loads(where, made.partitions, zipf_rates(len(where), 0.0), rng)
    for share in (0.0, 0.05, 0.1, 0.25):
        k = max(1, round(share * made.members))
        if k >= made.members:
            continue
        last_s = [float(caught_up_s(made, loads, k, rng).max()) for _ in range(max(rounds, 20))]
        print(f"| {k} of {made.members} | {statistics.median(last_s):.0f} | {max(last_s):.0f} |")


def _bytes(size: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e3:,.1f} kB"


def main() -> None:
    """Measure, reckon and simulate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--points-per-s", type=float, default=5e6)
    parser.add_argument("--series", type=int, default=10_000_000)
    parser.add_argument("--ring", type=int, choices=RINGS, default=288)
    parser.add_argument("--share", type=float, default=0.5, help="of its capacity a member uses")
    parser.add_argument("--partitions-per-member", type=int, default=8)
    parser.add_argument("--zipf", type=float, nargs="+", default=[0.0, 0.5, 0.8, 1.0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--member-series", type=int, default=200_000, help="for the slowdown")
    parser.add_argument("--learnt", type=int, default=10_000, help="series the state is taken from")
    parser.add_argument("--core", type=float, help="points/s of one core, as `make bench` found")
    asked = parser.parse_args()
    figures = measure(asked.member_series, asked.rounds, asked.learnt, asked.core)
    load = Load(
        points_per_s=asked.points_per_s,
        n_series=asked.series,
        ring_length=asked.ring,
        share=asked.share,
        partitions_per_member=asked.partitions_per_member,
    )
    made = plan(figures, load, Config().state.bytes_per_second)
    show_figures(figures, asked.member_series)
    show_plan(made)
    show_simulation(made, asked.zipf, asked.rounds)


if __name__ == "__main__":
    main()
