"""`streamdet backtest --topic`: what a topic holds, judged as the live worker judges it."""

import json
import logging
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import streamdet.app
from streamdet.backtest.topic import Window, read_topic
from streamdet.backtest.verdicts import judge, result
from streamdet.cli import app
from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.testing import MemoryBatch
from streamdet.types import Partition, Reason
from tests import service
from tests.service import INPUT, MINUTE_MS, START_MS, point, produce, with_spikes

EVERYTHING = Window(None, None)


class MemoryReader:
    """A `streamdet.ports.RecordReader` on the in-memory broker, with batches of its own size."""

    def __init__(self, on, partitions=1, records=7):
        self.partitions = [
            (partition, list(on.records(partition, 0)))
            for partition in (Partition(INPUT, index) for index in range(partitions))
        ]
        self.n_records = sum(len(records) for _, records in self.partitions)
        self.closed = False
        self._records = records

    def batches(self, records_max):
        size = min(records_max, self._records)
        longest = max(len(records) for _, records in self.partitions)
        for start in range(0, longest, size):  # partitions take turns, as they do with Kafka
            for partition, records in self.partitions:
                if records[start : start + size]:
                    yield MemoryBatch(partition, records[start : start + size])

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def judged(on, settings, window=EVERYTHING, partitions=1, **options):
    reader = MemoryReader(on, partitions, **options)
    history, left_out = read_topic(reader, INPUT, window, settings)
    return result(judge(history, settings)).to_pylist(), left_out


def instant(minute):
    return datetime.fromtimestamp((START_MS + minute * MINUTE_MS) / 1e3, UTC)


def minute_us(minute):
    return 1000 * (START_MS + minute * MINUTE_MS)


@pytest.mark.parametrize("detection", [{}, {"allowed_lateness": "5m"}])
@pytest.mark.parametrize("records", [1, 7, 1000])
def test_the_verdicts_are_those_of_the_live_pipeline(records, detection):
    """Two partitions, series in both, late points, bad records and an Azure request."""
    on = service.broker(partitions=2)
    for i, value in enumerate(with_spikes(200, at=(100, 150))):
        produce(on, [point(i, value, host="a")])
        produce(on, [point(i, 2 * value, host="a")], partition=1)
        produce(
            on, [f'{{"timestamp":{START_MS + i * MINUTE_MS},"metric":"m","value":{i}}}'.encode()]
        )
        if i % 50 == 20:
            produce(on, [b"{", None, point(i - 3, 7.0, host="a")], partition=1)
            produce(on, [point(i, 1.0, host="a"), point(i, 1.0, bad="\x07")])
    request = {
        "series": [
            {"timestamp": instant(200 + i).isoformat(), "value": 100.0 + i % 3} for i in range(40)
        ],
        "granularity": "minutely",
        "sensitivity": 99,
    }
    produce(on, [json.dumps(request).encode()], key=b'm{host="a"}')
    settings = service.config(publish="all", detection=detection)
    worker = service.Worker(on, settings)
    worker.drain()
    live = [event | event["source"] for event in service.events(on)]
    live.sort(key=lambda event: (event["partition"], event["offset"], event.get("element") or 0))

    found, left_out = judged(on, settings, partitions=2, records=records)
    kept = [row for row in found if row["status"] in ("ok", "warming")]
    assert len(kept) == len(live) > 600
    assert sum(row["isAnomaly"] for row in kept) >= 4
    for row, event in zip(kept, live, strict=True):
        assert row["host"] == event["dimensions"].get("host")
        for name in set(row) & set(event) - {"timestamp"}:
            assert row[name] == event[name], name
    outcomes = worker.outcomes()
    assert left_out.tombstones == outcomes["tombstone"] == 4
    assert left_out.refused.total() == outcomes["dead_lettered"]
    assert left_out.refused == {Reason.DECODE: 4, Reason.DIMENSIONS: 4}
    late = [row["status"] for row in found if row["status"] in ("late", "duplicate")]
    assert len(late) == outcomes.get("late", 0) + outcomes["duplicate"] == 8


