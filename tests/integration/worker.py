"""Real workers, `streamdet run` in processes of their own, on topics that a test has alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from streamdet.metrics import scrape
from tests.servers import free_ports
from tests.servers.kafka import create_topic

READY_TIMEOUT_S = 110  # the first start after a change of the kernels compiles them
GRACE_S = 20  # `shutdown_timeout`
CLI = (sys.executable, "-m", "streamdet")
_KILL_WHEN_INPUT_ENDS = ("/bin/sh", "-c", 'cat >/dev/null; kill -9 "$0"')


class Worker:
    """`streamdet run` with a configuration file; running when made.

    It ends with the test run, even when that is killed: a shell kills it at the end of the
    shell's standard input, which nobody but the test run holds open.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.config_file = folder / f"{name}.yaml"
        metrics = {"host": "127.0.0.1", "port": port}
        self.config_file.write_text(json.dumps({**settings, "metrics": metrics}))  # JSON is YAML
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*CLI, "run", "--config", self.config_file, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # SIGABRT: it logs where it stands
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})},
            )
        self._guard = subprocess.Popen(
            [*_KILL_WHEN_INPUT_ENDS, str(self._process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> Worker:
        """Wait until it processes its partitions."""
        wait_until(self.ready, f"{self._log} to show a ready worker", READY_TIMEOUT_S)
        return self

    def total(self, name: str, **labels: str) -> int:
        """Return the sum of its samples called `streamdet_{name}` that have these labels."""
        self._check_running()
        wanted = labels.items()
        return int(
            sum(
                value
                for (sample, has), value in scrape(f"http://{self.address}/metrics").items()
                if sample == f"streamdet_{name}" and wanted <= has
            )
        )

    def stop(self) -> None:
        """SIGTERM: it ends in order, within its grace, with exit code 0."""
        self._check_running()
        self._process.send_signal(signal.SIGTERM)
        assert self.exit_code(GRACE_S + 5) == 0, self.log()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.poll()

    def exit_code(self, timeout_s: float) -> int:
        """Wait for its end."""
        code = self._process.wait(timeout_s)
        self.kill()
        return code

    def kill(self) -> None:
        """SIGKILL, where it still runs. May be called twice."""
        self._guard.kill()
        self._guard.wait()
        self._guard.stdin.close()
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def alive(self) -> bool:
        """Ask as a kubelet does whether it should live on; so it should where nobody answers."""
        return self._answer("/healthz") != HTTPStatus.SERVICE_UNAVAILABLE

    def ready(self) -> bool:
        """Ask as a load balancer does whether it processes its partitions."""
        self._check_running()
        return self._answer("/readyz") == HTTPStatus.OK

    def _answer(self, path: str) -> int | None:
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:  # nobody listens yet
            return None

    def _check_running(self) -> None:
        code = self._process.poll()
        assert code is None, f"the worker ended with exit code {code}:\n{self.log()}"


class Restarted:
    """A worker that is started again when it ends with exit code 1, as by a supervisor.

    Parameters
    ----------
    start
        Starts the worker.
    """

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self.worker = start().wait_ready()
        self.restarts = 0
        """How often it was started again."""

    def supervise(self) -> Worker:
        """Start it again if it has ended; to be called again and again. Return the latest."""
        code = self.worker.ended()
        if code is not None:
            assert code == 1, f"exit code {code}:\n{self.worker.log()}"
            self.worker.kill()
            self.worker = self._start()
            self.restarts += 1
        return self.worker


class Stream:
    """Names of topics and of a group that are one test's own, and the workers on them."""

    def __init__(self, bootstrap: str, unique: Callable[[str], str], folder: Path) -> None:
        self.bootstrap = bootstrap
        self.input = unique("points")
        self.anomalies = unique("anomalies")
        self.dead_letters = unique("dead-letters")
        self.state = unique("state")
        self.group = unique("group")
        self.folder = folder
        self.environment: dict[str, str] = {}
        """Of the workers that are started from now on, beside that of the test run."""
        self._workers: list[Worker] = []

    def create_topics(self, partitions: int = 1) -> None:
        """Make the four topics; none forgets records, however old their time is."""
        for topic in (self.input, self.anomalies, self.dead_letters):
            create_topic(self.bootstrap, topic, partitions, {"retention.ms": "-1"})
        self.create_state_topic(partitions)

    def create_state_topic(self, partitions: int) -> None:
        """Make the topic of the state, with as many partitions as the input has."""
        create_topic(self.bootstrap, self.state, partitions, {"cleanup.policy": "compact"})

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return a configuration for this stream; sections in `changes` are merged into it."""
        own: dict[str, Any] = {
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "group_id": self.group,
                # members hear of a rebalance by their heartbeat
                "consumer_options": {"heartbeat.interval.ms": 300},
            },
            "input": {"topics": [self.input]},
            "output": {"anomalies": self.anomalies, "dead_letters": self.dead_letters},
            "state": {"topic": self.state},
            "commit_interval": "200ms",
            "shutdown_timeout": f"{GRACE_S}s",
        }
        for name, value in changes.items():
            own[name] = {**own.get(name, {}), **value} if isinstance(value, dict) else value
        return own

    def worker(self, name: str = "worker", **changes: Any) -> Worker:
        """Start a worker, which ends with the test; under the same name its log goes on."""
        worker = Worker(self.folder, name, self.settings(**changes), self.environment)
        self._workers.append(worker)
        return worker

    def workers(self, n_workers: int, **changes: Any) -> Worker:
        """Start a parent with as many workers; its pages are theirs together."""
        arguments = ("--workers", str(n_workers))
        parent = Worker(
            self.folder, "workers", self.settings(**changes), self.environment, arguments
        )
        self._workers.append(parent)
        return parent

    def cli(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of `streamdet` to its end."""
        return subprocess.run(
            [*CLI, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60
        )

    def end(self) -> None:
        """Kill the workers that still run."""
        for worker in self._workers:
            worker.kill()


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)
