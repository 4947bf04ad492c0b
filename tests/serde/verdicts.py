"""Verdicts to encode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from streamdet.serde.event import event_id
from streamdet.types import IncidentState, OutgoingRecord, Partition, SeriesId, Verdict

SCHEMA_PATH = Path(__file__).parents[2] / "docs" / "event.schema.json"
SCHEMA = json.loads(SCHEMA_PATH.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

NAN = float("nan")
ONSET_ID = "47906312343b09b069fc439d2af6142d"
OUTSIDE = {"incident": None, "state": IncidentState.NONE}


def verdict(**fields: Any) -> Verdict:
    """The onset of an incident, with `fields` changed."""
    whole: dict[str, Any] = {
        "series": SeriesId("http_requests", (("host", "a"), ("region", "eu"))),
        "partition": Partition("metrics", 3),
        "offset": 41,
        "element": -1,
        "time_us": 1_614_646_800_250_000,
        "value": 31.5,
        "expected_value": 20.25,
        "upper_margin": 4.5,
        "lower_margin": 5.0,
        "score": 9.5,
        "severity": 0.75,
        "is_anomaly": True,
        "incident": ONSET_ID,
        "state": IncidentState.ONSET,
        "sensitivity": 75,
        "period": 288,
        "detector": "forecast",
        "status": "ok",
        "config_hash": "c0ffee",
    }
    whole |= fields
    name = whole["series"] = str(whole["series"])
    place = (whole[each] for each in ("partition", "offset", "element"))
    made = event_id(whole["config_hash"], name, *place, whole.get("kind", "point"))
    return Verdict(id=made, **whole)


def warming(**fields: object) -> Verdict:
    nothing = dict.fromkeys(("expected_value", "upper_margin", "lower_margin", "score"), NAN)
    rest = {"severity": 0.0, "is_anomaly": False, "status": "warming", **OUTSIDE}
    return verdict(**{**nothing, **rest, **fields})


def absent(**fields: object) -> Verdict:
    return verdict(**{"kind": "absent", "time_us": 1_614_647_700_250_000, **fields})


def returned(**fields: object) -> Verdict:
    return verdict(**{"kind": "returned", "time_us": 1_614_650_400_250_000, **fields})


def body(record: OutgoingRecord) -> dict:
    """The event in `record`, found to be as the schema says."""
    assert record.value is not None
    event = json.loads(record.value)
    VALIDATOR.validate(event)
    return event


def headers(record: OutgoingRecord) -> dict[str, str]:
    assert len({name for name, _ in record.headers}) == len(record.headers)
    return {name: (value or b"").decode() for name, value in record.headers}
