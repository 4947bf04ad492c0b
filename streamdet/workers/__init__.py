"""Several workers of one group on one machine: `streamdet run --workers N`.

A worker's loop works on one core, so more cores are more processes. Each is an ordinary worker in
an interpreter of its own (started anew, not forked: librdkafka's threads and numba's would not
come along); the parent starts them, starts them again, ends them, and answers for all of them on
`metrics.port`. It reads no record and imports neither numba nor librdkafka.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from types import FrameType

from streamdet.clock import SystemClock
from streamdet.config import Config
from streamdet.errors import ConfigError
from streamdet.metrics import WorkerMetrics
from streamdet.web.server import WebServer
from streamdet.workers.pages import LOOPBACK, pages
from streamdet.workers.supervisor import Supervisor

log = logging.getLogger(__name__)

_TURN_S = 0.1
_LAST_PORT = 65_535


def run(config: Config, n_workers: int) -> int:
    """Run `n_workers` workers until SIGTERM or SIGINT; return the exit code.

    A second signal kills them where they stand.

    Raises
    ------
    ConfigError
        There are no ports for them, or a worker cannot use the configuration; it said why.
    FatalError
        A worker ends at once, again and again.
    """
    settings = [worker_settings(config, number) for number in range(1, n_workers + 1)]
    _check_ports(config, n_workers)
    stop, now = Event(), Event()
    metrics = WorkerMetrics(range(1, n_workers + 1))
    supervisor = Supervisor(
        n_workers,
        start=lambda number: Process(settings[number - 1], number),
        restarted=metrics.restarted,
        clock=SystemClock(),
        grace_s=config.shutdown_timeout.total_seconds(),
    )
    ports = {number: one.metrics.port for number, one in enumerate(settings, start=1)}
    with (
        _signals(stop, now),
        WebServer(config.metrics.host, config.metrics.port, pages(ports, metrics)) as web,
    ):
        log.info(
            "%d workers; metrics at http://%s:%d/metrics", n_workers, config.metrics.host, web.port
        )
        try:
            while not stop.wait(_TURN_S):
                supervisor.step()
        finally:
            supervisor.end()
            while supervisor.ending(kill=now.is_set()):
                now.wait(_TURN_S)
    return supervisor.exit_code


def worker_settings(config: Config, number: int) -> Config:
    """Return the configuration of worker `number`: what two must not share is its own.

    Its metrics are for the parent: on the port that follows as many, for this machine only.
    """
    kafka = config.kafka
    names = {}
    if kafka.instance_id is not None:
        names["instance_id"] = f"{kafka.instance_id}-{number}"
    client = kafka.options.get("client.id", "streamdet")
    options = {"options": {**kafka.options, "client.id": f"{client}-{number}"}}
    for field in ("consumer_options", "producer_options"):
        own = getattr(kafka, field)
        if "client.id" in own:
            options[field] = {**own, "client.id": f"{own['client.id']}-{number}"}
    port = {"host": LOOPBACK, "port": config.metrics.port + number}
    return config.model_copy(
        update={
            "kafka": kafka.model_copy(update={**names, **options}),
            "metrics": config.metrics.model_copy(update=port),
        }
    )


def _check_ports(config: Config, n_workers: int) -> None:
    first = config.metrics.port
    if first == 0 or first + n_workers > _LAST_PORT:
        raise ConfigError(
            f"metrics.port: {first} leaves no ports for {n_workers} workers, which take those that "
            f"follow; choose one from 1 to {_LAST_PORT - n_workers}"
        )


class Process:
    """A worker, running when made; a group of its own, so that Ctrl-C is the parent's to pass on.

    Its configuration goes through its standard input, for a password has no place on a command
    line. The pipe is left open: when the parent is gone, however it went, the worker reads the end
    of it, and ends in order.
    """

    def __init__(self, config: Config, number: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "streamdet.workers", str(number)],
            stdin=subprocess.PIPE,
            process_group=0,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        self._to_worker = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it ended already; its exit code tells
            self._to_worker.write(pickle.dumps(config))
            self._to_worker.flush()

    def exit_code(self) -> int | None:
        """Return how it ended; None while it runs."""
        code = self._process.poll()
        if code is not None:
            with contextlib.suppress(BrokenPipeError):
                self._to_worker.close()
        return code

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._process.terminate()

    def kill(self) -> None:
        """End it where it stands."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def _signals(stop: Event, now: Event) -> Iterator[None]:
    """Set `stop` at the first signal of the block, `now` at the second."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        log.info("%s: passed on to the workers", signal.Signals(number).name)
        if stop.is_set():
            now.set()
        stop.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
