"""Settings that are valid each, and do not go well together or with these brokers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamdet.cluster import TopicAnswer, TopicState, Untold
from streamdet.config import Config, DetectionConfig
from streamdet.doctor.finding import Check, Finding, Told, listed, span

_TRANSACTIONS_SINCE = 2
_TRANSACTION_MAX = "transaction.max.timeout.ms"


def detections(config: Config) -> Iterator[tuple[str, DetectionConfig]]:
    """Yield the parameters of `detection` and of each rule, with where they stand."""
    yield "detection", config.detection
    for index, rule in enumerate(config.rules):
        yield f"rules[{index}]", rule.over(config.detection)


def written_topics(config: Config) -> tuple[str, ...]:
    """Return the topics that a worker writes to: output and state."""
    return (*config.output_topics, *([] if config.state.topic is None else [config.state.topic]))


def check_configuration(config: Config) -> Iterator[Finding]:
    """Judge the configuration by itself; that it is valid is known before there is one."""
    rules = f"{len(config.rules)} rules, settings {config.detection_hash}"
    yield Told(Check.CONFIG, "file, environment, options").ok(f"valid; {rules}")
    told = Told(Check.MAX_FUTURE, "limits.max_future")
    future_s = config.limits.max_future.total_seconds()
    longer = [
        f"{place} ({span(parameters.longest_interval.total_seconds())})"
        for place, parameters in detections(config)
        if parameters.longest_interval.total_seconds() > future_s
    ]
    if longer:
        yield told.warn(
            f"{span(future_s)} is shorter than the distance of two values of {listed(longer)}: "
            "where only such series speak, each of their points counts as too far ahead, and the "
            "partition's time follows them late",
            "set limits.max_future to two of the longest intervals",
        )
    else:
        yield told.ok(f"{span(future_s)}, not shorter than any interval that is set")


def check_delivery(
    config: Config, written: Mapping[str, TopicAnswer], features: Mapping[str, int]
) -> Iterator[Finding]:
    """Judge whether the cluster can keep what `delivery` promises.

    written : the topics that a worker writes to
    features : of the cluster; empty where it does not tell
    """
    told = Told(Check.DELIVERY, "delivery")
    if config.delivery == "at_least_once":
        yield told.ok("at_least_once: a crash may repeat events, with the same ids")
        return
    single = [
        name
        for name, topic in written.items()
        if isinstance(topic, TopicState) and topic.n_replicas == 1
    ]
    if single:
        yield told.warn(
            f"exactly_once, but one copy only of {listed(single)}: what was promised is lost with "
            "one broker's disk",
            "give these topics 3 replicas; on a single machine, let it be",
        )
        return
    level = features.get("transaction.version")
    if level is None:
        yield told.unknown("the brokers do not tell their version of transactions (before 3.3?)")
    elif level < _TRANSACTIONS_SINCE:
        yield told.warn(
            f"transaction.version is {level}: a request of an aborted transaction that arrives "
            "late can end up in the next one",
            "take brokers from 4.0 on with transaction.version 2, or drop doubled events by id",
        )
    elif all(isinstance(topic, TopicState) for topic in written.values()):
        yield told.ok(
            f"exactly_once: transaction.version {level}, more than one copy of what is written"
        )
    else:
        yield told.unknown(f"transaction.version {level}; what is written to does not tell copies")


def check_transaction_timeout(
    config: Config, broker: Mapping[str, str] | Untold
) -> Iterator[Finding]:
    """Compare `transaction_timeout` with what the brokers allow."""
    if config.delivery != "exactly_once":
        return
    own_s = config.transaction_timeout.total_seconds()
    told = Told(Check.TRANSACTION_TIMEOUT, "transaction_timeout")
    if isinstance(broker, Untold) or _TRANSACTION_MAX not in broker:
        why = broker.why if isinstance(broker, Untold) else "the brokers do not tell it"
        advice = f"compare it with the brokers' {_TRANSACTION_MAX}, 15 m by default"
        yield told.unknown(f"{span(own_s)}; {why}", advice)
        return
    most_s = int(broker[_TRANSACTION_MAX]) / 1000
    if own_s > most_s:
        yield told.fail(
            f"{span(own_s)}, but the brokers' {_TRANSACTION_MAX} is {span(most_s)}: no worker "
            "can start",
            "lower transaction_timeout, or raise theirs",
        )
    else:
        yield told.ok(f"{span(own_s)}, and the brokers allow {span(most_s)}")
