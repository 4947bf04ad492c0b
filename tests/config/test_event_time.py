"""Late, doubled, uneven and missing points: which settings there are, and what they mean."""

from datetime import timedelta

import pytest

from streamdet.config import Config, DetectionConfig, load
from tests.config.refusal import problems

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NEVER_FORGOTTEN = "limits: {series_ttl: 0}\n"


def detection(write, text):
    return load(write(f"detection: {{{text}}}\n{NEVER_FORGOTTEN}")).detection


def test_by_default_points_are_taken_as_they_come():
    plain = DetectionConfig()
    assert (plain.allowed_lateness_us, plain.late, plain.duplicates) == (0, "drop", "first")
    assert (plain.tolerance_us, plain.window, plain.absent_after_us) == (-1, 0, 0)
    assert (plain.aggregate, plain.rollup, plain.timezone) == (None, None, None)
    assert (plain.grid_interval, plain.calendar, plain.impute_mode) == (0, False, "auto")


def test_durations_are_told_in_microseconds(write):
    found = detection(
        write, "granularity: hourly, allowed_lateness: 5m, tolerance: 0, absent_after: 3h"
    )
    assert found.allowed_lateness_us == 5 * MINUTE
    assert found.tolerance_us == 0
    assert found.absent_after_us == 3 * HOUR


