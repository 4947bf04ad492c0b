"""Topics as the source of multivariate data: a variable is a series, decoded as a worker does."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from http import HTTPStatus

from streamdet.config import Config
from streamdet.errors import RecordError, RequestError, StreamdetError
from streamdet.multivariate.source import TopicRow
from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.types import RecordBatch

log = logging.getLogger(__name__)


class DataTopics:
    """Reads the topics of `serve.data_topics`, and no other."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._decoder = Decoder(DecodeLimits.of(config.limits))

    def read(self, topic: str, start_us: int, end_us: int) -> Iterator[TopicRow]:
        """Yield the points that a topic holds now and whose records are not from before `start_us`.

        What a worker would make a dead letter of is left out.

        Raises
        ------
        RequestError
            FileNotExist: the topic is none of them. StorageReadError: it cannot be read.
        """
        if topic not in self._config.serve.data_topics:
            raise RequestError(
                "FileNotExist", f"Topic {topic[:200]!r} is not in serve.data_topics."
            )
        from streamdet import app  # noqa: PLC0415  # Kafka's clients, where a request needs them

        first_us = start_us - self._config.limits.max_future_us
        since_ms = first_us // 1000 if first_us > 0 else None
        try:
            reader = app.open_reader(self._config, topic, since_ms)
            with contextlib.closing(reader):
                for batch in reader.batches(self._config.limits.batch_records):
                    yield from self._points(topic, batch)
        except RequestError:
            raise
        except StreamdetError as error:
            log.warning("topic %s cannot be read: %s", topic, error)
            raise RequestError(
                "StorageReadError",
                f"Topic {topic!r} cannot be read; the server's log has the reason.",
                HTTPStatus.FORBIDDEN,
            ) from None

    def _points(self, topic: str, batch: RecordBatch) -> Iterator[TopicRow]:
        points = self._decoder.decode(batch, self._config.input.timestamp_unit_for(topic))
        known: dict[bytes, str | None] = {}
        columns = [column.tolist() for column in (points.raw, points.time_us, points.value)]
        for key, raw, time_us, value in zip(points.keys(), *columns, strict=True):
            if key not in known:
                known[key] = self._identity(key, raw)
            series = known[key]
            if series is not None:
                yield series, time_us, value

    def _identity(self, key: bytes, raw: bool) -> str | None:
        try:
            return self._decoder.identify(key, raw)
        except RecordError:
            return None
