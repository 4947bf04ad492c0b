"""`streamdet rekey --dry-run`: what the first records of a topic would become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from streamdet.ports import RecordReader
from streamdet.rekey.copier import Copier

SAMPLE_RECORDS = 10_000
_READ_MAX = 10 * SAMPLE_RECORDS
_BATCH_RECORDS = 1_000
_KEYS_SHOWN = 20


@dataclass(slots=True)
class Share:
    """What one key gets."""

    points: int = 0
    series: set[bytes] = field(default_factory=set)
    partitions: set[int] = field(default_factory=set)
    """Of the source, where its points lie."""


@dataclass(slots=True)
class Sample:
    """The keys of a topic's first records."""

    records: int = 0
    refused: int = 0
    """Records, and points of records."""
    tombstones: int = 0
    keys: dict[bytes, Share] = field(default_factory=dict)
    spread: dict[bytes, set[int]] = field(default_factory=dict)
    """Series -> partitions of the source where its points lie."""

    def lines(self, source: str, partition_of: Callable[[bytes], int] | None) -> Iterator[str]:
        """Yield the sample as text.

        partition_of : the partition of the target that a key goes to; None: nobody knows.
        """
        shares = sorted(self.keys.items(), key=lambda item: (-item[1].points, item[0]))
        points = sum(share.points for _, share in shares)
        yield (
            f"{self.records:,} records of {source}: {points:,} points of {len(self.spread):,} "
            f"series; bad: {self.refused:,}; tombstones: {self.tombstones:,}"
        )
        split = sum(len(partitions) > 1 for partitions in self.spread.values())
        yield f"{split:,} series lie on several partitions now"
        yield f"{len(shares):,} keys" + (", the largest:" if len(shares) > _KEYS_SHOWN else ":")
        table = [("points", "series", "from partitions", "to partition", "key")]
        for key, share in shares[:_KEYS_SHOWN]:
            there = "?" if partition_of is None else str(partition_of(key))
            known = (f"{share.points:,}", f"{len(share.series):,}", _listed(share.partitions))
            table.append((*known, there, key.decode()))
        yield from _aligned(table)
        if partition_of is None:
            return
        filled: Counter[int] = Counter()
        keys: Counter[int] = Counter()
        series: Counter[int] = Counter()
        for key, share in shares:
            partition = partition_of(key)
            filled[partition] += share.points
            keys[partition] += 1
            series[partition] += len(share.series)
        yield f"{len(filled):,} partitions of the target get points:"
        rows = [
            (f"{filled[p]:,}", f"{series[p]:,}", f"{keys[p]:,}", str(p)) for p in sorted(filled)
        ]
        yield from _aligned([("points", "series", "keys", "partition"), *rows])


def take_sample(reader: RecordReader, copier: Copier) -> Sample:
    """Return what the first records of each partition would become; write nothing.

    Every partition gives as many, where it has them: the first of one alone would hide what lies
    beside them on the others. Not more than ten times the sample is read for that.
    """
    sample = Sample()
    most = -(-SAMPLE_RECORDS // max(len(reader.ends), 1))
    taken: Counter[int] = Counter()
    read = 0
    for batch in reader.batches(_BATCH_RECORDS):
        read += len(batch.values)
        partition = batch.partition.index
        if taken[partition] < most:
            taken[partition] += len(batch.values)
            points, keyed = copier.decode(batch)
            sample.records += len(batch.values)
            sample.refused += len(points.rejects)
            sample.tombstones += points.tombstones
            for found in keyed:
                if found is not None:
                    share = sample.keys.setdefault(found.key, Share())
                    share.points += 1
                    share.series.add(found.series)
                    share.partitions.add(partition)
                    sample.spread.setdefault(found.series, set()).add(partition)
        if read >= _READ_MAX or all(taken[place.index] >= most for place in reader.ends):
            break
    return sample


def _listed(partitions: set[int]) -> str:
    shown = ", ".join(map(str, sorted(partitions)[:6]))
    return shown if len(partitions) <= 6 else f"{shown}, ... ({len(partitions)})"


def _aligned(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows as columns; the last is text of any length."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        yield "  ".join(["", *cells, row[-1]])
