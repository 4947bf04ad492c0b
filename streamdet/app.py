"""The composition root: builds every object from the configuration, and wires them."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from threading import Event

from streamdet import __version__, answering, clients, dlq
from streamdet.clock import Clock, SystemClock
from streamdet.config import Config
from streamdet.doctor import Finding
from streamdet.doctor import examine as examine_with
from streamdet.errors import ConfigError
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.kafka.inspection import Inspection
from streamdet.kafka.partitioner import PARTITIONERS, partition_of
from streamdet.kafka.producer import KafkaProducer
from streamdet.kafka.reader import KafkaReader
from streamdet.kafka.topics import Topics, TopicSpec
from streamdet.metrics import CONTENT_TYPE
from streamdet.pipeline import Pipeline
from streamdet.ports import OpenReader, RecordConsumer, RecordProducer, RecordReader
from streamdet.rekey import Copier, Plan, Sample, Tally, take_sample
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.limits import DecodeLimits
from streamdet.state_topic import Access
from streamdet.stopping import stopped_by_signals
from streamdet.transfer import Counted, Transfer, check_topics
from streamdet.types import OutgoingRecord, Partition, Record, RecordBatch, WorkerStatus
from streamdet.warm import warm
from streamdet.web.server import Page, WebServer, text_page

log = logging.getLogger(__name__)

_ANSWER_TIMEOUT_S = 20.0
_SILENCE_MAX_S = 60.0
_GARBAGE_AFTER = 100_000
"""Objects: the messages of many batches."""
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
    with stopped_by_signals(config.shutdown_timeout.total_seconds()) as stop:
        _work(config, stop)
    log.info("left the group, everything committed")
    return 0


def _work(config: Config, stop: Event) -> None:
    log.info("streamdet %s starts, detection settings %s", __version__, config.detection_hash)
    inputs = [topic.name for topic in config.input.topics]
    topics = Topics(clients.options(config, "consumer"))
    topics.check(inputs, list(config.output_topics), config.state.topic)

    began_s = time.monotonic()
    warm(config.detectors)  # before joining: compiling may outlast a member's leave to be silent
    compiled_s = time.monotonic() - began_s
    log.info("kernels ready after %.1f s", compiled_s)

    consumer = KafkaConsumer(clients.member_options(config), config.kafka.group_id)
    pipeline = build(
        config, consumer, clients.producer(config), SystemClock(), clients.opener(config)
    )
    pipeline.metrics.compile_seconds.set(compiled_s)
    collect_garbage_rarely()
    with WebServer(config.metrics.host, config.metrics.port, _pages(config, pipeline)) as web:
        log.info("metrics at http://%s:%d/metrics", config.metrics.host, web.port)
        pipeline.run(stop)


def collect_garbage_rarely() -> None:
    """Let the collector look when a few batches are alive, no sooner; for a process that reads.

    What is alive now lives on, and a batch of messages is garbage only at its end: looked at every
    700 allocations, as is the default, they cost a fifth of the whole.
    """
    gc.freeze()
    gc.set_threshold(_GARBAGE_AFTER)


def build(
    config: Config,
    consumer: RecordConsumer,
    producer: RecordProducer,
    clock: Clock,
    open_reader: OpenReader,
) -> Pipeline:
    """Return the pipeline of `config` on the given broker ports."""
    return Pipeline(
        config,
        consumer=consumer,
        producer=producer,
        decoder=Decoder(DecodeLimits.of(config.limits)),
        events=EventEncoder(),
        clock=clock,
        open_reader=open_reader,
    )


def create_topics(config: Config, partitions: int, replication: int, *, dry_run: bool) -> list[str]:
    """Make the topics of input (not patterns), output and state; return a line about each."""
    names = [topic.name for topic in config.input.topics if not topic.is_pattern]
    names += config.output_topics
    specs = [TopicSpec(name, partitions, replication) for name in names]
    if config.state.topic is not None:
        settings = {
            "cleanup.policy": "compact",
            "max.message.bytes": str(clients.STATE_RECORD_BYTES),
        }
        specs.append(TopicSpec(config.state.topic, partitions, replication, settings))
    return Topics(clients.options(config, "consumer")).create(specs, dry_run=dry_run)


def open_producer(config: Config) -> RecordProducer:
    """Return a producer without transactions, for `streamdet replay`."""
    return KafkaProducer(clients.options(config, "producer"))


def open_reader(config: Config, topic: str, since_ms: int | None) -> RecordReader:
    """Return a reader of what `topic` holds now, for `streamdet backtest --topic`.

    since_ms : leave out the records before the first whose own time is as late; None: none.
    """
    return KafkaReader(clients.options(config, "consumer"), config.kafka.group_id, topic, since_ms)


def examine(config: Config, timeout_s: float) -> Iterator[Finding]:
    """Yield what `streamdet doctor` finds; nothing is changed, no group joined.

    Raises
    ------
    ConfigError
        A librdkafka option is unknown, or a file that is named cannot be read.
    """
    options = {"log_level": "0", **clients.options(config, "consumer")}

    def open_sample(
        topic: str, spans: Mapping[int, tuple[int, int]], silence_max_s: float
    ) -> RecordReader:
        group = config.kafka.group_id
        return KafkaReader(options, group, topic, spans=spans, silence_max_s=silence_max_s)

    yield from examine_with(config, Inspection(options), open_sample, timeout_s)


def rekey(config: Config, plan: Plan, *, until_end: bool) -> Tally:
    """Copy records under their new keys until a signal, or the topic's present end; count them.

    A signal ends it as `run` does.

    Raises
    ------
    ConfigError
        The plan cannot be, or a topic, right or option is missing or wrong.
    FatalError, Fenced
        The brokers cannot be reached or refuse us.
    """
    _check_rekey(config, plan)
    config = clients.for_transfer(config, plan.group(config))
    log.info("copying %s to %s as group %s", plan.source, plan.target, config.kafka.group_id)
    make = Copier(plan, config).copy
    # up to the end: all that there is, whatever the workers do
    return _transfer(
        config, plan.source, make, Tally, until_end=until_end, from_beginning=until_end
    )


def answer(config: Config, plan: answering.Plan, *, until_end: bool) -> answering.Tally:
    """Answer requests until a signal, or the topic's present end; count them.

    A signal ends it as `run` does. Errors are `rekey`'s.
    """
    check_topics(plan.source, plan.target)
    topics = Topics(clients.options(config, "consumer"))
    topics.check([plan.source], [plan.target])
    config = clients.for_transfer(config, plan.group(config))
    few = {"batch_records": min(config.limits.batch_records, answering.BATCH_RECORDS)}
    config = config.model_copy(update={"limits": config.limits.model_copy(update=few)})
    log.info("answering %s on %s as group %s", plan.source, plan.target, config.kafka.group_id)
    make = answering.Answerer(plan, config).make
    return _transfer(
        config, plan.source, make, answering.Tally, until_end=until_end, from_beginning=True
    )


def _transfer(
    config: Config,
    source: str,
    make: Callable[[RecordBatch], tuple[Sequence[OutgoingRecord], Counted]],
    tally: Callable[[], Counted],
    *,
    until_end: bool,
    from_beginning: bool,
) -> Counted:
    ends = None
    if until_end:
        with contextlib.closing(open_reader(config, source, None)) as reader:
            ends = reader.ends
    with stopped_by_signals(config.shutdown_timeout.total_seconds()) as stop:
        done = _transfer_to(ends, config, source, make, tally, stop, from_beginning=from_beginning)
    log.info("left the group, everything committed")
    return done


def _transfer_to(
    ends: Mapping[Partition, int] | None,
    config: Config,
    source: str,
    make: Callable[[RecordBatch], tuple[Sequence[OutgoingRecord], Counted]],
    tally: Callable[[], Counted],
    stop: Event,
    *,
    from_beginning: bool,
) -> Counted:
    options = clients.member_options(config)
    if from_beginning:
        options["auto.offset.reset"] = "earliest"
    return Transfer(
        source,
        make,
        tally,
        config,
        consumer=KafkaConsumer(options, config.kafka.group_id, tells_ends=ends is not None),
        producer=clients.producer(config),
        clock=SystemClock(),
        ends=ends,
    ).run(stop)


def sample_rekey(config: Config, plan: Plan) -> tuple[Sample, Callable[[bytes], int] | None]:
    """Return what the first records would become, and the function that tells a key's partition.

    The function is None where the operator has chosen another partitioner. Errors are `rekey`'s.
    """
    partitions = _check_rekey(config, plan)[plan.target]
    with contextlib.closing(open_reader(config, plan.source, None)) as reader:
        sample = take_sample(reader, Copier(plan, config))
    if clients.options(config, "producer").get("partitioner", PARTITIONERS[0]) not in PARTITIONERS:
        return sample, None
    return sample, lambda key: partition_of(key, partitions)


def access_state(config: Config, *, writes: bool = False) -> Access:
    """Return how the commands of `streamdet state` reach the state topic.

    Raises
    ------
    ConfigError
        None is configured, or it or a right is missing.
    """
    topic, group = config.state.topic, config.kafka.group_id
    if topic is None:
        raise ConfigError("state.topic is null: no state is kept")
    options = clients.options(config, "consumer")
    partitions = Topics(options).check([topic], [topic] if writes else [])
    brokers = Inspection(options)
    brokers.cluster(_ANSWER_TIMEOUT_S)
    return Access(
        topic=topic,
        n_partitions=partitions[topic],
        open_reader=clients.opener(config, _SILENCE_MAX_S),
        ask_group=lambda: brokers.group(group, _ANSWER_TIMEOUT_S),
        ask_offsets=lambda asked: brokers.offsets(group, asked, _ANSWER_TIMEOUT_S),
        open_producer=lambda: clients.producer(config),
    )


def _check_rekey(config: Config, plan: Plan) -> Mapping[str, int]:
    """Return the number of partitions of each topic."""
    plan.check(config)
    topics = Topics(clients.options(config, "consumer"))
    return topics.check([plan.source], [plan.target, config.output.dead_letters])


def list_dead_letters(config: Config, topic: str, selection: dlq.Selection) -> dlq.Listing:
    """Return what `topic` holds now of `selection`, counted."""
    with contextlib.closing(open_reader(config, topic, selection.since_ms)) as reader:
        return dlq.take_listing(reader, selection)


def read_record(config: Config, place: Partition, offset: int) -> Record:
    """Return one record, for `streamdet dlq show`.

    Raises
    ------
    ConfigError
        There is no record.
    """
    with contextlib.closing(open_reader(config, place.topic, None)) as reader:
        end = reader.ends.get(place, 0)
    if offset < end:
        options, spans = clients.options(config, "consumer"), {place.index: (offset, offset + 1)}
        one = KafkaReader(options, config.kafka.group_id, place.topic, spans=spans)
        with contextlib.closing(one):
            for batch in one.batches(1):
                return batch.record(0)
    raise ConfigError(
        f"no record at {place.index}:{offset} of {place.topic}: it was deleted, is not yet "
        "written, or is the mark of a transaction; streamdet dlq list names places"
    )


def replay_dead_letters(
    config: Config, plan: dlq.Plan, *, dry_run: bool
) -> dict[dlq.Stream, dlq.Tally]:
    """Send what the plan's topic holds now, and no replay has passed, back; count it by stream.

    A signal ends it as `run` does; the next replay goes on. Errors are `rekey`'s.

    dry_run : write and commit nothing, count what would be sent.
    """
    plan.check(config)
    topics = Topics(clients.options(config, "consumer"))
    topics.check([plan.topic], [])
    with contextlib.closing(open_reader(config, plan.topic, None)) as reader:
        ends = reader.ends

        def committed(group: str) -> Mapping[Partition, int]:
            asking = KafkaConsumer(clients.options(config, "consumer"), group)
            with contextlib.closing(asking):
                return asking.committed(list(ends))

        stock = dlq.take_stock(reader, plan, config.kafka.group_id, committed)
    plan.check_streams(config, stock)
    partitions = topics.check([], sorted({plan.target_of(stream) for stream in stock}))
    if dry_run:
        return stock
    done = {}
    with stopped_by_signals(config.shutdown_timeout.total_seconds()) as stop:
        for stream in stock:
            if not stop.is_set():
                replayer = dlq.Replayer(plan, stream, partitions[plan.target_of(stream)])
                group = stream.group(config.kafka.group_id)
                log.info("sending %s from %s as group %s", *stream, group)
                settings = clients.for_transfer(config, group)
                done[stream] = _transfer_to(
                    ends, settings, plan.topic, replayer.make, dlq.Tally, stop, from_beginning=True
                )
    return done


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
