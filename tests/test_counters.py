"""`transform: rate` through the whole service: counters are judged by how fast they grow."""

from __future__ import annotations

import numpy as np

from streamdet.backtest.history import read
from streamdet.backtest.verdicts import judge, result
from tests.service import MINUTE_MS, START_MS, Worker, broker, config, events, point, produce

MINUTES = 200
RULES = [{"match": {"metric": "*_total"}, "set": {"transform": "rate"}}]


def counter(start: float = 0.0, seed: int = 0) -> np.ndarray:
    """Bytes sent since the process began: some 1000 a second, once a minute."""
    per_second = np.random.default_rng(seed).normal(1000, 20, MINUTES)
    return start + np.cumsum(np.round(60 * per_second))


def judged(values, publish="anomalies", metric="bytes_total", **settings):
    on = broker()
    produce(on, [point(minute, float(value), metric) for minute, value in enumerate(values)])
    worker = Worker(on, config(publish=publish, rules=RULES, **settings))
    worker.drain()
    return events(on), worker


def test_a_counter_that_grows_as_ever_is_no_anomaly():
    found, worker = judged(counter())
    assert found == []
    assert worker.outcomes() == {"ok": MINUTES}


def test_a_restart_from_nothing_is_no_anomaly():
    values = counter()
    values[120:] -= values[119]
    assert values[120] < values[119]
    assert judged(values)[0] == []


def test_a_rate_that_jumps_is_an_anomaly_and_told_as_a_rate():
    for start in (0.0, 1e15):
        values = counter(start)
        values[150:] += 60_000
        found, _ = judged(values)
        anomalies = [event for event in found if event["isAnomaly"]]
        assert [event["timestamp"] for event in anomalies] == ["2021-03-02T14:30:00Z"]
        assert anomalies[0]["transform"] == "rate"
        assert anomalies[0]["isPositiveAnomaly"]
        assert 1900 < anomalies[0]["value"] < 2100
        assert 900 < anomalies[0]["expectedValue"] < 1100


def test_the_first_point_of_a_counter_has_no_verdict():
    found, worker = judged(counter(), publish="all")
    assert len(found) == MINUTES - 1
    assert worker.outcomes() == {"ok": MINUTES}
    assert [event["status"] for event in found[:13]] == ["warming"] * 12 + ["ok"]


def test_a_late_point_does_not_look_like_a_restart():
    values = counter()
    on = broker()
    points = [point(minute, float(value), "bytes_total") for minute, value in enumerate(values)]
    points.insert(150, points[100])
    points.insert(160, points[159])
    produce(on, points)
    worker = Worker(on, config(rules=RULES))
    worker.drain()
    assert events(on) == []
    assert worker.outcomes() == {"ok": MINUTES, "late": 1, "duplicate": 1}


def test_other_series_are_judged_by_their_values():
    values = counter()
    found, _ = judged(values, publish="all", metric="bytes")
    assert [event["value"] for event in found] == values.tolist()
    assert not any("transform" in event for event in found)


def test_a_backtest_shows_the_rates_that_it_judged(tmp_path):
    values = counter(1e15)
    rows = [f"bytes_total,{START_MS + m * MINUTE_MS},{value:.0f}" for m, value in enumerate(values)]
    source = tmp_path / "history.csv"
    source.write_text("\n".join(["metric,timestamp,value", *rows]))
    settings = config(rules=RULES)
    history = read(source, {}, None, settings)
    table = result(judge(history, settings))
    assert table["value"][0].as_py() is None
    np.testing.assert_array_equal(table["value"].to_numpy()[1:], np.diff(values) / 60)
    assert not any(table["isAnomaly"].to_pylist())
