"""`streamdet dlq list`: the dead letters of a topic, counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streamdet.dlq.letter import Letter, Selection, time_text
from streamdet.ports import RecordReader
from streamdet.types import Partition

BATCH_RECORDS = 1_000


@dataclass(slots=True)
class Entry:
    """The dead letters of one reason from one partition."""

    newest: Letter
    first_ms: int
    """-1: unknown, as below."""
    last_ms: int
    count: int = 1

    def add(self, letter: Letter) -> None:
        """Count one more."""
        time_ms = letter.record.timestamp_ms
        self.count += 1
        self.first_ms = min(self.first_ms, time_ms)
        if time_ms >= self.last_ms:
            self.last_ms, self.newest = time_ms, letter


@dataclass(slots=True)
class Listing:
    """What a topic of dead letters holds."""

    entries: dict[tuple[str, Partition], Entry] = field(default_factory=dict)
    """By reason, and where the refused records were read."""
    others: int = 0
    """Records that are no dead letters."""

    def lines(self, topic: str) -> Iterator[str]:
        """Yield it as text, the most frequent first."""
        found = self._sorted()
        more = f"; {self.others:,} other records" if self.others else ""
        yield f"{sum(entry.count for _, _, entry in found):,} dead letters in {topic}{more}"
        if not found:
            return
        table = [("count", "first", "last", "reason", "read from", "newest", "its message")]
        for reason, source, entry in found:
            times = [time_text(time_ms) or "?" for time_ms in (entry.first_ms, entry.last_ms)]
            message = entry.newest.errors.get("message", "")
            where = (reason, str(source), entry.newest.place)
            table.append((f"{entry.count:,}", times[0], times[1], *where, message))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for count, *cells, message in table:
            aligned = (cell.ljust(width) for cell, width in zip(cells, widths[1:-1], strict=True))
            yield "  ".join([count.rjust(widths[0]), *aligned, message]).rstrip()

    def document(self, topic: str) -> dict[str, object]:
        """Return it for a script; a time that nobody knows is None."""
        found = self._sorted()
        return {
            "topic": topic,
            "deadLetters": sum(entry.count for _, _, entry in found),
            "otherRecords": self.others,
            "entries": [
                {
                    "reason": reason,
                    "topic": source.topic,
                    "partition": source.index,
                    "count": entry.count,
                    "first": time_text(entry.first_ms),
                    "last": time_text(entry.last_ms),
                    "newest": entry.newest.place,
                    "message": entry.newest.errors.get("message"),
                }
                for reason, source, entry in found
            ],
        }

    def _sorted(self) -> list[tuple[str, Partition, Entry]]:
        found = [(reason, source, entry) for (reason, source), entry in self.entries.items()]
        return sorted(found, key=lambda each: (-each[2].count, each[0], each[1]))


def take_listing(reader: RecordReader, selection: Selection) -> Listing:
    """Return what `reader` has of `selection`. Holds one record for each reason and partition."""
    listing = Listing()
    for batch in reader.batches(BATCH_RECORDS):
        for index in range(len(batch.values)):
            letter = Letter.of(batch.record(index))
            if letter is None:
                listing.others += 1
            elif selection.takes_kind(letter) and not selection.is_older(letter):
                key = letter.reason, letter.source
                if key in listing.entries:
                    listing.entries[key].add(letter)
                else:
                    time_ms = letter.record.timestamp_ms
                    listing.entries[key] = Entry(letter, time_ms, time_ms)
    return listing
