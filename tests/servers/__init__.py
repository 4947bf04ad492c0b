"""Real servers for the tests: each is found or installed, started on loopback, and ended."""

import os
import random
import socket
from pathlib import Path


class Unavailable(Exception):
    """A server or tool that the tests need cannot be had; the message says what to install."""


def cache_folder(name: str) -> Path:
    """Return the user's cache folder of that name, created where it is missing."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "streamdet" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_ports(count: int) -> list[int]:
    """Return that many different loopback ports which nobody listens on.

    They lie below the range from which Linux and macOS take a client's own port. A client that
    reconnects to a stopped server in that range sooner or later gets the server's port as its own,
    is connected to itself, and the server cannot start again.
    """
    ports: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1_000):
        with socket.socket() as probe:
            # so that the closing connections of a server that has just ended do not count
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Unavailable(f"No {count} free ports on 127.0.0.1 between 20000 and 32000.")
