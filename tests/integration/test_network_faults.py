"""A worker behind a bad network publishes what it would have had the network been good.

Producers and readers of the tests do not meet the bad network, only workers do.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.accounting import (
    assert_events_are_those_of_the_detector,
    assert_one_event_for_each_point,
    wait_until_drained,
)
from tests.integration.topics import Load, committed
from tests.integration.worker import Restarted, Stream, Worker, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.proxy import FaultProxy, Mode

TRANSACTION_TIMEOUT_S = 10  # a commit is given up after half of it
SHUTDOWN_TIMEOUT_S = 4
RESETS = 20
END_TXN = 26  # the request that commits

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def network():
    with FaultProxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(network):
    with KafkaServer(proxy=network) as broker:
        yield broker


@pytest.fixture
def stream(server, network, unique, tmp_path):
    network.become(Mode.PASS)
    own = Stream(server.bootstrap, unique, tmp_path)
    own.create_topics(partitions=2)
    yield own
    own.end()


def settings(network: FaultProxy, **more: object) -> dict[str, object]:
    return {
        "kafka": {
            "bootstrap_servers": network.address,
            # Who is started again takes the place of who was there before, at once.
            "instance_id": "the-one",
        },
        "output": {"publish": "all"},
        "transaction_timeout": f"{TRANSACTION_TIMEOUT_S}s",
        **more,
    }


def giving_up_silent_connections(network: FaultProxy, **more: object) -> dict[str, object]:
    """Return settings with which a connection that nobody answers on is given up soon."""
    own = settings(network, **more)
    own["kafka"]["options"] = {"socket.timeout.ms": 4_000}
    return own


def offsets(stream: Stream) -> int:
    """Return how many points are committed."""
    return sum(committed(stream.bootstrap, stream.group, stream.input).values())


def assert_nothing_lost_or_doubled(stream: Stream, worker: Worker, points: int) -> None:
    assert_one_event_for_each_point(stream, points)
    assert_events_are_those_of_the_detector(stream, worker, stream.input)


def test_connections_that_are_cut_and_dribble_cost_time_only(stream, network):
    # What a commit has to send must get through within its time, however slow the network.
    worker = stream.worker(**settings(network, limits={"batch_records": 500})).wait_ready()
    network.delay_s, network.bytes_per_s = 0.05, 100_000
    with Load(stream.bootstrap, stream.input, points_per_s=1_000, points_max=100_000) as load:
        cut = 0
        for _ in range(RESETS):
            time.sleep(0.25)
            cut += network.reset()
        assert cut >= RESETS  # a client waits before it comes back, so not each finds one
        wait_until(lambda: worker.total("points_total"), "points in spite of it")
        network.become(Mode.DRIBBLE)
        before = offsets(stream)
        wait_until(lambda: offsets(stream) > before, "a commit, bit by bit")
    network.become(Mode.PASS)
    wait_until_drained(stream)
    worker.stop()
    assert_nothing_lost_or_doubled(stream, worker, load.points)


def test_of_what_was_said_into_a_black_hole_nothing_is_lost_or_doubled(stream, network):
    own = giving_up_silent_connections(network)
    restarted = Restarted(lambda: stream.worker(**own))

    def done_since(before: int) -> int:
        restarted.supervise()
        return offsets(stream) - before

    def wait_for_commits() -> None:
        before = offsets(stream)
        wait_until(lambda: done_since(before) > 1_000, "commits", 90)

    with Load(stream.bootstrap, stream.input, points_per_s=1_000, points_max=100_000) as load:
        wait_for_commits()
        # The broker commits, and nobody learns of it.
        network.mute_at(END_TXN)
        wait_until(lambda: network.mode is Mode.MUTE, "a commit that nobody hears the answer of")
        for mode, lasts_s in (
            (Mode.MUTE, TRANSACTION_TIMEOUT_S / 2 + 1),
            (Mode.BLACK_HOLE, TRANSACTION_TIMEOUT_S + 1),
        ):
            network.become(mode)
            until = time.monotonic() + lasts_s
            while time.monotonic() < until:
                restarted.supervise()
                time.sleep(0.1)
            network.become(Mode.PASS)
            wait_for_commits()
    wait_until_drained(stream, restarted.supervise)
    restarted.worker.wait_ready().stop()
    assert_nothing_lost_or_doubled(stream, restarted.worker, load.points)


def test_sigterm_ends_a_worker_whose_brokers_have_fallen_silent(stream, network):
    own = giving_up_silent_connections(network, shutdown_timeout=f"{SHUTDOWN_TIMEOUT_S}s")
    with Load(stream.bootstrap, stream.input, points_per_s=1_000, points_max=100_000) as load:
        worker = stream.worker(**own).wait_ready()
        wait_until(lambda: worker.total("points_total"), "a commit")
        network.become(Mode.BLACK_HOLE)
        time.sleep(1)
        worker.signal(signal.SIGTERM)
        assert worker.exit_code(SHUTDOWN_TIMEOUT_S + 5) == 1, worker.log()
    assert "SIGTERM" in worker.log()
    network.become(Mode.PASS)
    heir = stream.worker(**own).wait_ready()
    wait_until_drained(stream)
    heir.stop()
    assert_nothing_lost_or_doubled(stream, heir, load.points)


def test_a_worker_that_joins_while_another_restores_takes_its_share_and_no_harm_is_done(
    stream, network
):
    everything = {"output": {"publish": "all"}, "commit_interval": "50ms"}
    first = stream.worker("first", **everything).wait_ready()
    with Load(stream.bootstrap, stream.input, points_per_s=2_000, points_max=100_000) as load:
        wait_until(lambda: first.total("points_total") > 5_000, "state")
        first.stop()
        network.delay_s, network.bytes_per_s = 0.05, 20_000
        network.become(Mode.DRIBBLE)
        slow = stream.worker("slow", kafka={"bootstrap_servers": network.address}, **everything)
        wait_until(lambda: "assigned: " in slow.log(), "partitions to be restored")
        second = stream.worker("second", **everything)
        wait_until(lambda: "revoked: " in slow.log(), "one to move")
        assert "restored " not in slow.log()
        second.wait_ready()
        network.become(Mode.PASS)
        slow.wait_ready()
        shares = [worker.total("assigned_partitions") for worker in (slow, second)]
        assert shares == [1, 1]
    wait_until_drained(stream)
    for worker in (slow, second):
        worker.stop()
    assert_nothing_lost_or_doubled(stream, second, load.points)
