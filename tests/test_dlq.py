"""`streamdet dlq`: what is listed and shown, and that a refused record goes back once."""

from __future__ import annotations

import json
import logging
from threading import Event

import pytest
from typer.testing import CliRunner

import streamdet.app
from streamdet import cli
from streamdet.dlq import (
    Letter,
    Listing,
    Plan,
    Replayer,
    Selection,
    Stream,
    Tally,
    lines_of,
    take_listing,
    take_stock,
)
from streamdet.errors import ConfigError, TransactionAborted
from streamdet.serde.dead_letter import ATTEMPT, PREFIX, attempt_of
from streamdet.testing import CrashPoint, MemoryBatch, MemoryConsumer, MemoryProducer
from streamdet.transfer import Transfer
from streamdet.types import OutgoingRecord, Partition, Record
from tests import service
from tests.service import DEAD_LETTERS, GROUP, INPUT, MINUTE_MS, START_MS, Worker, point, produce

STRICT, WIDE = {"limits": {"max_dimensions": 0}}, {"limits": {"max_dimensions": 8}}
ALL = Selection()
PLAN = Plan(DEAD_LETTERS, ALL)
TRACE = (("trace", b"1"),)
DIMENSIONS = Stream("dimensions", INPUT)


class Reader:
    """A `streamdet.ports.RecordReader` on the broker in memory."""

    def __init__(self, on, topic=DEAD_LETTERS):
        place = Partition(topic, 0)
        self.records = on.read(topic)
        self.ends = {place: on.stable_end(place)} if on.stable_end(place) else {}

    def batches(self, records_max):
        for start in range(0, len(self.records), 3):
            part = self.records[start : start + 3]
            yield MemoryBatch(part[0].partition, part)

    def close(self):
        pass


def work(on, name, **changes):
    """Let a worker process all that there is, and end."""
    worker = Worker(on, service.config(**changes), name)
    worker.drain()
    worker.consumer.close()
    worker.producer.close()
    return worker


def stock_of(on, plan=PLAN):
    return take_stock(Reader(on, plan.topic), plan, GROUP, on.committed)


def transfer(on, stream, plan=PLAN, ends=None):
    made = Transfer(
        plan.topic,
        Replayer(plan, stream, 2).make,
        Tally,
        service.config(),
        consumer=MemoryConsumer(on, stream.group(GROUP)),
        producer=MemoryProducer(on, stream.group(GROUP)),
        clock=service.ManualClock(),
        ends=Reader(on, plan.topic).ends if ends is None else ends,
    )
    made._commit_interval_s = made._backoff_s = 0.0
    return made


def replay(on, plan=PLAN):
    """Do what the command does, on the broker in memory."""
    return {stream: transfer(on, stream, plan).run(Event()) for stream in stock_of(on, plan)}


@pytest.fixture
def on():
    return service.broker(partitions=2)


def dead(on, value=b"{", key=b"k", own=TRACE, **errors):
    """Write a dead letter; `errors` are its headers."""
    told = {"reason": "decode", "topic": INPUT, "partition": "1", "offset": "7", **errors}
    headers = [(PREFIX + name, text.encode()) for name, text in told.items() if text is not None]
    on.append(OutgoingRecord(DEAD_LETTERS, key, value, (*own, *headers)))


def sent(on, topic=INPUT):
    return [record for record in on.read(topic) if any(n == ATTEMPT for n, _ in record.headers)]


# ------------------------------------------------------------------------------ there and back


def test_what_was_refused_is_processed_once_after_the_limit_was_raised(on):
    values = [point(m, 1.0, host="a") for m in range(5)]
    produce(on, values, partition=1)
    work(on, "w", **STRICT)
    assert len(on.read(DEAD_LETTERS)) == 5
    assert {stream: tally.written for stream, tally in stock_of(on).items()} == {DIMENSIONS: 5}

    assert replay(on)[DIMENSIONS].written == 5
    again = sent(on)
    assert [(record.key, record.value) for record in again] == [(b"k", value) for value in values]
    assert {record.timestamp_ms for record in again} == {START_MS}  # stands in for a missing one
    assert {record.partition.index for record in again} == {1}  # whatever the key stands for
    assert {record.headers for record in again} == {((ATTEMPT, b"2"),)}
    worker = work(on, "w", **WIDE)
    assert worker.outcomes() == {"ok": 5}
    assert replay(on) == {}
    assert len(sent(on)) == 5


