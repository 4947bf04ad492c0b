"""`streamdet backtest` where rows are late, doubled, gathered in windows, or not there at all."""

import json
import logging
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from streamdet.backtest.history import read
from streamdet.backtest.verdicts import judge, result
from streamdet.cli import app
from streamdet.config import Config
from tests import service

START = datetime.fromtimestamp(service.START_MS / 1e3, UTC)
HOSTS = ("a", "b", "c")
WINDOWS = {"granularity": "minutely", "customInterval": 5, "aggregate": {"function": "sum"}}
ROLLUP = {"granularity": "minutely", "rollup": {"by": ["region"], "function": "sum"}}
REGION = {"a": "eu", "b": "eu", "c": "us"}


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def fleet(minutes=300, hosts=HOSTS):
    """Return (minute, host, value) as they come, a minute after the other; one spike each."""
    rng = np.random.default_rng(3)
    values = rng.normal(100, 1, (minutes, len(hosts))).round(4)
    for k in range(len(hosts)):
        values[minutes // 2 + 10 * k, k] += 50
    return [(m, host, values[m, k]) for m in range(minutes) for k, host in enumerate(hosts)]


def delayed(points, share=0.1, most=8, seed=1):
    """Return the points with a share of them up to `most` minutes late, and as many doubled."""
    rng = np.random.default_rng(seed)
    late = rng.random(len(points)) < share
    doubled = np.flatnonzero(rng.random(len(points)) < share)
    minute = np.array([point[0] for point in points], float)
    comes = np.concatenate(
        [
            minute + late * rng.integers(1, most + 1, len(points)),
            minute[doubled] + rng.integers(0, most, len(doubled)),
        ]
    )
    everything = points + [points[at] for at in doubled]
    return [everything[at] for at in np.argsort(comes, kind="stable")]


def time(minute):
    return START + timedelta(minutes=float(minute))


def table_of(tmp_path, points, detection=None, regions=False, **options):
    metric, host = ["cpu"] * len(points), [host for _, host, _ in points]
    columns = {
        "metric": metric,
        "host": host,
        **({"region": [REGION[each] for each in host]} if regions else {}),
        "timestamp": pa.array([time(minute) for minute, _, _ in points], pa.timestamp("ms", "UTC")),
        "value": [value for *_, value in points],
    }
    path = tmp_path / "points.parquet"
    pq.write_table(pa.table(columns), path)
    settings = service.config(publish="all", detection=detection or {})
    return result(judge(read(path, {}, None, settings), settings, **options))


def live_events(points, detection, regions=False):
    on = service.broker()
    for minute, host, value in points:
        dimensions = {"host": host, **({"region": REGION[host]} if regions else {})}
        service.produce(on, [service.point(minute, value, "cpu", **dimensions)])
    worker = service.Worker(on, service.config(publish="all", detection=detection))
    worker.drain()
    return service.events(on), worker.outcomes()


def told(row):
    """Return what a row and an event both say."""
    dimensions = {name: row[name] for name in ("host", "region", "rollup") if row.get(name)}
    same = (
        "value", "expectedValue", "lowerBoundary", "upperBoundary", "score", "severity",
        "isAnomaly", "period", "sensitivity", "status",
    )  # fmt: skip
    return dimensions, row["timestamp"], {name: row[name] for name in same}


def from_event(event):
    time = datetime.fromisoformat(event["timestamp"])
    return told({**event, **event["dimensions"], "timestamp": time})


@pytest.mark.parametrize(
    "detection",
    [
        {},
        {"allowed_lateness": "5m"},
        {"allowed_lateness": "9m"},
        {"allowed_lateness": "9m", "duplicates": "last"},
        {"duplicates": "mean", "allowed_lateness": "3m"},
        {"transform": "rate", "duplicates": "last", "allowed_lateness": "5m"},
        WINDOWS,
        {**WINDOWS, "allowed_lateness": "5m", "duplicates": "last"},
        ROLLUP,
        {**ROLLUP, "allowed_lateness": "4m"},
        {**ROLLUP, **WINDOWS, "allowed_lateness": "2m"},
    ],
)
def test_a_file_in_the_order_in_which_points_came_has_the_verdicts_of_live_work(
    tmp_path, detection
):
    points = delayed(fleet())
    if detection.get("transform"):
        points = [(m, host, m * 6000 + value) for m, host, value in points]
    regions = "rollup" in detection
    live, outcomes = live_events(points, detection, regions)
    found = table_of(tmp_path, points, detection, regions).to_pylist()
    rows = [row for row in found if row["status"] in ("ok", "warming", "incomplete")]
    rows = [told(row) for row in rows if row["value"] is not None]
    by_series = lambda each: (sorted(each[0].items()), each[1])  # noqa: E731
    assert sorted(rows, key=by_series) == sorted(map(from_event, live), key=by_series)
    assert len(rows) > (150 if "aggregate" in detection else 700)
    if "aggregate" not in detection:
        late = sum(row["status"] == "late" for row in found)
        assert late == outcomes.get("late", 0)


@pytest.mark.parametrize(
    "detection", [{"allowed_lateness": "9m"}, WINDOWS, {**ROLLUP, "absent_after": "10m"}]
)
@pytest.mark.parametrize("chunk_points", [1, 7, 250])
def test_chunks_decide_nothing(tmp_path, detection, chunk_points):
    points = [each for each in delayed(fleet(120)) if each[1] != "b" or not 60 < each[0] < 90]
    whole = table_of(tmp_path, points, detection, regions=True)
    found = table_of(tmp_path, points, detection, regions=True, chunk_points=chunk_points)
    assert found.equals(whole)


def test_points_that_come_in_time_have_the_verdicts_of_points_in_order(tmp_path):
    points = fleet()
    clean = {told(row)[:2].__repr__(): told(row) for row in table_of(tmp_path, points).to_pylist()}
    found = table_of(tmp_path, delayed(points), {"allowed_lateness": "9m"}).to_pylist()
    kept = [told(row) for row in found if row["status"] not in ("pending", "duplicate")]
    assert kept == [clean[repr(each[:2])] for each in kept]
    assert sum(row["isAnomaly"] for row in found) == len(HOSTS)
    pending = {row["timestamp"] for row in found if row["status"] == "pending"}
    assert pending == {time(minute) for minute in range(290, 300)}
    assert len(kept) == 290 * len(HOSTS)


def test_a_row_held_back_at_the_end_has_a_value_and_no_verdict(tmp_path):
    last = table_of(tmp_path, fleet(60), {"allowed_lateness": "1m"}).to_pylist()[-1]
    assert last["status"] == "pending"
    assert last["value"] == fleet(60)[-1][2]
    assert last["expectedValue"] is last["sensitivity"] is last["period"] is last["score"] is None
    assert last["isAnomaly"] is False


def test_of_merged_rows_the_last_one_has_the_verdict(tmp_path):
    points = [(minute, "a", 1.0) for minute in range(30)]
    points[20:21] = [(20, "a", 1.0), (20, "a", 5.0)]
    for policy, value in (("mean", 3.0), ("sum", 6.0), ("last", 5.0)):
        rows = table_of(tmp_path, points, {"duplicates": policy}).to_pylist()
        assert [row["status"] for row in rows[20:22]] == ["duplicate", "ok"]
        assert [row["value"] for row in rows[20:22]] == [1.0, value]
        assert [row["status"] for row in rows].count("duplicate") == 1


def test_the_first_row_of_a_counter_has_no_rate_whatever_is_merged(tmp_path):
    points = [(minute, "a", 60.0 * minute) for minute in range(30)]
    points.insert(20, (19, "a", 60.0 * 19))
    detection = {"transform": "rate", "duplicates": "last"}
    rows = table_of(tmp_path, points, detection).to_pylist()
    assert (rows[0]["status"], rows[0]["value"]) == ("warming", None)
    assert (rows[19]["status"], rows[20]["status"]) == ("duplicate", "ok")
    assert {row["value"] for row in rows[1:19]} == {1.0}
    assert rows[-1]["status"] == "pending"


def test_a_row_off_the_grid_is_told(tmp_path):
    points = [(minute, "a", 1.0) for minute in range(30)]
    points[20] = (20.4, "a", 1.0)
    points[10] = (10.05, "a", 1.0)
    detection = {"granularity": "minutely", "tolerance": "10s"}
    rows = table_of(tmp_path, points, detection).to_pylist()
    assert rows[20]["status"] == "off_grid"
    assert {row["status"] for row in rows[:20] + rows[21:]} == {"ok", "warming"}
    assert rows[10]["timestamp"] == time(10.05)


def test_a_window_has_a_row_in_place_of_its_points(tmp_path):
    points = [(minute, "a", float(minute % 5)) for minute in range(102)]
    table = table_of(tmp_path, points, WINDOWS)
    assert table.column("timestamp").to_pylist() == [time(5 * i) for i in range(20)]
    assert table.column("value").to_pylist() == [10.0] * 20
    assert set(table.column("host").to_pylist()) == {"a"}
    assert table.column("status").to_pylist() == ["warming"] * 12 + ["ok"] * 8


def test_before_a_window_is_over_there_is_no_row(tmp_path):
    table = table_of(tmp_path, [(minute, "a", 1.0) for minute in range(5)], WINDOWS)
    assert table.num_rows == 0
    assert table.column_names == table_of(tmp_path, fleet(60), WINDOWS).column_names


def test_a_file_with_one_series_after_the_other_has_the_windows_of_series_in_turn(tmp_path):
    points = fleet(120)
    detection = {**WINDOWS, "rollup": {"by": [], "function": "max"}}
    key = lambda row: (row["host"] or "", row["timestamp"])  # noqa: E731
    apart = table_of(tmp_path, sorted(points, key=lambda point: point[1]), detection).to_pylist()
    in_turn = table_of(tmp_path, points, detection).to_pylist()
    assert sorted(apart, key=key) == sorted(in_turn, key=key)
    assert len(apart) == 4 * 23


def test_only_series_of_the_rule_become_windows(tmp_path):
    rows = [("cpu", minute, 1.0) for minute in range(100)] + [
        ("sales", minute, 2.0) for minute in range(100)
    ]
    path = tmp_path / "a.csv"
    lines = [f"{metric},{time(minute).isoformat()},{value}" for metric, minute, value in rows]
    path.write_text("\n".join(["metric,timestamp,value", *lines]))
    settings = Config(rules=[{"match": {"metric": "sales"}, "set": WINDOWS}])
    found = result(judge(read(path, {}, None, settings), settings)).to_pylist()
    assert [row["metric"] for row in found] == ["cpu"] * 100 + ["sales"] * 19
    assert {row["value"] for row in found[100:]} == {10.0}


def test_days_become_months_of_their_own_length(tmp_path):
    first = datetime(2023, 1, 1, tzinfo=UTC)
    lines = [f"sales,{(first + timedelta(days=d)).isoformat()},1" for d in range(730)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["metric,timestamp,value", *lines]))
    settings = Config(
        detection={"granularity": "monthly", "aggregate": {"function": "sum"}},
        limits={"series_ttl": "400d"},
    )
    found = result(judge(read(path, {}, None, settings), settings)).to_pylist()
    assert [row["timestamp"].day for row in found] == [1] * 23  # December is not over
    days = [row["value"] for row in found]
    assert days == [
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31,
        31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30,
    ]  # fmt: skip


