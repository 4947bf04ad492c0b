"""Whether the brokers can be reached, and whether this user may do what a worker does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from streamdet.cluster import Cluster, GroupState, Reach, TopicAnswer, TopicState, Untold
from streamdet.config import Config
from streamdet.doctor.configuration import written_topics
from streamdet.doctor.finding import Check, Finding, Told, span

_CERTIFICATE_SOON_S = 14 * 86_400
_KAFKA_4_0 = 25  # its metadata.version
_ADVICE = {
    "DNS": "correct the name in {where}, or the resolver of this machine",
    "TCP": "see that the broker runs and no firewall is between; port and address are of {where}",
    "TLS": "see whether this port speaks TLS, and kafka.options ssl.ca.location",
    "Kafka": "see that security.protocol in kafka.options is the listener's",
    "login": "check sasl.mechanism, sasl.username and the password; a wrong one is told here only",
}


def check_reach(reaches: Iterable[Reach], now_s: float) -> Iterator[Finding]:
    """Judge what came of connecting.

    now_s : seconds since 1970, for certificates
    """
    for reach in reaches:
        told = Told(Check.ADVERTISED if reach.advertised else Check.SERVER, reach.address)
        where = "advertised.listeners" if reach.advertised else "kafka.bootstrap_servers"
        steps = ", ".join(f"{name} {span(took_s)}" for name, took_s in reach.steps.items())
        if reach.failed is not None:
            before = f" (after {steps})" if steps else ""
            found = f"{reach.failed}: {reach.fault}{before}"
            advice = _ADVICE[reach.failed].format(where=where)
            if reach.advertised:
                advice = f"clients must reach every broker by the address it advertises; {advice}"
            yield told.fail(found, advice)
            continue
        if reach.features and not reach.advertised:
            steps += f"; {_version(reach.features)}"
        ends_s = reach.certificate_ends_s
        if ends_s is not None and ends_s - now_s < _CERTIFICATE_SOON_S:
            left = f"; its certificate ends in {span(ends_s - now_s)}"
            yield told.warn(steps + left, "renew the broker's certificate")
        else:
            yield told.ok(steps)


def _version(features: Mapping[str, int]) -> str:
    level = features.get("metadata.version")
    if level is None:
        return "version not told"
    return f"Kafka {'4.0 or newer' if level >= _KAFKA_4_0 else 'before 4.0'} (level {level})"


def check_rights(
    config: Config,
    topics: Mapping[str, TopicAnswer],
    group: GroupState | Untold,
    cluster: Cluster,
) -> Iterator[Finding]:
    """Compare what this user may do with what a worker needs; see docs/deployment.md."""
    written = written_topics(config)
    for name, topic in topics.items():
        if topic is not None:
            needed = ["WRITE"] if name in written else ["READ"]
            yield _topic_right(
                name, topic, ["READ", *needed] if name == config.state.topic else needed
            )
    told = Told(Check.GROUP_RIGHTS, config.kafka.group_id)
    grant = f"grant Read on group {config.kafka.group_id}"
    if isinstance(group, Untold):
        yield told.fail("READ is missing", grant) if group.forbidden else told.unknown(group.why)
    elif group.rights is None:
        yield told.unknown("the brokers do not tell", grant)
    elif "READ" not in group.rights:
        yield told.fail("READ is missing", grant)
    else:
        yield told.ok("READ")
    if config.delivery == "exactly_once":
        told = Told(Check.TRANSACTION_RIGHTS, f"{config.kafka.group_id}-...")
        if cluster.all_rights:
            yield told.ok("this user may do everything on the cluster")
        else:
            yield told.unknown(
                "brokers tell this only to who uses the id",
                f"where there are ACLs: Write on transactional ids that begin with "
                f"{config.kafka.group_id}-",
            )


def _topic_right(name: str, topic: TopicState | Untold, needed: Sequence[str]) -> Finding:
    told = Told(Check.TOPIC_RIGHTS, name)
    rights = topic.rights if isinstance(topic, TopicState) else None
    missing = [each for each in needed if each not in (rights or ())]
    grant = f"grant {' and '.join(each.capitalize() for each in missing)} on topic {name}"
    if isinstance(topic, Untold):
        if topic.forbidden:
            return told.fail(f"{' and '.join(needed)} missing, or there is no such topic", grant)
        return told.unknown(topic.why)
    if rights is None:
        return told.unknown("the brokers do not tell", grant)
    if missing:
        return told.fail(f"{' and '.join(missing)} missing", grant)
    return told.ok(" and ".join(needed))