@pytest.mark.parametrize(
    ("text", "grid", "calendar", "window"),
    [
        ("granularity: none", 0, False, 0),
        ("granularity: minutely, customInterval: 5", 5 * MINUTE, False, 0),
        ("granularity: weekly", 7 * DAY, False, 0),
        ("granularity: monthly, customInterval: 3", 3, True, 0),
        ("granularity: yearly, customInterval: 2", 24, True, 0),
        ("aggregate: {interval: 90s, function: sum}", 90_000_000, False, 90_000_000),
        ("granularity: daily, aggregate: {function: sum}", DAY, False, DAY),
        ("granularity: daily, aggregate: {interval: 24h, function: sum}", DAY, False, DAY),
        ("granularity: yearly, aggregate: {function: p99}", 12, True, 12),
    ],
)
def test_values_lie_as_far_apart_as_the_window_or_the_granularity_says(
    write, text, grid, calendar, window
):
    found = detection(write, text)
    assert (found.grid_interval, found.calendar, found.window) == (grid, calendar, window)


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("allowed_lateness: 8d", "allowed_lateness", "must be less than or equal to 7 days"),
        ("late: keep", "late", "must be 'drop', 'topic' or 'fill'"),
        ("duplicates: max", "duplicates", "must be 'first', 'last', 'mean' or 'sum'"),
        ("absent_after: 0", "absent_after", "must be greater than or equal to"),
        ("timezone: Europe/Berln", "timezone", "did you mean Europe/Berlin?"),
        ("timezone: Europe", "timezone", "is no time zone of the IANA database"),
        ("timezone: /etc/localtime", "timezone", "is no time zone of the IANA database"),
        ("timezone: no", "timezone", "must not be a boolean"),
        ("aggregate: {interval: 1m}", "aggregate.function", "is required"),
        ("aggregate: {interval: 0s, function: sum}", "aggregate.interval", "must be greater"),
        ("aggregate: {interval: 1m, function: p50, of: x}", "aggregate.of", "unknown key"),
        ("rollup: {function: sum}", "rollup.by", "is required"),
        ("tolerance: 5s", "tolerance", "needs a granularity"),
        ("tolerance: 30s, granularity: minutely", "tolerance", "must be less than half"),
        ("tolerance: 14d, granularity: monthly", "tolerance", "must be less than half"),
        (
            "tolerance: 5s, granularity: minutely, aggregate: {function: sum}",
            "tolerance",
            "has no effect with aggregate",
        ),
        ("aggregate: {function: sum}", "aggregate", "needs an interval, or a granularity"),
        (
            "granularity: hourly, aggregate: {interval: 1m, function: sum}",
            "aggregate.interval",
            "is not granularity x customInterval; remove one of the two",
        ),
        (
            "granularity: monthly, aggregate: {interval: 30d, function: sum}",
            "aggregate.interval",
            "is not granularity x customInterval",
        ),
        ("granularity: monthly, customInterval: 121", "customInterval", "more than ten years"),
        ("rollup: {by: [a], function: sum}", "rollup", "needs a granularity, or aggregate"),
        (
            "granularity: hourly, rollup: {by: [a, a], function: sum}",
            "rollup.by",
            "names a dimension twice",
        ),
        (
            "granularity: hourly, rollup: {by: [rollup], function: sum}",
            "rollup.by",
            "must not have rollup",
        ),
        (
            "granularity: hourly, rollup: {by: [], function: rate}",
            "rollup",
            "the counters of several series for one",
        ),
        (
            "aggregate: {interval: 1m, function: rate}, transform: rate",
            "transform",
            "one of them is enough",
        ),
        ("duplicates: mean, transform: rate", "duplicates", "must be first or last"),
        ("absent_after: 1m, granularity: minutely", "absent_after", "at least two intervals"),
        ("absent_after: 61d, granularity: monthly", "absent_after", "at least two intervals"),
        (
            "late: fill, detector: spectral_residual",
            "late",
            "is fill, which only the detector forecast can do",
        ),
        (
            "late: fill, aggregate: {interval: 1m, function: sum}",
            "late",
            "is fill, which has no effect with aggregate",
        ),
        ("late: fill, transform: rate", "late", "is fill, but no rate is known"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(write, text, field, said):
    (problem,) = problems(write(f"detection: {{{text}}}\n{NEVER_FORGOTTEN}"))
    assert problem.startswith(f"streamdet.yaml:1: detection.{field}: ")
    assert said in problem


def test_a_series_must_not_be_forgotten_before_its_next_point_or_its_absence(write):
    text = "detection: {granularity: monthly}\nrules: [{match: {}, set: {absent_after: 70d}}]\n"
    told = problems(write(text))
    assert [line.split(": ")[1] for line in told] == [
        "detection.granularity",
        "rules[0].set.absent_after",
    ]
    assert all("limits.series_ttl" in line for line in told)
    load(write(f"{text}limits: {{series_ttl: 71d}}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "granularity: monthly, period: 12, timezone: America/New_York",
        "granularity: monthly, tolerance: 1d",
        "granularity: minutely, tolerance: 29s, absent_after: 2m",
        "granularity: hourly, rollup: {by: [], function: p95}",
        "aggregate: {interval: 1m, function: last}, transform: rate, duplicates: last",
        "late: fill, allowed_lateness: 7d",
    ],
)
def test_what_goes_together_is_taken(write, text):
    detection(write, text)


def test_what_a_rule_makes_impossible_is_told_at_the_rule(write):
    file = write(
        "detection: {granularity: hourly, tolerance: 20m}\n"
        f"{NEVER_FORGOTTEN}"
        "rules:\n"
        "  - match: {metric: a}\n"
        "    set: {granularity: minutely}\n"
        "  - match: {metric: b}\n"
        "    set: {absent_after: 90m}\n"
        "  - match: {metric: c}\n"
        "    set: {tolerance: null, absent_after: 100d}\n"
    )
    assert problems(file) == [
        "streamdet.yaml:5: rules[0].set.tolerance: must be less than half of granularity x "
        "customInterval",
        "streamdet.yaml:7: rules[1].set.absent_after: must be at least two intervals, else every "
        "slow point is an absence; raise it",
    ]


def test_a_rule_takes_back_what_holds_for_every_series(write):
    file = write(
        "detection: {aggregate: {interval: 1m, function: mean}, absent_after: 1h}\n"
        "rules: [{match: {}, set: {aggregate: null, absent_after: null}}]\n"
    )
    config = load(file)
    taken_back = config.rules[0].over(config.detection)
    assert (taken_back.window, taken_back.absent_after_us) == (0, 0)
    assert config.detection.window == MINUTE


def test_variables_and_overrides_reach_into_windows(monkeypatch, write):
    monkeypatch.setenv("STREAMDET_DETECTION__AGGREGATE__FUNCTION", "p95")
    monkeypatch.setenv("STREAMDET_DETECTION__ROLLUP", "{by: [region], function: sum}")
    found = load(write("detection: {aggregate: null}"), ["detection.aggregate.interval=5m"])
    assert found.detection.aggregate.function == "p95"
    assert found.detection.aggregate.interval == timedelta(minutes=5)
    assert found.detection.rollup.by == ("region",)


def test_a_worker_writes_to_the_late_topic_only_where_a_rule_sends_points_there():
    assert Config().output_topics == ("streamdet.anomalies", "streamdet.dead-letters")
    for late in ("detection.late=topic", "rules=[{match: {metric: a}, set: {late: topic}}]"):
        config = load(None, [late, "output.late=late"])
        assert config.output_topics == ("streamdet.anomalies", "streamdet.dead-letters", "late")
