"""`streamdet backtest`: the verdicts of live work, from a file, in the file's order."""

import json
import sys
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from streamdet.backtest.history import read
from streamdet.backtest.verdicts import judge, result
from streamdet.cli import app
from streamdet.config import Config
from streamdet.errors import ConfigError
from tests import service

HOSTS = ("a", "b", None)


def rows(minutes=200):
    """Return points of three series as they come in: one of each, minute by minute."""
    rng = np.random.default_rng(7)
    made = []
    for minute in range(minutes):
        for k, host in enumerate(HOSTS):
            value = round(float(rng.normal(100 * (k + 1), 1)), 4)
            spike = 50 if (minute, k) in ((100, 0), (150, 1)) else 0
            time_ms = service.START_MS + minute * service.MINUTE_MS
            made.append(("cpu", host, time_ms, value - spike if k else value + spike))
    return made


def instant(time_ms):
    return datetime.fromtimestamp(time_ms / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_csv(path, points, head="metric,host,timestamp,value"):
    lines = [f"{m},{h or ''},{instant(t)},{'' if v is None else v}" for m, h, t, v in points]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def as_jsonl(path, points):
    with path.open("w") as file:
        for metric, host, time_ms, value in points:
            dimensions = {"host": host} if host else {}
            point = {"metric": metric, "timestamp": time_ms, "value": value}
            file.write(json.dumps(point | {"dimensions": dimensions}) + "\n")
    return path


def as_parquet(path, points):
    metric, host, time_ms, value = (list(column) for column in zip(*points, strict=True))
    columns = {
        "metric": pa.array(metric).dictionary_encode(),
        "host": host,
        "timestamp": pa.array(time_ms, pa.timestamp("ms", "Europe/Berlin")),
        "value": value,
    }
    pq.write_table(pa.table(columns), path)
    return path


def judged(path, config=None, columns=None, metric=None, **options):
    config = config or Config()
    history = read(path, columns or {}, metric, config)
    return result(judge(history, config, **options))


def refusal(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        judged(path, **options)
    return str(caught.value)


def invoke(*arguments):
    return CliRunner().invoke(app, ["backtest", *map(str, arguments)])


def test_csv_json_lines_and_parquet_give_the_same_verdicts(tmp_path):
    points = rows()
    tables = [
        judged(as_csv(tmp_path / "a.csv", points)),
        judged(as_jsonl(tmp_path / "a.jsonl", points)),
        judged(as_parquet(tmp_path / "a.parquet", points)),
    ]
    assert sum(tables[0].column("isAnomaly").to_pylist()) == 2
    for other in tables[1:]:
        assert other.column_names == tables[0].column_names
        assert other.to_pylist() == tables[0].to_pylist()


@pytest.mark.parametrize("period", [0, 20])
def test_the_verdicts_are_those_of_the_live_pipeline(tmp_path, period):
    points = rows()
    late = (*points[300][:2], points[150][2], 5.0)
    points[301:301] = [late, points[300]]  # a late point and a doubled one
    on = service.broker()
    for metric, host, time_ms, value in points:
        dimensions = {"host": host} if host else {}
        fields = {"metric": metric, "timestamp": time_ms, "value": value, "dimensions": dimensions}
        service.produce(on, [json.dumps(fields).encode()])
    settings = service.config(publish="all", detection={"period": period})
    service.Worker(on, settings).drain()
    live = {event["source"]["offset"]: event for event in service.events(on)}

    found = judged(as_csv(tmp_path / "a.csv", points), settings).to_pylist()
    assert len(found) == len(points)
    for offset, row in enumerate(found):
        if row["status"] in ("late", "duplicate"):
            assert offset not in live
            continue
        event = live.pop(offset)
        assert row["host"] == event["dimensions"].get("host")
        for name in set(row) - {"host", "timestamp", "alert"}:  # events have no alert
            assert row[name] == event[name], name
    assert live == {}


def test_a_point_is_an_anomaly_if_and_only_if_it_is_outside_the_boundaries(tmp_path):
    table = judged(as_csv(tmp_path / "a.csv", rows()), Config(detection={"sensitivity": 99}))
    anomalies = 0
    for row in table.to_pylist():
        if row["status"] == "ok":
            above = row["value"] > row["upperBoundary"]
            below = row["value"] < row["lowerBoundary"]
            assert (row["isPositiveAnomaly"], row["isNegativeAnomaly"]) == (above, below)
            assert row["isAnomaly"] == (above or below) == (row["severity"] > 0)
            anomalies += row["isAnomaly"]
    assert anomalies >= 2


@pytest.mark.parametrize("chunk_points", [1, 7, 250])
def test_chunks_decide_nothing(tmp_path, chunk_points):
    path = as_csv(tmp_path / "a.csv", rows())
    assert judged(path, chunk_points=chunk_points).equals(judged(path))


def test_series_one_after_another_are_judged_as_if_they_came_together(tmp_path):
    """Nobody is taken for idle because another series' rows, weeks newer, stand above."""
    slow = [(m, h, t + 360 * (t - service.START_MS), v) for m, h, t, v in rows()]
    assert slow[-1][2] - slow[0][2] > 40 * 86_400_000
    apart = sorted(slow, key=lambda point: point[1] or "")
    together = judged(as_csv(tmp_path / "a.csv", slow)).to_pylist()
    found = judged(as_csv(tmp_path / "b.csv", apart)).to_pylist()
    assert found == sorted(together, key=lambda row: row["host"] or "")


def test_late_and_doubled_rows_are_told_and_change_nothing(tmp_path):
    points = rows()
    doubtful = [*points[:400], points[397], points[100], *points[400:]]
    clean = judged(as_csv(tmp_path / "a.csv", points)).to_pylist()
    found = judged(as_csv(tmp_path / "b.csv", doubtful)).to_pylist()
    assert [row["status"] for row in found[400:402]] == ["duplicate", "late"]
    assert found[400]["expectedValue"] is None
    assert found[:400] + found[402:] == clean


def test_rows_without_a_value_are_missing_and_change_nothing(tmp_path):
    points = rows()
    gaps = [*points[:400], ("cpu", "a", points[400][2] + 1, None), *points[400:]]
    clean = judged(as_csv(tmp_path / "a.csv", points)).to_pylist()
    for path in (
        as_csv(tmp_path / "b.csv", gaps),
        as_jsonl(tmp_path / "b.jsonl", gaps),
        as_parquet(tmp_path / "b.parquet", gaps),
    ):
        found = judged(path).to_pylist()
        assert found[400]["status"] == "missing"
        assert found[400]["value"] is found[400]["period"] is found[400]["score"] is None
        assert found[400]["isAnomaly"] is False
        assert found[:400] + found[401:] == clean


def test_series_beyond_the_limit_are_dropped_and_told(tmp_path):
    table = judged(as_csv(tmp_path / "a.csv", rows(20)), Config(limits={"max_series": 2}))
    status = {(row["host"], row["status"]) for row in table.to_pylist()}
    assert status == {
        ("a", "warming"), ("a", "ok"), ("b", "warming"), ("b", "ok"),
        (None, "dropped_series_limit"),
    }  # fmt: skip


def test_an_idle_series_begins_anew_as_it_does_live(tmp_path):
    points = [("m", None, service.START_MS + i * service.MINUTE_MS, 1.0 + i % 3) for i in range(30)]
    month_ms = 30 * 86_400_000
    again = [(m, h, t + month_ms, v) for m, h, t, v in points]
    status = judged(as_csv(tmp_path / "a.csv", points + again)).column("status").to_pylist()
    assert status == (["warming"] * 12 + ["ok"] * 18) * 2


def test_timestamps_are_texts_with_a_zone_integers_or_times(tmp_path):
    texts = [
        "2021-03-02T12:00:00Z", "2021-03-02T13:01:00+01:00", "2021-03-02T12:02:00.000000000Z",
        str(service.START_MS + 3 * service.MINUTE_MS),
    ]  # fmt: skip
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["metric,timestamp,value", *(f"m,{text},1" for text in texts)]))
    expected = [datetime(2021, 3, 2, 12, minute, tzinfo=UTC) for minute in range(4)]
    assert judged(path).column("timestamp").to_pylist() == expected
    seconds = [int(time.timestamp()) for time in expected]
    for column in (
        pa.array(seconds),
        pa.array([1_000_000_000 * s for s in seconds], pa.timestamp("ns", "Asia/Tokyo")),
        pa.array(seconds, pa.timestamp("s")),  # without a zone: UTC
    ):
        table = pa.table({"metric": ["m"] * 4, "timestamp": column, "value": [1, 2, 3, 4]})
        pq.write_table(table, tmp_path / "a.parquet")
        found = judged(tmp_path / "a.parquet", Config(input={"timestamp_unit": "s"}))
        assert found.column("timestamp").to_pylist() == expected


