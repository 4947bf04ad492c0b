"""`streamdet replay`: which lines become records, with what key, and what is said of the rest."""

import json

import pytest
from confluent_kafka import Consumer
from typer.testing import CliRunner

from streamdet.cli import app
from streamdet.config import LimitsConfig
from streamdet.errors import ConfigError
from streamdet.kafka.mock import MockBroker
from streamdet.replay import Checker, PointFile, column_map, replay

NOW_S = 1_609_462_800.0  # 2021-01-01T01:00:00Z


class Sent:
    """A producer that keeps what is sent."""

    transactional = False

    def __init__(self):
        self.records = []
        self.calls = 0
        self.flushed = False

    def send(self, records):
        self.calls += 1
        self.records += records

    def flush(self, timeout_s):
        self.flushed = True


class HeldClock:
    """Time that moves by sleeping only."""

    def __init__(self):
        self.now_s = 0.0

    def time_s(self):
        return NOW_S

    def monotonic_s(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


@pytest.fixture
def play(tmp_path):
    """Write `text` to a file called `name` and replay it: producer, summary, faults."""

    def play(name, text, columns=None, metric=None, unit="ms", **options):
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        sent, clock, faults = options.pop("producer", Sent()), HeldClock(), []
        summary = replay(
            PointFile(file, columns, metric),
            "metrics",
            sent,
            Checker(LimitsConfig(), unit, clock),
            clock,
            on_fault=lambda number, fault: faults.append(f"{number}: {fault}"),
            sleep=clock.sleep,
            **options,
        )
        return sent, summary, faults

    return play


def bodies(sent):
    return [json.loads(record.value) for record in sent.records]


def test_csv_columns_beside_the_three_become_dimensions(play):
    sent, summary, faults = play(
        "a.csv",
        "metric,timestamp,value,host,region\n"
        "cpu,2021-01-01T00:00:00Z,1.5,a,eu\n"
        "cpu,1609459260000,-2e3,b,\n",
    )
    assert faults == []
    assert bodies(sent) == [
        {
            "metric": "cpu",
            "dimensions": {"host": "a", "region": "eu"},
            "timestamp": "2021-01-01T00:00:00Z",
            "value": 1.5,
        },
        {
            "metric": "cpu",
            "dimensions": {"host": "b"},
            "timestamp": 1_609_459_260_000,
            "value": -2000.0,
        },
    ]
    keys = [record.key for record in sent.records]
    assert keys == [b'cpu{host="a",region="eu"}', b'cpu{host="b"}']
    assert sent.flushed
    assert (summary.points, summary.refused, len(summary.series)) == (2, 0, 2)
    assert {record.topic for record in sent.records} == {"metrics"}


def test_columns_of_other_names_are_mapped_and_a_metric_may_be_given(play):
    text = "time,percent,note\n2021-01-01T00:00:00Z,7,x y\n"
    columns = column_map(["timestamp=time", "value=percent"])
    sent, _, faults = play("a.csv", text, columns, metric="cpu")
    assert faults == []
    assert bodies(sent)[0] == {
        "metric": "cpu",
        "dimensions": {"note": "x y"},
        "timestamp": "2021-01-01T00:00:00Z",
        "value": 7.0,
    }


def test_json_lines_are_sent_byte_for_byte_and_keyed_by_series(play):
    point = (
        '{"value": 1, "dimensions": {"b": "2", "a": "ü"}, "metric": "m", "timestamp": 1609459200}'
    )
    sent, _, faults = play("a.jsonl", f"{point}\n\n", unit="s")
    assert faults == []
    assert [(record.key, record.value) for record in sent.records] == [
        ('m{a="ü",b="2"}'.encode(), point.encode())
    ]


def test_bad_lines_are_named_and_the_good_ones_sent(play):
    text = (
        b"metric,timestamp,value,host\n"
        b"cpu,2021-01-01T00:00:00Z,1,a\n"
        b"cpu,2021-01-01T00:00:00,1,a\n"
        b"cpu,2021-01-01T00:00:00Z,nan,a\n"
        b"cpu,2021-01-01T00:00:00Z,high,a\n"
        b"cpu,2021-01-01T00:00:00Z,1\n"
        b",2021-01-01T00:00:00Z,1,a\n"
        b"c\xffu,2021-01-01T00:00:00Z,1,a\n"
        b"cpu,1609459200,1,a\n"
        b"cpu,2121-01-01T00:00:00Z,1,a\n"
        b"\n"
        b"cpu,2021-01-01T00:01:00Z,2,a\n"
        b'cpu,"2021'
    )
    sent, summary, faults = play("a.csv", text)
    assert [body["value"] for body in bodies(sent)] == [1, 2]
    assert summary.refused == len(faults) == 9
    assert [fault.split(": ")[0] for fault in faults] == [
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "13",
    ]
    told = "\n".join(faults)
    for words in (
        "no zone",
        "a finite number",
        "has 3 cells where the header has 4",
        "metric is empty",
        "not UTF-8",
        "before limits.earliest",
        "past the record's own time",
        "is no CSV",
    ):
        assert words in told


def test_a_json_line_that_is_no_single_point_is_refused(play):
    lines = (
        '[{"metric": "a", "value": 1}]',
        '{"metric": "a", "series": [{"timestamp": 1609459200000, "value": 1}]}',
        '{"metric": "a", "value": true}',
        "{",
        '{"metric": "a", "value": 1}',
    )
    sent, summary, faults = play("a.ndjson", "\n".join(lines))
    assert len(sent.records) == 1
    assert [fault.split(": ")[0] for fault in faults] == ["1", "2", "3", "4"]
    assert summary.refused == 4


def test_strict_sends_what_stands_before_the_first_bad_line_and_stops(play):
    lines = ['{"metric": "a", "value": 1}', "x", '{"metric": "a", "value": 2}', "y"]
    sent, summary, faults = play("a.jsonl", "\n".join(lines), strict=True)
    assert [body["value"] for body in bodies(sent)] == [1]
    assert len(faults) == summary.refused == 1
    assert sent.flushed


def test_a_dry_run_sends_nothing_and_does_not_wait(play):
    lines = ['{"metric": "a", "value": 1}'] * 30
    _, summary, _ = play("a.jsonl", "\n".join(lines), producer=None, points_per_s=1.0)
    assert summary.points == 30
    assert summary.elapsed_s == 0


def test_a_rate_spreads_the_points_over_time(play):
    lines = ['{"metric": "a", "value": 1}'] * 100
    sent, summary, _ = play("a.jsonl", "\n".join(lines), points_per_s=40.0)
    assert summary.elapsed_s == pytest.approx(2.5)
    assert sent.calls == 50  # twenty times a second, not all at once


def test_progress_ends_at_the_size_of_the_file(play, tmp_path):
    seen = []
    lines = ['{"metric": "a", "value": 1}'] * 2500
    play("a.jsonl", "\n".join(lines), on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == (tmp_path / "a.jsonl").stat().st_size


@pytest.mark.parametrize(
    ("name", "text", "columns", "said"),
    [
        ("a.txt", "", {}, "must end in .csv, .jsonl or .ndjson"),
        ("a.csv", "", {}, "no column 'metric' for the metric"),
        ("a.csv", 'metric,"time', {}, "a.csv:1: is no CSV"),
        ("a.csv", "metric,time,value\n", {}, "name it with --map timestamp=COLUMN"),
        ("a.csv", "time,timestamp,value\n", {}, "or the metric itself with --metric NAME"),
        ("a.csv", "metric,timestamp,value,h,h\n", {}, "two columns have one name"),
        ("a.csv", "metric,timestamp,value\n", {"metric": "value"}, "must be three columns"),
    ],
)
def test_a_file_that_cannot_be_understood_is_a_usage_error(play, name, text, columns, said):
    with pytest.raises(ConfigError, match=said):
        play(name, text, columns)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        PointFile(tmp_path / "a.csv")


def test_a_map_must_name_a_field():
    with pytest.raises(ConfigError, match="must be one of metric=COLUMN"):
        column_map(["host=h"])


def test_the_command_delivers_to_a_broker(tmp_path):
    file = tmp_path / "points.csv"
    rows = [f"cpu,2021-01-01T00:{minute:02}:00Z,{minute}" for minute in range(60)]
    file.write_text("\n".join(["metric,timestamp,value", *rows]))
    with MockBroker(["metrics"]) as broker:
        done = CliRunner().invoke(
            app,
            ["replay", str(file), "--topic", "metrics", "--bootstrap-servers", broker.bootstrap],
        )
        assert done.exit_code == 0, done.output
        assert "sent 60 points of 1 series to metrics" in done.stdout
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "test",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe(["metrics"])
        records = []
        while len(records) < 60:
            records += consumer.consume(60, 5.0)
        consumer.close()
    assert {record.key() for record in records} == {b"cpu"}
    assert [json.loads(record.value())["value"] for record in records] == list(range(60))