def test_a_record_refused_three_times_stays_where_it_is(on):
    produce(on, [point(0, 1.0, host="a")])
    attempts = []
    for _ in range(3):
        work(on, "w", **STRICT)
        attempts.append(attempt_of(on.read(DEAD_LETTERS)[-1].headers))
        done = replay(on)[DIMENSIONS]
    assert attempts == [1, 2, 3]
    assert (done.written, done.not_sent) == (0, {"refused 3 times already": 1})
    assert (len(on.read(DEAD_LETTERS)), len(on.read(INPUT))) == (3, 3)
    assert replay(on) == {}


def test_headers_of_its_own_go_back_and_ours_do_not(on):
    dead(on, message="m", own=(("a", b"\xff"), ("b", None), ("a", b"")))
    replay(on)
    (record,) = on.read(INPUT)
    assert record.headers == (("a", b"\xff"), ("b", None), ("a", b""), (ATTEMPT, b"2"))


def test_what_a_filter_leaves_out_waits_for_another_replay(on):
    dead(on, b"1")
    dead(on, b"2", reason="schema")
    dead(on, b"3", topic="other")
    on.create_topic("other", 2)
    for plan, found in [
        (Plan(DEAD_LETTERS, Selection("schema")), {Stream("schema", INPUT): 1}),
        (Plan(DEAD_LETTERS, Selection(source="other")), {Stream("decode", "other"): 1}),
        (PLAN, {Stream("decode", INPUT): 1}),
        (PLAN, {}),
    ]:
        assert {stream: tally.written for stream, tally in replay(on, plan).items()} == found
    assert [record.value for record in on.read(INPUT) + on.read("other")] == [b"2", b"1", b"3"]


def test_what_is_older_than_since_is_passed_over_for_good(on):
    for value in (b"1", b"2"):
        dead(on, value)
    newest_ms = on.read(DEAD_LETTERS)[1].timestamp_ms
    plan = Plan(DEAD_LETTERS, Selection(since_ms=newest_ms))
    (tally,) = replay(on, plan).values()
    assert (tally.written, tally.not_sent) == (1, {"older than --since": 1})
    assert [record.value for record in on.read(INPUT)] == [b"2"]
    assert replay(on) == {}


def test_to_sends_elsewhere_and_what_was_sent_there_is_not_sent_again(on):
    on.create_topic("mended", 2)
    dead(on)
    replay(on, Plan(DEAD_LETTERS, ALL, "mended"))
    assert len(on.read("mended")) == 1
    assert replay(on) == {}
    assert on.read(INPUT) == []


def test_a_dead_letter_that_comes_while_a_replay_runs_waits_for_the_next(on):
    dead(on, b"1")
    ends = Reader(on).ends
    dead(on, b"2")
    assert transfer(on, Stream("decode", INPUT), ends=ends).run(Event()).written == 1
    assert [record.value for record in on.read(INPUT)] == [b"1"]
    replay(on)
    assert [record.value for record in on.read(INPUT)] == [b"1", b"2"]


