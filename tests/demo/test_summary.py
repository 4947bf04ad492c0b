"""What counts as found and as false, what adds up, and how it reads."""

import dataclasses
import io

import pytest
from rich.console import Console

from streamdet.demo.fleet import Label
from streamdet.demo.signals import Kind
from streamdet.demo.summary import Account, Scoreboard, Timing, render
from streamdet.types import SeriesId

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
CPU = SeriesId.of("cpu_load", {"host": "web-1"})
ORDERS = SeriesId.of("orders", {"shop": "books"})
SPIKE = Label(CPU, Kind.SPIKE, 100 * HOUR_US, 100 * HOUR_US + 10 * MINUTE_US)
SHIFT = Label(ORDERS, Kind.LEVEL_SHIFT, 200 * HOUR_US, 202 * HOUR_US)
LABELS = (SPIKE, SHIFT)

ALL_WELL = Account(
    records_produced=1005,
    points_produced=1000,
    malformed_produced=5,
    records_consumed=1005,
    outcomes={"ok": 1000, "late": 0, "dead_lettered": 5},
    anomalies_counted=7,
    events_read=7,
    dead_letters_read=5,
    worker_exit_code=0,
)


@pytest.fixture
def board():
    return Scoreboard(LABELS)


def counted(board):
    return len(board.found), board.n_false, board.n_events


@pytest.mark.parametrize("time_us", [SPIKE.first_us, SPIKE.first_us + MINUTE_US, SPIKE.last_us])
def test_one_event_inside_the_label_finds_the_anomaly(board, time_us):
    assert board.see(CPU, time_us, "a") is Kind.SPIKE
    assert counted(board) == (1, 0, 1)


def test_more_events_inside_one_label_find_it_once(board):
    for minutes in (0, 5, 10):
        board.see(CPU, SPIKE.first_us + minutes * MINUTE_US, "a")
    assert counted(board) == (1, 0, 3)


def test_an_event_in_the_hour_after_is_neither_found_nor_false(board):
    assert board.see(CPU, SPIKE.last_us + HOUR_US, "a") is Kind.SPIKE
    assert counted(board) == (0, 0, 1)


@pytest.mark.parametrize("time_us", [SPIKE.first_us - 1, SPIKE.last_us + HOUR_US + 1])
def test_an_event_before_or_long_after_the_label_is_false(board, time_us):
    assert board.see(CPU, time_us, "a") is None
    assert counted(board) == (0, 1, 1)


def test_an_event_in_another_series_is_false(board):
    assert board.see(ORDERS, SPIKE.first_us, "a") is None
    assert board.see(SeriesId("elsewhere"), SPIKE.first_us, "b") is None
    assert counted(board) == (0, 2, 2)


def test_the_aftermath_of_a_level_shift_is_six_hours(board):
    assert board.see(ORDERS, SHIFT.first_us + 6 * HOUR_US, "a") is Kind.LEVEL_SHIFT
    assert board.see(ORDERS, SHIFT.first_us + 6 * HOUR_US + 1, "b") is None
    assert counted(board) == (0, 1, 2)


def test_what_follows_in_an_incident_is_no_alert_of_its_own(board):
    board.see(CPU, SPIKE.first_us, "a")
    assert board.see(CPU, SPIKE.last_us + 2 * HOUR_US, "a") is Kind.SPIKE
    assert (board.n_alerts, board.n_false) == (1, 0)


def test_a_false_alert_stays_one_though_its_incident_reaches_an_anomaly(board):
    assert board.see(CPU, SPIKE.first_us - 1, "a") is None
    assert board.see(CPU, SPIKE.first_us, "a") is Kind.SPIKE
    assert (board.n_alerts, board.n_false, board.found) == (1, 1, {SPIKE})


def test_found_anomalies_are_counted_by_kind(board):
    board.see(CPU, SPIKE.first_us, "a")
    assert board.by_kind() == {Kind.SPIKE: (1, 1), Kind.LEVEL_SHIFT: (1, 0)}


def test_an_account_that_adds_up_has_no_problems():
    assert ALL_WELL.problems() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"records_consumed": 1004}, "records consumed: 1,004, not 1,005"),
        ({"outcomes": {"ok": 999, "late": 1, "dead_lettered": 5}}, "points judged: 999, not 1,000"),
        ({"outcomes": {"ok": 1000, "dead_lettered": 4}}, "dead letters: 4, not 5"),
        ({"dead_letters_read": 6}, "dead letters read: 6, not 5"),
        ({"events_read": 8}, "events read: 8, not 7"),
        ({"worker_exit_code": 1}, "exit code 1, not 0"),
        ({"worker_exit_code": None}, "was killed"),
    ],
)
def test_whatever_does_not_add_up_is_named(change, says):
    problems = dataclasses.replace(ALL_WELL, **change).problems()
    assert any(says in problem for problem in problems)


def test_rates_come_from_what_was_committed():
    timing = Timing(0.0, committed=[(0.0, 0), (1.0, 100), (2.0, 1100), (3.0, 1200), (4.0, 1300)])
    assert timing.rate(window_s=2.0) == pytest.approx(100)
    assert timing.rate_max(window_s=1.0) == pytest.approx(1000)


@pytest.mark.parametrize("committed", [[], [(0.0, 0)]])
def test_without_two_looks_there_is_no_rate(committed):
    timing = Timing(0.0, committed=committed)
    assert (timing.rate(), timing.rate_max()) == (0, 0)


def rendered(account, board, timing):
    console = Console(width=100, file=io.StringIO())
    console.print(render(account, board, timing), highlight=False)
    return console.file.getvalue()


def test_the_summary_says_what_was_found_and_missed(board):
    for _ in range(3):
        board.see(CPU, SPIKE.first_us, "a")
    board.see(CPU, 0, "b")
    timing = Timing(10.0, 15.0, 25.0, 18.5, [(15.0, 0), (25.0, 1005)])
    text = " ".join(rendered(ALL_WELL, board, timing).split())
    assert "points in 1,005 1,000 judged, 5 dead lettered" in text
    assert "dead letters 5 5 expected" in text
    assert "injected anomalies found 1 of 2 50%" in text
    assert "alerts 2 one for each incident" in text
    assert "false alerts 1 50%" in text
    assert "spike 1 1 level shift 1 0" in text
    assert "first anomaly shown 8.5 s" in text
    assert 'level shift orders{shop="books"}' in text
    assert "NOT AS IT SHOULD BE" not in text


def test_the_summary_says_what_does_not_add_up():
    account = dataclasses.replace(ALL_WELL, worker_exit_code=1)
    text = rendered(account, Scoreboard(()), Timing(0.0, 0.0, 1.0))
    assert "NOT AS IT SHOULD BE  the worker ended with exit code 1, not 0" in text
