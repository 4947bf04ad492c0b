"""A record with only some of its points, by their places in its array or series."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from streamdet.errors import RecordError
from streamdet.serde.fields import Json, check_text, items, members
from streamdet.serde.point import document_of
from streamdet.types import Reason


def part_of(value: bytes, places: Sequence[int]) -> Json:
    """Return the array or the request `value` with only the points at `places`, from 0.

    Raises
    ------
    RecordError
        It has no such points; or what would be left of a request is one point without a
        timestamp, which would be taken for its record's now that it stands alone.
    """
    document = document_of(value)
    check_text(document)
    if document.startswith(b"["):
        return elements(document, "the record", places)
    fields = members(document, "the record")
    if "series" not in fields:
        raise RecordError(Reason.SCHEMA, "the record is no array and has no field 'series'")
    series = elements(fields["series"], "series", places)
    alone = len(places) == 1 < len(items(fields["series"], "series"))
    if alone and b'"timestamp"' not in series:
        fault = f"point {places[0]} has no timestamp, and alone it would be given its record's"
        raise RecordError(Reason.TIMESTAMP, fault)
    return object_of({**fields, "series": series})


def elements(array: Json, what: str, places: Sequence[int]) -> Json:
    """Return the array that messages call `what` with only the elements at `places`."""
    texts = items(array, what)
    if not places or max(places) >= len(texts):
        raise RecordError(Reason.SCHEMA, f"{what} has {len(texts)} points, not all that are named")
    return b"[%b]" % b",".join(bytes(texts[place]) for place in places)


def object_of(fields: Mapping[str, Json]) -> Json:
    """Return the object with these fields."""
    return b"{%b}" % b",".join(b"%b:%b" % (string_of(name), text) for name, text in fields.items())


def string_of(text: str) -> Json:
    """Return the JSON string that says `text`."""
    return json.dumps(text, ensure_ascii=False).encode()