def test_rolled_up_series_have_rows_beside_those_of_their_members(tmp_path):
    points = fleet(60)
    table = table_of(tmp_path, points, ROLLUP, regions=True)
    members = [row for row in table.to_pylist() if row["rollup"] is None]
    plain = table_of(tmp_path, points, {"granularity": "minutely"}, regions=True).to_pylist()
    assert [{name: row[name] for name in plain[0]} for row in members] == plain
    eu = [row for row in table.to_pylist() if row["rollup"] == "sum" and row["region"] == "eu"]
    assert [row["timestamp"] for row in eu] == [time(minute) for minute in range(59)]
    values = {(m, host): value for m, host, value in points}
    assert [row["value"] for row in eu] == [values[m, "a"] + values[m, "b"] for m in range(59)]
    assert {row["host"] for row in eu} == {None}


def test_a_window_is_labelled_if_one_of_its_points_is(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"cpu,{h},{time(m).isoformat()},1" for m in range(30) for h in "ab"]
    path.write_text("\n".join(["metric,host,timestamp,value", *lines]))
    detection = {**WINDOWS, "rollup": {"by": [], "function": "sum"}}
    settings = Config(detection=detection)
    history = read(path, {}, None, settings)
    label = np.zeros(60, np.bool_)
    label[[2 * 7, 2 * 8, 2 * 17 + 1, 2 * 29]] = True  # a at 7, 8 and 29, b at 17
    rows = judge(history, settings)
    found = rows.labelled(label)
    keys = [key.decode() for key in rows.history.keys]
    assert keys == ['cpu{host="a"}', 'cpu{host="b"}', 'cpu{rollup="sum"}']
    labelled = {
        key: [
            (each - START.timestamp() * 1e6) / 60e6
            for each in rows.history.time_us[found & (rows.history.series == at)].tolist()
        ]
        for at, key in enumerate(keys)
    }
    assert labelled == dict(zip(keys, [[5.0], [15.0], [5.0, 15.0]], strict=True))


