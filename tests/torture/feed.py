"""Several producers at once, each with its own series, all in the same minute of event time."""

from __future__ import annotations

import threading
import time
from collections import Counter

from confluent_kafka import KafkaException, Producer

from streamdet.types import Outcome
from tests.torture.points import PRODUCERS, Points, Sent

_SLICES = 10
_BROKER_AWAY_MAX_S = 120


class Feed:
    """Writes all points of a run in threads, evenly over a time; catches up after an outage.

    Parameters
    ----------
    bootstrap, topic, points
    seconds
        How long it takes when nothing is in the way.
    """

    def __init__(self, bootstrap: str, topic: str, points: Points, seconds: float) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._points = points
        self._minute_s = seconds / points.minutes
        self._together = threading.Barrier(PRODUCERS)
        self._threads = [
            threading.Thread(target=self._run, args=[i], daemon=True) for i in range(PRODUCERS)
        ]
        self._lock = threading.Lock()
        self._began_s = 0.0
        self.stop = threading.Event()
        """Set: end before the next minute."""
        self.outcomes: Counter[Outcome] = Counter()
        """What must become of what was written."""
        self.minute = 0
        self.errors: list[Exception] = []
        """What ended the producers before their time."""

    def start(self) -> None:
        """Begin to write."""
        self._began_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def running(self) -> bool:
        """Tell whether there is more to write."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        """Wait for the producers, then let the time of all partitions pass."""
        for thread in self._threads:
            thread.join()
        if not self.errors:
            self._write(self._producer(), self._points.closing())

    def _run(self, index: int) -> None:
        try:
            producer = self._producer()
            for minute, records in enumerate(self._points.of(index)):
                size = -(-len(records) // _SLICES)
                for k in range(_SLICES):
                    due_s = self._began_s + (minute + k / _SLICES) * self._minute_s
                    time.sleep(max(0.0, due_s - time.monotonic()))
                    self._write(producer, records[k * size : (k + 1) * size])
                # A watermark that one producer moves makes late what another has not sent yet.
                self._together.wait(_BROKER_AWAY_MAX_S)
                self.minute = minute
                if self.stop.is_set():
                    break
        except (AssertionError, KafkaException, threading.BrokenBarrierError) as error:
            self.errors.append(error)
            self._together.abort()

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
                "queue.buffering.max.messages": 1_000_000,
            }
        )

    def _write(self, producer: Producer, records: list[Sent]) -> None:
        failed: list[str] = []

        def on_delivery(error: object, message: object) -> None:
            if error is not None:
                failed.append(str(error))

        for record in records:
            producer.produce(
                self._topic, record.value, record.key, record.partition, on_delivery=on_delivery
            )
        assert producer.flush(_BROKER_AWAY_MAX_S) == 0, "the broker took no points for too long"
        assert not failed, f"{len(failed)} records were not written: {failed[0]}"
        with self._lock:
            self.outcomes.update(record.outcome for record in records)
