"""A worker dies before and after every step of a commit on a real broker; its heir makes it right.

`tests/test_restoration.py` tries more of the steps, on the in-memory broker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from streamdet import app, clients, snapshot
from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.errors import RetriableError, TransactionAborted
from streamdet.kafka.consumer import KafkaConsumer
from streamdet.restoration import Restoration
from streamdet.serde.decoder import Decoder
from streamdet.serde.limits import DecodeLimits
from streamdet.state import ledger
from streamdet.task import Task
from streamdet.testing import CrashPoint
from streamdet.types import OutgoingRecord, Partition
from tests.integration import offline
from tests.integration.topics import committed, ends, produce, read
from tests.integration.worker import Stream, wait_until
from tests.servers.kafka import create_topic
from tests.service import point, with_spikes
from tests.state_of import state_of
from tests.test_commit_crash import CASES

MINUTES, HOSTS, PARTITIONS = 45, 6, 2
# Calls of a step that go well before the one that does not: it is that of a later commit.
SKIP = {"producer.send": 9, "producer.flush": 5}
RULES = [
    {"match": {"dimensions": {"host": "1"}}, "set": {"allowed_lateness": "5m"}},
    {"match": {"dimensions": {"host": "3"}}, "set": {"transform": "rate"}},
]


class Dying:
    """A client of the brokers that dies at one of its calls, before it or after."""

    def __init__(self, client: Any, call: str | None = None, after: bool = False) -> None:
        self.client = client
        self._call, self._after = call, after
        self._left = SKIP.get(f"producer.{call}", 2)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        return self._dying(found) if name == self._call else found

    def _dying(self, call: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            self._left -= 1
            if self._left >= 0:
                return call(*arguments)
            if self._after:
                call(*arguments)
            raise CrashPoint

        return wrapped


@dataclass
class Life:
    """A worker whose loop the test turns; `step` names the client's call that it dies at."""

    config: Config
    step: str = "."
    after: bool = False

    def __post_init__(self) -> None:
        client, call = self.step.split(".")
        options = clients.member_options(self.config)
        consumer = KafkaConsumer(options, self.config.kafka.group_id)
        self.consumer = Dying(consumer, call if client == "consumer" else None, self.after)
        producer = clients.producer(self.config)
        self.producer = Dying(producer, call if client == "producer" else None, self.after)
        self._pipeline = app.build(
            self.config, self.consumer, self.producer, SystemClock(), clients.opener(self.config)
        )
        self.consumer.subscribe([topic.name for topic in self.config.input.topics], self._pipeline)

    def turn(self) -> None:
        try:
            self._pipeline.step()
        except (TransactionAborted, RetriableError) as error:
            self._pipeline._discard(error)

    def close(self) -> None:
        self.consumer.close()
        self.producer.close()


@pytest.fixture(autouse=True, scope="module")
def _a_chunk_for_each_series() -> Iterator[None]:
    whole, longest_s = ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S
    ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S = 1, 0.5  # and few are all that a commit takes
    yield
    ledger.CHUNK_BYTES, snapshot._SINCE_MAX_S = whole, longest_s


@pytest.fixture(scope="module")
def dead() -> Iterator[list[Life]]:
    """Those who died; their connections end with the module, as if nobody had closed them."""
    yield (lives := [])
    for life in lives:
        life.producer.client._producer.purge()
    lives.clear()


@pytest.fixture(scope="module")
def points(kafka) -> str:
    """A topic with points of some series in two partitions."""
    topic = f"points-of-{__name__.replace('.', '-')}"
    create_topic(kafka.bootstrap, topic, PARTITIONS, {"retention.ms": "-1"})
    values = [with_spikes(MINUTES, at=[25 + host, 40], seed=host) for host in range(HOSTS)]
    produce(
        kafka.bootstrap,
        [
            OutgoingRecord(topic, b"%d" % host, point(minute, values[host][minute], host=str(host)))
            for minute in range(MINUTES)
            for host in range(HOSTS)
        ],
    )
    return topic


@pytest.fixture(scope="module")
def undisturbed(kafka, points: str) -> offline.Offline:
    """What one that never died says of the points, and has as state at the end."""
    config = Config.model_validate(
        {"input": {"topics": [points]}, "output": {"publish": "all"}, "rules": RULES}
    )
    return offline.detect(config, read(kafka.bootstrap, points))


@pytest.mark.parametrize(("delivery", "step", "after"), CASES)
def test_a_crash_loses_nothing_and_doubles_nothing_but_ids(
    stream: Stream,
    points: str,
    undisturbed: offline.Offline,
    dead: list[Life],
    delivery,
    step,
    after,
):
    for topic in (stream.anomalies, stream.dead_letters):
        create_topic(stream.bootstrap, topic, config={"retention.ms": "-1"})
    stream.create_state_topic(PARTITIONS)
    stream.input = points
    config = Config.model_validate(
        stream.settings(
            # The heir takes the dead one's place, and ends its transaction.
            kafka={"instance_id": "the-one"},
            output={"publish": "all"},
            limits={"batch_records": 20},
            state={"bytes_per_second": 1024},
            commit_interval="10ms",
            delivery=delivery,
            rules=RULES,
        )
    )
    dead.append(Life(config, step, after))
    with pytest.raises(CrashPoint):
        wait_until(dead[-1].turn, "the crash")
    end = ends(stream.bootstrap, points)
    assert committed(stream.bootstrap, stream.group, points) != end

    heir = Life(config)

    def drained() -> bool:
        heir.turn()
        status = heir._pipeline.status
        places = {each.partition.index: each.next_offset for each in status.partitions}
        return status.not_ready is None and places == end

    wait_until(drained, "the heir to finish")
    heir.close()
    assert committed(stream.bootstrap, stream.group, points) == end

    wanted = sorted((event.key, event.value, event.headers) for event in undisturbed.events)
    records = read(stream.bootstrap, stream.anomalies)
    found = sorted((event.key, event.value, event.headers) for event in records)
    if delivery == "at_least_once":  # a doubled event has the same id, for it is the same event
        found = sorted(set(found))
    assert found == wanted
    assert len({json.loads(value)["id"] for _, value, _ in found}) == len(wanted)
    for partition, task in undisturbed.tasks.items():
        assert state_of(restored(partition, config, end[partition.index])) == state_of(task)


def restored(partition: Partition, config: Config, offset: int) -> Task:
    """Return a task as a worker has it that is assigned the partition now."""
    opener, decoder = clients.opener(config), Decoder(DecodeLimits())
    restoration = Restoration(Task(partition, config, offset), offset, opener, decoder)
    wait_until(restoration.step, "the state")
    assert not restoration.found.problems
    return restoration.task
