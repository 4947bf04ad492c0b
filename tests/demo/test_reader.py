"""The reader: a subscriber that tells injected anomalies from false ones."""

import json

from streamdet.demo.fleet import Label
from streamdet.demo.reader import Reader
from streamdet.demo.signals import Kind
from streamdet.testing import MemoryBroker, MemoryConsumer
from streamdet.types import OutgoingRecord, SeriesId

CPU = SeriesId.of("cpu_load", {"host": "web-1"})
SPIKE = Label(CPU, Kind.SPIKE, 1_614_646_800_000_000, 1_614_646_800_000_000)


def event(timestamp, **changed):
    body = {
        "id": "0",
        "metric": "cpu_load",
        "dimensions": {"host": "web-1"},
        "timestamp": timestamp,
        "value": 9.5,
        "expectedValue": 4.0,
        "upperMargin": 1.0,
        "lowerMargin": 1.0,
        "upperBoundary": 5.0,
        "lowerBoundary": 3.0,
        "isAnomaly": True,
        "isPositiveAnomaly": True,
        "isNegativeAnomaly": False,
        "severity": 0.9,
        "incident": timestamp,
        **changed,
    }
    return OutgoingRecord("anomalies", None, json.dumps(body).encode())


def test_it_reads_events_and_counts_dead_letters():
    broker = MemoryBroker({"anomalies": 1, "dead-letters": 1})
    reader = Reader(MemoryConsumer(broker, "reader"), [SPIKE])
    broker.append(event("2021-03-02T01:00:00Z"))
    broker.append(event("2021-03-04T01:00:00Z"))
    broker.append(event("2021-03-05T01:00:00Z", isAnomaly=False, expectedValue=None))
    broker.append(OutgoingRecord("dead-letters", None, b"{"))
    new = reader.read()
    assert [shown.kind for shown in new] == [Kind.SPIKE, None]
    assert new[0].anomaly.series == CPU
    assert new[0].anomaly.time_us == SPIKE.first_us
    assert reader.n_dead_letters == 1
    assert (len(reader.board.found), reader.board.n_false) == (1, 1)
    assert reader.read() == []
