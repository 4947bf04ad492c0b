"""Every row of the bad-input matrix through a real worker and a real broker."""

from __future__ import annotations

import json

from streamdet.serde.dead_letter import PREFIX
from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, produce, read
from tests.integration.worker import Stream, wait_until
from tests.serde.bad_input import CASES
from tests.serde.records import NOON_MS
from tests.service import point

PRODUCIBLE = [case for case in CASES if case.producible]
HEADERS = (
    ("traceparent", b"00-4bf9"),
    ("bytes", bytes(range(256))),
    ("none", None),
    ("bytes", b""),
)
STEADY = b"steady"


def test_what_is_bad_is_refused_alone_and_kept_as_it_came(stream: Stream):
    stream.create_topics()
    records = []
    for i, case in enumerate(PRODUCIBLE):
        good = point(i - len(PRODUCIBLE), 1.0, "steady")
        records.append(OutgoingRecord(stream.input, STEADY, good, (), NOON_MS))
        headers = (("case", case.name.encode()), *HEADERS)
        records.append(OutgoingRecord(stream.input, case.key, case.value, headers, NOON_MS))
    worker = stream.worker(output={"publish": "all"}).wait_ready()
    produce(stream.bootstrap, records)
    refused = sum(len(case.refusals) for case in PRODUCIBLE)
    accepted = sum(case.points for case in PRODUCIBLE)
    tombstones = sum(case.tombstone for case in PRODUCIBLE)
    consumed = len(PRODUCIBLE) + refused + accepted + tombstones
    wait_until(lambda: worker.total("points_consumed_total") >= consumed, "every point")

    assert worker.total("points_consumed_total") == consumed
    assert worker.total("points_total") == consumed
    assert worker.total("points_total", outcome="dead_lettered") == refused
    assert worker.total("points_total", outcome="tombstone") == tombstones
    assert worker.total("points_total", outcome="dropped_series_limit") == 0
    judged = worker.total("points_total", outcome="ok")
    assert worker.total("transactions_total", result="aborted") == 0
    worker.stop()
    assert committed(stream.bootstrap, stream.group, stream.input) == {0: len(records)}

    events = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    assert len(events) == judged
    steady = [event["source"]["offset"] for event in events if event["metric"] == "steady"]
    assert steady == list(range(0, len(records), 2))

    letters = read(stream.bootstrap, stream.dead_letters)
    refusals: dict[str, list[tuple[str | None, str]]] = {case.name: [] for case in PRODUCIBLE}
    by_name = {case.name: case for case in PRODUCIBLE}
    for letter in letters:
        own = tuple(pair for pair in letter.headers if not pair[0].startswith(PREFIX))
        added = {
            n.removeprefix(PREFIX): v.decode() for n, v in letter.headers if n.startswith(PREFIX)
        }
        case = by_name[own[0][1].decode()]
        assert (letter.key, letter.value, own[1:]) == (case.key, case.value, HEADERS), case.name
        assert int(added["offset"]) == 2 * PRODUCIBLE.index(case) + 1
        refusals[case.name].append((added.get("index"), added["reason"]))
    for case in PRODUCIBLE:
        elements = [str(element) for element, _ in case.refusals if element is not None]
        want = [(",".join(elements) or None, case.refusals[0][1])] if case.refusals else []
        assert refusals[case.name] == want
