"""The group's committed offsets as they move, and how long a fault held them up."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

_LOOK_EVERY_S = 0.2
_ANSWER_TIMEOUT_S = 2


class Progress:
    """Looks at the offsets of a group, in a thread, until closed."""

    def __init__(self, bootstrap: str, group: str, topic: str, partitions: int) -> None:
        self._asked = [TopicPartition(topic, index) for index in range(partitions)]
        # Uncommitted: an answer must not wait for the open transaction of a dead worker.
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "isolation.level": "read_uncommitted",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._seen: list[tuple[float, tuple[int, ...]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offsets(self) -> tuple[int, ...]:
        """Return the newest that were seen, partition by partition; below 0: none."""
        return self._seen[-1][1] if self._seen else (-1,) * len(self._asked)

    def held_up_s(self, at_s: float) -> float | None:
        """Return how long after `at_s` every partition had a new offset; None: never."""
        before = [offsets for seen_s, offsets in self._seen if seen_s <= at_s]
        if not before:
            return None
        for seen_s, offsets in self._seen:
            if seen_s > at_s and all(x > y for x, y in zip(offsets, before[-1], strict=True)):
                return seen_s - at_s
        return None

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            try:
                answers = self._consumer.committed(self._asked, timeout=_ANSWER_TIMEOUT_S)
            except KafkaException:
                continue
            offsets = tuple(answer.offset for answer in answers)
            if offsets != self.offsets():
                self._seen.append((time.monotonic(), offsets))
