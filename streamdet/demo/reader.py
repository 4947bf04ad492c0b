"""Reads events and dead letters back, as a subscriber would; compares them with the labels."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streamdet.demo.fleet import Label
from streamdet.demo.summary import Scoreboard
from streamdet.demo.view import Anomaly, Shown
from streamdet.demo.worker import ANOMALY_TOPIC, DEAD_LETTER_TOPIC
from streamdet.errors import RetriableError
from streamdet.ports import RecordConsumer
from streamdet.types import Partition

_POLL_TIMEOUT_S = 0.02
_RECORDS_MAX = 1000


class _Event(msgspec.Struct, rename="camel"):
    is_anomaly: bool


class Reader:
    """A subscriber of the anomaly topic and the dead-letter topic.

    Parameters
    ----------
    consumer : RecordConsumer
        Of a group of its own; it is not closed here.
    labels : sequence of Label
    """

    def __init__(self, consumer: RecordConsumer, labels: Sequence[Label]) -> None:
        self.board = Scoreboard(labels)
        self.n_dead_letters = 0
        self._any = msgspec.json.Decoder(_Event)
        self._decoder = msgspec.json.Decoder(Anomaly)
        self._consumer = consumer
        consumer.subscribe([ANOMALY_TOPIC, DEAD_LETTER_TOPIC], self)

    def read(self) -> list[Shown]:
        """Return the anomalies that have arrived; that an incident is over is left out."""
        try:
            batches = self._consumer.poll(_RECORDS_MAX, _POLL_TIMEOUT_S)
        except RetriableError:
            return []
        new = []
        for batch in batches:
            if batch.partition.topic == DEAD_LETTER_TOPIC:
                self.n_dead_letters += len(batch.values)
                continue
            for value in batch.values:
                if not self._any.decode(value or b"").is_anomaly:
                    continue
                anomaly = self._decoder.decode(value or b"")
                new.append(
                    Shown(
                        anomaly, self.board.see(anomaly.series, anomaly.time_us, anomaly.incident)
                    )
                )
        return new

    def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Nothing is kept for a partition."""

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing is kept for a partition."""

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        """Nothing is kept for a partition."""

    def on_gap(self, partition: Partition, expected: int, start: int) -> None:
        """What is gone is not shown."""
