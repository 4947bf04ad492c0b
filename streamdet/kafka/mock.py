"""An embedded broker for the demo and for benchmarks: librdkafka's mock cluster, on 127.0.0.1.

It runs in a process of its own, so that it costs the clients neither their interpreter lock nor
their memory figures. It speaks the real protocol and keeps nothing: a partition holds its newest
5 MiB or 100,000 records, aborted transactions can be read, a topic always has 4 partitions.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from confluent_kafka import Producer

from streamdet.errors import FatalError

PARTITIONS = 4
"""Partitions of a topic; the mock cluster's fixed default, which no client option changes."""

_START_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0


class MockBroker:
    """A running mock cluster; a context manager.

    Parameters
    ----------
    brokers
        Number of brokers.
    topics
        Made at start, with `PARTITIONS` partitions each.

    Raises
    ------
    FatalError
        Its process did not start.
    """

    def __init__(self, topics: Sequence[str] = (), brokers: int = 1) -> None:
        # In a session of its own: Ctrl-C in the terminal is for us, and ending is ours to do.
        # It ends when its standard input does, so also when this process is killed.
        self._process = subprocess.Popen(  # noqa: S603 (our own module)
            [sys.executable, "-m", "streamdet.kafka.mock", str(brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.bootstrap = self._process.stdout.readline().strip()
        if not self.bootstrap:
            self.close()
            raise FatalError(
                f"the embedded broker did not start: its process ended with code "
                f"{self._process.returncode}"
            )
        self.create_topics(topics)

    @property
    def pid(self) -> int:
        """The process id of the broker."""
        return self._process.pid

    def create_topics(self, names: Sequence[str]) -> None:
        """Make topics. Asking for one is what creates it; there is no other way."""
        client = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for name in names:
            client.list_topics(name, timeout=_START_TIMEOUT_S)

    def close(self) -> None:
        """End the broker's process. May be called twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> MockBroker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve(brokers: int) -> None:
    """Run the cluster, say where on standard output, end when standard input does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    client = Producer({"test.mock.num.brokers": brokers, "log_level": 0})
    found = client.list_topics(timeout=_START_TIMEOUT_S).brokers.values()
    print(",".join(f"{broker.host}:{broker.port}" for broker in found), flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
