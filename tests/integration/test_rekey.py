"""`streamdet rekey` on a real broker: copied once though it was killed, then looked at."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import Counter, defaultdict

from confluent_kafka import Producer

from streamdet.kafka.partitioner import partition_of
from streamdet.types import OutgoingRecord
from tests.integration.topics import committed, ends, produce, read
from tests.integration.worker import CLI, GRACE_S, Stream, wait_until
from tests.servers.kafka import create_topic
from tests.servers.supervise import Supervised
from tests.service import MINUTE_MS, START_MS, point

HOSTS, MINUTES = 6, 500
HEADERS = (("trace", b"1"),)


def fill(stream: Stream) -> list[bytes]:
    """Write points of six series in turn, without a key; return them."""
    values = [
        point(m, float(m), host=f"h{k}", region=f"r{k % 2}")
        for m in range(MINUTES)
        for k in range(HOSTS)
    ]
    produce(
        stream.bootstrap,
        (
            OutgoingRecord(stream.input, None, value, HEADERS, START_MS + i // HOSTS * MINUTE_MS)
            for i, value in enumerate(values)
        ),
    )
    return values


def options(stream: Stream, target: str) -> list[str]:
    config = stream.folder / "rekey.yaml"
    config.write_text(json.dumps({**stream.settings(), "limits": {"batch_records": 50}}))
    return ["rekey", "--from", stream.input, "--to", target, "--config", str(config)]


def test_a_copy_that_was_killed_and_goes_on_has_every_point_once(stream: Stream):
    target = f"{stream.input}.keyed"
    stream.create_topics(partitions=3)
    create_topic(stream.bootstrap, target, 4, {"retention.ms": "-1"})
    values = fill(stream)
    produce(stream.bootstrap, [OutgoingRecord(stream.input, b"k", b"{", HEADERS, START_MS)])
    group = f"{stream.group}-rekey-{stream.input}-{target}"
    command = [*CLI, *options(stream, target), "--set", "kafka.instance_id=one"]
    folder, log = stream.folder / "rekey", stream.folder / "rekey.log"
    folder.mkdir()

    all_of_it = ends(stream.bootstrap, stream.input)
    with contextlib.ExitStack() as stack:
        slow = ("--set", "commit_interval=10ms", "--set", "limits.batch_records=1")
        slow += ("--set", "transaction_timeout=5s")  # after it offsets can be asked for
        killed = Supervised([*command, *slow], folder, log)
        stack.callback(killed.end)
        wait_until(lambda: read(stream.bootstrap, target), "a first commit")
        killed.signal(signal.SIGKILL, GRACE_S)
        assert committed(stream.bootstrap, group, stream.input) != all_of_it
        # its transaction may still be open, which the next under its name ends
        stopped = Supervised(command, folder, log)
        stack.callback(stopped.end)
        wait_until(
            lambda: committed(stream.bootstrap, group, stream.input) == all_of_it, "the rest"
        )
        stopped.signal(signal.SIGTERM, GRACE_S)
    assert " points written to " in log.read_text()

    copies = read(stream.bootstrap, target)
    assert Counter(record.value for record in copies) == Counter(values)
    places = defaultdict(set)
    for record in copies:
        body = json.loads(record.value)
        host, region = body["dimensions"]["host"], body["dimensions"]["region"]
        assert record.key.decode() == f'm{{host="{host}",region="{region}"}}'
        assert (record.headers, record.timestamp_ms) == (HEADERS, body["timestamp"])
        places[record.key].add(record.partition.index)
    assert places == {key: {partition_of(key, 4)} for key in places}
    (letter,) = read(stream.bootstrap, stream.dead_letters)
    assert (letter.key, letter.value, letter.headers[:1]) == (b"k", b"{", HEADERS)


def test_a_copy_until_the_end_passes_over_a_marker_and_tells_what_it_did(stream: Stream):
    target = f"{stream.input}.by-region"
    stream.create_topics(partitions=2)
    create_topic(stream.bootstrap, target, 4, {"retention.ms": "-1"})
    command = [*options(stream, target), "--by", "region"]
    done = stream.cli(*command, "--dry-run")
    assert done.stdout.startswith("0 records of "), done.stderr
    fill(stream)
    for outcome in ("commit_transaction", "abort_transaction"):
        other = Producer({"bootstrap.servers": stream.bootstrap, "transactional.id": stream.group})
        other.init_transactions(30)
        other.begin_transaction()
        for index in range(2):
            other.produce(stream.input, point(0, 1.0, "other"), partition=index)
        getattr(other, outcome)(30)

    done = stream.cli(*command, "--dry-run")
    assert done.returncode == 0, done.stderr
    first, spread, keys, _, *table = done.stdout.splitlines()
    assert first.startswith(f"{HOSTS * MINUTES + 2:,} records of {stream.input}: ")
    assert spread.startswith("7 series lie on several")
    assert keys == "3 keys:"
    shown = {row.split()[-1]: int(row.split()[-2]) for row in table[:3]}
    assert read(stream.bootstrap, target) == []

    for n in (HOSTS * MINUTES + 2, 0):  # a second time there is nothing left
        done = stream.cli(*command, "--until-end")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{n:,} records read, {n:,} with {n:,} points written")
    copies = read(stream.bootstrap, target)
    assert Counter(record.key for record in copies) == {
        b'm{region="r0"}': HOSTS * MINUTES // 2,
        b'm{region="r1"}': HOSTS * MINUTES // 2,
        b"other": 2,
    }
    assert {record.key.decode(): record.partition.index for record in copies} == shown


def test_a_target_that_does_not_exist_is_said_before_anything_is_read(stream: Stream):
    stream.create_topics()
    done = stream.cli(*options(stream, "no-such-topic"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "topic 'no-such-topic' does not exist; make it with: streamdet topics" in done.stderr
