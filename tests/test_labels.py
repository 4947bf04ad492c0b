"""Files of labels for a backtest: points or intervals, and what is wrong with them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamdet.backtest.history import History, read
from streamdet.backtest.labels import read_labels
from streamdet.config import Config
from streamdet.errors import ConfigError

START_MS = 1_614_686_400_000  # 2021-03-02T12:00:00Z


def time(minute):
    return f"2021-03-02T12:{minute:02}:00Z"


@pytest.fixture
def history(tmp_path) -> History:
    """Ten minutes of two series, the rows of both in turn."""
    path = tmp_path / "points.csv"
    lines = [f"cpu,{host},{time(minute)},1" for minute in range(10) for host in "ab"]
    path.write_text("\n".join(["metric,host,timestamp,value", *lines]))
    return read(path, {}, None, Config())


def labelled(path, history, columns=None, metric=None, config=None):
    """Return the labelled minutes of a and b."""
    found = read_labels(path, history, columns or {}, metric, config or Config())
    assert found.label.shape == (20,)
    return [np.flatnonzero(found.label[side::2]).tolist() for side in (0, 1)]


def csv(tmp_path, *lines):
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(path, history, **options):
    with pytest.raises(ConfigError) as caught:
        labelled(path, history, **options)
    return str(caught.value)


def test_an_interval_labels_its_first_and_its_last_point(tmp_path, history):
    path = csv(
        tmp_path,
        "metric,host,start,end",
        f"cpu,a,{time(2)},{time(4)}",
        f"cpu,b,{time(9)},{time(9)}",
    )
    assert labelled(path, history) == [[2, 3, 4], [9]]


def test_intervals_may_overlap_and_begin_between_points(tmp_path, history):
    path = csv(
        tmp_path,
        "host,end,start,metric",
        f"a,{time(5)},2021-03-02T12:02:30Z,cpu",
        f"a,{time(4)},{time(4)},cpu",
        f"a,2021-03-02T13:00:00Z,{time(9)},cpu",
    )
    assert labelled(path, history) == [[3, 4, 5, 9], []]


def test_a_row_may_tell_of_a_point(tmp_path, history):
    rows = [f"cpu,{h},{time(i)},1,{int(i == 3)}" for h in "ab" for i in range(10)]
    path = csv(tmp_path, "metric,host,timestamp,value,label", *rows)
    assert labelled(path, history) == [[3], [3]]


def test_points_without_a_row_are_not_labelled(tmp_path, history):
    path = csv(tmp_path, "metric,host,timestamp,label", f"cpu,b,{time(7)},true")
    assert labelled(path, history) == [[], [7]]


@pytest.mark.parametrize(
    "rows",
    [
        [{"start": START_MS + 120_000, "end": START_MS + 180_000}],
        [{"start": time(2), "end": time(3)}],
        [{"timestamp": time(i), "label": 1 if i in (2, 3) else 0} for i in range(10)],
        [{"timestamp": time(i), "value": 1.5, "label": i in (2, 3)} for i in range(10)],
    ],
)
def test_json_lines_hold_the_same(tmp_path, history, rows):
    path = tmp_path / "labels.jsonl"
    of = {"metric": "cpu", "dimensions": {"host": "a"}}
    path.write_text("\n".join(json.dumps(of | row) for row in rows))
    assert labelled(path, history) == [[2, 3], []]


def test_parquet_holds_the_same(tmp_path, history):
    path = tmp_path / "labels.parquet"
    table = {"metric": ["cpu"] * 2, "host": ["a", "b"], "label": [1, 0]}
    times = pa.array([START_MS, START_MS], pa.timestamp("ms"))
    pq.write_table(pa.table(table | {"timestamp": times}), path)
    assert labelled(path, history) == [[0], []]


def test_columns_that_are_mapped_for_the_input_may_have_either_name(tmp_path, history):
    path = csv(tmp_path, "host,time,label", f"b,{time(7)},1")
    assert labelled(path, history, {"timestamp": "time"}, "cpu") == [[], [7]]
    path = csv(tmp_path, "host,timestamp,label", f"b,{time(7)},1")
    assert labelled(path, history, {"timestamp": "time"}, "cpu") == [[], [7]]


def test_labels_that_hold_no_point_are_counted_and_the_first_is_named(tmp_path, history):
    path = csv(
        tmp_path,
        "metric,host,start,end",
        f"cpu,a,{time(2)},{time(2)}",
        f"cpu,a,{time(20)},{time(30)}",
        f"cpu,b,{time(20)},{time(30)}",
    )
    found = read_labels(path, history, {}, None, Config())
    assert (found.left_out, found.first_left_out) == (2, f"{path}:3")
    assert found.label.sum() == 1


def test_labels_of_which_none_holds_a_point_are_refused(tmp_path, history):
    path = csv(tmp_path, "metric,host,start,end", f"cpu,a,{time(20)},{time(30)}")
    assert "no label holds a point of the input; are its times" in refusal(path, history)


def test_labels_that_are_all_zero_are_good_news(tmp_path, history):
    path = csv(tmp_path, "metric,host,timestamp,label", f"cpu,a,{time(2)},0")
    assert labelled(path, history) == [[], []]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"cqu,a,{time(1)},{time(2)}", ':3: series cqu{host="a"} is not in the input; did you'),
        (f"cpu,,{time(1)},{time(2)}", ":3: series cpu is not in the input"),
        (f"x,,{time(1)},{time(2)}", ":3: series x is not in the input; correct it, or leave"),
        (f"cpu,a,{time(2)},{time(1)}", ":3: end is before start"),
        (f"cpu,a,soon,{time(1)}", ":3: timestamp is not of the form"),
        (f"cpu,a,{time(2)},", ":3: timestamp is missing"),
    ],
)
def test_a_row_that_cannot_be_right_is_named_by_its_line(tmp_path, history, row, said):
    path = csv(tmp_path, "metric,host,start,end", f"cpu,a,{time(0)},{time(1)}", row)
    assert refusal(path, history).startswith(f"{path}{said}")


@pytest.mark.parametrize("label", ["2", "yes", ""])
def test_a_label_is_0_or_1(tmp_path, history, label):
    path = csv(tmp_path, "metric,host,timestamp,label", f"cpu,a,{time(0)},{label}")
    assert refusal(path, history) == f"{path}:2: label must be 0 or 1"


@pytest.mark.parametrize("head", ["metric,timestamp", "metric,start", "metric,timestamp,label,end"])
def test_columns_must_tell_the_form(tmp_path, history, head):
    path = csv(tmp_path, head, ",".join("1" for _ in head.split(",")))
    assert f"found: {head.replace(',', ', ')}" in refusal(path, history)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.txt", "", "must end in one of .csv, .parquet, .jsonl, .ndjson"),
        ("labels.csv", "host,start,end\n", "no column 'metric', and no --metric names it"),
        ("labels.csv", "metric,start,end\nm,1\n", "labels.csv:2: has 2 cells where the header"),
        ("labels.jsonl", '{"metric":"m","at":1}', "labels.jsonl:1: Object contains unknown field"),
        ("labels.parquet", "no", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_understood_is_a_usage_error(tmp_path, history, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    assert said in refusal(path, history)
