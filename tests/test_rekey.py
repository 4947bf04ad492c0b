"""`streamdet rekey`: which key a record gets, what its copy is, and that there is one of it."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
from typer.testing import CliRunner

import streamdet.app
from streamdet import cli
from streamdet.config import Config
from streamdet.errors import ConfigError, FatalError, RetriableError, TransactionAborted
from streamdet.kafka.partitioner import murmur2, partition_of
from streamdet.rekey import Copier, Plan, Sample, Tally, take_sample
from streamdet.serde.dead_letter import PREFIX, dead_letters
from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.testing import (
    CrashPoint,
    ManualClock,
    MemoryBatch,
    MemoryBroker,
    MemoryConsumer,
    MemoryProducer,
)
from streamdet.transfer import Transfer
from streamdet.types import OutgoingRecord, Partition, SeriesId
from tests.serde.bad_input import CASES
from tests.serde.records import NOON_MS, ListBatch

SOURCE, TARGET, DEAD_LETTERS, GROUP = "metrics", "metrics.keyed", "dead-letters", "group-rekey"
PLAN = Plan(SOURCE, TARGET)
HEADERS = (("trace", b"1"), ("none", None))


def settings(**changes):
    return Config.model_validate(
        {
            "input": {"topics": [SOURCE]},
            "output": {"dead_letters": DEAD_LETTERS},
            "limits": {"batch_records": 7},
            **changes,
        }
    )


def point(minute, value=1.0, metric="cpu", **dimensions):
    time_ms = NOON_MS + 60_000 * minute
    return {"metric": metric, "dimensions": dimensions, "timestamp": time_ms, "value": value}


def text(content):
    return json.dumps(content).encode()


@pytest.fixture
def on():
    return MemoryBroker({SOURCE: 3, TARGET: 3, DEAD_LETTERS: 1})


def produce(on, *contents, key=None, partition=None, time_ms=NOON_MS):
    for content in contents:
        value = content if isinstance(content, bytes | None) else text(content)
        on.append(OutgoingRecord(SOURCE, key, value, HEADERS, time_ms), partition)


class Copying:
    """A `Transfer` under new keys whose loop a test turns by hand."""

    def __init__(self, on, plan=PLAN, config=None, name="r", ends=None):
        config = config or settings()
        self.clock = ManualClock()
        self.consumer = MemoryConsumer(on, GROUP)
        exactly_once = config.delivery == "exactly_once"
        self.loop = Transfer(
            plan.source,
            Copier(plan, config).copy,
            Tally,
            config,
            consumer=self.consumer,
            producer=MemoryProducer(on, name if exactly_once else None),
            clock=self.clock,
            ends=ends,
        )
        self.consumer.subscribe([plan.source], self.loop)

    def turn(self, times=1, commit=True):
        for _ in range(times):
            if commit:
                self.clock.advance(60)
            self.loop.step()


def copied(on, plan=PLAN, **changes):
    """Copy all that there is; return the records of the target."""
    Copying(on, plan, settings(**changes)).turn(20)
    return on.read(TARGET)


def values(records):
    return [json.loads(record.value) for record in records]


def keys(records):
    return [record.key.decode() for record in records]


# ----------------------------------------------------------------------------------- keys


def test_points_without_a_key_are_gathered_by_series_and_left_as_they_are(on):
    sent = [point(m, m, host=f"h{k}") for m in range(20) for k in range(4)]
    produce(on, *sent)  # without a key: partition after partition
    assert len({r.partition for r in on.read(SOURCE)}) == 3
    found = copied(on)
    assert sorted(map(text, values(found))) == sorted(map(text, sent))
    places = defaultdict(set)
    for record in found:
        assert (
            record.key.decode() == f'cpu{{host="{json.loads(record.value)["dimensions"]["host"]}"}}'
        )
        assert (record.headers, record.timestamp_ms) == (HEADERS, NOON_MS)
        places[record.key].add(record.partition)
    assert [len(partitions) for partitions in places.values()] == [1, 1, 1, 1]
    assert on.read(DEAD_LETTERS) == []


def test_of_one_source_partition_a_series_keeps_its_order(on):
    for partition in range(3):
        produce(
            on, *(point(m, partition, host=f"h{m % 2}") for m in range(30)), partition=partition
        )
    orders = defaultdict(list)
    for record in copied(on):
        body = json.loads(record.value)
        orders[record.key, body["value"]].append(body["timestamp"])
    assert len(orders) == 6
    assert all(order == sorted(order) for order in orders.values())


def test_spellings_of_one_series_get_one_key(on):
    produce(
        on,
        b'{"metric":"cpu","value":1,"dimensions":{"a":"1","b":"2"}}',
        b'{"value":1,"dimensions":{"b":"2","a":"\\u0031"},"metric":"cpu"}',
        b' [{"dimensions":{"b":"2","a":"1"},"metric":"c\\u0070u","value":1}]',
    )
    assert set(keys(copied(on))) == {'cpu{a="1",b="2"}'}


def test_by_makes_the_key_of_the_metric_and_those_dimensions_that_a_series_has(on):
    produce(
        on,
        point(0, region="x", host="a"),
        point(0, region="x", host="b"),
        point(0, host="c"),
        point(0, metric="mem", region="x", zone="z"),
    )
    plan = Plan(SOURCE, TARGET, frozenset({"region", "zone"}))
    assert sorted(keys(copied(on, plan))) == [
        "cpu", 'cpu{region="x"}', 'cpu{region="x"}', 'mem{region="x",zone="z"}',
    ]  # fmt: skip


def test_by_no_dimension_makes_the_key_of_the_metric_alone(on):
    produce(on, point(0, host="a"), point(0, host="b"))
    assert keys(copied(on, Plan(SOURCE, TARGET, frozenset()))) == ["cpu", "cpu"]


# --------------------------------------------------------------------- records of many points


def test_an_array_of_one_key_stays_one_record(on):
    array = text([point(0, host="a"), point(1, host="a")])
    produce(on, array)
    (record,) = copied(on)
    assert (record.key, record.value) == (b'cpu{host="a"}', array)


def test_an_array_of_several_keys_becomes_a_record_a_point(on):
    array = [point(0, host="a"), point(0, host="b"), point(1, host="a")]
    produce(on, b"\xef\xbb\xbf " + text(array))
    found = copied(on)
    by_key = defaultdict(list)
    for record in found:
        by_key[record.key].append(json.loads(record.value))
        assert (record.headers, record.timestamp_ms) == (HEADERS, NOON_MS)
    assert by_key == {b'cpu{host="a"}': [array[0], array[2]], b'cpu{host="b"}': [array[1]]}


def test_by_keeps_an_array_together_whose_points_get_one_key(on):
    array = text([point(0, region="x", host="a"), point(0, region="x", host="b")])
    produce(on, array)
    (record,) = copied(on, Plan(SOURCE, TARGET, frozenset({"region"})))
    assert (record.key, record.value) == (b'cpu{region="x"}', array)


def request(*minutes, **fields):
    series = [{"timestamp": NOON_MS + 60_000 * m, "value": 1.0} for m in minutes]
    return {"sensitivity": 90, "series": series, **fields}


def test_a_request_stays_one_record(on):
    produce(on, sent := text(request(0, 1, metric="sales", dimensions={"shop": "7"})))
    (record,) = copied(on)
    assert (record.key, record.value) == (b'sales{shop="7"}', sent)


def test_a_request_whose_metric_was_its_key_carries_it_from_now_on(on):
    produce(on, request(0, dimensions={"shop": "7"}), key="pâté en croûte".encode())
    (record,) = copied(on)
    assert record.key.decode() == '{"pâté en croûte",shop="7"}'
    body = json.loads(record.value)
    assert body == {"metric": "pâté en croûte", **request(0, dimensions={"shop": "7"})}


def test_a_request_whose_key_stays_the_same_stays_the_same(on):
    produce(on, sent := text(request(0, 1)), key=b"sales")
    (record,) = copied(on)
    assert (record.key, record.value) == (b"sales", sent)


# ------------------------------------------------------------------------- what cannot be used


def test_a_tombstone_is_counted_and_left_out(on):
    produce(on, None, point(0))
    loop = Copying(on)
    loop.turn(3)
    assert loop.loop.done == Tally(records=2, points=1, written=1, tombstones=1)
    assert keys(on.read(TARGET)) == ["cpu"]


def test_a_bad_record_goes_to_the_dead_letters_as_it_came(on):
    produce(on, b"{", point(0), key=b"k", partition=0)
    assert len(copied(on)) == 1
    (letter,) = on.read(DEAD_LETTERS)
    assert (letter.key, letter.value, letter.headers[:2]) == (b"k", b"{", HEADERS)
    assert dict(letter.headers)[f"{PREFIX}reason"] == b"decode"


@pytest.mark.parametrize("bad", [{"metric": "cpu"}, {"metric": "__", "value": "x"}])
def test_the_good_points_beside_a_bad_one_are_copied_without_it(on, bad):
    produce(on, [point(0), bad, point(1)])
    assert values(copied(on)) == [point(0), point(1)]
    (letter,) = on.read(DEAD_LETTERS)
    assert dict(letter.headers)[f"{PREFIX}index"] == b"1"


def test_a_request_loses_its_bad_points_and_keeps_its_parameters(on):
    sent = request(0, 1, 2, metric="sales")
    sent["series"][1]["value"] = "x"
    produce(on, sent)
    (record,) = copied(on)
    assert json.loads(record.value) == request(0, 2, metric="sales")
    (letter,) = on.read(DEAD_LETTERS)
    assert letter.value == text(sent)


def contents(batch):
    """Return what a worker finds in a batch: series, time, value and parameters of each point."""
    decoder = Decoder(DecodeLimits())
    points = decoder.decode(batch, "ms")
    found = []
    for i in range(len(points)):
        start = points.key_start[i]
        spelling = points.buffer[start : start + points.key_size[i]].tobytes()
        series = SeriesId.parse(decoder.identify(spelling, bool(points.raw[i])))
        found.append(
            (series, int(points.time_us[i]), float(points.value[i]), points.overrides.get(i))
        )
    return found, points.rejects


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_copy_says_what_the_record_said_and_nothing_of_it_is_refused_again(case):
    batch = ListBatch([case.value], [case.key], case.timestamp_ms)
    before, rejects = contents(batch)
    config = Config.model_validate({"output": {"dead_letters": DEAD_LETTERS}})
    records, tally = Copier(PLAN, config).copy(batch)
    copies = [record for record in records if record.topic == TARGET]
    assert records[len(copies) :] == list(dead_letters(batch, rejects, DEAD_LETTERS))
    assert (tally.points, tally.written, tally.tombstones) == (
        case.points, len(copies), case.tombstone,
    )  # fmt: skip
    again = ListBatch(
        [record.value for record in copies],
        [record.key for record in copies],
        [-1 if record.timestamp_ms is None else record.timestamp_ms for record in copies],
    )
    assert contents(again) == (before, [])
    for record, (series, *_) in zip(copies, before, strict=False):
        assert record.key == str(series).encode()


# --------------------------------------------------------------------------------- exactly once


def steady(on, n=40):
    produce(on, *(point(m, m) for m in range(n)), partition=0)


@pytest.mark.parametrize("call", ["begin", "send", "flush", "commit"])
@pytest.mark.parametrize("after", [False, True])
def test_an_aborted_transaction_is_done_again_without_doubles(on, call, after):
    steady(on)
    on.fail_at(f"producer.{call}", TransactionAborted("lost"), after=after, skip=2)
    copying = Copying(on, ends={Partition(SOURCE, 0): 40})
    copying.loop._backoff_s = 0.0
    copying.loop._commit_interval_s = 0.0
    copying.loop.run(Event())
    assert [body["value"] for body in values(on.read(TARGET))] == list(range(40))
    assert on.committed(GROUP) == {Partition(SOURCE, 0): 40}


def test_after_an_abort_commits_are_small_and_grow_again(on):
    steady(on, 400)
    copying = Copying(on, config=settings(limits={"batch_records": 80}))
    copying.turn(2)
    assert on.committed(GROUP)[Partition(SOURCE, 0)] == 160
    for _ in range(2):  # what was read could not be delivered in time
        copying.loop._discard(TransactionAborted("records left"))
    found = [160]
    for _ in range(6):  # the clock stands still: no commit is due
        copying.turn(commit=False)
        found.append(on.committed(GROUP)[Partition(SOURCE, 0)])
    assert [b - a for a, b in pairwise(found) if a != b] == [20, 40]
    copying.turn()
    assert on.committed(GROUP)[Partition(SOURCE, 0)] == 400
    assert len(on.read(TARGET)) == 400


@pytest.mark.parametrize("call", ["producer.abort", "consumer.rewind"])
def test_going_back_is_tried_until_the_brokers_answer(on, call):
    steady(on)
    on.fail_at("producer.commit", TransactionAborted("lost"), skip=2)
    on.fail_at(call, RetriableError("brokers away"))
    copying = Copying(on, ends={Partition(SOURCE, 0): 40})
    copying.loop._backoff_s = 0.0
    copying.loop._commit_interval_s = 0.0
    copying.loop.run(Event())
    assert [body["value"] for body in values(on.read(TARGET))] == list(range(40))
    assert on.committed(GROUP) == {Partition(SOURCE, 0): 40}


STEPS = {
    "exactly_once": ["producer.begin", "producer.send", "producer.flush", "producer.commit"],
    "at_least_once": ["producer.send", "producer.flush", "consumer.commit"],
}


@pytest.mark.parametrize(
    ("delivery", "step", "after"),
    [(d, step, after) for d, steps in STEPS.items() for step in steps for after in (False, True)],
)
def test_a_crash_loses_nothing_and_exactly_once_doubles_nothing(on, delivery, step, after):
    steady(on)
    on.fail_at(step, CrashPoint(), after=after, skip=1)
    config = settings(delivery=delivery)
    dead = Copying(on, config=config)
    with pytest.raises(CrashPoint):
        dead.turn(20)
    on.expel(dead.consumer)
    Copying(on, config=config).turn(20)
    found = [body["value"] for body in values(on.read(TARGET))]
    assert sorted(set(found)) == list(range(40))
    if delivery == "exactly_once":
        assert found == list(range(40))


def test_what_was_copied_of_lost_partitions_is_not_committed(on):
    for partition in range(3):
        produce(on, *(point(m, 100 * partition + m) for m in range(5)), partition=partition)
    first = Copying(on, name="a")
    first.turn(2, commit=False)  # its work lies open
    on.expel(first.consumer)
    Copying(on, name="b").turn(10)
    with pytest.raises(TransactionAborted):
        first.turn()
    first.loop._discard(TransactionAborted("lost"))
    first.turn(10)
    found = [body["value"] for body in values(on.read(TARGET))]
    assert sorted(found) == sorted(100 * p + m for p in range(3) for m in range(5))


def test_a_member_that_goes_commits_first_and_another_goes_on(on):
    steady(on)
    first = Copying(on, name="a")
    first.turn(2, commit=False)
    first.consumer.close()
    first.loop._producer.close()
    assert on.committed(GROUP)[Partition(SOURCE, 0)] == 14
    Copying(on, name="b").turn(10)
    assert [body["value"] for body in values(on.read(TARGET))] == list(range(40))


def test_brokers_that_are_away_are_waited_for(on, caplog):
    steady(on, 5)
    on.fail_at("consumer.poll", RetriableError("brokers away"))
    on.fail_at("consumer.poll", RetriableError("brokers away"))
    with caplog.at_level(logging.WARNING):
        Copying(on).turn(4)
    assert len(on.read(TARGET)) == 5
    assert [r.getMessage() for r in caplog.records] == ["waiting: brokers away"]


def test_an_error_that_nothing_mends_ends_it_without_a_commit(on):
    steady(on)
    on.fail_at("producer.flush", FatalError("refused"))
    copying = Copying(on)
    with pytest.raises(FatalError):
        copying.loop.run(Event())
    assert on.read(TARGET) == []
    assert on.committed(GROUP) == {}


# ------------------------------------------------------------------------------- until the end


def ends_of(on, partitions=3):
    ends = {Partition(SOURCE, i): on.stable_end(Partition(SOURCE, i)) for i in range(partitions)}
    return {partition: end for partition, end in ends.items() if end}


def test_it_stops_at_the_ends_that_the_topic_had_though_one_is_a_marker(on):
    steady(on, 10)
    producer = MemoryProducer(on, "other")
    producer.begin()
    producer.send([OutgoingRecord(SOURCE, b"a", text(point(99, 99)))])
    producer.close()  # aborted: what it wrote is no record, and the marker behind it is none
    ends = ends_of(on)
    assert sum(ends.values()) == 12
    copying = Copying(on, ends=ends)
    copying.loop._commit_interval_s = 0.0
    done = copying.loop.run(Event())
    assert copying.loop.finished
    assert (done.records, len(on.read(TARGET))) == (10, 10)

    again = Copying(on, ends=ends)
    again.loop._commit_interval_s = 0.0
    assert again.loop.run(Event()) == Tally()
    assert len(on.read(TARGET)) == 10


def test_what_comes_behind_the_ends_is_left_for_another_time(on):
    steady(on, 10)
    ends = {Partition(SOURCE, 0): 3}
    for partition in range(3):
        produce(on, point(0, 99), partition=partition)
    copying = Copying(on, ends=ends)
    copying.loop._commit_interval_s = 0.0
    assert copying.loop.run(Event()).records == 3
    assert [body["value"] for body in values(on.read(TARGET))] == [0, 1, 2]
    assert on.committed(GROUP) == ends
    Copying(on).turn(5)
    assert sorted(body["value"] for body in values(on.read(TARGET))) == [*range(10), 99, 99, 99]


def test_an_empty_topic_is_at_its_end(on):
    copying = Copying(on, ends={})
    copying.loop._commit_interval_s = 0.0
    assert copying.loop.run(Event()) == Tally()


def test_a_signal_stops_it_after_the_commit(on):
    steady(on)
    copying = Copying(on)
    stop = Event()
    copying.turn(2, commit=False)
    stop.set()
    assert copying.loop.run(stop).records == 14
    assert on.committed(GROUP)[Partition(SOURCE, 0)] == 14


def test_progress_is_told_now_and_then(on, caplog):
    steady(on)
    with caplog.at_level(logging.INFO):
        Copying(on, ends=ends_of(on)).turn(2)
    lines = [r.getMessage() for r in caplog.records if "written" in r.getMessage()]
    assert lines == [
        "7 records read, 7 written, 33 offsets left",
        "14 records read, 14 written, 26 offsets left",
    ]


# ------------------------------------------------------------------------------------- the plan


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("metrics", "metrics", "--to metrics: is the topic of --from"),
        ("^met.*", "other", "--from ^met.*: must be one topic"),
        (DEAD_LETTERS, "other", f"--from {DEAD_LETTERS}: is output.dead_letters"),
        ("metrics", DEAD_LETTERS, f"--to {DEAD_LETTERS}: is output.dead_letters"),
    ],
)
def test_a_plan_that_would_feed_itself_is_refused(source, target, said):
    with pytest.raises(ConfigError) as caught:
        Plan(source, target).check(settings())
    assert str(caught.value).startswith(said)


def test_a_target_whose_integer_timestamps_mean_something_else_is_refused():
    config = settings(input={"topics": [{"name": TARGET, "timestamp_unit": "s"}]})
    with pytest.raises(ConfigError, match=r"as ms from metrics and as s from metrics\.keyed"):
        PLAN.check(config)
    both = {"topics": [{"name": TARGET, "timestamp_unit": "s"}], "timestamp_unit": "s"}
    PLAN.check(settings(input=both))


def test_the_unit_of_the_source_decides_what_is_refused(on):
    seconds = {"metric": "cpu", "value": 1, "timestamp": NOON_MS // 1000}
    produce(on, seconds)
    assert values(copied(on, input={"topics": [TARGET], "timestamp_unit": "s"})) == [seconds]
    assert on.read(DEAD_LETTERS) == []


# --------------------------------------------------------------------------------- the dry run


class Reader:
    """A `streamdet.ports.RecordReader` on the broker in memory, partition after partition."""

    def __init__(self, on, partitions=3):
        self.ends = ends_of(on, partitions)
        self.batches_given = 0
        self._on = on

    def batches(self, records_max):
        for partition in self.ends:
            records = list(self._on.records(partition, 0))
            for start in range(0, len(records), records_max):
                self.batches_given += 1
                yield MemoryBatch(partition, records[start : start + records_max])


def test_a_sample_tells_the_keys_and_what_shares_a_partition(on):
    produce(on, *(point(m, host=f"h{k}", region=f"r{k % 2}") for m in range(7) for k in range(4)))
    produce(on, b"{", None)
    plan = Plan(SOURCE, TARGET, frozenset({"region"}))
    sample = take_sample(Reader(on), Copier(plan, settings()))
    assert (sample.records, sample.refused, sample.tombstones) == (30, 1, 1)
    lines = list(sample.lines(SOURCE, lambda key: partition_of(key, 4)))
    assert lines[:3] == [
        "30 records of metrics: 28 points of 4 series; bad: 1; tombstones: 1",
        "4 series lie on several partitions now",
        "2 keys:",
    ]
    first, second = (partition_of(b'cpu{region="r%d"}' % k, 4) for k in range(2))
    assert lines[3:6] == [
        "  points  series  from partitions  to partition  key",
        f'      14       2          0, 1, 2             {first}  cpu{{region="r0"}}',
        f'      14       2          0, 1, 2             {second}  cpu{{region="r1"}}',
    ]
    assert lines[6] == f"{len({first, second})} partitions of the target get points:"
    assert on.read(TARGET) == []
    assert on.committed(GROUP) == {}


def test_a_sample_takes_as_many_of_each_partition_and_stops(on, monkeypatch):
    monkeypatch.setattr("streamdet.rekey.sample.SAMPLE_RECORDS", 30)
    monkeypatch.setattr("streamdet.rekey.sample._BATCH_RECORDS", 5)
    for partition in range(3):
        produce(on, *(point(m, host=f"h{partition}") for m in range(40)), partition=partition)
    reader = Reader(on)
    sample = take_sample(reader, Copier(PLAN, settings()))
    assert {key: share.points for key, share in sample.keys.items()} == {
        b'cpu{host="h0"}': 10, b'cpu{host="h1"}': 10, b'cpu{host="h2"}': 10,
    }  # fmt: skip
    assert reader.batches_given == 8 + 8 + 2


def test_of_many_keys_the_largest_are_shown_and_no_partition_where_it_is_not_known(on):
    produce(on, *(point(m, host=f"h{k:02}") for k in range(30) for m in range(30 - k)))
    sample = take_sample(Reader(on), Copier(PLAN, settings()))
    lines = list(sample.lines(SOURCE, None))
    assert lines[2] == "30 keys, the largest:"
    assert len(lines) == 3 + 1 + 20
    assert lines[4].split() == ["30", "1", "0,", "1,", "2", "?", 'cpu{host="h00"}']


@pytest.mark.parametrize(
    ("data", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_the_java_clients(data, hashed):
    assert int(np.uint32(murmur2(data)).astype(np.int32)) == hashed


# ----------------------------------------------------------------------------- the command line


@pytest.fixture
def _logs_as_they_were():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def streamdet_(*arguments):
    return CliRunner().invoke(cli.app, ["rekey", *arguments], prog_name="streamdet")


@pytest.mark.usefixtures("_logs_as_they_were")
class TestCommand:
    @pytest.mark.parametrize(
        ("options", "by", "until_end"),
        [
            ((), None, False),
            (("--by", "region, zone", "--until-end"), {"region", "zone"}, True),
            (("--by", ""), set(), False),
        ],
    )
    def test_it_makes_a_plan_and_tells_what_was_done(self, monkeypatch, options, by, until_end):
        def rekey(config, plan, *, until_end):
            seen.append((config.kafka.group_id, plan, until_end))
            return Tally(records=1234, points=5678, written=2345, dead_letters=2, tombstones=1)

        seen = []
        monkeypatch.setattr(streamdet.app, "rekey", rekey)
        done = streamdet_("--from", "a", "--to", "b", "--set", "kafka.group_id=g", *options)
        assert done.exit_code == 0
        assert seen == [("g", Plan("a", "b", by if by is None else frozenset(by)), until_end)]
        assert done.stdout == (
            "1,234 records read, 2,345 with 5,678 points written to b; dead letters: 2; "
            "tombstones: 1\n"
        )

    def test_a_dry_run_prints_the_sample(self, monkeypatch):
        monkeypatch.setattr(streamdet.app, "sample_rekey", lambda config, plan: (Sample(), None))
        done = streamdet_("--from", "a", "--to", "b", "--dry-run")
        assert done.exit_code == 0
        assert done.stdout.startswith("0 records of a: 0 points of 0 series")

    def test_a_plan_that_cannot_be_is_a_usage_error_before_any_broker_is_asked(self):
        for options in ((), ("--dry-run",)):
            done = streamdet_("--from", "a", "--to", "a", *options)
            assert (done.exit_code, done.stdout) == (2, "")
            assert done.stderr == "--to a: is the topic of --from; the two must differ\n"
