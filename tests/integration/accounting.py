"""Whether what a stream published is all that it should, once, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

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
    bodies = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    places = Counter((body["source"]["partition"], body["source"]["offset"]) for body in bodies)
    lost = {(index, at) for index in end for at in range(end[index])} - places.keys()
    assert not lost, f"{len(lost)} points lost, the first at {min(lost)}"
    doubled = [place for place, count in places.items() if count > 1]
    assert not doubled, f"{len(doubled)} points in two events, the first at {min(doubled)}"
    assert len(places) == points
    assert len({body["id"] for body in bodies}) == points
    assert not read(stream.bootstrap, stream.dead_letters)
    assert committed(stream.bootstrap, stream.group, stream.input) == end


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
