"""`streamdet tune`: what it suggests keeps what it promises, and can be used as it is printed."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from streamdet.backtest.history import read
from streamdet.backtest.season import series_rows, usual_period
from streamdet.backtest.tune import as_yaml, suggest
from streamdet.backtest.verdicts import judge
from streamdet.cli import app
from streamdet.config import Config, load
from streamdet.types import IncidentState, SeriesId
from tests.service import START_MS

STEP_MS = 15 * 60_000
A_DAY = 96
DAYS = 21


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def steady(seed, n=A_DAY * DAYS):
    """Noise around a level, with the heavier tail that metrics have."""
    return 100 + np.random.default_rng(seed).standard_t(5, n)


def busy_by_day(seed):
    """A night at 10, a morning that steps up to 100 within a point, and a noon at 50."""
    pattern = np.concatenate([np.full(32, 10.0), np.full(32, 100.0), np.full(32, 50.0)])
    return np.tile(pattern, DAYS) + np.random.default_rng(seed).normal(0, 1, A_DAY * DAYS)


def write(path, series):
    """Write {(metric, host): values} as Parquet, every fifteen minutes."""
    columns = {"metric": [], "host": [], "timestamp": [], "value": []}
    for (metric, host), values in series.items():
        columns["metric"] += [metric] * len(values)
        columns["host"] += [host] * len(values)
        columns["timestamp"] += [START_MS + i * STEP_MS for i in range(len(values))]
        columns["value"] += list(values)
    columns["timestamp"] = pa.array(columns["timestamp"], pa.timestamp("ms", "UTC"))
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def history(tmp_path):
    def made(series, config=None):
        return read(write(tmp_path / "h.parquet", series), {}, None, config or Config())

    return made


def applied(suggestions, **settings):
    return Config.model_validate({"rules": [each.rule for each in suggestions], **settings})


def alerts(history, config):
    return int(np.count_nonzero(judge(history, config).state == IncidentState.ONSET))


def test_without_labels_the_alerts_a_day_are_kept_and_one_step_more_is_too_many(history):
    found = history({("cpu", host): steady(k) for k, host in enumerate("abc")})
    (one,) = suggest(found, Config(), max_alerts_per_day=1)
    settings = one.rule["set"]
    assert one.rule["match"] == {"metric": "cpu"}
    assert list(settings) == ["sensitivity"]
    assert 0 < alerts(found, applied([one])) <= DAYS
    more = {"match": one.rule["match"], "set": {"sensitivity": settings["sensitivity"] + 1}}
    assert alerts(found, Config.model_validate({"rules": [more]})) > DAYS - 1
    assert alerts(found, applied([one])) == int(one.reasons[0].split()[0])


def test_by_default_a_series_may_alert_once_a_week(history):
    found = history({("cpu", host): steady(k) for k, host in enumerate("abcdefgh")})
    (one,) = suggest(found, Config())
    assert "at most 1.14 alerts a day" in one.reasons[1]
    assert alerts(found, applied([one])) <= 8 * DAYS / 7


def test_fewer_alerts_allowed_never_mean_a_higher_sensitivity(history):
    found = history({("cpu", host): steady(k) for k, host in enumerate("ab")})
    chosen = [
        suggest(found, Config(), max_alerts_per_day=limit)[0].rule["set"]["sensitivity"]
        for limit in (0, 0.1, 0.5, 2, 10)
    ]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_with_labels_the_best_f1_decides(history):
    values = steady(1)
    at = np.arange(200, len(values), 300)
    values[at] += 12
    found = history({("cpu", "a"): values})
    label = np.zeros(len(values), np.bool_)
    label[at] = True
    (one,) = suggest(found, Config(), label=label)
    verdicts = judge(found, applied([one]))
    assert (verdicts.is_anomaly[at]).all()
    assert f"{len(at)} of {len(at)} labelled events found" in one.reasons[1]
    assert "best F1 by event" in one.reasons[2]
    (limited,) = suggest(found, Config(), label=label, max_alerts_per_day=0)
    assert limited.rule["set"]["sensitivity"] < one.rule["set"]["sensitivity"]


def test_a_period_that_helps_is_suggested_and_named_after_the_calendar(history):
    found = history({("busy", host): busy_by_day(k) for k, host in enumerate("ab")})
    rows = series_rows(found)
    usual = usual_period(found, rows, [0, 1])
    assert (usual.period, usual.name, usual.votes, usual.asked) == (A_DAY, "a day", 2, 2)
    given = Config.model_validate({"detection": {"period": 0, "ring_length": 100}})
    (one,) = suggest(found, given)
    assert one.rule["set"]["period"] == A_DAY
    assert one.rule["set"]["ring_length"] is None  # 100 hold no three days
    assert "period 96 points (a day), found in 2 of 2 series" in one.reasons[-1]
    applied([one])


def test_series_without_a_period_are_given_none(history):
    found = history(
        {("cpu", "a"): steady(1), ("cpu", "b"): steady(2), ("cpu", "c"): busy_by_day(3)}
    )
    (one,) = suggest(found, Config())
    assert "period" not in one.rule["set"]
    assert one.reasons[-1].startswith("no period")


def test_a_period_is_found_in_a_series_with_gaps_and_large_values(history):
    values = 1e9 + busy_by_day(1)
    found = history({("busy", "a"): values})
    keep = np.random.default_rng(1).random(len(values)) > 0.1
    rows = [series_rows(found)[0][keep]]
    assert usual_period(found, rows, [0]).period == A_DAY


def test_the_rules_of_the_configuration_are_kept_and_other_metrics_get_one_each(history):
    rules = [
        {"match": {"metric": "c*", "dimensions": {"host": "a"}}, "set": {"direction": "up"}},
        {"match": {"metric": "nobody"}, "set": {"sensitivity": 12}},
    ]
    config = Config.model_validate({"rules": rules})
    series = [("cpu", "a"), ("cpu", "b"), ("disk[0]", "a")]
    found = history({name: steady(k, 2000) for k, name in enumerate(series)})
    suggested = suggest(found, config)
    assert [each.series for each in suggested] == [1, 0, 1, 1]
    assert suggested[0].rule["match"] == rules[0]["match"]
    assert suggested[0].rule["set"]["direction"] == "up"
    assert suggested[1].rule == rules[1]
    assert suggested[1].reasons == ("left as it is: no point of its series could be judged",)
    sensitivity = [each.rule["set"]["sensitivity"] for each in suggested]
    judged = judge(found, applied(suggested)).sensitivity
    for (metric, host), expected in zip(series, (sensitivity[at] for at in (0, 2, 3)), strict=True):
        number = found.keys.index(str(SeriesId.of(metric, {"host": host})).encode())
        assert set(judged[found.series == number].tolist()) == {expected}


def test_series_that_were_never_judged_are_left_as_they_are(history):
    found = history({("cpu", "a"): steady(1, 8)})
    (one,) = suggest(found, Config())
    assert one.rule == {"match": {"metric": "cpu"}, "set": {}}


def test_nothing_to_tune_gives_a_valid_file(tmp_path):
    text = as_yaml([], "h.csv: 0 points of 0 series")
    assert yaml.safe_load(text) == {"rules": []}


def test_the_command_prints_what_validate_accepts(tmp_path):
    path = write(tmp_path / "h.parquet", {("a: 'b' #c", "x"): steady(1), ("cpu", "x"): steady(2)})
    done = CliRunner().invoke(app, ["tune", str(path), "--max-alerts-per-day", "1"])
    assert done.exit_code == 0, done.output
    file = tmp_path / "rules.yaml"
    file.write_text(done.stdout)
    assert "# 1 series" in done.stdout
    assert "# sensitivity " in done.stdout
    metrics = [rule.match.metric for rule in load(file).rules]
    assert metrics == ["a: 'b' #c", "cpu"]
    assert CliRunner().invoke(app, ["validate", str(file)]).exit_code == 0


def test_the_command_reads_labels(tmp_path):
    values = steady(1)
    values[[500, 900, 1300]] += 15
    path = write(tmp_path / "h.parquet", {("cpu", "x"): values})
    labels = tmp_path / "labels.csv"
    at = [START_MS + i * STEP_MS for i in (500, 900, 1300)]
    lines = [f"cpu,x,{time_ms},1" for time_ms in (*at, START_MS - STEP_MS)]
    labels.write_text("\n".join(["metric,host,timestamp,label", *lines]) + "\n")
    done = CliRunner().invoke(app, ["tune", str(path), "--labels", str(labels)])
    assert done.exit_code == 0, done.output
    assert "3 of 3 labelled events found" in done.stdout
    assert done.stderr.startswith(f"{labels}:5: holds no point of the input; left out")


def test_series_made_of_windows_are_tuned_as_they_are_judged(history):
    """Of an aggregated series its windows count, and those of what it is rolled up into."""
    detection = {
        "aggregate": {"interval": "30m", "function": "max"},
        "rollup": {"by": [], "function": "mean"},
    }
    config = Config.model_validate({"detection": detection})
    found = history({("cpu", host): steady(k) for k, host in enumerate("abc")})
    label = np.zeros(len(found.value), np.bool_)
    label[500] = True
    (one,) = suggest(found, config, max_alerts_per_day=1)
    assert one.series == 4
    assert 0 < alerts(found, applied([one], detection=detection)) <= DAYS
    assert alerts(found, applied([one], detection=detection)) == int(one.reasons[0].split()[0])
    (labelled,) = suggest(found, config, label=label)
    assert "2 labelled events found" in labelled.reasons[1]  # a's own, and of all


def test_a_detector_without_a_sensitivity_is_left_as_it_is(history):
    found = history({("cpu", "a"): steady(1)})
    config = Config.model_validate({"detection": {"detector": "threshold", "upperBound": 103}})
    (one,) = suggest(found, config)
    assert one.rule["set"] == {}
    assert "threshold has no use for a sensitivity" in one.reasons[-1]
