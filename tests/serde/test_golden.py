"""What the wire formats were when they were last changed on purpose: tests/golden/.

A difference is a change that readers see: raise the version in `ce_type` or say it in the
changelog, then write the files anew with ``python -m tests.serde.test_golden``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from streamdet.serde import DecodeLimits, Decoder, EventEncoder, dead_letter
from streamdet.serde.dead_letter import late_records as encode_late
from streamdet.types import (
    IncidentState,
    OutgoingRecord,
    Partition,
    Reason,
    Record,
    Reject,
    SeriesId,
)
from tests.serde.bad_input import CASES
from tests.serde.records import ListBatch, rows, series_of
from tests.serde.verdicts import OUTSIDE, absent, returned, verdict, warming

FOLDER = Path(__file__).parents[1] / "golden"


def events() -> Iterable[dict]:
    encoder = EventEncoder()
    for made in (
        verdict(),
        verdict(value=-3.25, score=12.125, severity=1.0, state=IncidentState.ONGOING),
        verdict(value=20.0, is_anomaly=False, severity=0.0, element=12, **OUTSIDE),
        verdict(
            value=20.0, is_anomaly=False, severity=0.0, state=IncidentState.RECOVERED, offset=50
        ),
        verdict(series=SeriesId("petit déjeuner"), time_us=0, expected_value=1e300, value=1e22),
        verdict(value=0.1 + 0.2, expected_value=1 / 3, upper_margin=0.0, lower_margin=5e-324),
        warming(),
        absent(),
        returned(),
        verdict(status="incomplete", aggregate="p95", element=3),
    ):
        yield shown(encoder.encode(made, "anomalies"))


def dead_letters() -> Iterable[dict]:
    record = Record(Partition("metrics", 2), 17, 1_614_686_400_000, b"k", b"{", (("a", b"b"),))
    yield shown(dead_letter(record, [Reject(0, None, Reason.DECODE, "broken")], "dead"))
    record = Record(Partition("metrics", 2), 18, -1, None, b"[1]" * 50, ())
    reject = Reject(0, 0, Reason.SCHEMA, "the point must be an object")
    yield shown(dead_letter(record, [reject], "dead", max_bytes=100))


def late_records() -> Iterable[dict]:
    batch = ListBatch([b'{"metric": "m", "value": 1}', b"[1,2]"], [b"k", None])
    batch.headers = (("a", b"b"),)
    yield from map(shown, encode_late(batch, [(0, None), (1, 1), (1, 0)], "late"))


def points() -> Iterable[dict]:
    decoder = Decoder(DecodeLimits())
    for case in CASES:
        if case.value is not None and len(case.value) < 300:
            batch = ListBatch([case.value], [case.key], case.timestamp_ms)
            decoded = decoder.decode(batch, "ms")
            series = series_of(decoder, batch, decoded)
            yield {
                "name": case.name,
                "value": case.value.decode("latin-1"),
                "points": [
                    [row.element, row.time_us, row.value, str(name)]
                    for row, name in zip(rows(decoded), series, strict=True)
                ],
                # what is wrong with JSON is told in msgspec's words, which are not ours to keep
                "rejects": [
                    [r.element, r.reason, r.message if r.reason != Reason.DECODE else "..."]
                    for r in decoded.rejects
                ],
            }


def shown(record: OutgoingRecord) -> dict:
    headers = [(name, (value or b"").decode()) for name, value in record.headers]
    return {
        "key": record.key.decode() if record.key is not None else None,
        "headers": dict(pair for pair in headers if not pair[0].endswith(".version")),
        "value": (record.value or b"").decode(),
    }


def text_of(lines: Iterable[dict]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


GOLDEN = {
    "events.jsonl": events,
    "dead_letters.jsonl": dead_letters,
    "late_records.jsonl": late_records,
    "points.jsonl": points,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_wire_format_is_the_golden_one(name):
    assert text_of(GOLDEN[name]()) == (FOLDER / name).read_text()


if __name__ == "__main__":
    for name, lines in GOLDEN.items():
        (FOLDER / name).write_text(text_of(lines()))
