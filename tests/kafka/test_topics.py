"""Topics looked at before a worker starts, and made by `streamdet topics create`."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from streamdet.errors import ConfigError, FatalError
from streamdet.kafka.mock import PARTITIONS, MockBroker
from streamdet.kafka.topics import Topics, TopicSpec
from tests.integration.worker import wait_until
from tests.servers.kafka import KafkaServer, create_topic

COMPACTED = {"cleanup.policy": "compact"}


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


class TestState:
    """The state topic: what cannot hold the state of the inputs is refused at the start."""

    @pytest.fixture
    def made(self, kafka, options, unique):
        """Make an input topic of three partitions; return what checks it beside a state topic."""
        points, topics = unique("points"), Topics(options)
        create_topic(kafka.bootstrap, points, 3)

        def check(partitions, inputs=(points,), settings=COMPACTED):
            state = unique("state")
            if partitions:
                create_topic(kafka.bootstrap, state, partitions, settings)
                wait_until(lambda: topics.partitions(state), f"{state} to be told of")
            return state, lambda: topics.check(list(inputs), [], state)

        return points, check

    @pytest.mark.parametrize("partitions", [3, 4])
    def test_a_compacted_topic_with_enough_partitions_passes(self, made, partitions):
        points, checked = made
        state, check = checked(partitions)
        assert check() == {points: 3, state: partitions}

    def test_one_that_is_missing_is_named_with_the_command_that_makes_it(self, made):
        state, check = made[1](0)
        with pytest.raises(ConfigError, match=f"{state}.* streamdet topics create"):
            check()

    @pytest.mark.parametrize("policy", ["delete", "compact,delete"])
    def test_one_that_deletes_by_age_is_refused(self, made, policy):
        _, check = made[1](3, settings={"cleanup.policy": policy})
        with pytest.raises(ConfigError, match=f"cleanup.policy={policy}.*set cleanup.policy=comp"):
            check()

    def test_one_with_fewer_partitions_than_an_input_is_refused_with_the_number(self, made):
        points, checked = made
        state, check = checked(2)
        with pytest.raises(ConfigError) as caught:
            check()
        assert f"input topic {points!r} has 3 partitions" in str(caught.value)
        assert f"add partitions to {state!r}, to 3 or more" in str(caught.value)

    def test_of_what_a_pattern_matches_it_is_a_warning(self, made, caplog):
        points, checked = made
        state, check = checked(2, inputs=[f"^{made[0]}"])
        assert check() == {points: 3, state: 2}
        assert f"add partitions to {state!r}" in caplog.text

    def test_on_the_embedded_broker_existence_is_all_that_is_asked(self):
        with MockBroker(["points", "state"]) as broker:
            topics = Topics({"bootstrap.servers": broker.bootstrap})
            assert set(topics.check(["points"], [], "state")) == {"points", "state"}
            with pytest.raises(ConfigError, match="'elsewhere'"):
                topics.check(["points"], [], "elsewhere")

    def test_it_is_read_and_written_and_a_policy_that_may_not_be_seen_is_a_warning(self, caplog):
        with KafkaServer({"worker": "secret"}) as broker:
            create_topic(broker.bootstrap, "state", 1, COMPACTED)
            login = {
                "bootstrap.servers": broker.secured,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "worker",
                "sasl.password": "secret",
            }
            grant(broker, "state", AclOperation.DESCRIBE)
            wait_until(lambda: refused(login).endswith("grant WRITE"), "Describe")
            assert "grant READ; " in refused(login)
            grant(broker, "state", AclOperation.READ)
            wait_until(lambda: "grant READ" not in refused(login), "Read")
            assert refused(login) == "a right on topic 'state' is missing: grant WRITE"
            grant(broker, "state", AclOperation.WRITE)
            wait_until(lambda: refused(login) == "", "Write")
            assert "Grant DescribeConfigs" in caplog.text


def refused(login: dict[str, str]) -> str:
    """Return what the check says against the topic called state; empty: nothing."""
    try:
        assert Topics(login).check([], [], "state") == {"state": 1}
    except ConfigError as error:
        return str(error)
    return ""


def grant(broker: KafkaServer, topic: str, right: AclOperation) -> None:
    binding = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:worker", "*", right,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_acls([binding])[binding].result(30)


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
