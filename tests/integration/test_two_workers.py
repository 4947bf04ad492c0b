"""200,000 points through two workers: each is accounted for, and the events are the detector's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import numpy as np

from streamdet.config import load
from streamdet.types import Outcome, Reason
from tests.integration import offline
from tests.integration.topics import committed, ends, produce_with_kcat, read, read_with_kcat
from tests.integration.worker import Stream, wait_until
from tests.service import point

SERIES, MINUTES, PARTITIONS = 2_000, 100, 4
SPIKES, LATE, DUPLICATE = 0.003, 0.004, 0.004
TOMBSTONES = 9
BAD = {
    b"no JSON": Reason.DECODE,
    b'{"metric":"m","value":NaN}': Reason.DECODE,
    b'{"metric":"m"}': Reason.SCHEMA,
    b'{"metric":"m","value":null}': Reason.VALUE,
    b'{"metric":"m","value":"1"}': Reason.VALUE,
    b'{"metric":"m","value":1,"timestamp":"yesterday"}': Reason.TIMESTAMP,
    b'{"metric":"m","value":1,"timestamp":0}': Reason.TIMESTAMP_RANGE,
    b'{"metric":"","value":1}': Reason.DIMENSIONS,
    b"[]": Reason.EMPTY,
}
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/event.schema.json").read_text())


def write_points(file: Path) -> Counter[Outcome]:
    """Write lines for kcat; return what must become of the points, by time stamps alone."""
    random = np.random.default_rng(3)
    level = random.uniform(10, 1_000, SERIES)
    newest = np.full(SERIES, -1)
    outcomes = Counter({Outcome.TOMBSTONE: TOMBSTONES, Outcome.DEAD_LETTERED: len(BAD)})
    bad = list(BAD)
    with file.open("wb") as lines:
        for minute in range(MINUTES):
            values = level * (1 + 0.02 * random.standard_normal(SERIES))
            spikes = random.random(SERIES) < SPIKES
            values[spikes] *= random.choice([0.5, 1.7], SERIES)[spikes]
            back = random.choice([0, 1, 3], SERIES, p=[1 - LATE - DUPLICATE, DUPLICATE, LATE])
            minutes = np.maximum(minute - back, 0)
            outcomes[Outcome.LATE] += int((minutes < newest).sum())
            outcomes[Outcome.DUPLICATE] += int((minutes == newest).sum())
            outcomes[Outcome.OK] += int((minutes > newest).sum())
            newest = np.maximum(newest, minutes)
            columns = zip(minutes.tolist(), values.round(4).tolist(), strict=True)
            for series, (at, value) in enumerate(columns):
                region = "eu" if series % 2 else "us"
                body = point(at, value, "http_requests", host=f"h{series}", region=region)
                lines.write(b"h%d\t%b\n" % (series, body))
            if minute % 10 == 5:
                lines.write(b"h%d\t\n" % minute if minute // 10 < TOMBSTONES else b"")
                lines.write(b"h%d\t%b\n" % (minute, bad.pop()) if bad else b"")
    return outcomes


def test_two_workers_publish_exactly_what_the_detector_says_offline(
    stream: Stream, kcat: Path, tmp_path: Path
):
    expected = write_points(tmp_path / "points")
    produced = expected.total()
    assert sum(expected[o] for o in (Outcome.OK, Outcome.LATE, Outcome.DUPLICATE)) == 200_000
    assert min(expected[Outcome.LATE], expected[Outcome.DUPLICATE]) > 100

    stream.create_topics(PARTITIONS)
    workers = [stream.worker("a"), stream.worker("b")]
    for worker in workers:
        worker.wait_ready()
    wait_until(
        lambda: [worker.total("assigned_partitions") for worker in workers] == [2, 2],
        "two partitions for each worker",
    )
    produce_with_kcat(kcat, stream.bootstrap, stream.input, tmp_path / "points")
    wait_until(
        lambda: sum(w.total("points_consumed_total") for w in workers) >= produced,
        "every point to be consumed",
    )

    assert all(worker.total("points_consumed_total") for worker in workers)
    assert sum(worker.total("points_consumed_total") for worker in workers) == produced
    outcomes = {
        o: sum(worker.total("points_total", outcome=o.name.lower()) for worker in workers)
        for o in Outcome
    }
    assert outcomes == {o: expected[o] for o in Outcome}
    anomalies = sum(worker.total("anomalies_total") for worker in workers)
    transactions = sum(worker.total("transactions_total", result="aborted") for worker in workers)
    assert transactions == 0
    for worker in workers:
        worker.stop()
    assert committed(stream.bootstrap, stream.group, stream.input) == ends(
        stream.bootstrap, stream.input
    )

    detected = offline.detect(load(workers[0].config_file), read(stream.bootstrap, stream.input))
    assert detected.outcomes == expected
    events = read_with_kcat(kcat, stream.bootstrap, stream.anomalies)
    published = Counter(events)
    said = Counter((event.key, event.value) for event in detected.events)
    assert not published - said
    assert not said - published
    bodies = [json.loads(value) for _, value in events]
    assert sum(body["isAnomaly"] for body in bodies) == anomalies > 100
    assert len({body["id"] for body in bodies}) == len(bodies)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for body in bodies:
        validator.validate(body)

    letters = read(stream.bootstrap, stream.dead_letters)
    assert sorted((x.key, x.value, x.headers) for x in letters) == sorted(
        (x.key, x.value, x.headers) for x in detected.dead_letters
    )
    reasons = {x.value: dict(x.headers)["__streamdet.errors.reason"].decode() for x in letters}
    assert reasons == BAD
