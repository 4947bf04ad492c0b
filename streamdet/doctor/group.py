"""Whether the workers are there, get on, and have not been overtaken by what the topics lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamdet.cluster import GroupState, Look, Offsets, Untold
from streamdet.doctor.finding import Check, Finding, Told, listed
from streamdet.types import Partition

_STUCK_FROM = 10  # markers of transactions at the end of a partition are offsets without a record


def check_members(
    name: str, group: GroupState | Untold, partitions: Sequence[Partition]
) -> Iterator[Finding]:
    """Judge who shares the input's `partitions`."""
    told = Told(Check.GROUP, name)
    if isinstance(group, Untold):
        yield told.unknown(group.why)
        return
    if not group.members:
        yield told.warn("no worker is a member", "start one: streamdet run")
        return
    n = len(group.members)
    found = f"{n} {'member' if n == 1 else 'members'}: {listed(group.members)}"
    alone = [str(partition) for partition in partitions if partition not in group.assigned]
    if group.state != "STABLE":
        yield told.warn(
            f"{found}; state {group.state.lower()}",
            "ask again in a minute; if it lasts, a member joins and leaves: see the workers' logs",
        )
    elif alone:
        yield told.fail(
            f"{found}; nobody reads {len(alone)} partitions: {listed(alone)}",
            "see that all members of the group are workers with the same input.topics",
        )
    else:
        idle = n - len(partitions)
        yield told.ok(found + (f"; {idle} of them idle" if idle > 0 else ""))


def check_offsets(
    name: str,
    group: GroupState | Untold,
    looks: tuple[Look, Look] | Untold,
    commit_interval_s: float,
) -> Iterator[Finding]:
    """Judge how far the group is, by two looks.

    commit_interval_s : of the workers; looks closer together than two of them cannot tell who
                        stands still
    """
    told = Told(Check.OFFSETS, name)
    if isinstance(group, Untold):
        yield told.unknown(group.why)
        return
    if isinstance(looks, Untold):
        yield told.unknown(looks.why)
        return
    first, last = looks
    apart_s = last.at_s - first.at_s
    waits = apart_s >= 2 * commit_interval_s
    gone, beyond, stuck, held = [], [], [], []
    for partition, now in last.offsets.items():
        before = first.offsets.get(partition)
        if now.committed is not None and now.committed < now.first:
            gone.append(f"{partition} ({now.first - now.committed:,} offsets)")
        elif now.committed is not None and now.committed > now.end:
            beyond.append(str(partition))
        elif group.members and waits and before is not None and _stands(before, now):
            stuck.append(f"{partition} ({now.lag:,} behind)")
        if waits and before is not None and before.stable == now.stable < before.end:
            held.append(f"{partition} ({now.end - now.stable:,} records)")
    yield _progress(told, last, (gone, beyond, stuck))
    if held:
        yield told.warn(
            f"an open transaction of a producer holds back {listed(held)}",
            "see who writes there; its transaction.timeout.ms ends it at the latest",
        )


def _stands(before: Offsets, now: Offsets) -> bool:
    return before.committed == now.committed and min(before.lag, now.lag) >= _STUCK_FROM


def _progress(told: Told, last: Look, faults: tuple[list[str], list[str], list[str]]) -> Finding:
    gone, beyond, stuck = faults
    if beyond:
        return told.fail(
            f"committed offsets lie beyond the end of {listed(beyond)}: the topic was made anew",
            "set the group's offsets (kafka-consumer-groups.sh --reset-offsets), or a new group_id",
        )
    if gone:
        return told.fail(
            f"records were deleted before they were read: {listed(gone)}",
            "raise retention.ms; the worker goes on where auto.offset.reset says",
        )
    if stuck:
        return told.fail(
            f"no progress on {listed(stuck)}",
            "see the workers' logs, /readyz, and whether the output topics can be written",
        )
    offsets = last.offsets
    if not offsets:
        return told.unknown("the input has no partition to look at")
    none = sum(each.committed is None for each in offsets.values())
    if none == len(offsets):
        return told.ok("nothing was committed yet")
    lag = sum(each.lag for each in offsets.values())
    worst = max(offsets, key=lambda partition: offsets[partition].lag)
    found = f"{lag:,} offsets behind"
    if lag:
        found += f", most in {worst} ({offsets[worst].lag:,})"
    return told.ok(found + (f"; nothing committed in {none} of them" if none else ""))
