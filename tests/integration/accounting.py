"""Whether what a stream published is all that it should, once, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from streamdet.config import load
from streamdet.types import Record
from tests.integration import offline
from tests.integration.topics import committed, ends, read
from tests.integration.worker import Stream, Worker, wait_until

_DRAINED_TIMEOUT_S = 100


def wait_until_drained(stream: Stream, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until the group's offsets stand at the end of the input, doing something meanwhile."""
    end = ends(stream.bootstrap, stream.input)

    def drained() -> bool:
        meanwhile()
        return committed(stream.bootstrap, stream.group, stream.input) == end

    wait_until(drained, f"the offsets of {stream.group} to reach {end}", _DRAINED_TIMEOUT_S)


def assert_one_event_for_each_point(stream: Stream, points: int) -> None:
    """Records are single points, all in order: each offset of the input is in one event."""
    end = ends(stream.bootstrap, stream.input)
    assert sum(end.values()) == points > 0
    records = read(stream.bootstrap, stream.anomalies)
    bodies = [json.loads(record.value) for record in records]
    places: dict[tuple[int, int], list[Record]] = {}
    for body, record in zip(bodies, records, strict=True):
        source = body["source"]
        places.setdefault((source["partition"], source["offset"]), []).append(record)
    lost = {(index, at) for index in end for at in range(end[index])} - places.keys()
    assert not lost, f"{len(lost)} points lost, the first at {min(lost)}"
    doubled = sorted(place for place, its in places.items() if len(its) > 1)
    # When and where its events were written tells of which transactions they are.
    assert not doubled, f"{len(doubled)} points in two events, the first: {_of(places, doubled)}"
    assert len(places) == points
    assert len({body["id"] for body in bodies}) == points
    assert not read(stream.bootstrap, stream.dead_letters)
    assert committed(stream.bootstrap, stream.group, stream.input) == end


def _of(places: Mapping[tuple[int, int], list[Record]], doubled: list[tuple[int, int]]) -> str:
    first = doubled[0]
    its = [f"{each.partition} at {each.offset}, {each.timestamp_ms} ms" for each in places[first]]
    return f"{first}, written to {' and '.join(its)}"


def assert_events_are_those_of_the_detector(
    stream: Stream, worker: Worker, *topics: str
) -> list[Record]:
    """Each is, byte for byte, what the detector says of `topics` without Kafka; return them."""
    config = load(worker.config_file)
    detected = [
        event
        for topic in topics
        for event in offline.detect(config, read(stream.bootstrap, topic)).events
    ]
    events = read(stream.bootstrap, stream.anomalies)
    assert sorted((event.key, event.value, event.headers) for event in events) == sorted(
        (event.key, event.value, event.headers) for event in detected
    )
    return events
