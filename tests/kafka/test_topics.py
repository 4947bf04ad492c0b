"""Topics looked at before a worker starts, and made by `streamdet topics create`."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from streamdet.errors import ConfigError, FatalError
from streamdet.kafka.mock import PARTITIONS, MockBroker
from streamdet.kafka.topics import Topics, TopicSpec


@pytest.fixture
def options(kafka):
    return {"bootstrap.servers": kafka.bootstrap}


def test_what_exists_passes_with_its_partitions(options, unique):
    points, events = unique("points"), unique("events")
    topics = Topics(options)
    topics.create([TopicSpec(points, 3), TopicSpec(events, 1)])
    assert topics.check([points, f"^{events[:10]}.*"], [events]) == {points: 3, events: 1}
    assert topics.partitions(points) == 3
    assert topics.partitions(unique("points")) is None


def test_everything_missing_is_named_at_once_with_the_way_out(options, unique):
    points, events = unique("points"), unique("events")
    with pytest.raises(ConfigError) as caught:
        Topics(options).check([points], [events])
    message = str(caught.value)
    assert points in message
    assert events in message
    assert "streamdet topics create" in message


def test_a_pattern_may_match_nothing_yet(options, unique):
    assert Topics(options).check([f"^{unique('points')}.*"], []) == {}


def test_creating_says_what_it_made_and_what_was_there(options, unique):
    points, events = unique("points"), unique("events")
    topics = Topics(options)
    specs = [TopicSpec(points, 2), TopicSpec(events, 1, settings={"cleanup.policy": "compact"})]
    assert topics.create(specs[:1]) == [f"{points}: created, 2 partitions"]
    assert topics.create(specs) == [
        f"{points}: exists, 2 partitions",
        f"{events}: created, 1 partitions",
    ]
    resource = ConfigResource(ResourceType.TOPIC, events)
    admin = AdminClient(options)
    settings = admin.describe_configs([resource])[resource].result(10)
    assert settings["cleanup.policy"].value == "compact"


def test_a_dry_run_makes_nothing_and_finds_what_would_be_refused(options, unique):
    points = unique("points")
    topics = Topics(options)
    lines = topics.create([TopicSpec(points, 2)], dry_run=True)
    assert lines == [f"{points}: would be created, 2 partitions"]
    assert topics.partitions(points) is None
    with pytest.raises(ConfigError, match="replication"):
        topics.create([TopicSpec(points, 2, replication_factor=7)], dry_run=True)


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("with spaces", {}, "with spaces"),
        ("points", {"partitions": 0}, "partitions"),
        ("points", {"settings": {"no.such.setting": "1"}}, "no.such.setting"),
    ],
)
def test_a_topic_that_the_brokers_refuse_is_a_wrong_configuration(
    options, unique, name, changes, named
):
    spec = {"name": unique(name), "partitions": 1, **changes}
    with pytest.raises(ConfigError, match=named):
        Topics(options).create([TopicSpec(**spec)])


def test_the_embedded_broker_is_checked_without_asking_what_it_cannot_answer():
    with MockBroker(["points", "events"]) as broker:
        topics = Topics({"bootstrap.servers": broker.bootstrap})
        assert topics.check(["points"], ["events"]) == dict.fromkeys(
            ("points", "events"), PARTITIONS
        )
        with pytest.raises(ConfigError, match="'elsewhere'"):
            topics.check(["points"], ["elsewhere"])


def test_brokers_that_do_not_answer_are_given_up_with_the_reason():
    options = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(FatalError, match="Connection refused"):
        Topics(options, timeout_s=0.5).partitions("points")


def test_a_refused_login_is_told_at_once_and_without_the_password(kafka):
    # a listener without SASL refuses the handshake, as one with SASL refuses a wrong password
    options = {
        "bootstrap.servers": kafka.bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "worker",
        "sasl.password": "canary-password",
    }
    with pytest.raises(FatalError, match="refuse our credentials") as caught:
        Topics(options).check(["points"], [])
    assert "canary-password" not in str(caught.value)
