"""A schedule of faults from a seed: workers and brokers are killed, stopped, and started again."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.integration.worker import Worker
from tests.servers.cluster import KafkaCluster

SESSION_TIMEOUT_S = 6
_GRACE_S = 25  # of a worker, that is told to end while the broker is away
_LOOK_EVERY_S = 0.5
_BETWEEN_S = (3.0, 25.0)
_AWAY_S = (0.0, 3.0)
_FROZEN_S = (SESSION_TIMEOUT_S + 1.5, SESSION_TIMEOUT_S + 7.0)
_BROKER_FIRST_S = (10.0, 30.0)
_BROKER_BETWEEN_S = (20.0, 75.0)
_BROKER_AWAY_S = (0.0, 8.0)
WORKER_FAULTS = ("SIGKILL", "SIGTERM", "SIGSTOP")
BROKER_FAULTS = ("broker SIGKILL", "broker SIGTERM")


class Fault(NamedTuple):
    """What was done, and when."""

    at_s: float
    kind: str
    to: str
    ended_s: float


class Faults:
    """Does harm in threads, one for each worker and one for the brokers, until `stop`.

    Parameters
    ----------
    seed
    cluster
    start
        Starts the worker of a number.
    workers
        How many there are.
    say
        Told of each fault.
    """

    def __init__(
        self,
        seed: int,
        cluster: KafkaCluster,
        start: Callable[[int], Worker],
        workers: int,
        say: Callable[[str], None],
    ) -> None:
        self._seed = seed
        self._cluster = cluster
        self._start = start
        self._say = say
        self._stop = threading.Event()
        self._supervised = threading.Event()
        self._supervised.set()
        self._workers = [start(number) for number in range(workers)]
        self._threads = [
            threading.Thread(target=self._harm_worker, args=[number]) for number in range(workers)
        ]
        self._threads.append(threading.Thread(target=self._harm_brokers))
        self.done: list[Fault] = []
        self.surprises: list[str] = []
        """Workers that ended by themselves, or not as they should; they were started again."""
        self.hung: list[str] = []
        """Workers that did not end when they were told to."""

    def begin(self) -> None:
        """Start the threads; call it once the group has begun to work."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Do no more harm: all workers and all brokers run when this returns."""
        self._stop.set()
        _join(self._threads[-1])

    def end(self) -> None:
        """Stop supervising, and end the workers in order."""
        self._stop.set()
        self._supervised.clear()
        for thread in self._threads:
            _join(thread)
        while self._workers:
            self._terminate(len(self._workers) - 1, self._workers[-1])
            self._workers.pop()

    def _harm_worker(self, number: int) -> None:
        chance = random.Random(f"{self._seed} worker {number}")  # a str: the same on every run
        deck: list[str] = []
        while self._supervised.is_set():
            due_s = time.monotonic() + chance.uniform(*_BETWEEN_S)
            while time.monotonic() < due_s and self._supervised.is_set():
                self._look_after(number)
                time.sleep(_LOOK_EVERY_S)
            if self._stop.is_set():
                continue
            deck = deck or chance.sample(WORKER_FAULTS, len(WORKER_FAULTS))
            self._harm(number, deck.pop(), chance)

    def _look_after(self, number: int) -> None:
        """Do what a supervisor does: start a worker that ended again, kill one that hangs."""
        worker = self._workers[number]
        code = worker.ended()
        if code is None and worker.alive():
            return
        if code is None:
            worker.signal(signal.SIGABRT)
            worker.exit_code(_GRACE_S)
            self.surprises.append(f"worker {number} hung and was killed; its log says where")
            self._say(self.surprises[-1])
        else:
            self._note(number, f"ended by itself with exit code {code}")
        time.sleep(1)
        self._workers[number] = self._start(number)

    def _harm(self, number: int, kind: str, chance: random.Random) -> None:
        worker, at_s = self._workers[number], time.monotonic()
        self._say(f"worker {number}: {kind}")
        if kind == "SIGSTOP":
            worker.signal(signal.SIGSTOP)
            time.sleep(chance.uniform(*_FROZEN_S))
            worker.signal(signal.SIGCONT)
        else:
            if kind == "SIGKILL":
                worker.kill()
            else:
                self._terminate(number, worker)
            time.sleep(chance.uniform(*_AWAY_S))
            self._workers[number] = self._start(number)
        self.done.append(Fault(at_s, kind, f"worker {number}", time.monotonic()))

    def _terminate(self, number: int, worker: Worker) -> None:
        if worker.ended() is None:
            worker.signal(signal.SIGTERM)
        try:
            code = worker.exit_code(_GRACE_S)
        except subprocess.TimeoutExpired:
            worker.signal(signal.SIGABRT)
            code = worker.exit_code(_GRACE_S)
            self.hung.append(f"worker {number} did not end within {_GRACE_S} s; its log says where")
            self._say(self.hung[-1])
        if code not in (0, -signal.SIGTERM):  # the latter: it had not begun yet
            self._note(number, f"ended with exit code {code} on SIGTERM")

    def _harm_brokers(self) -> None:
        chance = random.Random(f"{self._seed} broker")
        deck: list[str] = []
        between_s = _BROKER_FIRST_S  # a short run has one as well
        while not self._stop.wait(chance.uniform(*between_s)):
            between_s = _BROKER_BETWEEN_S
            deck = deck or chance.sample(BROKER_FAULTS, len(BROKER_FAULTS))
            number = chance.randrange(len(self._cluster.nodes))
            broker, kind, at_s = self._cluster.nodes[number], deck.pop(), time.monotonic()
            self._say(f"{kind}, number {number}")
            if kind == "broker SIGKILL":
                broker.kill()
            else:
                broker.stop()
            time.sleep(chance.uniform(*_BROKER_AWAY_S))
            broker.start()
            self._say("broker back")
            self.done.append(Fault(at_s, kind, f"broker {number}", time.monotonic()))
            # The next one may go only when this one can stand in for it.
            try:
                self._cluster.wait_in_sync()
            except AssertionError as error:
                self._say(f"no more harm to brokers: {error}")
                return

    def _note(self, number: int, what: str) -> None:
        last = self._workers[number].log().splitlines()[-1:] or [""]
        self.surprises.append(f"worker {number} {what}: {last[0]}")
        self._say(self.surprises[-1])


def _join(thread: threading.Thread) -> None:
    if thread.ident is not None:  # it was started
        thread.join()
