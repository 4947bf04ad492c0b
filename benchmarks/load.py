"""Points for the measurements of throughput: made as columns of bytes, produced in large batches.

Every series has a point a tick, in an order that chance makes anew each tick, so that a point finds
its series in no cache. Messages are of one length, plain native points or Azure's requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition
from numpy.typing import NDArray

START_MS = 1_700_000_000_000
TICK_MS = 60_000
SPIKE_SHARE = 0.0037  # a spike publishes its onset and its recovery: 0.7 % events
RECORDS_PER_BATCH = 10_000
_NAME = '"metric":"responses","dimensions":{"host":"host-######","region":"eu-1"}'
_POINT = '"timestamp":TTTTTTTTTTTTT,"value":VVV.VVVV'
_KEY = slice(1 + _NAME.index("######"), 1 + _NAME.index("######") + 6)
_SPIKE = 60
_TIMEOUT_S = 120


def point_messages(
    series: NDArray[np.int64], at_ms: NDArray[np.int64], value: NDArray[np.float64]
) -> list[bytes]:
    """Return a native point of 117 bytes for each series; values are from 100 to 999."""
    text = _text("{" + _NAME + "," + _POINT + "}", len(series))
    _write_series(text, series)
    _write_point(text, _POINT, len(_NAME) + 2, at_ms, value)
    return _messages(text)


def request_messages(
    series: NDArray[np.int64], at_ms: NDArray[np.int64], value: NDArray[np.float64]
) -> list[bytes]:
    """Return a request for each series, with the points of its row of (series, points)."""
    head, each = "{" + _NAME + ',"series":[', "{" + _POINT + "},"
    n_points = value.shape[1]
    text = _text((head + each * n_points)[:-1] + "]}", len(series))
    _write_series(text, series)
    for k in range(n_points):
        _write_point(text, _POINT, len(head) + 1 + k * len(each), at_ms[:, k], value[:, k])
    return _messages(text)


def _text(template: str, n: int) -> NDArray[np.uint8]:
    return np.tile(np.frombuffer(template.encode(), np.uint8), (n, 1))


def _write_series(text: NDArray[np.uint8], series: NDArray[np.int64]) -> None:
    _write_digits(text, 1 + _NAME.index("######"), 6, series)


def _write_point(
    text: NDArray[np.uint8],
    point: str,
    at: int,
    at_ms: NDArray[np.int64],
    value: NDArray[np.float64],
) -> None:
    _write_digits(text, at + point.index("T"), 13, at_ms)
    scaled = np.rint(value * 10_000).astype(np.int64)
    first = at + point.index("V")
    _write_digits(text, first, 3, scaled // 10_000)
    _write_digits(text, first + 4, 4, scaled % 10_000)


def _write_digits(text: NDArray[np.uint8], at: int, width: int, numbers: NDArray[np.int64]) -> None:
    for k in range(width - 1, -1, -1):
        numbers, digit = np.divmod(numbers, 10)
        text[:, at + k] = digit + ord("0")


def _messages(text: NDArray[np.uint8]) -> list[bytes]:
    whole: list[bytes] = text.view(f"S{text.shape[1]}").ravel().tolist()
    return whole


class Load:
    """Writes the points of some series to topics, all partitions evenly; remembers how far it is.

    Parameters
    ----------
    bootstrap
    topics : sequence of str
        Of `n_partitions` each. Series k is in partition k modulo their number.
    n_series : int
        A multiple of the partitions, and of the pieces that they are produced in.
    """

    def __init__(
        self, bootstrap: str, topics: Sequence[str], n_partitions: int, n_series: int
    ) -> None:
        self.places = [(topic, index) for topic in topics for index in range(n_partitions)]
        self.n_series = n_series
        self.end = 0
        """Records in each partition."""
        self._tick = 0
        self._rng = np.random.default_rng(n_series)
        self._consumer_options = {"bootstrap.servers": bootstrap, "group.id": "load"}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "batch.num.messages": RECORDS_PER_BATCH,
                "batch.size": 8 << 20,
                "message.max.bytes": 16 << 20,
                "linger.ms": 50,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 0,
                "queue.buffering.max.kbytes": 2 << 20,
            }
        )

    def produce(
        self,
        ticks: int,
        points_per_record: int = 1,
        *,
        piece: int = 0,
        pieces: int = 1,
        spikes: bool = True,
    ) -> None:
        """Write `ticks` records of every series, or of those of one of several equal pieces."""
        for place, (topic, index) in enumerate(self.places):
            its = np.arange(place, self.n_series, len(self.places))
            its = its[piece * len(its) // pieces : (piece + 1) * len(its) // pieces]
            for values in self._made(its, ticks, points_per_record, spikes=spikes):
                messages = [{"value": value, "key": value[_KEY]} for value in values]
                taken = self._producer.produce_batch(topic, messages, index)
                assert taken == len(messages)
                self._producer.poll(0)
            assert self._producer.flush(_TIMEOUT_S) == 0
        if piece + 1 == pieces:
            self._tick += ticks * points_per_record
        self.end += ticks * (self.n_series // len(self.places) // pieces)

    def check(self, first: int) -> None:
        """See that every partition still holds its records from `first` on, and has its end."""
        consumer = Consumer(self._consumer_options)
        for topic, index in self.places:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, index), 30)
            assert low <= first, f"{topic}[{index}] begins at {low}: make it less than {first}"
            assert high == self.end, f"{topic}[{index}] ends at {high}, not {self.end}"
        consumer.close()

    def _made(
        self, its: NDArray[np.int64], ticks: int, per_record: int, *, spikes: bool
    ) -> Iterator[list[bytes]]:
        at_once = max(1, RECORDS_PER_BATCH // (len(its) * per_record))
        for first in range(0, ticks, at_once):
            n_ticks = min(at_once, ticks - first)
            series = self._rng.permuted(np.tile(its, (n_ticks, 1)), axis=1).reshape(-1)
            value = self._rng.normal(500, 1, (len(series), per_record))
            if spikes:
                value[self._rng.random(value.shape) < SPIKE_SHARE] += _SPIKE
            record = np.repeat(np.arange(first, first + n_ticks), len(its))
            tick = self._tick + record[:, None] * per_record + np.arange(per_record)
            at_ms = START_MS + TICK_MS * tick
            if per_record == 1:
                yield point_messages(series, at_ms[:, 0], value[:, 0])
            else:
                yield request_messages(series, at_ms, value)


def ends_sum(bootstrap: str, topic: str) -> int:
    """Return how many records were ever written to a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "load"})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    places = [TopicPartition(topic, index) for index in partitions]
    total = sum(consumer.get_watermark_offsets(place, 30)[1] for place in places)
    consumer.close()
    return total
