"""When verdicts come to be seen by a reader of committed records."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer

_POLL_TIMEOUT_S = 0.05


class Watch:
    """Reads a topic of events, in a thread, from the moment it is entered on.

    Parameters
    ----------
    bootstrap, topic
    metric
        Events of its series are `its`, those of all other series `others`.
    """

    def __init__(self, bootstrap: str, topic: str, metric: str) -> None:
        self._prefix = f"{metric}{{".encode()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"watch-{topic}",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.subscribe([topic])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.its: list[float] = []
        """Times (of `time.time`) at which events of the metric came, one for each that did."""
        self.others: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            messages = self._consumer.consume(1, _POLL_TIMEOUT_S)
            messages += self._consumer.consume(10_000, 0) if messages else []
            now_s = time.time()
            for message in messages:
                if message.error() is None:
                    its = (message.key() or b"").startswith(self._prefix)
                    (self.its if its else self.others).append(now_s)


def longest_gap_s(times_s: list[float], first_s: float, last_s: float) -> float:
    """Return the longest stretch between `first_s` and `last_s` in which nothing came."""
    within = [first_s, *(t for t in times_s if first_s < t < last_s), last_s]
    return max(b - a for a, b in pairwise(within))
