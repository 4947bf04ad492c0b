"""The live view and the plain lines, without a terminal."""

import io

import pytest
from rich.console import Console

from streamdet.demo.signals import Kind
from streamdet.demo.view import Anomaly, LiveView, PlainView, Progress, Shown, number, view_for

DAY_US = 86_400_000_000


def progress(elapsed_s=12.0, **changes):
    figures = {
        "address": "http://127.0.0.1:9108/metrics",
        "elapsed_s": elapsed_s,
        "points": 123_456,
        "rate": 12_345.6,
        "lag": 2_001,
        "events": 17,
        "dead_letters": 3,
        "event_time_us": 20_000 * DAY_US,
        "share": 0.25,
    }
    return Progress(**{**figures, **changes})


def shown(host="web-1", time="2026-03-02T01:05:00Z", kind=Kind.SPIKE, up=True, number=1):
    anomaly = Anomaly(
        metric="cpu_load",
        dimensions={"host": host},
        timestamp=time,
        value=91.256 if up else 1.5,
        expected_value=40.0,
        upper_boundary=52.5,
        lower_boundary=27.5,
        is_positive_anomaly=up,
        severity=0.8,
        incident=f"{host}-{number}",
    )
    return Shown(anomaly, kind)


def console_for(width=120, terminal=True, **settings):
    return Console(
        file=io.StringIO(),
        width=width,
        height=40,
        force_terminal=terminal,
        _environ={"TERM": "xterm-256color"},
        **settings,
    )


def live_text(width, *news):
    console = console_for(width)
    with LiveView(console) as view:
        for new in news:
            view.show(progress(), new)
    paper = Console(file=io.StringIO(), width=width)
    paper.print(view.frame(progress()))
    return paper.file.getvalue()


def lines_of(text, word):
    return [line for line in text.splitlines() if word in line]


def test_the_live_view_shows_the_figures_and_the_address():
    text = live_text(120, [])
    for figure in ("127.0.0.1:9108/metrics", "123,456", "12,346/s", "2,001", "17", "3", "25%"):
        assert figure in text
    assert "event time 2024-10-04 00:00" in text


def test_the_live_view_shows_an_anomaly_with_its_band_and_kind():
    (line,) = lines_of(live_text(120, [shown()]), "cpu_load")
    columns = " ".join(line.split())
    assert columns == "03-02 01:05 cpu_load{web-1} ▲ 91.26 40 27.5 .. 52.5 ████░ 1 spike"


def test_a_false_event_and_a_fall_are_told_apart():
    (line,) = lines_of(live_text(120, [shown(kind=None, up=False)]), "cpu_load")
    assert "▼" in line
    assert line.split()[-1] == "no"


def test_a_narrow_terminal_leaves_out_the_band():
    text = live_text(80, [shown()])
    (line,) = lines_of(text, "cpu_load{web-1}")
    assert "27.5" not in line
    assert line.split()[-1] == "yes"
    assert max(map(len, text.splitlines())) <= 80


def test_the_newest_stands_on_top_and_twelve_series_stay():
    text = live_text(120, [shown(f"web-{i:02}") for i in range(20)])
    hosts = [line.split()[2] for line in lines_of(text, "cpu_load")]
    assert hosts == [f"cpu_load{{web-{i:02}}}" for i in range(19, 7, -1)]


def test_events_of_an_incident_share_a_line():
    text = live_text(
        120,
        [shown(), shown(time="2026-03-02T01:10:00Z")],
        [shown("db-1"), shown(time="2026-03-02T01:15:00Z")],
    )
    first, second = lines_of(text, "cpu_load")
    assert "01:15" in first
    assert first.split()[-2:] == ["3", "spike"]
    assert "db-1" in second


def test_another_incident_of_a_series_counts_anew():
    (line,) = lines_of(live_text(120, [shown(), shown(number=2)]), "cpu_load")
    assert line.split()[-2:] == ["1", "spike"]


def plain_text(*calls):
    console = console_for(terminal=False)
    with PlainView(console) as view:
        for figures, new in calls:
            view.show(figures, new)
    return console.file.getvalue()


def test_plain_lines_say_the_same_in_ascii():
    text = plain_text((progress(), [shown(), shown("web-2", kind=None)]))
    assert text.isascii()
    assert text.splitlines() == [
        'anomaly  2026-03-02 01:05  cpu_load{host="web-1"}  value 91.26 (up)  expected 40,'
        " normal from 27.5 to 52.5  severity 0.80  injected spike",
        'anomaly  2026-03-02 01:05  cpu_load{host="web-2"}  value 91.26 (up)  expected 40,'
        " normal from 27.5 to 52.5  severity 0.80  not injected",
        "   12 s  points 123,456  rate 12,346/s  lag 2,001  events 17  dead letters 3"
        "  event time 2024-10-04 00:00",
    ]


def test_plain_figures_come_every_five_seconds_and_anomalies_are_limited():
    text = plain_text(
        (progress(0.0), []),
        (progress(1.0), [shown(f"web-{i}") for i in range(10)]),
        (progress(4.9), [shown()]),
        (progress(5.1), []),
        (progress(5.2), []),
    )
    assert len(lines_of(text, "points 123,456")) == 2
    assert len(lines_of(text, "cpu_load")) == 3
    assert lines_of(text, "more") == ["anomaly  and 8 more"]


def test_plain_lines_do_not_repeat_a_series_that_goes_on():
    text = plain_text((progress(), [shown(), shown(time="2026-03-02T01:10:00Z")]))
    assert len(lines_of(text, "cpu_load")) == 1
    assert "and 1 more" in text


@pytest.mark.parametrize(
    ("console", "plain", "view"),
    [
        (console_for(), False, LiveView),
        (console_for(), True, PlainView),
        (console_for(terminal=False), False, PlainView),
        (console_for(no_color=True), False, PlainView),
    ],
)
def test_the_live_view_is_for_terminals_with_colours(console, plain, view):
    assert type(view_for(console, plain=plain)) is view


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12, "12"), (0.95312, "0.9531"), (1234.5, "1,234"), (-2e6, "-2,000,000")],
)
def test_numbers_have_four_digits_that_count(value, text):
    assert number(value) == text