def invoke(tmp_path, points, *arguments):
    path = tmp_path / "points.jsonl"
    lines = [
        json.dumps(
            {
                "metric": "cpu",
                "timestamp": int(time(minute).timestamp() * 1e3),
                "value": value,
                "dimensions": {"host": host, "region": REGION[host]},
            }
        )
        for minute, host, value in points
    ]
    path.write_text("\n".join(lines))
    done = CliRunner().invoke(
        app, ["backtest", str(path), "--out", str(tmp_path / "v.csv"), *map(str, arguments)]
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_says_what_became_of_points_without_a_row(tmp_path):
    points = fleet(102)
    points.append((10, "a", 5.0))
    report = tmp_path / "r.html"
    said = invoke(
        tmp_path, points,
        "--set", "detection.aggregate={interval: 5m, function: mean}",
        "--set", "detection.rollup={by: [region], function: max}",
        "--report", report,
    )  # fmt: skip
    note = "307 points (1 late, 6 pending) aggregated into 60 windows"
    assert "307 points of 3 series" in said
    assert note in said
    assert "40 windows of 2 rolled up series" in said
    assert f"<dd>{note}; 40 windows of 2 rolled up series</dd>" in report.read_text()
    assert "cpu{<wbr>region=&quot;eu&quot;,<wbr>rollup=&quot;max&quot;}" in report.read_text()


def test_the_command_says_that_series_were_absent(tmp_path):
    points = [each for each in fleet(200) if each[1] != "b" or not 60 < each[0] < 120]
    said = invoke(tmp_path, points, "--set", "detection.absent_after=30m")
    assert "1 absence: a series was silent for longer than its absent_after" in said
    said = invoke(tmp_path, points)
    assert "silent" not in said


def test_labels_of_points_are_those_of_the_windows(tmp_path):
    labels = tmp_path / "labels.csv"
    rows = [f"cpu,{h},{REGION[h]},{time(150 + 10 * k).isoformat()},1" for k, h in enumerate(HOSTS)]
    labels.write_text("\n".join(["metric,host,region,timestamp,label", *rows]))
    said = invoke(
        tmp_path, fleet(),
        "--set", "detection.aggregate={interval: 5m, function: max}",
        "--labels", labels,
    )  # fmt: skip
    assert "3 of 3 labelled segments found" in said
