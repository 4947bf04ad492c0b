"""Several workers under one parent: when they are started, started again, and ended."""

from __future__ import annotations

import pickle
from http import HTTPStatus

import pytest

from streamdet.config import Config
from streamdet.errors import ConfigError, FatalError
from streamdet.metrics import WorkerMetrics
from streamdet.testing import ManualClock
from streamdet.web.server import WebServer, text_page
from streamdet.workers import run, worker_settings
from streamdet.workers.pages import pages
from streamdet.workers.supervisor import Supervisor
from tests.servers import free_ports


class FakeProcess:
    """A process that ends when the test says so."""

    def __init__(self, number: int) -> None:
        self.pid = number
        self.code: int | None = None
        self.obeys = True
        self.terminated = False

    def exit_code(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.terminated = True
        if self.obeys and self.code is None:
            self.code = 0

    def kill(self) -> None:
        self.code = -9


class World:
    """A supervisor of two workers, and every process that it started."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.started: list[FakeProcess] = []
        self.restarts: list[int] = []
        self.supervisor = Supervisor(
            2,
            start=self._start,
            restarted=self.restarts.append,
            clock=self.clock,
            grace_s=20,
        )
        self.supervisor.step()

    def _start(self, number: int) -> FakeProcess:
        self.started.append(FakeProcess(number))
        return self.started[-1]

    def newest(self, number: int) -> FakeProcess:
        return next(each for each in reversed(self.started) if each.pid == number)

    def die(self, number: int, after_s: float, code: int = -9) -> float:
        """Let a worker end `after_s` after its start; return the seconds until the next start."""
        self.clock.advance(after_s)
        self.newest(number).code = code
        before = len(self.started)
        waited_s = 0.0
        self.supervisor.step()
        while len(self.started) == before:
            self.clock.advance(0.5)
            waited_s += 0.5
            self.supervisor.step()
        return waited_s


def test_a_worker_that_ends_is_started_again_and_the_others_are_left_alone():
    world = World()
    world.die(2, after_s=10)
    assert [process.pid for process in world.started] == [1, 2, 2]
    assert world.restarts == [2]
    assert not any(process.terminated for process in world.started)


def test_the_wait_doubles_to_half_a_minute_and_a_quiet_minute_makes_it_short_again():
    world = World()
    waited = [world.die(1, after_s=10) for _ in range(7)]
    assert waited == [1, 2, 4, 8, 16, 30, 30]
    assert world.die(1, after_s=60) == 1


def test_a_worker_that_ends_in_order_unasked_is_started_again_too():
    world = World()
    assert world.die(1, after_s=10, code=0) == 1


def test_a_configuration_that_one_cannot_use_ends_all():
    world = World()
    world.newest(1).code = 2
    with pytest.raises(ConfigError, match="worker 1"):
        world.supervisor.step()


def test_a_worker_that_ends_at_once_again_and_again_ends_all():
    world = World()
    for _ in range(4):
        world.die(1, after_s=1, code=1)
    with pytest.raises(FatalError, match="exit code 1"):
        world.die(1, after_s=1, code=1)


def test_ends_at_once_with_a_long_life_between_them_end_nobody():
    world = World()
    for _ in range(3):
        world.die(1, after_s=1)
        world.die(1, after_s=1)
        world.die(1, after_s=30)


def test_all_are_asked_to_end_and_waited_for():
    world = World()
    world.newest(2).obeys = False
    world.supervisor.end()
    assert all(process.terminated for process in world.started)
    assert world.supervisor.ending()
    world.newest(2).code = 0
    assert not world.supervisor.ending()
    assert world.supervisor.exit_code == 0


@pytest.mark.parametrize("kill", [False, True], ids=["its time is over", "asked twice"])
def test_who_does_not_end_is_killed_and_the_exit_code_tells(kill):
    world = World()
    world.newest(2).obeys = False
    world.supervisor.end()
    world.clock.advance(0 if kill else 22)
    assert not world.supervisor.ending(kill=kill)
    assert world.newest(2).code == -9
    assert world.supervisor.exit_code == 1


def test_nobody_is_started_again_once_all_shall_end():
    world = World()
    world.newest(1).code = -9
    world.supervisor.step()
    world.supervisor.end()
    assert not world.supervisor.ending()
    assert len(world.started) == 2


def test_a_worker_that_had_not_yet_begun_to_listen_ended_in_order():
    world = World()
    world.newest(1).code = -15
    world.supervisor.end()
    assert not world.supervisor.ending()
    assert world.supervisor.exit_code == 0


def test_what_two_workers_must_not_share_is_their_own():
    config = Config.model_validate(
        {
            "kafka": {
                "instance_id": "pod-0",
                "options": {"client.id": "fleet"},
                "producer_options": {"client.id": "writer"},
            }
        }
    )
    one, two = (worker_settings(config, number) for number in (1, 2))
    assert (one.kafka.instance_id, two.kafka.instance_id) == ("pod-0-1", "pod-0-2")
    assert two.kafka.client_options("consumer")["client.id"] == "fleet-2"
    assert two.kafka.client_options("producer")["client.id"] == "writer-2"
    assert (one.metrics.port, two.metrics.port) == (9109, 9110)
    assert one.detection_hash == two.detection_hash == config.detection_hash


def test_without_an_instance_id_none_is_made_up():
    assert worker_settings(Config(), 1).kafka.instance_id is None


def test_a_configuration_in_use_can_be_handed_to_a_worker():
    config = Config()
    assert config.detection_hash
    assert config.detection_lookup
    sent = worker_settings(config, 1)
    assert pickle.loads(pickle.dumps(sent)) == sent


@pytest.mark.parametrize("port", [0, 65_534])
def test_a_port_without_room_for_the_workers_after_it_is_refused(port):
    config = Config.model_validate({"metrics": {"port": port}})
    with pytest.raises(ConfigError, match=r"metrics\.port"):
        run(config, 2)


def test_the_pages_of_the_parent_are_those_of_its_workers():
    problem = ["no partitions yet"]
    exposed = b"# HELP streamdet_ready R.\n# TYPE streamdet_ready gauge\nstreamdet_ready 1.0\n"
    theirs = {
        "/metrics": lambda: (HTTPStatus.OK, "text/plain", exposed),
        "/healthz": text_page(lambda: None),
        "/readyz": text_page(lambda: problem[0]),
    }
    (free,) = free_ports(1)
    metrics = WorkerMetrics([1, 2])
    metrics.restarted(2)
    with WebServer("127.0.0.1", 0, theirs) as worker:
        ours = pages({1: worker.port, 2: free}, metrics)
        status, _, words = ours["/readyz"]()
        assert status == 503
        assert words == b"worker 1: no partitions yet; worker 2: does not answer\n"
        assert ours["/healthz"]()[0] == 200, "who starts is not dead"
        _, _, numbers = ours["/metrics"]()
        alone = pages({1: worker.port}, metrics)
        problem[0] = None
        assert alone["/readyz"]()[0] == 200
    lines = numbers.decode().splitlines()
    assert 'streamdet_ready{worker="1"} 1.0' in lines
    assert 'streamdet_ready{worker="2"} 0.0' in lines
    assert lines.count("# TYPE streamdet_ready gauge") == 1
    assert 'streamdet_worker_restarts_total{worker="2"} 1.0' in lines


def test_a_worker_whose_loop_stands_still_makes_the_parent_dead():
    theirs = {"/healthz": text_page(lambda: "the loop stands still for 99 s")}
    with WebServer("127.0.0.1", 0, theirs) as worker:
        status, _, words = pages({1: worker.port}, WorkerMetrics([1]))["/healthz"]()
    assert status == 503
    assert words == b"worker 1: the loop stands still for 99 s\n"
