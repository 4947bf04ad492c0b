"""Which key each record gets, and what its copy is.

What a record holds is decoded by the worker's own decoder, so a record is refused here exactly
when a worker would refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from streamdet.config import Config
from streamdet.errors import ConfigError, RecordError
from streamdet.serde.dead_letter import dead_letters
from streamdet.serde.decoder import Decoder
from streamdet.serde.fields import Json, items, members
from streamdet.serde.limits import DecodeLimits
from streamdet.serde.part import elements, object_of, string_of
from streamdet.serde.point import document_of
from streamdet.serde.series import remember
from streamdet.transfer import Numbers, check_topics, check_units
from streamdet.types import OutgoingRecord, Points, Record, RecordBatch, Reject, SeriesId


@dataclass(frozen=True, slots=True)
class Plan:
    """From where to where, and what makes a key."""

    source: str
    target: str
    by: frozenset[str] | None = None
    """Names of the dimensions that make the key, beside the metric; None: all that there are."""

    def check(self, config: Config) -> None:
        """Refuse what would read its own output, or change what integer timestamps mean.

        Raises
        ------
        ConfigError
            The message names the option to correct.
        """
        check_topics(self.source, self.target)
        for option, topic in (("--from", self.source), ("--to", self.target)):
            if topic == config.output.dead_letters:
                raise ConfigError(f"{option} {topic}: is output.dead_letters, where bad records go")
        check_units(config, self.source, self.target)

    def group(self, config: Config) -> str:
        """Return the consumer group; it begins with the workers', for a prefixed ACL."""
        return f"{config.kafka.group_id}-rekey-{self.source}-{self.target}"


@dataclass(slots=True, kw_only=True)
class Tally(Numbers):
    """What became of records; those written hold the points that were copied."""

    points: int = 0
    """Copied."""
    dead_letters: int = 0


class Keyed(NamedTuple):
    """A series' text, and the key of its records."""

    series: bytes
    key: bytes


class Copier:
    """Decodes batches and makes the records that the target gets. Holds but known spellings."""

    def __init__(self, plan: Plan, config: Config) -> None:
        self._plan = plan
        self._unit = config.input.timestamp_unit_for(plan.source)
        self._dead_letters = config.output.dead_letters
        self._decoder = Decoder(DecodeLimits.of(config.limits))
        self._known: dict[bytes, Keyed] = {}

    def decode(self, batch: RecordBatch) -> tuple[Points, list[Keyed | None]]:
        """Return the points of `batch` and the key of each; None where it is refused after all."""
        points = self._decoder.decode(batch, self._unit)
        keyed: list[Keyed | None] = []
        for i, spelling in enumerate(points.keys()):
            known = self._known.get(spelling)
            if known is None:
                try:
                    text = self._decoder.identify(spelling, bool(points.raw[i]))
                    known = self._key(SeriesId.parse(text))
                except RecordError as error:
                    record = int(points.record[i])
                    points.rejects.append(Reject(record, None, error.reason, error.message))
                else:
                    remember(self._known, spelling, known, len(spelling))
            keyed.append(known)
        return points, keyed

    def copy(self, batch: RecordBatch) -> tuple[list[OutgoingRecord], Tally]:
        """Return what `batch` becomes: copies in its order, and dead letters after them.

        A record of points that do not all have one key becomes one record a point. Of a record
        with a bad point the good ones are copied and the whole is a dead letter, so that nothing
        is refused a second time by who reads the copy.
        """
        points, keyed = self.decode(batch)
        refused = {reject.record for reject in points.rejects}
        records, place = points.record.tolist(), points.element.tolist()
        copies: list[OutgoingRecord] = []
        n_points = 0
        for record, run in groupby(range(len(points)), records.__getitem__):
            places = [(place[i], found) for i in run if (found := keyed[i]) is not None]
            n_points += len(places)
            if places:
                copies += self._copies(batch.record(record), places, record in refused)
        letters = list(dead_letters(batch, points.rejects, self._dead_letters))
        tally = Tally(
            records=len(batch.values),
            written=len(copies),
            tombstones=points.tombstones,
            points=n_points,
            dead_letters=len(letters),
        )
        return copies + letters, tally

    def _key(self, series: SeriesId) -> Keyed:
        text, by = str(series).encode(), self._plan.by
        if by is None:
            return Keyed(text, text)
        kept = tuple(dimension for dimension in series.dimensions if dimension[0] in by)
        return Keyed(text, str(SeriesId(series.metric, kept)).encode())

    def _copies(
        self, record: Record, places: Sequence[tuple[int, Keyed]], refused: bool
    ) -> Iterator[OutgoingRecord]:
        assert record.value is not None
        (element, (_, key)), *_ = places
        if element == -1:  # a native point, by far the most
            yield self._outgoing(record, key, record.value)
            return
        document = document_of(record.value)
        if not document.startswith(b"["):
            kept = [element for element, _ in places] if refused else None
            yield self._outgoing(record, key, _request(record, document, key, kept))
        elif refused or len({keyed.key for _, keyed in places}) > 1:
            texts = items(document, "the record")
            for element, keyed in places:
                yield self._outgoing(record, keyed.key, bytes(texts[element]))
        else:
            yield self._outgoing(record, key, record.value)

    def _outgoing(self, record: Record, key: bytes, value: bytes) -> OutgoingRecord:
        # the record's own time is part of what it says: it stands in for an absent timestamp
        time_ms = record.timestamp_ms if record.timestamp_ms >= 0 else None
        return OutgoingRecord(self._plan.target, key, value, record.headers, time_ms)


def _request(record: Record, document: Json, key: bytes, kept: Sequence[int] | None) -> bytes:
    """Return the value of a request under its new `key`: as it is, where it can stay so.

    A request without the field `metric` has it from the key that it loses here, so it is put in.

    kept : places of the points that are good; None: all are.
    """
    fields = members(document, "the record")
    needs_metric = "metric" not in fields and record.key != key
    if kept is None and not needs_metric:
        assert record.value is not None
        return record.value
    if kept is not None:
        fields["series"] = elements(fields["series"], "series", kept)
    if needs_metric:
        fields = {"metric": string_of((record.key or b"").decode()), **fields}
    return object_of(fields)
