"""Whether the topics are there, and set up so that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from streamdet.cluster import TopicAnswer, TopicState, Untold
from streamdet.config import PERIODS_PER_RING, Config, DetectionConfig
from streamdet.doctor.configuration import detections, written_topics
from streamdet.doctor.finding import Check, Finding, Told, listed, span
from streamdet.doctor.sample import TopicSample
from streamdet.serde.dead_letter import HEADERS_MAX_BYTES, MAX_BYTES

Settings = Mapping[str, str]
"""Of a topic, as the brokers name them, defaults included."""

_OWN_HEADERS_BYTES = 8 * 1_024
_UNLIMITED = 2**63 - 1
_AFTER_MAX = "message.timestamp.after.max.ms"
_DIFFERENCE_MAX = "message.timestamp.difference.max.ms"  # of both directions, before 3.6
_STATE_BYTES = 2**20  # more than a chunk has, unless its series hold back many points
_ROOM = 1.25  # of what a topic takes over what is read: batches are a little larger than records
_DAY_S = 86_400.0


def check_topic(name: str, topic: TopicAnswer, *, written: bool) -> Iterator[Finding]:
    """Judge whether a topic is there, with a leader and copies for each partition.

    written : by the worker; else it reads it
    """
    told = Told(Check.TOPIC, name)
    if topic is None:
        yield told.fail("does not exist", "make it with: streamdet topics create")
        return
    if isinstance(topic, Untold):
        yield told.unknown(topic.why)
        return
    n = len(topic.partitions)
    headless = [str(each.index) for each in topic.partitions if not each.has_leader]
    behind = [str(each.index) for each in topic.partitions if each.n_in_sync < each.n_replicas]
    if headless:
        found = f"no leader for {len(headless)} of {n} partitions: {listed(headless)}"
        yield told.fail(found, "bring the brokers back that hold their copies")
    elif behind:
        found = f"copies behind in {len(behind)} of {n} partitions: {listed(behind)}"
        yield told.warn(found, "see whether a broker is away or slow")
    else:
        copies = f"{topic.n_replicas} {'copy' if topic.n_replicas == 1 else 'copies'} of each"
        yield told.ok(f"{n} {'partition' if n == 1 else 'partitions'}, {copies}, all in sync")
    yield _replication(topic, written=written)
    if isinstance(topic.settings, Untold):
        why = f"{topic.settings.why}; without them what the topic keeps and takes is not looked at"
        yield Told(Check.SETTINGS, name).unknown(why)


def _replication(topic: TopicState, *, written: bool) -> Finding:
    told = Told(Check.REPLICATION, topic.name)
    copies = topic.n_replicas
    found, needed = f"replication factor {copies}", 0
    if not isinstance(topic.settings, Untold):
        needed = int(topic.settings.get("min.insync.replicas", 1))
        found += f", min.insync.replicas {needed}"
    in_sync = min((each.n_in_sync for each in topic.partitions), default=copies)
    if in_sync < needed:
        advice = "bring brokers back, or lower min.insync.replicas"
        if copies < needed:
            advice = "give the topic more replicas, or lower min.insync.replicas"
        text = f"{found}, {in_sync} in sync: nothing can be written"
        return told.fail(text, advice) if written else told.warn(text, advice)
    if copies == 1:
        return told.warn(
            f"{found}: the loss of one broker's disk is the loss of the topic",
            "in production: 3 replicas, min.insync.replicas 2",
        )
    if needed and copies == needed:
        return told.warn(
            f"{found}: with one broker away nothing can be written",
            "min.insync.replicas one below the replication factor",
        )
    if written and needed == 1:
        return told.warn(
            f"{found}: what was acknowledged may be on one broker only",
            "set min.insync.replicas to 2",
        )
    return told.ok(found)


def check_cleanup(
    name: str, settings: Settings, config: Config, sample: TopicSample | None
) -> Iterator[Finding]:
    """Judge `cleanup.policy`: whether the topic keeps what is in it.

    sample : of the topic, where it is an input and was read
    """
    told = Told(Check.CLEANUP, name)
    policy = settings.get("cleanup.policy", "delete")
    advice = "set cleanup.policy=delete"
    if name == config.state.topic:
        if policy == "compact":
            yield told.ok("compact: of each chunk of state the newest stays")
        else:
            yield told.fail(
                f"{policy}: state is deleted by its age, and no worker starts on such a topic",
                "set cleanup.policy=compact",
            )
    elif "compact" not in policy:
        yield told.ok(policy)
    elif name == config.output.anomalies:
        yield told.warn(
            f"{policy}: of each series only the newest event stays", f"{advice}, to keep them all"
        )
    elif name in config.output_topics:
        yield told.fail(
            f"{policy}: a record without a key cannot be written there, and the worker does not "
            "get past it; of the others only the newest of each key stays",
            advice,
        )
    elif sample is not None and sample.points and not sample.n_shared_keys:
        yield told.warn(
            f"{policy}: of each series only the newest point stays; a worker that is away for "
            "long misses the others, and nothing can be learnt again",
            advice,
        )
    else:
        yield told.fail(
            f"{policy}: of each key only the newest record stays, and keys are not known to be "
            "those of series: points are deleted before they are read",
            advice,
        )


def check_retention(name: str, settings: Settings, learning_s: float) -> Iterator[Finding]:
    """Compare how long an input keeps its points with what learning takes.

    learning_s : the longest that a series needs until its season is known; 0: not known
    """
    told = Told(Check.RETENTION, name)
    if "delete" not in settings.get("cleanup.policy", "delete"):
        return
    kept_ms = int(settings.get("retention.ms", -1))
    size = int(settings.get("retention.bytes", -1))
    kept_s = kept_ms / 1000 if kept_ms >= 0 else float("inf")
    found = "kept for ever" if kept_ms < 0 else f"kept for {span(kept_s)}"
    if size >= 0:
        found += f", or less: retention.bytes is {size:,}"
    if learning_s and kept_s < learning_s:
        yield told.warn(
            f"{found}; a season takes {span(learning_s)} to be learnt again",
            f"set retention.ms to {round(learning_s * 1000)} or more",
        )
    elif size >= 0:
        yield told.unknown(found, f"see that it holds {span(learning_s or _DAY_S)} of points")
    else:
        more = f", and a season takes {span(learning_s)} to be learnt" if learning_s else ""
        yield told.ok(found + more)


def learning_s(config: Config, sample: TopicSample | None) -> float:
    """Return how long the slowest series takes to know its season, in seconds; 0: unknown."""
    needs = [_season_s(each, each.interval_us / 1e6) for _, each in detections(config)]
    for series in sample.series if sample is not None else ():
        needs.append(_season_s(series.detection, series.spacing_us / 1e6))
    return max(needs)


def _season_s(detection: DetectionConfig, interval_s: float) -> float:
    if detection.detector != "forecast" or detection.period == 0 or interval_s <= 0:
        return 0.0
    if detection.period is not None:
        return PERIODS_PER_RING * detection.period * interval_s
    # One is to be found; what it will be nobody knows: people's metrics have days, slow ones weeks.
    return PERIODS_PER_RING * (_DAY_S if interval_s < _DAY_S / 4 else 7 * _DAY_S)


def check_record_times(name: str, settings: Settings, config: Config) -> Iterator[Finding]:
    """Judge whether a producer's wrong clock gets into the records' own times of an input."""
    told = Told(Check.RECORD_TIMES, name)
    if settings.get("message.timestamp.type") == "LogAppendTime":
        yield told.ok("LogAppendTime: records have the brokers' time")
        return
    text = settings.get(_AFTER_MAX, settings.get(_DIFFERENCE_MAX))
    if text is None:
        yield told.unknown(f"CreateTime; the brokers do not tell {_AFTER_MAX}")
        return
    after_s, future_s = int(text) / 1000, config.limits.max_future.total_seconds()
    if after_s <= future_s:
        yield told.ok(f"CreateTime, at most {span(after_s)} ahead of the brokers")
        return
    limit = "no limit" if int(text) == _UNLIMITED else f"up to {span(after_s)}"
    yield told.warn(
        f"CreateTime, with {limit} ahead of the brokers: limits.max_future ({span(future_s)}) is "
        "counted from the record's time, so points of a producer with a wrong clock pass",
        f"set {_AFTER_MAX}=3600000, or message.timestamp.type=LogAppendTime",
    )


def check_record_size(
    name: str, settings: Settings, config: Config, largest_input_bytes: int | None
) -> Iterator[Finding]:
    """Compare the largest record of a topic with what is read from it, or sent there.

    largest_input_bytes : what the inputs take at most; None: not known
    """
    told = Told(Check.RECORD_SIZE, name)
    size = record_size(settings)
    read = config.limits.max_record_bytes
    found = f"max.message.bytes {size:,}"
    if name == config.output.anomalies:
        return
    if name == config.state.topic:
        if size < _STATE_BYTES:
            yield told.fail(
                f"{found}: the worker does not get past state that it cannot write",
                "set max.message.bytes to 1048588, or more",
            )
        else:
            yield told.ok(f"{found}, enough for a chunk of state")
        return
    if name not in written_topics(config):
        if size > _ROOM * read:
            yield told.warn(
                f"{found}, but limits.max_record_bytes is {read:,}: what is larger is refused",
                "raise limits.max_record_bytes, or lower the topic's",
            )
        else:
            yield told.ok(f"{found}; read are {read:,}")
        return
    largest = MAX_BYTES + HEADERS_MAX_BYTES
    if largest_input_bytes is not None:
        largest = min(largest, largest_input_bytes)
    largest += _OWN_HEADERS_BYTES
    if size < largest:
        yield told.fail(
            f"{found}, but what is sent there may have {largest:,}: the worker does not get past "
            "a large record that it cannot write",
            f"set max.message.bytes to {max(largest, 1_048_588)}",
        )
    else:
        yield told.ok(f"{found}, enough for whatever is sent there")


def check_state(state: TopicState, inputs: Iterable[TopicState]) -> Finding:
    """Judge whether the state topic has a partition for each of every input topic."""
    told = Told(Check.STATE, state.name)
    n = len(state.partitions)
    larger = {each.name: len(each.partitions) for each in inputs if len(each.partitions) > n}
    if not larger:
        return told.ok(f"{n} partitions, enough for every input")
    names = listed([f"{name} ({its})" for name, its in larger.items()])
    return told.fail(
        f"{n} partitions, fewer than {names}: partition i of an input has its state in partition i",
        f"add partitions to {state.name}, to {max(larger.values())} or more",
    )


def record_size(settings: Settings) -> int:
    """Return the bytes that a record, or what is compressed together, may have."""
    return int(settings.get("max.message.bytes", 1_048_588))
