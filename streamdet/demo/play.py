"""The demo from start to end: broker, worker, feed, view, summary."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console

from streamdet.clock import Clock, SystemClock
from streamdet.demo import fleet as fleets
from streamdet.demo.feed import Feed
from streamdet.demo.fleet import Fleet
from streamdet.demo.reader import Reader
from streamdet.demo.signals import POINTS_PER_DAY
from streamdet.demo.summary import Account, Timing, render
from streamdet.demo.view import Progress, Shown, View, view_for
from streamdet.demo.worker import (
    ANOMALY_TOPIC,
    DEAD_LETTER_TOPIC,
    METRICS_TOPIC,
    Counters,
    Worker,
    total,
)
from streamdet.errors import ConfigError, FatalError
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.mock import MockBroker
from streamdet.kafka.producer import KafkaProducer
from streamdet.types import Outcome

_POINTS_MAX = 20_000_000  # some 600 MB
_LOOK_EVERY_S = 0.2
_SHOW_EVERY_S = 0.125
_STANDSTILL_S = 60.0
_READ_BACK_S = 10.0  # after the last commit; what has not come by then does not come
_INTERRUPTED = 130
_WIDTH_OF_A_FILE = 120
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_NEXT = """
what next
  streamdet replay FILE --topic metrics      your own points, from CSV or JSON lines
  streamdet run --config streamdet.yaml      the same worker on your own broker
  README.md                                  the formats, the settings, the metrics"""


def run(series: int = 200, seed: int = 1, *, plain: bool = False, days: float = 21.0) -> int:
    """Show streamdet at work on an embedded broker; return the exit code.

    Parameters
    ----------
    series : int
        Number of series.
    seed : int
        Seed of the fleet.
    plain : bool
        Lines instead of the live view.
    days : float
        Days of event time, at least 4.

    Returns
    -------
    int
        0: every point is accounted for and the worker ended well. 1: not so. 130: interrupted.

    Raises
    ------
    ConfigError
        `series` times `days` is more than fits into memory.
    FatalError
        The broker or the worker failed.
    """
    points = round(series * days * POINTS_PER_DAY)
    if points > _POINTS_MAX:
        raise ConfigError(
            f"series x days: {points:,} points are too many for a demo, {_POINTS_MAX:,} at most; "
            "lower one of the two"
        )
    # librdkafka's lines would fall into the live view; what matters comes as an exception.
    logging.getLogger("streamdet").addHandler(logging.NullHandler())
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    with _interrupted_once():
        try:
            return _run(console, series=series, seed=seed, plain=plain, days=days)
        except KeyboardInterrupt:
            console.print("stopped; the worker and the broker have ended", highlight=False)
            return _INTERRUPTED


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Turn the first of the signals that end a program into KeyboardInterrupt, ignore the rest."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for one in _SIGNALS:  # the way out is bounded in time, and must not be cut short
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _run(console: Console, *, series: int, seed: int, plain: bool, days: float) -> int:
    clock = SystemClock()
    timing = Timing(started_s=clock.monotonic_s())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamdet-demo-")))
        broker = stack.enter_context(
            MockBroker(topics=(METRICS_TOPIC, ANOMALY_TOPIC, DEAD_LETTER_TOPIC))
        )
        worker = stack.enter_context(Worker(directory, broker.bootstrap))
        console.print(
            f"broker   {broker.bootstrap}, embedded: librdkafka's mock cluster\n"
            f"worker   streamdet run --config {worker.config}\n"
            f"metrics  {worker.address}",
            highlight=False,
            soft_wrap=True,
        )
        fleet = fleets.make(series, seed, days, end_us=round(clock.time_s() * 1e6))
        options = {"bootstrap.servers": broker.bootstrap}
        producer = KafkaProducer(options)
        stack.callback(producer.close)
        consumer = KafkaConsumer(options, "streamdet-demo-reader")
        stack.callback(consumer.close)
        reader = Reader(consumer, fleet.labels)
        console.print(
            f"fleet    {series:,} series, {fleet.n_points:,} points, {days:g} days of event time, "
            f"{len(fleet.labels)} anomalies hidden in them\n"
            "waiting for the worker; the first start of an installation compiles for a while",
            highlight=False,
            soft_wrap=True,
        )
        worker.wait_ready()
        timing.produced_from_s = clock.monotonic_s()
        feed = Feed(fleet, METRICS_TOPIC, producer, clock)
        performance = Performance(feed, worker, reader, timing)
        with view_for(console, plain=plain) as view:
            performance.play(view, clock)
        timing.finished_s = timing.committed[-1][0]
        account = _account(fleet, feed, reader, performance.counters, worker.end())
    console.print(render(account, reader.board, timing), highlight=False)
    console.print(_NEXT, highlight=False, markup=False, soft_wrap=True)
    return 1 if account.problems() else 0


class Performance:
    """Feeds, reads and shows until everything that was sent is committed and read back."""

    def __init__(self, feed: Feed, worker: Worker, reader: Reader, timing: Timing) -> None:
        self._feed = feed
        self._worker = worker
        self._reader = reader
        self._timing = timing
        self._committed = 0
        self.counters: Counters = {}
        """What the worker's /metrics said last."""

    def play(self, view: View, clock: Clock) -> None:
        """Play to the end.

        Raises
        ------
        FatalError
            The worker ended, or nothing moved for a minute.
        """
        self._timing.committed.append((clock.monotonic_s(), 0))
        next_look_s = next_show_s = 0.0
        new: list[Shown] = []
        finished = False
        while not finished:
            self._feed.advance(self._committed)
            new += self._reader.read()
            now_s = clock.monotonic_s()
            if self._timing.first_anomaly_s is None and any(shown.kind for shown in new):
                self._timing.first_anomaly_s = now_s
            if now_s >= next_look_s:
                next_look_s = now_s + _LOOK_EVERY_S
                self._look(now_s)
                finished = self._finished(now_s)
            if finished or now_s >= next_show_s:
                next_show_s = now_s + _SHOW_EVERY_S
                view.show(self._progress(now_s), new)
                new = []

    def _look(self, now_s: float) -> None:
        """Ask the worker how far it is."""
        try:
            self.counters = self._worker.counters()
        except OSError:
            return  # busy; the next look comes soon
        committed = total(self.counters, "streamdet_records_consumed_total")
        if committed > self._committed:
            self._committed = committed
            self._timing.committed.append((now_s, committed))

    def _finished(self, now_s: float) -> bool:
        still_s = now_s - self._timing.committed[-1][0]
        if not self._feed.done or self._committed < self._feed.n_records:
            if still_s > _STANDSTILL_S:
                raise FatalError(
                    f"the worker committed nothing for {_STANDSTILL_S:g} s: {self._committed:,} "
                    f"of {self._feed.produced:,} records produced; see {self._worker.address}"
                )
            return False
        all_read = self._reader.board.n_events >= total(
            self.counters, "streamdet_anomalies_total"
        ) and self._reader.n_dead_letters >= total(self.counters, "streamdet_dead_letters_total")
        return all_read or still_s > _READ_BACK_S

    def _progress(self, now_s: float) -> Progress:
        return Progress(
            address=self._worker.address,
            elapsed_s=now_s - self._timing.produced_from_s,
            points=self._committed,
            rate=self._timing.rate(),
            lag=self._feed.produced - self._committed,
            events=self._reader.board.n_events,
            dead_letters=self._reader.n_dead_letters,
            event_time_us=self._feed.event_time_us(self._committed),
            share=self._committed / self._feed.n_records,
        )


def _account(
    fleet: Fleet, feed: Feed, reader: Reader, counters: Counters, exit_code: int | None
) -> Account:
    outcomes = (outcome.name.lower() for outcome in Outcome)
    return Account(
        records_produced=feed.produced,
        points_produced=fleet.n_points,
        malformed_produced=len(fleet.malformed),
        records_consumed=total(counters, "streamdet_records_consumed_total"),
        outcomes={
            name: total(counters, "streamdet_points_total", outcome=name) for name in outcomes
        },
        anomalies_counted=total(counters, "streamdet_anomalies_total"),
        events_read=reader.board.n_events,
        dead_letters_read=reader.n_dead_letters,
        worker_exit_code=exit_code,
    )