@pytest.mark.parametrize("call", ["begin", "send", "flush", "commit"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "error", [CrashPoint(), TransactionAborted("lost")], ids=["crash", "abort"]
)
def test_a_replay_that_was_stopped_and_done_again_sends_each_once(on, call, after, error):
    for number in range(20):
        dead(on, b"%d" % number)
    on.fail_at(f"producer.{call}", error, after=after)
    running = transfer(on, Stream("decode", INPUT))
    if isinstance(error, CrashPoint):
        with pytest.raises(CrashPoint):
            running.run(Event())
    else:
        running.run(Event())
    replay(on)
    assert [record.value for record in on.read(INPUT)] == [b"%d" % n for n in range(20)]


# --------------------------------------------------------------------------------- some points


def test_of_an_array_only_the_points_that_were_refused_go_back(on):
    good, bad = point(0, 1.0), point(1, 2.0, host="a")
    produce(on, [b"[%b, %b]" % (good, bad)])
    work(on, "w", **STRICT)
    replay(on)
    assert [record.value for record in sent(on)] == [b"[%b]" % bad]
    assert work(on, "w", **WIDE).outcomes() == {"ok": 1}


def test_of_a_request_the_refused_points_go_back_with_its_parameters(on):
    series = [{"timestamp": START_MS + m * MINUTE_MS, "value": m} for m in range(3)]
    request = {"metric": "m", "sensitivity": 90, "series": series}
    dead(on, json.dumps(request).encode(), reason="value", index="0,2")
    replay(on)
    (record,) = on.read(INPUT)
    assert json.loads(record.value) == {**request, "series": [series[0], series[2]]}


def test_a_late_record_goes_back_in_the_same_way(on):
    on.create_topic("late")
    headers = [("reason", b"late"), ("topic", b"metrics"), ("partition", b"0"), ("index", b"1")]
    ours = tuple((PREFIX + name, value) for name, value in headers)
    on.append(OutgoingRecord("late", b"k", b"[1, 2, 3]", ours))
    assert [str(stream.reason) for stream in replay(on, Plan("late", ALL))] == ["late"]
    assert [record.value for record in on.read(INPUT)] == [b"[2]"]


@pytest.mark.parametrize(
    ("value", "errors", "why"),
    [
        (b"{", {"truncated": "true"}, "cut: value, key or headers"),
        (b"{", {"key_truncated": "true"}, "cut: value, key or headers"),
        (b"{", {"headers_truncated": "true"}, "cut: value, key or headers"),
        (b"{", {"attempt": "3"}, "refused 3 times already"),
        (b"[1]", {"index": "1"}, "whose refused points cannot stand alone (schema)"),
        (b"{}", {"index": "0"}, "whose refused points cannot stand alone (schema)"),
        (b"{", {"index": "0"}, "whose refused points cannot stand alone (decode)"),
        (b"[\xff]", {"index": "0"}, "whose refused points cannot stand alone (decode)"),
        (b"[1]", {"index": "-1"}, "whose header index is no list of places"),
        # alone in its request it would be given the time of its record
        (
            b'{"metric":"m","series":[{"value":1},{"value":2}]}',
            {"index": "1"},
            "whose refused points cannot stand alone (timestamp)",
        ),
    ],
)
def test_what_cannot_go_back_as_it_was_is_passed_over_and_counted(on, value, errors, why):
    dead(on, value, **errors)
    dead(on, b"good")
    (tally,) = replay(on).values()
    assert (tally.records, tally.written) == (2, 1)
    ((found, count),) = tally.not_sent.items()
    assert (found.startswith(why), count) == (True, 1)
    assert list(tally.places.values()) == ["0:0"]
    assert [record.value for record in on.read(INPUT)] == [b"good"]


@pytest.mark.parametrize(
    "errors",
    [
        {"reason": None},
        {"topic": None},
        {"reason": "\x1b[2J"},
        {"topic": "a/b"},
        {"partition": "x"},
    ],
)
def test_a_record_that_is_no_dead_letter_is_left_alone(on, errors):
    dead(on, **errors)
    assert stock_of(on) == {}
    listing = take_listing(Reader(on), ALL)
    assert (listing.entries, listing.others) == ({}, 1)


@pytest.mark.parametrize("told", ["", "0", "-1", "x", "99999", "1e3"])
def test_an_attempt_that_is_no_number_counts_as_the_first(told):
    assert attempt_of(((ATTEMPT, told.encode()),)) == 1


def test_a_partition_that_the_topic_does_not_have_is_left_to_the_key(on):
    dead(on)
    letter = Letter.of(on.read(DEAD_LETTERS)[0])
    stream = Stream("decode", INPUT)
    assert Replayer(PLAN, stream, 2).remake(letter).partition == 1
    assert Replayer(PLAN, stream, 1).remake(letter).partition is None
    assert Replayer(Plan(DEAD_LETTERS, ALL, "x"), stream, 2).remake(letter).partition is None


# ------------------------------------------------------------------------------------ the plan


def test_a_topic_that_no_worker_reads_is_not_written_because_a_header_says_so():
    config, streams = service.config(), [Stream("decode", "elsewhere")]
    with pytest.raises(ConfigError, match=r"elsewhere, which input\.topics does not have"):
        PLAN.check_streams(config, streams)
    Plan(DEAD_LETTERS, ALL, INPUT).check_streams(config, streams)


def test_a_target_whose_integer_timestamps_mean_something_else_is_refused():
    config = service.config(input={"topics": [{"name": "seconds", "timestamp_unit": "s"}]})
    with pytest.raises(ConfigError, match="read as ms from metrics and as s from seconds"):
        Plan(DEAD_LETTERS, ALL, "seconds").check_streams(config, [Stream("decode", INPUT)])


@pytest.mark.parametrize("target", [DEAD_LETTERS, "streamdet.late", "x"])
def test_dead_letters_are_not_sent_among_dead_letters(target):
    with pytest.raises(ConfigError, match=f"--to {target}: is a topic of dead letters"):
        Plan("x", ALL, target).check(service.config())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("bad", None, None), "--reason bad: must be one of empty, too_large, "),
        ((None, None, "2021-03-02"), "--since 2021-03-02: is not of the form"),
        ((None, None, "2021-03-02T01:00:00"), "--since 2021-03-02T01:00:00: has no zone"),
    ],
)
def test_a_filter_that_says_nothing_is_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        Selection.of(*options)
    assert str(caught.value).startswith(said)


