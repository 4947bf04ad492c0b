"""A rule chooses the detector of its series, and the events say which it was."""

from __future__ import annotations

from tests.service import Worker, broker, config, events, point, produce, with_spikes

RULES = [
    {"match": {"metric": "bound"}, "set": {"detector": "threshold", "upperBound": 140}},
    {"match": {"metric": "spectral"}, "set": {"detector": "spectral_residual", "period": 12}},
]


def test_each_series_is_judged_by_the_detector_of_its_rule_and_its_events_say_so():
    on = broker()
    for minute, value in enumerate(with_spikes(100, at=[5, 80])):
        produce(on, [point(minute, value, metric) for metric in ("bound", "plain", "spectral")])
    worker = Worker(on, config(rules=RULES))
    worker.drain()
    found = [event for event in events(on) if event["isAnomaly"]]
    assert [(e["metric"], e["detector"], e["source"]["offset"] // 3) for e in found] == [
        ("bound", "threshold", 5),
        ("bound", "threshold", 80),
        ("plain", "forecast", 80),
        ("spectral", "spectral_residual", 80),
    ]
    severities = {e["detector"]: e["severity"] for e in found}
    assert severities["threshold"] == 1.0
    assert 0 < severities["spectral_residual"] == found[-1]["score"] / 20
    assert {e["period"] for e in found} == {0}
    of_class = {"topic": "metrics", "direction": "positive", "severity": "high"}
    assert worker.metric("anomalies_total", **of_class) >= 2
