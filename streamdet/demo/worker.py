"""The demo's worker: `streamdet run` as anyone would start it, in a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.request import urlopen

from streamdet.demo.signals import POINTS_PER_DAY
from streamdet.errors import FatalError
from streamdet.metrics import scrape

METRICS_TOPIC = "metrics"
ANOMALY_TOPIC = "anomalies"
DEAD_LETTER_TOPIC = "dead-letters"

# The first start of an installation compiles the kernels.
_READY_TIMEOUT_S = 180.0
_END_TIMEOUT_S = 25.0
_LOG_LINES = 20

Counters = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def config_text(bootstrap: str, port: int) -> str:
    """Return the worker's configuration file."""
    return f"""\
# Written by `streamdet demo`; `streamdet config schema` describes every field.
kafka:
  bootstrap_servers: {bootstrap}
  group_id: streamdet-demo
input:
  topics: [{METRICS_TOPIC}]
output:
  anomalies: {ANOMALY_TOPIC}
  dead_letters: {DEAD_LETTER_TOPIC}
commit_interval: 200ms
state:
  topic: null  # the demo runs once, and its broker keeps nothing
metrics:
  host: 127.0.0.1
  port: {port}
logging:
  format: text
  level: info
detection:  # a point every five minutes; two days to learn from before the first verdict
  granularity: minutely
  customInterval: 5
  warmup: {2 * POINTS_PER_DAY}
"""


def total(counters: Counters, name: str, **labels: str) -> int:
    """Return the sum of the samples called `name` that have `labels`."""
    wanted = labels.items()
    return int(
        sum(value for (sample, has), value in counters.items() if sample == name and wanted <= has)
    )


class Worker:
    """A running worker; a context manager that ends it.

    Parameters
    ----------
    directory : Path
        For its configuration and its log.
    bootstrap : str
        The broker.
    """

    def __init__(self, directory: Path, bootstrap: str) -> None:
        port = _free_port()
        self.address = f"http://127.0.0.1:{port}/metrics"
        self.config = directory / "streamdet.yaml"
        self.config.write_text(config_text(bootstrap, port), encoding="utf-8")
        self._ready = f"http://127.0.0.1:{port}/readyz"
        self._log = directory / "worker.log"
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal is for the demo, which ends it in order.
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "streamdet", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # Ends the worker if this process is killed: then, and only then, the guard's input ends
        # while it lives. Not gently: the broker goes in the same moment, nothing can be committed.
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", f"cat >/dev/null; kill -9 {self._process.pid}"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def check(self) -> None:
        """Do nothing while it runs.

        Raises
        ------
        FatalError
            It has ended; the message holds the end of its log.
        """
        code = self._process.poll()
        if code is not None:
            raise FatalError(
                f"the worker ended with exit code {code}; its log ends:\n{self._tail()}"
            )

    def wait_ready(self) -> None:
        """Wait until it processes its partitions.

        Raises
        ------
        FatalError
            It ended, or was not ready in time.
        """
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        answer = "does not answer"
        while time.monotonic() < deadline_s:
            self.check()
            try:
                with urlopen(self._ready, timeout=1):  # noqa: S310  # our own worker's address
                    return
            except HTTPError as error:
                answer = error.read().decode(errors="replace").strip()
            except OSError:
                pass  # it is still starting
            time.sleep(0.1)
        raise FatalError(
            f"the worker was not ready within {_READY_TIMEOUT_S:g} s: {answer}; "
            f"its log ends:\n{self._tail()}"
        )

    def counters(self) -> Counters:
        """Return what its /metrics says.

        Raises
        ------
        FatalError
            It has ended.
        OSError
            It did not answer.
        """
        self.check()
        return scrape(self.address)

    def end(self) -> int | None:
        """End it with SIGTERM; return its exit code, None when it had to be killed.

        May be called twice.
        """
        if self._guard.poll() is None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "(nothing)"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