# -------------------------------------------------------------------------------- list and show


def test_a_listing_counts_by_reason_and_partition_the_most_frequent_first(on):
    for number in range(4):
        dead(on, b"secret", message=f"m{number}")
    dead(on, reason="schema", partition="0")
    on.append(OutgoingRecord(DEAD_LETTERS, None, b"other"))
    listing = take_listing(Reader(on), ALL)
    first, _, *table = listing.lines(DEAD_LETTERS)
    assert first == "5 dead letters in dead-letters; 1 other records"
    rows = [line.split() for line in table]
    assert [row[0] for row in rows] == ["4", "1"]
    assert rows[0][1:] == [
        "2020-09-13T12:26:40Z", "2020-09-13T12:26:40.003Z", "decode", "metrics[1]", "0:3", "m3",
    ]  # fmt: skip
    assert listing.document(DEAD_LETTERS)["entries"][0] == {
        "reason": "decode",
        "topic": INPUT,
        "partition": 1,
        "count": 4,
        "first": "2020-09-13T12:26:40Z",
        "last": "2020-09-13T12:26:40.003Z",
        "newest": "0:3",
        "message": "m3",
    }
    assert "secret" not in json.dumps(listing.document(DEAD_LETTERS))


def test_a_listing_takes_what_the_filters_say(on):
    dead(on)
    dead(on, reason="schema")
    dead(on, topic="other")
    last_ms = on.read(DEAD_LETTERS)[-1].timestamp_ms
    for selection, n in [
        (ALL, 3),
        (Selection("decode"), 2),
        (Selection(source="other"), 1),
        (Selection("decode", INPUT), 1),
        (Selection(since_ms=last_ms), 1),
        (Selection(since_ms=last_ms + 1), 0),
    ]:
        found = take_listing(Reader(on), selection)
        assert sum(entry.count for entry in found.entries.values()) == n


def shown(full=False, **fields):
    whole = {"key": b"k", "value": b"{}", "headers": (), **fields}
    record = Record(partition=Partition("dead", 3), offset=17, timestamp_ms=START_MS, **whole)
    return list(lines_of(record, full=full))


def test_a_dead_letter_is_shown_whole():
    headers = (("reason", b"decode"), ("none", None), ("bytes", b"\xff\x00A"))
    assert shown(value='{"é":\n1}'.encode(), headers=headers) == [
        "dead[3] offset 17, time 2021-03-02T12:00:00Z",
        "header reason: decode",
        "header none: null",
        "header bytes: 3 bytes, not text",
        "  00000000  ff 00 41                                         ..A",
        "key: 1 bytes",
        "  k",
        "value: 9 bytes",
        '  {"é":',
        "  1}",
    ]


