"""`streamdet dlq` on a real broker: refused, looked at, mended, sent in again, processed once."""

from __future__ import annotations

import json
from collections import Counter

from streamdet.serde.dead_letter import attempt_of
from streamdet.types import OutgoingRecord
from tests.integration.topics import produce, read
from tests.integration.worker import Stream, wait_until
from tests.service import MINUTE_MS, START_MS, point

HEADERS = (("trace", b"1"),)
N_POINTS = 20


def command(stream: Stream, *words: str) -> str:
    config = stream.folder / "dlq.yaml"
    config.write_text(json.dumps(stream.settings()))
    done = stream.cli("dlq", *words, "--config", str(config))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refuse(stream: Stream) -> None:
    """Have a worker refuse points with a dimension, one point of an array, and what is no JSON."""
    stream.create_topics(partitions=3)
    values = [point(m, float(m), host="a") for m in range(N_POINTS)]
    records = [
        OutgoingRecord(stream.input, b"k", value, HEADERS, START_MS + i * MINUTE_MS)
        for i, value in enumerate(values)
    ]
    array = b"[%b, %b]" % (point(0, 1.0, "good"), point(0, 1.0, "beside", host="a"))
    records.append(OutgoingRecord(stream.input, b"array", array, HEADERS, START_MS))
    records.append(OutgoingRecord(stream.input, b"\xff", b"\x00{", HEADERS, START_MS))
    produce(stream.bootstrap, records)
    worker = stream.worker("strict", limits={"max_dimensions": 0}, output={"publish": "all"})
    worker.wait_ready()
    refused = N_POINTS + 2
    wait_until(
        lambda: worker.total("points_total", outcome="dead_lettered") == refused, "the refusals"
    )
    wait_until(lambda: len(read(stream.bootstrap, stream.dead_letters)) == refused, "dead letters")
    worker.stop()


def test_what_was_refused_is_listed_shown_and_after_the_fix_processed_once(stream: Stream):
    refuse(stream)
    listing = json.loads(command(stream, "list", "--json"))
    counts = Counter()
    for entry in listing["entries"]:
        counts[entry["reason"], entry["topic"]] += entry["count"]
    n_mended = N_POINTS + 1
    assert counts == {("dimensions", stream.input): n_mended, ("decode", stream.input): 1}
    (place,) = (entry["newest"] for entry in listing["entries"] if entry["reason"] == "decode")
    shown = command(stream, "show", place)
    assert "header __streamdet.errors.reason: decode\n" in shown
    assert "value: 2 bytes, not text\n  00000000  00 7b " in shown

    only = ("replay", "--reason", "dimensions")
    line = f"{n_mended} dimensions from {stream.input} {{}} to {stream.input}\n"
    assert line.format("would be sent") in command(stream, *only, "--dry-run")
    assert line.format("sent") in command(stream, *only)
    assert command(stream, *only).startswith("nothing to send")

    worker = stream.worker("wide", output={"publish": "all"}).wait_ready()
    wait_until(lambda: worker.total("points_total") == n_mended, "the points")
    assert worker.total("points_total", outcome="dead_lettered") == 0
    worker.stop()
    events = [json.loads(record.value) for record in read(stream.bootstrap, stream.anomalies)]
    assert Counter((event["metric"], event["value"]) for event in events) == Counter(
        [("m", float(m)) for m in range(N_POINTS)] + [("good", 1.0), ("beside", 1.0)]
    )
    records = read(stream.bootstrap, stream.input)
    first, again = (
        [record for record in records if attempt_of(record.headers) == attempt]
        for attempt in (1, 2)
    )
    assert {record.headers[:-1] for record in again} == {HEADERS}
    places = {(record.key, record.timestamp_ms): record.partition for record in first}
    assert all(places[record.key, record.timestamp_ms] == record.partition for record in again)
    values = [record.value for record in again if record.key == b"k"]
    assert values == [record.value for record in first if record.key == b"k"]


def test_the_third_failure_is_the_last(stream: Stream):
    stream.create_topics()
    worker = stream.worker().wait_ready()
    produce(stream.bootstrap, [OutgoingRecord(stream.input, b"k", b"{", HEADERS, START_MS)])
    for failures in (1, 2, 3):
        wait_until(
            lambda n=failures: len(read(stream.bootstrap, stream.dead_letters)) == n, "its refusal"
        )
        told = command(stream, "replay")
        assert told.startswith(f"{int(failures < 3)} decode from {stream.input} sent"), told
    assert "passed over: 1 refused 3 times already; the first is 0:" in told
    assert command(stream, "replay").startswith("nothing to send")
    worker.stop()
    assert [attempt_of(r.headers) for r in read(stream.bootstrap, stream.dead_letters)] == [1, 2, 3]
    assert len(read(stream.bootstrap, stream.input)) == 3


def test_a_place_without_a_record_is_said(stream: Stream):
    stream.create_topics()
    for place in ("0:0", "7:0"):
        done = stream.cli(
            "dlq", "show", place, "--topic", stream.input,
            "--set", f"kafka.bootstrap_servers={stream.bootstrap}",
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert f"no record at {place} of {stream.input}: it was deleted" in done.stderr
