"""`streamdet dlq replay`: refused records back to where they came from, each once.

One committed offset cannot tell what of a partition was sent and what a filter left out. So the
dead letters of a reason and a source topic are a stream of their own, with a consumer group of
their own: filters choose among streams, and what one of them leaves out waits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from streamdet.config import Config
from streamdet.dlq.letter import Letter, Selection
from streamdet.dlq.listing import BATCH_RECORDS
from streamdet.errors import ConfigError, RecordError
from streamdet.ports import RecordReader
from streamdet.serde.dead_letter import ATTEMPT, attempt_of, own_headers
from streamdet.serde.part import part_of
from streamdet.transfer import check_units
from streamdet.types import OutgoingRecord, Partition, RecordBatch

ATTEMPTS_MAX = 3
"""A record that was refused as often is not sent again."""

_CUT = ("truncated", "key_truncated", "headers_truncated")
_PLACES = re.compile(r"[0-9]{1,5}(,[0-9]{1,5})*")
_TIME_MS = re.compile(r"[0-9]{1,15}")


class Stream(NamedTuple):
    """The dead letters of one reason from one topic."""

    reason: str
    source: str

    def group(self, group_id: str) -> str:
        """Return the consumer group; it begins with the workers', for a prefixed ACL."""
        return f"{group_id}-dlq-{self.reason}-{self.source}"


class NotSent(NamedTuple):
    """Why a dead letter is passed over."""

    why: str


@dataclass(slots=True)
class Tally:
    """What became of the dead letters of a stream."""

    records: int = 0
    """Read."""
    written: int = 0
    """Sent."""
    not_sent: Counter[str] = field(default_factory=Counter)
    """Passed over, by the reason why."""
    places: dict[str, str] = field(default_factory=dict)
    """The first of each of these, as `streamdet dlq show` takes it."""

    def count(self, letter: Letter, made: OutgoingRecord | NotSent) -> None:
        """Count `letter`, of which this was made."""
        self.records += 1
        if isinstance(made, NotSent):
            self.not_sent[made.why] += 1
            self.places.setdefault(made.why, letter.place)
        else:
            self.written += 1

    def add(self, other: Tally) -> None:
        """Count what `other` counts too."""
        self.records += other.records
        self.written += other.written
        self.not_sent.update(other.not_sent)
        self.places = {**other.places, **self.places}

    def lines(self, stream: Stream, target: str, verb: str) -> Iterator[str]:
        """Yield it as text. verb : `sent`, or what stands for it where nothing was."""
        yield f"{self.written:,} {stream.reason} from {stream.source} {verb} to {target}"
        for why, count in self.not_sent.most_common():
            yield f"  passed over: {count:,} {why}; the first is {self.places[why]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which dead letters of which topic, and where to."""

    topic: str
    selection: Selection
    target: str | None = None
    """None: where each came from."""

    def check(self, config: Config) -> None:
        """Refuse a target whose records nobody would process.

        Raises
        ------
        ConfigError
            The message names the option to correct.
        """
        if self.target in (self.topic, config.output.dead_letters, config.output.late):
            raise ConfigError(f"--to {self.target}: is a topic of dead letters or late records")

    def check_streams(self, config: Config, streams: Collection[Stream]) -> None:
        """Refuse what would write where no worker reads; a header alone must not say where to.

        Raises
        ------
        ConfigError
            The message says what to give.
        """
        known = config.input.topics
        for source in sorted({stream.source for stream in streams}):
            if self.target is not None:
                check_units(config, source, self.target)
            elif not any(topic.covers(source) for topic in known):
                raise ConfigError(
                    f"there are dead letters from {source}, which input.topics does not have: "
                    f"leave them out with --from-topic, or say where to with --to"
                )

    def target_of(self, stream: Stream) -> str:
        """Return where the records of `stream` go."""
        return self.target or stream.source


class Replayer:
    """Makes the records that the dead letters of one stream were.

    Parameters
    ----------
    plan, stream
    n_partitions
        Of the stream's source. A record goes back to the partition it came from, where its
        series' other points are whatever its key; to where its key says, if there are not as many.
    """

    def __init__(self, plan: Plan, stream: Stream, n_partitions: int = 0) -> None:
        self._plan = plan
        self._n_partitions = 0 if plan.target else n_partitions
        self._stream = stream
        self._target = plan.target_of(stream)

    def make(self, batch: RecordBatch) -> tuple[list[OutgoingRecord], Tally]:
        """Return what is sent of `batch`, in its order; what is of another stream is not met."""
        records: list[OutgoingRecord] = []
        tally = Tally()
        for index in range(len(batch.values)):
            letter = Letter.of(batch.record(index))
            if letter is None or (letter.reason, letter.source.topic) != self._stream:
                continue
            made = self.remake(letter)
            tally.count(letter, made)
            if isinstance(made, OutgoingRecord):
                records.append(made)
        return records, tally

    def remake(self, letter: Letter) -> OutgoingRecord | NotSent:
        """Return the record that was refused, with its own time and the attempt counted up.

        Of an array or a request only the points that were refused: its others were processed.
        """
        if self._plan.selection.is_older(letter):
            return NotSent("older than --since")
        attempt = attempt_of(letter.record.headers)
        if attempt >= ATTEMPTS_MAX:
            return NotSent(f"refused {ATTEMPTS_MAX} times already")
        if any(cut in letter.errors for cut in _CUT):
            return NotSent("cut: value, key or headers were too large to be kept whole")
        value = letter.record.value
        if (places := letter.errors.get("index")) is not None and value is not None:
            if not _PLACES.fullmatch(places):
                return NotSent("whose header index is no list of places")
            try:
                value = part_of(value, [int(place) for place in places.split(",")])
            except RecordError as error:
                return NotSent(f"whose refused points cannot stand alone ({error.reason})")
        time, index = letter.errors.get("timestamp", ""), letter.source.index
        return OutgoingRecord(
            self._target,
            letter.record.key,
            value,
            (*own_headers(letter.record.headers), (ATTEMPT, b"%d" % (attempt + 1))),
            int(time) if _TIME_MS.fullmatch(time) else None,
            index if index < self._n_partitions else None,
        )


def take_stock(
    reader: RecordReader,
    plan: Plan,
    group_id: str,
    committed: Callable[[str], Mapping[Partition, int]],
) -> dict[Stream, Tally]:
    """Return what a replay would do now, by stream; streams that wait for nothing are left out.

    Parameters
    ----------
    committed
        Returns the offsets that a group has committed: where its last replay ended.
    """
    replayers: dict[Stream, Replayer] = {}
    begins: dict[Stream, Mapping[Partition, int]] = {}
    stock: dict[Stream, Tally] = {}
    for batch in reader.batches(BATCH_RECORDS):
        for index, offset in enumerate(batch.offsets.tolist()):
            letter = Letter.of(batch.record(index))
            if letter is None or not plan.selection.takes_kind(letter):
                continue
            stream = Stream(letter.reason, letter.source.topic)
            if stream not in replayers:
                replayers[stream] = Replayer(plan, stream)
                begins[stream] = committed(stream.group(group_id))
            if offset >= begins[stream].get(batch.partition, 0):
                tally = stock.setdefault(stream, Tally())
                tally.count(letter, replayers[stream].remake(letter))
    return stock