def test_a_long_value_is_cut_unless_all_of_it_is_wanted():
    value = "é" * 1500
    assert shown(value=value.encode())[-2:] == [
        "  " + "é" * 1024,
        "  ... 952 bytes more; --full shows them",
    ]
    assert shown(value=value.encode(), full=True)[-1] == "  " + value
    assert len(shown(value=bytes(5000))) == len(shown(value=b"")) - 1 + 2048 // 16 + 1
    assert shown(value=b"\x1b[2J" + bytes(60), full=True)[-4].startswith("  00000000  1b 5b 32 4a")


# ----------------------------------------------------------------------------- the command line


@pytest.fixture
def _logs_as_they_were():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def streamdet_(*arguments):
    return CliRunner().invoke(cli.app, ["dlq", *arguments], prog_name="streamdet")


@pytest.mark.usefixtures("_logs_as_they_were")
class TestCommand:
    def test_list_asks_for_what_the_options_say(self, monkeypatch):
        def listed(config, topic, selection):
            asked.append((topic, selection))
            return Listing()

        asked = []
        monkeypatch.setattr(streamdet.app, "list_dead_letters", listed)
        done = streamdet_("list")
        assert (done.exit_code, done.stdout) == (0, "0 dead letters in streamdet.dead-letters\n")
        options = ("--reason", "late", "--from-topic", "m", "--since", "1970-01-01T00:00:01.0005Z")
        done = streamdet_("list", "--topic", "late", *options, "--json")
        assert json.loads(done.stdout) == {
            "topic": "late", "deadLetters": 0, "otherRecords": 0, "entries": [],
        }  # fmt: skip
        assert asked == [
            ("streamdet.dead-letters", ALL),
            ("late", Selection("late", "m", 1001)),
        ]

    def test_show_prints_one_without_its_control_characters(self, monkeypatch):
        def read(config, place, offset):
            asked.append((place, offset))
            return Record(place, offset, -1, None, "a\u202eb".encode())

        asked = []
        monkeypatch.setattr(streamdet.app, "read_record", read)
        done = streamdet_("show", "3:17", "-t", "late")
        assert done.exit_code == 0
        assert done.stdout.splitlines()[-1] == "  a\\u202eb"
        assert asked == [(Partition("late", 3), 17)]

    @pytest.mark.parametrize("place", ["3", "3:", "a:1", "-1:2", "1:2:3"])
    def test_show_refuses_what_is_no_place(self, place):
        done = streamdet_("show", "--", place)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"{place}: must be PARTITION:OFFSET, as in 0:17\n"

    def test_replay_tells_what_it_did(self, monkeypatch):
        def replayed(config, plan, *, dry_run):
            asked.append((plan, dry_run))
            tally = Tally(3, 1)
            tally.not_sent["refused 3 times already"] = 2
            tally.places["refused 3 times already"] = "0:17"
            return {Stream("decode", "m"): tally}

        asked = []
        monkeypatch.setattr(streamdet.app, "replay_dead_letters", replayed)
        done = streamdet_("replay", "--to", "b", "--reason", "decode", "--dry-run")
        assert done.stdout.splitlines() == [
            "1 decode from m would be sent to b",
            "  passed over: 2 refused 3 times already; the first is 0:17",
            "1 would be sent",
        ]
        assert streamdet_("replay", "-t", "x").stdout.splitlines()[0] == "1 decode from m sent to m"
        assert asked == [
            (Plan("streamdet.dead-letters", Selection("decode"), "b"), True),
            (Plan("x", ALL, None), False),
        ]

    def test_a_replay_with_nothing_to_do_says_so(self, monkeypatch):
        monkeypatch.setattr(streamdet.app, "replay_dead_letters", lambda *_, **__: {})
        assert streamdet_("replay").stdout == "nothing to send that no replay has passed\n"

    def test_a_plan_that_cannot_be_is_refused_before_any_broker_is_asked(self):
        done = streamdet_("replay", "--to", "streamdet.dead-letters")
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("--to streamdet.dead-letters: is a topic of dead letters")
