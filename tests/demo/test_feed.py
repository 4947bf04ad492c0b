"""The feed: fast through the history, then paced, and never far ahead of the worker."""

import pytest

from streamdet.demo import fleet as fleets
from streamdet.demo.feed import Feed
from streamdet.testing import ManualClock, MemoryBroker, MemoryProducer

AHEAD_MAX = 20_000


@pytest.fixture(scope="module")
def fleet():
    return fleets.make(60, days=5, end_us=1_790_000_000_000_000)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def broker():
    return MemoryBroker({"points": 4})


@pytest.fixture
def feed(fleet, broker, clock):
    return Feed(fleet, "points", MemoryProducer(broker), clock)


def push(feed, committed, times=100):
    for _ in range(times):
        feed.advance(committed)


def test_the_feed_never_runs_further_ahead_than_the_broker_keeps(feed, clock):
    push(feed, committed=0)
    assert feed.produced == AHEAD_MAX
    clock.advance(3600)
    push(feed, committed=5_000)
    assert feed.produced == AHEAD_MAX + 5_000


def test_the_history_waits_for_no_clock_and_what_follows_does(fleet, feed, clock):
    push(feed, committed=10**9)
    in_history = feed.produced
    assert feed.event_time_us(in_history) == fleet.labels[0].first_us
    clock.advance(5)  # seconds for a day of event time
    push(feed, committed=10**9)
    a_day = feed.event_time_us(feed.produced) - feed.event_time_us(in_history)
    assert a_day == pytest.approx(86_400e6, rel=0.02)


def test_one_turn_sends_a_bounded_number(feed):
    feed.advance(0)
    assert feed.produced == 2_000


def test_at_the_end_every_record_was_sent_once(fleet, feed, broker, clock):
    push(feed, committed=10**9)
    clock.advance(3600)
    push(feed, committed=10**9)
    assert feed.done
    assert feed.produced == feed.n_records == fleet.n_points + 5
    assert len(broker.read("points")) == feed.n_records
    feed.advance(10**9)
    assert len(broker.read("points")) == feed.n_records
    assert feed.event_time_us(feed.n_records) == fleet.times_us[-1]
