"""Asks the brokers, reads a sample, and hands what is found to the checks."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamdet.cluster import (
    Cluster,
    GroupState,
    Look,
    Offsets,
    Reach,
    TopicAnswer,
    TopicState,
    Untold,
)
from streamdet.config import Config
from streamdet.doctor.clocks import check_clock
from streamdet.doctor.configuration import (
    check_configuration,
    check_delivery,
    check_transaction_timeout,
    written_topics,
)
from streamdet.doctor.connection import check_reach, check_rights
from streamdet.doctor.finding import Check, Finding, Told
from streamdet.doctor.group import check_members, check_offsets
from streamdet.doctor.points import check_points
from streamdet.doctor.sample import Sampler, TopicSample, take_sample
from streamdet.doctor.topics import (
    check_cleanup,
    check_record_size,
    check_record_times,
    check_retention,
    check_state,
    check_topic,
    learning_s,
    record_size,
)
from streamdet.ports import RecordReader
from streamdet.types import Partition

SAMPLE_RECORDS = 2_000
"""Of each partition, the newest."""
_SAMPLE_RECORDS_MAX = 100_000
_REST_S = 0.5

OpenReader = Callable[[str, Mapping[int, tuple[int, int]], float], RecordReader]
"""From a topic, the offsets to read of its partitions, and how long silence may last."""


class Brokers(Protocol):
    """Who is asked; see `kafka.inspection.Inspection`."""

    def servers(self, timeout_s: float) -> Sequence[Reach]:
        """Connect to each bootstrap server."""

    def advertised(self, brokers: Sequence[str], timeout_s: float) -> Sequence[Reach]:
        """Connect to the addresses that brokers advertise."""

    def cluster(self, timeout_s: float) -> Cluster | Untold:
        """Return what the cluster says of itself; to be asked before what follows."""

    def topics(self, names: Sequence[str], timeout_s: float) -> Mapping[str, TopicAnswer]:
        """Return each topic with rights and settings."""

    def broker_settings(self, timeout_s: float) -> Mapping[str, str] | Untold:
        """Return the settings of one broker."""

    def group(self, name: str, timeout_s: float) -> GroupState | Untold:
        """Return the consumer group."""

    def offsets(
        self, group: str, partitions: Sequence[Partition], timeout_s: float
    ) -> Mapping[Partition, Offsets] | Untold:
        """Return begin, ends and what `group` has committed, of the partitions that answer."""


@dataclass(frozen=True, slots=True)
class _Time:
    """The time there is, and what part of it is over when something has to be done."""

    began_s: float
    timeout_s: float

    def until(self, part: float) -> float:
        return self.began_s + part * self.timeout_s

    def left_s(self, part: float = 1.0) -> float:
        return max(self.until(part) - time.monotonic(), _REST_S)


def examine(
    config: Config, brokers: Brokers, open_reader: OpenReader, timeout_s: float
) -> Iterator[Finding]:
    """Yield every finding, as soon as it is known; nothing is changed.

    Parameters
    ----------
    config : Config
    brokers : Brokers
    open_reader
        Makes the reader of a topic.
    timeout_s
        All of it takes little longer: what has not answered by then is unknown.
    """
    time_left = _Time(time.monotonic(), timeout_s)
    yield from check_configuration(config)
    servers = brokers.servers(time_left.left_s(0.25))
    yield from check_reach(servers, time.time())
    cluster = brokers.cluster(time_left.left_s(0.4))
    if isinstance(cluster, Untold):
        reached = any(each.failed is None for each in servers)
        yield from _nothing_else(config, cluster.why if reached else "no connection")
        return
    known = {each.address for each in servers}
    others = [address for address in cluster.brokers if address not in known]
    yield from check_reach(brokers.advertised(others, time_left.left_s(0.5)), time.time())

    inputs, unmatched = _inputs(config, cluster)
    yield from unmatched
    names = [*inputs, *written_topics(config)]
    topics = brokers.topics(names, time_left.left_s(0.6))
    group = brokers.group(config.kafka.group_id, time_left.left_s(0.65))
    settings = brokers.broker_settings(time_left.left_s(0.65))
    features = next((each.features for each in servers if each.features), {})
    written = {name: topics[name] for name in written_topics(config)}
    yield from check_delivery(config, written, features)
    yield from check_transaction_timeout(config, settings)
    yield from check_rights(config, topics, group, cluster)

    partitions = [
        Partition(name, each.index)
        for name in inputs
        if isinstance(topic := topics[name], TopicState)
        for each in topic.partitions
    ]
    offsets = brokers.offsets(config.kafka.group_id, partitions, time_left.left_s(0.7))
    looked_s = time.monotonic()
    samples = {}
    if not isinstance(offsets, Untold):
        samples = _samples(config, offsets, open_reader, time_left)
    read_s = time.time()
    yield from _check_topics(config, topics, samples)
    yield from check_members(config.kafka.group_id, group, partitions)
    worked_on = isinstance(group, GroupState) and bool(group.members)
    looks = _looks(config, brokers, offsets, looked_s, time_left, worked_on=worked_on)
    interval_s = config.commit_interval.total_seconds()
    yield from check_offsets(config.kafka.group_id, group, looks, interval_s)
    for name in inputs:
        if name in samples:
            yield from check_clock(samples[name], topics[name], read_s)
            yield from check_points(samples[name], config)
        elif topics[name] is not None:
            why = offsets.why if isinstance(offsets, Untold) else "its partitions do not answer"
            yield Told(Check.DECODING, name).unknown(f"no record was read: {why}")


def _nothing_else(config: Config, why: str) -> Iterator[Finding]:
    for topic in (*(each.name for each in config.input.topics), *written_topics(config)):
        yield Told(Check.TOPIC, topic).unknown(f"not looked at: {why}")
    yield Told(Check.GROUP, config.kafka.group_id).unknown(f"not looked at: {why}")


def _inputs(config: Config, cluster: Cluster) -> tuple[list[str], list[Finding]]:
    """Return the topics that a worker would read, and findings about patterns without any."""
    names, findings = [], []
    for entry in config.input.topics:
        if not entry.is_pattern:
            names.append(entry.name)
            continue
        matched = sorted(name for name in cluster.topics if re.match(entry.name, name))
        names += matched
        if not matched:
            told = Told(Check.TOPIC, entry.name)
            found = "no topic that this user may see matches the pattern"
            findings.append(told.warn(found, "correct input.topics, or grant Read on the topics"))
    return list(dict.fromkeys(names)), findings


def _samples(
    config: Config,
    offsets: Mapping[Partition, Offsets],
    open_reader: OpenReader,
    time_left: _Time,
) -> dict[str, TopicSample]:
    """Read the newest records of each partition, topic after topic while there is time."""
    most = min(SAMPLE_RECORDS, max(_SAMPLE_RECORDS_MAX // max(len(offsets), 1), 1))
    spans: dict[str, dict[int, tuple[int, int]]] = {}
    for place, each in offsets.items():
        start = max(each.first, each.stable - most)
        spans.setdefault(place.topic, {})[place.index] = (start, each.stable)
    samples = {}
    for at, (topic, its) in enumerate(spans.items()):
        left_s = time_left.left_s(0.85) / (len(spans) - at)
        with contextlib.closing(open_reader(topic, its, left_s)) as reader:
            sampler = Sampler(topic, config)
            samples[topic] = take_sample(reader, sampler, time.monotonic() + left_s)
    return samples


def _looks(
    config: Config,
    brokers: Brokers,
    offsets: Mapping[Partition, Offsets] | Untold,
    looked_s: float,
    time_left: _Time,
    *,
    worked_on: bool,
) -> tuple[Look, Look] | Untold:
    """Return two looks; the second when workers must have committed, if there is time and need."""
    if isinstance(offsets, Untold):
        return offsets
    first = Look(looked_s, offsets)
    if not any((worked_on and each.lag) or each.stable < each.end for each in offsets.values()):
        return first, first
    due_s = looked_s + 2 * config.commit_interval.total_seconds() + _REST_S
    time.sleep(max(0.0, min(due_s, time_left.until(0.95)) - time.monotonic()))
    again = brokers.offsets(config.kafka.group_id, list(offsets), time_left.left_s())
    if isinstance(again, Untold):
        return again
    return first, Look(time.monotonic(), again)


def _check_topics(
    config: Config, topics: Mapping[str, TopicAnswer], samples: Mapping[str, TopicSample]
) -> Iterator[Finding]:
    written = written_topics(config)
    told = {
        name: topic.settings
        for name, topic in topics.items()
        if isinstance(topic, TopicState) and not isinstance(topic.settings, Untold)
    }
    inputs = [name for name in topics if name not in written]
    all_told = all(name in told for name in inputs)
    largest = max((record_size(told[name]) for name in inputs), default=None) if all_told else None
    for name, topic in topics.items():
        yield from check_topic(name, topic, written=name in written)
        if name == config.state.topic and isinstance(topic, TopicState):
            found = (topics[each] for each in inputs)
            yield check_state(topic, [each for each in found if isinstance(each, TopicState)])
        if name not in told:
            continue
        sample = samples.get(name)
        yield from check_cleanup(name, told[name], config, sample)
        if name not in written:
            yield from check_retention(name, told[name], learning_s(config, sample))
            yield from check_record_times(name, told[name], config)
        yield from check_record_size(name, told[name], config, largest)
