"""The composition root: builds every object from the configuration, and wires them."""

from __future__ import annotations

import faulthandler
import logging
import signal
import time
import uuid
from http import HTTPStatus
from threading import Event
from types import FrameType

from streamdet import __version__
from streamdet.clock import Clock, SystemClock
from streamdet.config import Config
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.reader import KafkaReader
from streamdet.kafka.topics import Topics, TopicSpec
from streamdet.metrics import CONTENT_TYPE
from streamdet.pipeline import Pipeline
from streamdet.ports import RecordConsumer, RecordProducer, RecordReader
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.limits import DecodeLimits
from streamdet.types import WorkerStatus
from streamdet.warm import warm
from streamdet.web.server import Page, WebServer, text_page

log = logging.getLogger(__name__)

_ALIVE_WITHIN_S = 60.0
"""A loop that has not turned for this long, and for longer than two commits may take, is dead."""


def run(config: Config) -> int:
    """Run a worker until SIGTERM or SIGINT; return the exit code.

    On a signal the batch in hand is finished, committed, and the group left. A second SIGINT,
    or the end of `shutdown_timeout`, ends the process where it stands; what was not committed is
    processed again by the next worker.

    Raises
    ------
    ConfigError
        A topic, right or option is missing or wrong.
    FatalError, Fenced
        The brokers cannot be reached or refuse us.
    """
    stop = Event()
    _stop_on_signals(stop, config.shutdown_timeout.total_seconds())
    log.info("streamdet %s starts, detection settings %s", __version__, config.detection_hash)
    inputs = [topic.name for topic in config.input.topics]
    outputs = [config.output.anomalies, config.output.dead_letters]
    Topics(_options(config, "consumer")).check(inputs, outputs)

    began_s = time.monotonic()
    warm()  # before joining the group: compiling may take longer than a member may be silent
    compiled_s = time.monotonic() - began_s
    log.info("kernels ready after %.1f s", compiled_s)

    consumer = KafkaConsumer(_consumer_options(config), config.kafka.group_id)
    pipeline = build(config, consumer, _producer(config), SystemClock())
    pipeline.metrics.compile_seconds.set(compiled_s)
    with WebServer(config.metrics.host, config.metrics.port, _pages(config, pipeline)) as web:
        log.info("metrics at http://%s:%d/metrics", config.metrics.host, web.port)
        pipeline.run(stop)
    faulthandler.cancel_dump_traceback_later()
    log.info("left the group, everything committed")
    return 0


def build(
    config: Config, consumer: RecordConsumer, producer: RecordProducer, clock: Clock
) -> Pipeline:
    """Return the pipeline of `config` on the given broker ports."""
    return Pipeline(
        config,
        consumer=consumer,
        producer=producer,
        decoder=Decoder(DecodeLimits.of(config.limits)),
        events=EventEncoder(),
        clock=clock,
    )


def create_topics(config: Config, partitions: int, replication: int, *, dry_run: bool) -> list[str]:
    """Make the input topics (not patterns) and both output topics; return a line about each."""
    names = [topic.name for topic in config.input.topics if not topic.is_pattern]
    names += [config.output.anomalies, config.output.dead_letters]
    specs = [TopicSpec(name, partitions, replication) for name in names]
    return Topics(_options(config, "consumer")).create(specs, dry_run=dry_run)


def open_producer(config: Config) -> RecordProducer:
    """Return a producer without transactions, for `streamdet replay`."""
    return KafkaProducer(_options(config, "producer"))


def open_reader(config: Config, topic: str, since_ms: int | None) -> RecordReader:
    """Return a reader of what `topic` holds now, for `streamdet backtest --topic`.

    since_ms : leave out the records before the first whose own time is as late; None: none.
    """
    return KafkaReader(_options(config, "consumer"), config.kafka.group_id, topic, since_ms)


def _options(config: Config, client: str) -> dict[str, str]:
    assert client in ("consumer", "producer")
    servers = {"bootstrap.servers": config.kafka.bootstrap_servers}
    own = config.kafka.client_options("consumer" if client == "consumer" else "producer")
    return {**own, **servers, "client.id": own.get("client.id", "streamdet")}


def _consumer_options(config: Config) -> dict[str, str]:
    options = _options(config, "consumer")
    if config.kafka.instance_id is not None:
        options["group.instance.id"] = config.kafka.instance_id
    return options


def _producer(config: Config) -> KafkaProducer:
    """Return the worker's producer.

    Its transactional id begins with the group, for a prefixed ACL, and ends with the instance:
    a worker that restarts under its own `instance_id` ends its predecessor's open transaction at
    once; without one, readers of committed records wait for transaction_timeout.
    """
    if config.delivery == "at_least_once":
        return KafkaProducer(_options(config, "producer"))
    instance = config.kafka.instance_id or uuid.uuid4().hex
    return KafkaProducer(
        _options(config, "producer"),
        f"{config.kafka.group_id}-{instance}",
        transaction_timeout_s=config.transaction_timeout.total_seconds(),
    )


def _pages(config: Config, pipeline: Pipeline) -> dict[str, Page]:
    alive_within_s = max(_ALIVE_WITHIN_S, 2 * config.transaction_timeout.total_seconds())

    def not_alive() -> str | None:
        silent_s = time.monotonic() - pipeline.heartbeat_s
        return None if silent_s < alive_within_s else f"the loop stands still for {silent_s:.0f} s"

    def not_ready() -> str | None:
        status: WorkerStatus = pipeline.status
        return status.not_ready

    return {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, pipeline.metrics.render()),
        "/healthz": text_page(not_alive),
        "/readyz": text_page(not_ready),
    }


def _stop_on_signals(stop: Event, grace_s: float) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        log.info("%s: finishing the batch, committing, leaving", signal.Signals(number).name)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        # Ends the process if the brokers keep us past the grace, and says where it stood. Not an
        # alarm: its default action does nothing to the first process of a container.
        faulthandler.dump_traceback_later(grace_s, exit=True)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