def test_how_records_are_batched_decides_nothing():
    on = service.broker()
    produce(on, [point(i, value) for i, value in enumerate(with_spikes(100, at=(60,)))])
    tables = [judged(on, Config(), records=n)[0] for n in (1, 7, 1000)]
    assert tables[0] == tables[1] == tables[2]
    assert sum(row["isAnomaly"] for row in tables[0]) == 1


def test_event_time_decides_what_is_in_the_window():
    on = service.broker()
    produce(on, [point(minute, 1.0) for minute in (0, 1, 5, 2, 3, 4, 1)])
    found, left_out = judged(on, Config(), Window(minute_us(1), minute_us(4)))
    assert [row["timestamp"] for row in found] == [instant(m) for m in (1, 2, 3, 1)]
    assert left_out.outside == 3
    assert str(left_out) == "3 points outside of the window"


def test_parameters_of_a_request_hold_from_its_first_point_in_the_window():
    on = service.broker()
    series = [{"timestamp": instant(i).isoformat(), "value": 1.0} for i in range(4)]
    request = {"series": series, "granularity": "minutely", "sensitivity": 50}
    produce(on, [json.dumps(request).encode()], key=b"m")
    found, _ = judged(on, Config(), Window(minute_us(2), None))
    assert [row["sensitivity"] for row in found] == [50, 50]


def test_records_are_read_from_where_their_points_may_be_in_the_window():
    """A point may be `limits.max_future` ahead of its record's own time, and not more."""
    day_ms = 86_400_000
    window = Window.of("2021-03-02", None)
    assert window.records_since_ms(Config()) == START_MS - START_MS % day_ms - day_ms
    assert Window(None, minute_us(0)).records_since_ms(Config()) is None
    assert Window(1, None).records_since_ms(Config()) == 0


def test_a_dimension_that_is_called_like_a_column_of_the_verdicts_is_kept_apart():
    on = service.broker()
    produce(on, [point(0, 1.0, status="500"), point(0, 2.0)])
    found, _ = judged(on, Config())
    assert [row["dimensions.status"] for row in found] == ["500", None]
    assert [row["status"] for row in found] == ["warming", "warming"]


def test_a_topic_without_points_gives_no_rows():
    found, left_out = judged(service.broker(), Config())
    assert (found, str(left_out)) == ([], "")


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", None, "--from yesterday: must be a date or a time with its zone"),
        (None, "2026-11-01T00:00:00", "--to 2026-11-01T00:00:00: must be a date or a time"),
        ("2026-11-02", "2026-11-01T12:00:00Z", "must be later than --from 2026-11-02"),
    ],
)
def test_a_window_of_no_times_is_refused(since, until, said):
    with pytest.raises(ConfigError, match=said):
        Window.of(since, until)


def invoke(*arguments):
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_the_command_reads_a_topic_and_says_what_it_left_out(tmp_path, monkeypatch):
    on = service.broker()
    produce(on, [point(i, value) for i, value in enumerate(with_spikes(100, at=(60,)))])
    produce(on, [b"{", None, point(200, 1.0)])
    reader, asked = MemoryReader(on), []

    def open_reader(config, topic, since_ms):
        asked.append((topic, since_ms))
        return reader

    monkeypatch.setattr(streamdet.app, "open_reader", open_reader)
    out = tmp_path / "verdicts.parquet"
    done = invoke("--topic", INPUT, "--to", instant(100).isoformat(), "--out", out)
    assert done.exit_code == 0, done.output
    assert "100 points of 1 series" in done.stdout
    assert done.stderr == (
        "left out: 1 bad records or points (1 decode); 1 tombstones; "
        "1 points outside of the window\n"
    )
    assert (asked, reader.closed) == ([(INPUT, None)], True)
    assert pq.read_table(out).num_rows == 100


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give INPUT or --topic NAME"),
        (("a.csv", "--topic", "t"), "give INPUT or --topic NAME"),
        (("a.csv", "--from", "2026-11-01"), "--from and --to are for --topic"),
        (("--topic", "t", "--metric", "m"), "--map and --metric are for CSV and Parquet"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, said):
    done = invoke(*arguments, "--out", "a.csv")
    assert (done.exit_code, said in done.stderr) == (2, True)
