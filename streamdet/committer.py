"""A worker's commits: begun, perhaps beside the work on what comes next, and settled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from streamdet.clock import Clock
from streamdet.commit import commit
from streamdet.config import Config
from streamdet.metrics import Metrics, Tally
from streamdet.ports import RecordConsumer, RecordProducer
from streamdet.snapshot import Snapshots
from streamdet.task import Task
from streamdet.types import Partition

Beside = Callable[[Callable[[], None]], "Future[None]"]
"""Makes a commit, and returns its outcome, maybe before there is one: an executor's `submit`."""


class _Underway(NamedTuple):
    outcome: Future[None]
    tallies: Mapping[Partition, Tally]


def at_once(make_it: Callable[[], None]) -> Future[None]:
    """Make a commit here and now; return its outcome, or raise what it raises."""
    make_it()
    outcome: Future[None] = Future()
    outcome.set_result(None)
    return outcome


def commits_of(config: Config) -> Beside:
    """Return how a worker makes its commits: eager transactions on a thread, while it goes on.

    Offsets without a transaction show no membership of their own: they are for between two polls.
    """
    if config.commit_mode == "eager" and config.delivery == "exactly_once":
        return ThreadPoolExecutor(1, "commit").submit
    return at_once


class Committer:
    """Makes the work on tasks final.

    What a commit takes is taken when it begins: offsets, state, tallies, and the membership of the
    group, by which the brokers tell whether the partitions are still ours. From then until `settle`
    nobody else may use the producer; polling, decoding and detecting may go on. They change state
    that is not final either way: if the commit fails, all of it is thrown away.

    Parameters
    ----------
    config : Config
    consumer, producer : ports
    metrics : Metrics
    clock : Clock
    beside : callable
        See `Beside`; one that returns sooner takes a transactional producer.
    """

    def __init__(
        self,
        config: Config,
        consumer: RecordConsumer,
        producer: RecordProducer,
        metrics: Metrics,
        clock: Clock,
        beside: Beside,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._metrics = metrics
        self._beside = beside
        self._snapshots = Snapshots(config, metrics, clock)
        # Work and commit together stay well below the time after which the brokers abort a
        # transaction by themselves.
        timeout_s = config.transaction_timeout.total_seconds()
        self._interval_s = min(config.commit_interval.total_seconds(), timeout_s / 4)
        self._timeout_s = timeout_s / 2
        self._clock = clock
        self._due_s = clock.monotonic_s()
        self._underway: _Underway | None = None

    def is_due(self) -> bool:
        """Return whether it is time to make everything final; then count from now on."""
        now_s = self._clock.monotonic_s()
        if now_s - self._due_s < self._interval_s:
            return False
        self._due_s = now_s
        return True

    def begin(self, tasks: Sequence[Task]) -> None:
        """Let what was done on `tasks` become final; nothing may be under way.

        Raises
        ------
        TransactionAborted
            As `commit`, if it is made at once; else `settle` does.
        """
        assert self._underway is None, "one commit at a time"
        next_offsets = {t.partition: t.next_offset for t in tasks if t.next_offset is not None}
        state = list(self._snapshots.take(tasks))
        membership = self._consumer.group_metadata()
        producer, consumer, timeout_s = self._producer, self._consumer, self._timeout_s

        def make_it() -> None:
            with self._metrics.commit_seconds.time():
                commit(next_offsets, state, producer, consumer, membership, timeout_s)

        outcome = self._beside(make_it)
        self._underway = _Underway(outcome, {task.partition: task.take_tally() for task in tasks})

    def settle(self) -> bool:
        """Wait for the commit under way and count what it made final; tell if there was one.

        Raises
        ------
        TransactionAborted
            As `commit`.
        """
        if self._underway is None:
            return False
        (outcome, tallies), self._underway = self._underway, None
        outcome.result()
        self._metrics.transactions.labels("committed").inc()
        self._metrics.record(tallies)
        return True

    def close(self) -> None:
        """Wait for the commit under way, whatever comes of it, and close the producer."""
        if self._underway is not None:
            with contextlib.suppress(Exception):
                self._underway.outcome.result()
        self._producer.close()