def test_columns_of_other_names_are_mapped_and_a_metric_may_be_given(tmp_path):
    points = rows(30)
    plain = judged(as_csv(tmp_path / "a.csv", points))
    path = as_csv(tmp_path / "b.csv", points, "name,host,time,percent")
    columns = {"metric": "name", "timestamp": "time", "value": "percent"}
    assert judged(path, columns=columns).equals(plain)
    text = path.read_text().replace("name,", "").replace("cpu,", "")
    path.write_text(text)
    del columns["metric"]
    assert judged(path, columns=columns, metric="cpu").equals(plain)


def test_an_empty_cell_is_no_dimension_and_numbers_are_texts(tmp_path):
    table = pa.table(
        {"metric": ["m"] * 3, "store": [1, None, 1], "timestamp": [1, 2, 3], "value": [1, 2, 3]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    settings = Config(limits={"earliest": "1970-01-01T00:00:00Z"})
    assert read(tmp_path / "a.parquet", {}, None, settings).keys == [b'm{store="1"}', b"m"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("m,a,2021-01-01T00:00:00Z,high", ":5: value must be a finite number"),
        ("m,a,2021-01-01T00:00:00Z,inf", ":5: value must be a finite number"),
        ("m,a,2021-01-01T00:00:00,1", ":5: timestamp has no zone"),
        ("m,a,,1", ":5: timestamp is missing"),
        ("m,a,soon,1", ":5: timestamp is not of the form"),
        ("m,a,1609459200,1", ":5: timestamp is before limits.earliest; integers are read as ms"),
        (",a,2021-01-01T00:00:00Z,1", ":5: metric is empty"),
        ("m,a\x07,2021-01-01T00:00:00Z,1", ":5: dimension 'host' has a control character"),
        ("m,a,2021-01-01T00:00:00Z", ":5: has 3 cells where the header has 4"),
        (b"m,\xff,2021-01-01T00:00:00Z,1", ":5: is not UTF-8 text"),
    ],
)
def test_a_bad_row_of_a_csv_is_named_by_its_line(tmp_path, row, said):
    good = (
        b"metric,host,timestamp,value\nm,a,2021-01-01T00:00:00Z,1\n\nm,a,2021-01-01T00:01:00Z,1\n"
    )
    text = (
        good + (row if isinstance(row, bytes) else row.encode()) + b"\nm,a,2021-01-01T00:02:00Z,1"
    )
    path = tmp_path / "a.csv"
    assert refusal(path, text).startswith(f"{path}{said}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", ":3: "),
        ('{"metric":"m","timestamp":1609459200000,"value":true}', ":3: Expected `float | null`"),
        ('{"metric":"m","timestamp":1609459200000,"value":1,"host":"a"}', ":3: Object contains"),
        ('{"metric":"m","timestamp":1609459200000,"value":1,"dimensions":{"a":1}}', ":3: Expected"),
        ('{"metric":"m","timestamp":1609459200,"value":1}', ":3: timestamp is before"),
        ('{"metric":"","timestamp":1609459200000,"value":1}', ":3: metric is empty"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path, line, said):
    path = tmp_path / "a.jsonl"
    good = '{"metric":"m","timestamp":1609459200000,"value":1}'
    assert refusal(path, f"{good}\n\n{line}\n").startswith(f"{path}{said}")


def test_a_bad_row_of_a_parquet_is_named_by_its_number(tmp_path):
    points = rows(2)
    points[3] = ("cpu", "a", 1_000, 1.0)
    path = as_parquet(tmp_path / "a.parquet", points)
    with pytest.raises(ConfigError, match=r"a\.parquet: row 4: timestamp is before limits"):
        judged(path)


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("a.csv", "metric,time,value\n", {}, "name it with --map timestamp=COLUMN"),
        ("a.csv", "metric,timestamp,value,score\n", {}, "would be called 'score'"),
        ("a.csv", "metric,timestamp,value,h,h\n", {}, "would be called 'h'"),
        ("a.csv", "time,timestamp,value\n", {"columns": {"metric": "value"}}, "three columns"),
        ("a.csv", "", {}, "cannot be read"),
        ("a.csv", b"m\xff,timestamp,value\n", {}, "a.csv:1: is not UTF-8 text"),
        ("a.csv", "metric,timestamp,value\nm,--1,1\n", {}, "a.csv:2: timestamp is not of the form"),
        ("a.parquet", "no parquet", {}, "cannot be read"),
        ("a.jsonl", "{}", {"metric": "m"}, "--map and --metric are for CSV and Parquet"),
    ],
)
def test_a_file_that_cannot_be_understood_is_a_usage_error(tmp_path, name, text, options, said):
    assert said in refusal(tmp_path / name, text, **options)


