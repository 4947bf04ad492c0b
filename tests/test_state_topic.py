"""`streamdet state`: what is told of the state topic, taken out of it, and deleted from it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import streamdet.app
from streamdet import cli
from streamdet.cluster import GroupState, Offsets, Untold
from streamdet.detectors import DETECTORS
from streamdet.errors import ConfigError, FatalError, TransactionAborted
from streamdet.kernels.conditions import CONDITIONS
from streamdet.kernels.header import HEADER, NEVER
from streamdet.kernels.incident import INCIDENT
from streamdet.snapshot import LAYOUTS
from streamdet.state import ledger
from streamdet.state.record import PartitionKey, decode, decode_key
from streamdet.state_topic import (
    Access,
    Selection,
    document_of,
    export,
    find_series,
    lines_of,
    purge,
    series_named,
    summarize,
)
from streamdet.state_topic.series import WORDS
from streamdet.testing import CrashPoint, MemoryProducer, MemoryReader
from streamdet.types import OutgoingRecord, Partition, SeriesId
from tests.service import (
    GROUP,
    INPUT,
    MINUTE_MS,
    START_MS,
    STATE,
    Worker,
    broker,
    config,
    events,
    point,
    produce,
    with_spikes,
)

MINUTES, HOSTS, PARTITIONS = 60, 6, 2
RULES = [
    {"match": {"dimensions": {"host": "1"}}, "set": {"allowed_lateness": "5m"}},
    {"match": {"dimensions": {"host": "3"}}, "set": {"detector": "threshold", "upperBound": 9}},
    {"match": {"dimensions": {"host": "4"}}, "set": {"detector": "spectral_residual"}},
    {"match": {"metric": "other"}, "set": {"period": 12}},
]
HOST = 'm{{host="{}"}}'.format


@pytest.fixture(autouse=True)
def _as_it_was():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


@pytest.fixture(params=[1, 256 << 10], ids=["a series a chunk", "all in one chunk"])
def chunk_bytes(request, monkeypatch):
    monkeypatch.setattr(ledger, "CHUNK_BYTES", request.param)
    return request.param


def settings(**more):
    return config(rules=RULES, publish="all", **more)


def feed(on, start=0, stop=MINUTES):
    for minute in range(start, stop):
        for host in range(HOSTS):
            value = with_spikes(200, at=[30], seed=host)[minute]
            body = point(minute, value, host=str(host))
            produce(on, [body], host % PARTITIONS, key=str(host).encode())
        produce(on, [point(minute, minute % 12, "other")], 0)


def work(on, **more):
    """Let a worker process all that there is, and end."""
    worker = Worker(on, settings(**more))
    worker.drain()
    state = memory(worker)
    worker.consumer.close()
    worker.producer.close()
    return state


def filled():
    on = broker(PARTITIONS)
    feed(on)
    work(on)
    return on


def memory(worker) -> dict[str, tuple[bytes, ...]]:
    """Return every byte that a worker has of each series, but for places in memory."""
    found = {}
    for task in worker.pipeline._assignment.tasks.values():
        for pool in task.store.pools:
            rows = pool.rows.view(np.uint8).copy().view(pool.rows.dtype)
            for name in ("head", "tail", "alignment", "rollup"):
                rows[name] = 0
            for slot, name in enumerate(pool.names):
                if name is not None:
                    held = task.event_time.held(pool, np.array([slot]))
                    parts = [held[c].tobytes() for c in ("time_us", "value", "offset", "element")]
                    found[name] = rows[slot].tobytes(), pool.ring[slot].tobytes(), *parts
    return found


def access(on, members=(), **changes) -> Access:
    def ask_offsets(asked):
        committed = on.committed(GROUP)
        return {p: Offsets(0, on.stable_end(p), on.end_offset(p), committed.get(p)) for p in asked}

    answers = {
        "ask_group": lambda: GroupState("EMPTY", tuple(members), frozenset(), None),
        "ask_offsets": ask_offsets,
        "open_producer": lambda: MemoryProducer(on, "purge"),
        **changes,
    }
    return Access(STATE, PARTITIONS, partial(MemoryReader, on), **answers)


def removed(on, *names, metric=None, dry_run=False, **changes):
    selection = Selection.of(names, metric)
    return purge(access(on, **changes), GROUP, selection, 10.0, dry_run=dry_run)


def state_command(monkeypatch, on, *words, **changes):
    def access_state(config, *, writes=False):
        return access(on, **changes)

    monkeypatch.setattr(streamdet.app, "access_state", access_state)
    done = CliRunner().invoke(
        cli.app, ["state", *words, "--set", f"kafka.group_id={GROUP}"], prog_name="streamdet"
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


# ---------------------------------------------------------------------------------- inspect


def summary(on, exactly_once=True, **changes):
    return summarize(access(on, **changes), GROUP, exactly_once=exactly_once)


def test_each_partition_is_told_with_its_pools_and_what_a_restart_would_replay(chunk_bytes):
    on = filled()
    found = summary(on)
    assert found.sound
    assert [str(each.input) for each in found.partitions] == ["metrics[0]", "metrics[1]"]
    even, odd = (each.document() for each in found.partitions)
    n_even, n_odd = MINUTES * 4, MINUTES * 3
    for document, end in ((even, n_even), (odd, n_odd)):
        place = Partition(INPUT, document["partition"])
        committed = on.committed(GROUP)[place]
        assert document["nextOffset"] == document["committed"] == committed == end
        assert document["replayedOffsets"] == committed - document["replayFrom"] == 0
        assert document["newestBytes"] <= document["bytes"]
    kinds = Counter()
    for document in (even, odd):
        for pool in document["pools"]:
            kinds[pool["detector"], pool["ringLength"]] += pool["series"]
            row = DETECTORS[pool["detector"]].layout.row.itemsize
            assert pool["memoryBytes"] == pool["series"] * (row + 4 * pool["ringLength"])
            assert pool["ringsBytes"] == pool["series"] * 4 * pool["ringLength"]
            assert pool["rowsBytes"] + pool["ringsBytes"] == pool["memoryBytes"]
            assert pool["namesBytes"] > 0
            assert pool["oldestOffset"] <= pool["newestOffset"] <= document["nextOffset"]
            each_alone = chunk_bytes == 1
            assert pool["chunks"] == (pool["series"] if each_alone else 1)
    assert kinds == {
        ("forecast", 1440): 4,
        ("forecast", 64): 1,
        ("threshold", 0): 1,
        ("spectral_residual", 128): 1,
    }
    assert sum(pool["pending"] for pool in odd["pools"]) == 6
    stored = {(record.partition, record.key): record for record in on.read(STATE)}
    assert sum(each["newestBytes"] for each in (even, odd)) == sum(
        len(record.key) + len(record.value or b"") for record in stored.values()
    )


@pytest.fixture
def behind(monkeypatch):
    """A broker whose state topic is behind with some chunks, as one commit writes few."""
    return lagging(monkeypatch)


def lagging(monkeypatch):
    monkeypatch.setattr(ledger, "CHUNK_BYTES", 1)
    on = filled()
    feed(on, MINUTES, MINUTES + 9)
    monkeypatch.setattr("streamdet.snapshot._SINCE_MAX_S", 0.1)
    worker = Worker(on, settings(state={"topic": STATE, "bytes_per_second": 1024}))
    worker.drain()
    on.expel(worker.consumer)
    return on


def test_the_offsets_that_a_restart_reads_again_are_told(behind):
    found = summary(behind)
    for each in found.partitions:
        assert each.n_replayed == each.committed - each.own.replay_from > 0
        assert min(pool.oldest_offset for pool in each.pools.values()) == each.own.replay_from
    assert found.sound


def test_without_the_offsets_of_the_input_the_rest_is_told():
    found = summary(filled(), ask_offsets=lambda asked: Untold("no answer in time"))
    assert found.sound
    assert "the offsets of the input are not known: no answer in time" in list(found.lines())
    assert [each.document()["committed"] for each in found.partitions] == [None, None]
    assert {row[2] for row in found.rows()} <= {"-", ""}


def test_other_groups_and_what_is_no_state_are_counted_apart():
    on = filled()
    value = b"x" * 7
    on.append(OutgoingRecord(STATE, b'["neighbour","m","partition"]', value), 1)
    on.append(OutgoingRecord(STATE, b'["neighbour","m","threshold",0,0]', None), 1)
    on.append(OutgoingRecord(STATE, b"what", value), 0)
    found = summary(on)
    assert found.sound
    assert found.other_records == {"neighbour": 2}
    assert found.document()["otherGroups"][0]["bytes"] == 29 + 33 + 7
    (foreign,) = found.document()["foreign"]
    assert foreign["damage"] == "foreign"
    assert "streamdet.state" not in foreign["message"]
    assert foreign["message"].startswith("state[0] offset ")


def newest(on, wanted):
    found = [r for r in on.read(STATE) if wanted(decode_key(r.key)) and r.value is not None]
    return found[-1]


def is_partition(key):
    return isinstance(key, PartitionKey)


def test_each_way_in_which_state_cannot_be_used_is_told_and_is_exit_code_1(monkeypatch):
    def broken(record):
        return record.value[:-1] + bytes([record.value[-1] ^ 1])

    for wanted, value, damage in [
        (lambda key: not is_partition(key), broken, "checksum"),
        (lambda key: not is_partition(key), lambda record: None, "missing"),
        (is_partition, broken, "checksum"),
        (is_partition, lambda record: None, "missing"),
    ]:
        on = filled()
        assert state_command(monkeypatch, on, "inspect").exit_code == 0
        record = newest(on, wanted)
        on.append(OutgoingRecord(STATE, record.key, value(record)), record.partition.index)
        found = summary(on)
        (why,) = [why for each in found.partitions for why in each.unusable]
        assert why.damage == damage
        done = state_command(monkeypatch, on, "inspect")
        assert done.exit_code == 1
        assert f"[{record.partition.index}]: {damage}: " in done.stdout


def test_a_chunk_from_before_the_one_that_is_named_is_told():
    on = filled()
    first = next(r for r in on.read(STATE) if not is_partition(decode_key(r.key)))
    feed(on, MINUTES, MINUTES + 5)
    work(on)
    on.append(OutgoingRecord(STATE, first.key, first.value), first.partition.index)
    (why,) = [why for each in summary(on).partitions for why in each.unusable]
    assert why.damage == "older"
    assert "it is from offset" in why.message


def test_offsets_set_back_and_input_that_is_gone_are_told():
    on = filled()
    place = Partition(INPUT, 0)

    def ask(first, committed):
        return lambda asked: {place: Offsets(first, 999, 999, committed)}

    (why,) = summary(on, ask_offsets=ask(0, 20)).partitions[0].unusable
    assert (why.damage, "the group's offset is 20" in why.message) == ("ahead", True)
    assert summary(on, exactly_once=False, ask_offsets=ask(0, 20)).sound
    (why,) = summary(on, ask_offsets=ask(300, 400)).partitions[0].unusable
    assert (why.damage, "input from 240 to 300 was deleted" in why.message) == ("gone", True)
    assert summary(on, ask_offsets=ask(240, 400)).sound
    assert summary(on, ask_offsets=ask(300, None)).sound


def test_the_table_and_json_are_printed(monkeypatch):
    on = filled()
    done = state_command(monkeypatch, on, "inspect")
    assert done.stdout.splitlines()[0] == "7 series of group group in state"
    assert "\x1b" not in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("metrics[1]")]
    assert line.split()[:3] == ["metrics[1]", "180", "0"]
    document = json.loads(state_command(monkeypatch, on, "inspect", "--json").stdout)
    assert (document["topic"], document["group"], document["sound"]) == (STATE, GROUP, True)


def test_an_empty_topic_is_told(monkeypatch):
    done = state_command(monkeypatch, broker(PARTITIONS), "inspect")
    assert (done.exit_code, done.stdout) == (0, "0 series of group group in state\n")


# ------------------------------------------------------------------------------- one series


def test_a_series_is_shown_with_where_it_lies_and_every_field(monkeypatch):
    on = filled()
    (found,), unusable = find_series(access(on), GROUP, series_named(HOST(1)))
    assert unusable == []
    document = document_of(found)
    assert (document["topic"], document["partition"], document["offset"]) == (INPUT, 1, 180)
    assert document["dimensions"] == {"host": "1"}
    held = [each["time"] for each in document["pending"]]
    assert held == [f"2021-03-02T12:{minute}:00Z" for minute in range(54, 60)]
    assert document["time"] == "2021-03-02T12:53:00Z"
    text = "\n".join(lines_of(found))
    row = DETECTORS["forecast"].layout.row
    for name in row.names:
        if name not in ("head", "tail", "alignment", "rollup", "incident"):
            assert f"    {name}" in text, name
    assert "season.period" in text
    done = state_command(monkeypatch, on, "inspect", "--series", HOST(1))
    assert (done.exit_code, done.stdout.rstrip("\n")) == (0, text)
    done = state_command(monkeypatch, on, "inspect", "--series", HOST(1), "--json")
    assert json.loads(done.stdout)["found"] == [document]


def test_fields_that_every_row_has_are_told_in_words():
    names = {name for name, *_ in [*HEADER, *CONDITIONS, *INCIDENT]}
    assert names - {"head", "tail", "alignment", "rollup", "incident"} <= set(WORDS)
    known = set()
    for detector in DETECTORS.values():
        for name in detector.layout.row.names:
            nested = detector.layout.row[name].names or ()
            known |= {name, *(f"{name}.{each}" for each in nested)}
    assert set(WORDS) <= known


def test_an_open_incident_and_parameters_of_requests_are_shown():
    on = broker(PARTITIONS)
    series = [{"timestamp": START_MS + m * MINUTE_MS, "value": 100 + m % 3} for m in range(59)]
    series.append({"timestamp": START_MS + 59 * MINUTE_MS, "value": 1e6})
    produce(on, [json.dumps({"metric": "r", "sensitivity": 90, "series": series}).encode()])
    work(on)
    (event,) = [each for each in events(on) if each["isAnomaly"]]
    (found,), _ = find_series(access(on), GROUP, SeriesId("r"))
    assert found.incident == event["id"] == document_of(found)["incident"]
    assert "  by request    sensitivity 90" in list(lines_of(found))


def test_a_series_that_is_not_there_is_exit_code_1(monkeypatch):
    done = state_command(monkeypatch, filled(), "inspect", "--series", HOST(9))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "group group has no state of it in state" in done.stderr


@pytest.mark.parametrize("text", ["", "{}", 'm{host="1"', "m{host=1}", 'm{host="1"} x', "m {}"])
def test_a_text_that_is_no_series_is_refused(text):
    with pytest.raises(ConfigError, match=r"must be of the form name\{key"):
        series_named(text)


def test_dimensions_may_stand_in_any_order():
    assert str(series_named('m{b="2",a="1"}')) == 'm{a="1",b="2"}'
    assert str(series_named('{"a b",c="\\""}')) == '{"a b",c="\\""}'


# ---------------------------------------------------------------------------------- history


def test_the_history_of_a_ring_is_in_order_and_without_what_is_not_filled():
    on = filled()
    values = [with_spikes(200, at=[30], seed=4)[minute] for minute in range(MINUTES)]
    (found,), _ = find_series(access(on), GROUP, series_named(HOST(4)))
    assert found.ring == values[-64:]
    (found,), _ = find_series(access(on), GROUP, series_named(HOST(3)))
    assert found.ring == []
    values = [with_spikes(200, at=[30], seed=2)[minute] for minute in range(MINUTES)]
    (found,), _ = find_series(access(on), GROUP, series_named(HOST(2)))
    assert len(found.ring) == MINUTES
    np.testing.assert_allclose(np.diff(found.ring), np.diff(values), atol=1e-4)


def test_the_history_of_a_ring_that_went_round_begins_with_its_oldest():
    for name, position in (("forecast", 5), ("spectral_residual", 5)):
        row = np.zeros(1, DETECTORS[name].layout.row)
        if name == "forecast":
            row["season"]["filled"], row["season"]["position"] = 64, position
            ring = np.arange(64, dtype=np.float32)
        else:
            row["count"], row["position"] = 999, position
            ring = np.arange(64, dtype=np.float64).view(np.float32)
        assert DETECTORS[name].history(row[0], ring).tolist() == [*range(5, 64), *range(5)]


# ----------------------------------------------------------------------------------- export


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_every_series_is_a_line_of_json(tmp_path, ending, chunk_bytes):
    on = filled()
    out = tmp_path / f"state.{ending}"
    assert export(access(on), GROUP, out) == (HOSTS + 1, [])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    by_name = {str(SeriesId.of(row["metric"], row["dimensions"])): row for row in rows}
    assert by_name.keys() == {*map(HOST, range(HOSTS)), "other"}
    for name, row in by_name.items():
        (found,), _ = find_series(access(on), GROUP, series_named(name))
        assert {key: document_of(found)[key] for key in row} == row
    assert by_name["other"]["period"] == 12
    assert by_name[HOST(3)]["time"] == "2021-03-02T12:59:00Z"
    assert by_name[HOST(3)]["state"]["upper_bound"] == 9


def test_parquet_says_what_the_lines_of_json_say(tmp_path, chunk_bytes):
    on = filled()
    export(access(on), GROUP, tmp_path / "state.jsonl")
    export(access(on), GROUP, tmp_path / "state.parquet")
    lines = [json.loads(line) for line in (tmp_path / "state.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "state.parquet")
    assert table.column_names == list(lines[0])
    for line, row in zip(lines, table.to_pylist(), strict=True):
        assert dict(row.pop("dimensions")) == line.pop("dimensions")
        assert f"{row.pop('time'):%Y-%m-%dT%H:%M:%SZ}" == line.pop("time")
        pending = [each | {"time": f"{each['time']:%Y-%m-%dT%H:%M:%SZ}"} for each in row["pending"]]
        assert pending == line.pop("pending")
        row.pop("pending")
        of_line = line.pop("state")
        of_row = row.pop("state")
        assert {name: of_row[name] for name in of_line} == of_line
        assert all(of_row[name] is None for name in of_row.keys() - of_line.keys())
        assert row == line


def test_what_is_not_a_number_is_null(tmp_path):
    on = broker(PARTITIONS)
    produce(on, [point(minute, 1.0) for minute in (*range(20), *range(22, 40))])
    work(on)
    for ending in ("jsonl", "parquet"):
        export(access(on), GROUP, tmp_path / f"state.{ending}")
    (line,) = map(json.loads, (tmp_path / "state.jsonl").read_text().splitlines())
    (row,) = pq.read_table(tmp_path / "state.parquet").to_pylist()
    assert line["ring"].count(None) == row["ring"].count(None) == 2
    assert "NaN" not in (tmp_path / "state.jsonl").read_text()


def test_what_cannot_be_read_is_left_out_and_is_exit_code_1(monkeypatch, tmp_path):
    on = filled()
    record = newest(on, lambda key: not is_partition(key))
    on.append(OutgoingRecord(STATE, record.key, b"SDST"), record.partition.index)
    done = state_command(monkeypatch, on, "export", str(tmp_path / "state.jsonl"))
    assert done.exit_code == 1
    assert "torn: " in done.stderr
    assert "not in the file" in done.stderr
    lines = (tmp_path / "state.jsonl").read_text().splitlines()
    assert done.stdout.startswith(f"{len(lines)} series in ")


@pytest.mark.parametrize(
    ("name", "why"),
    [("state.csv", "must end in one of .jsonl"), ("no/state.jsonl", "cannot be written: No such")],
)
def test_a_file_that_cannot_be_is_exit_code_2(monkeypatch, tmp_path, name, why):
    done = state_command(monkeypatch, filled(), "export", str(tmp_path / name))
    assert done.exit_code == 2
    assert why in done.stderr


# ------------------------------------------------------------------------------------ purge


def expect_without(names, purged, untouched):
    """Restore from both topics: the same but for the series that were removed, which are cold."""
    with_all, without = work(untouched), work(purged)
    assert with_all.keys() - without.keys() == set(names)
    assert {name: with_all[name] for name in without} == without
    for on in (untouched, purged):
        feed(on, MINUTES, MINUTES + 30)
        work(on)
    before, after = ({event["id"]: event for event in events(on)} for on in (untouched, purged))
    never_judged = {named(before[i]) for i in before.keys() - after.keys()}
    assert never_judged <= {HOST(1)} & set(names)  # it held points back
    others = {i for i, event in before.items() if named(event) not in names}
    assert {i: before[i] for i in others} == {i: after[i] for i in others}
    late = [after[i] for i in after.keys() - others if after[i]["timestamp"] >= "2021-03-02T13:00"]
    assert Counter(event["status"] for event in late if event["detector"] == "forecast")[
        "warming"
    ] >= 10 * sum("host" not in name or HOST(2) == name for name in names)


def named(event):
    return str(SeriesId.of(event["metric"], event.get("dimensions") or {}))


@pytest.mark.parametrize(
    "names",
    [[HOST(2)], [HOST(1)], [HOST(3)], [HOST(0), HOST(2), HOST(5), "other"]],
    ids=["one", "one that holds points back", "the only one of its chunk", "some"],
)
def test_a_purged_series_is_cold_and_all_else_as_before_byte_for_byte(names, chunk_bytes):
    on, untouched = filled(), filled()
    done = removed(on, *names)
    assert {each.name for each in done.series} == set(names)
    assert done.unread == []
    assert summary(on).sound
    assert not any(name.encode() in record_names(on) for name in names)
    expect_without(names, on, untouched)


def record_names(on):
    """Return all names in the newest chunk records, one after the other."""
    stored = {(record.partition, record.key): record for record in on.read(STATE)}
    chunks = [
        decode(record.key, record.value, LAYOUTS)
        for record in stored.values()
        if record.value is not None and not is_partition(decode_key(record.key))
    ]
    return "\n".join(name for chunk in chunks for name in chunk.names).encode()


def test_purged_by_a_glob_for_the_metric_all_of_it_goes(chunk_bytes):
    on, untouched = filled(), filled()
    done = removed(on, metric="m*")
    assert {each.name for each in done.series} == set(map(HOST, range(HOSTS)))
    found = summary(on)
    assert found.sound
    assert [sum(pool.n_series for pool in each.pools.values()) for each in found.partitions] == [
        1,
        0,
    ]
    assert work(on).keys() == {"other"} == work(untouched).keys() - set(map(HOST, range(HOSTS)))


def test_a_chunk_that_is_empty_is_deleted_and_the_partition_does_not_miss_it():
    on = filled()
    done = removed(on, HOST(3))
    assert (done.n_rewritten, done.n_emptied) == (0, 1)
    tombstones = [record for record in on.read(STATE) if record.value is None]
    assert [decode_key(record.key).detector for record in tombstones] == ["threshold"]
    partition = newest(on, is_partition)
    assert all(
        place.detector != "threshold"
        for place in decode(partition.key, partition.value, LAYOUTS).chunks
    )


def test_points_in_the_replayed_span_let_a_series_begin_again(behind):
    removed(behind, metric="*")
    assert sum(len(each.pools) for each in summary(behind).partitions) == 0
    begun = work(behind)
    assert begun
    feed(behind, MINUTES + 9, MINUTES + 10)
    work(behind)
    (found,), _ = find_series(access(behind), GROUP, series_named("other"))
    assert 1 < found.row["count"] <= 10


def test_where_the_state_is_behind_the_others_come_back_as_before_too(behind, monkeypatch):
    untouched = work(lagging(monkeypatch))
    removed(behind, HOST(2), HOST(4), HOST(5))
    left = work(behind)
    assert untouched.keys() >= left.keys() >= {HOST(0), HOST(1), HOST(3), "other"}
    purged = (HOST(2), HOST(4), HOST(5))
    assert {n: untouched[n] for n in left if n not in purged} == {
        n: left[n] for n in left if n not in purged
    }


@pytest.mark.parametrize("host", ['m{host="1"}', 'm{rollup="sum"}'])
def test_what_is_rolled_up_keeps_what_it_was_made_of(host, chunk_bytes):
    rolled_up = {"granularity": "minutely", "rollup": {"by": [], "function": "sum"}}
    rules = [{"match": {"metric": "m"}, "set": rolled_up}]

    def fed():
        on = broker()
        for minute in range(MINUTES):
            produce(on, [point(minute, minute % 7, host=str(n)) for n in range(3)])
        return on

    def restored(on):
        worker = Worker(on, config(rules=rules))
        worker.drain()
        state = memory(worker)
        worker.consumer.close()
        return state

    on, untouched = fed(), fed()
    for each in (on, untouched):
        restored(each)
    one = replace(access(on), n_partitions=1)
    purge(one, GROUP, Selection.of([host], None), 1.0, dry_run=False)
    want = restored(untouched)
    assert len(want) == 4
    assert want.pop(host)
    got = restored(on)
    begun_anew = got.pop(host, None)  # a series made of others is there as soon as these are
    assert (begun_anew is not None) == ("rollup" in host)
    if begun_anew is not None:
        assert begun_anew[0][:8] == np.int64(NEVER).tobytes()
    assert got == want


def test_a_dry_run_says_what_would_go_and_changes_nothing(monkeypatch):
    on = filled()
    before = len(on.read(STATE))
    for members in ((), ("host (a)",)):
        words = ("purge", "--series", HOST(3), "--series", HOST(2), "--dry-run")
        done = state_command(monkeypatch, on, *words, members=members)
        assert done.exit_code == 0
        assert done.stdout.splitlines() == [
            f"{HOST(2)} from metrics[0]",
            f"{HOST(3)} from metrics[1]",
            "2 would be removed; 1 chunks written anew, 1 deleted",
        ]
    assert len(on.read(STATE)) == before


def test_what_was_purged_is_said_and_a_second_time_there_is_nothing(monkeypatch):
    on = filled()
    for last in ("1 removed; 1 chunks written anew, 0 deleted", "no such series there"):
        done = state_command(monkeypatch, on, "purge", "--series", HOST(2))
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, last)


def test_while_workers_run_nothing_is_purged(monkeypatch):
    on = filled()
    before = len(on.read(STATE))
    for changes, why in [
        ({"members": ["10.0.0.1 (w1)"]}, "group 'group' has members: 10.0.0.1 (w1); they would"),
        ({"ask_group": lambda: Untold("no answer in time")}, "cannot be told: no answer in time"),
    ]:
        done = state_command(monkeypatch, on, "purge", "--series", HOST(2), **changes)
        assert (done.exit_code, done.stdout) == (1, "")
        assert why in done.stderr
    assert len(on.read(STATE)) == before


def test_a_worker_that_begins_to_run_meanwhile_is_told():
    answers = iter([(), ("10.0.0.1 (w1)",)])
    on = filled()
    with pytest.raises(FatalError, match="may write series back"):
        removed(
            on,
            HOST(2),
            ask_group=lambda: GroupState("STABLE", next(answers), frozenset(), None),
        )


@pytest.mark.parametrize("call", ["begin", "send", "commit"])
@pytest.mark.parametrize("error", [CrashPoint(), TransactionAborted("no")], ids=["crash", "abort"])
def test_a_purge_that_fails_changes_nothing(call, error, chunk_bytes):
    on, untouched = filled(), filled()
    on.fail_at(f"producer.{call}", error)
    with pytest.raises(type(error)):
        removed(on, HOST(2), HOST(3))
    assert work(on) == work(untouched)


def test_without_transactions_it_is_written_too():
    on = filled()
    removed(on, HOST(2), HOST(3), open_producer=lambda: MemoryProducer(on))
    assert summary(on).sound
    assert work(on).keys() == {*map(HOST, (0, 1, 4, 5)), "other"}


def test_other_groups_keep_their_series(monkeypatch):
    on = filled()
    other = settings(kafka={"group_id": "other"})
    before = len(on.read(STATE))
    done = purge(access(on), other.kafka.group_id, Selection.of([HOST(2)], None), 1, dry_run=False)
    assert done.series == []
    assert len(on.read(STATE)) == before


def test_a_chunk_that_no_partition_names_is_purged_too():
    on = filled()
    record = newest(on, is_partition)
    on.append(OutgoingRecord(STATE, record.key, None), record.partition.index)
    names = {each.name for each in removed(on, metric="*").series}
    assert names == {*map(HOST, range(HOSTS)), "other"}


def test_records_that_may_hold_the_series_and_cannot_be_read_are_told(monkeypatch):
    on = filled()
    record = newest(on, lambda key: not is_partition(key))
    on.append(OutgoingRecord(STATE, record.key, b"SDST"), record.partition.index)
    done = state_command(monkeypatch, on, "purge", "--series", HOST(0))
    assert done.exit_code == 1
    assert "torn: " in done.stderr
    assert "whether it holds such series is not known" in done.stderr


def test_a_purge_without_a_choice_is_exit_code_2(monkeypatch):
    done = state_command(monkeypatch, filled(), "purge")
    assert done.exit_code == 2
    assert "nothing is chosen" in done.stderr


def test_without_a_state_topic_there_is_nothing_to_look_at():
    with pytest.raises(ConfigError, match=r"state\.topic is null"):
        streamdet.app.access_state(config(state={"topic": None}))