def test_a_file_without_rows_gives_none(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("metric,timestamp,value\n")
    assert judged(path).num_rows == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_command_writes_the_verdicts_and_says_what_it_found(tmp_path, ending):
    path, out = as_csv(tmp_path / "a.csv", rows()), tmp_path / f"out.{ending}"
    done = invoke(path, "--out", out, "--set", "detection.sensitivity=70")
    assert done.exit_code == 0, done.output
    assert "600 points of 3 series" in done.stdout
    assert "2 anomalies; 564 ok, 36 warming" in done.stdout
    table = pyarrow.csv.read_csv(out) if ending == "csv" else pq.read_table(out)
    assert table.column_names == [
        "metric", "host", "timestamp", "value", "expectedValue", "lowerBoundary", "upperBoundary",
        "score", "severity", "isAnomaly", "isPositiveAnomaly", "isNegativeAnomaly", "alert",
        "period", "sensitivity", "state", "status",
    ]  # fmt: skip
    assert table.column("value").to_pylist() == [value for *_, value in rows()]
    assert set(table.column("sensitivity").to_pylist()) == {70}


def test_the_command_refuses_files_it_cannot_use(tmp_path):
    path = as_csv(tmp_path / "a.csv", rows(1))
    for given, out, said in (
        (path, "a.txt", "must end in one of .csv, .parquet"),
        (path, path, "is the input itself"),
        (path, tmp_path / "no" / "a.csv", "no such directory"),
        (tmp_path / "no.csv", "a.csv", "cannot be read: No such file"),
        (tmp_path / "a.txt", "a.csv", "must end in one of .csv, .parquet, .jsonl, .ndjson"),
    ):
        done = invoke(given, "--out", out)
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_missing_pyarrow_is_said_with_the_way_to_get_it(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("streamdet.backtest")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = invoke("a.csv", "--out", tmp_path / "a.parquet")
    assert done.exit_code == 2
    assert "pip install 'streamdet[backtest]'" in done.stderr
