"""`streamdet serve` as its own process on 127.0.0.1, as an operator starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from typing import Self

KEY = "0123456789abcdef0123456789abcdef"
_STARTS_WITHIN_S = 240  # a machine that has to compile every kernel, with others at work


class Served:
    """A server that runs; `log` is what it has said."""

    def __init__(self, *settings: str, env: dict[str, str] | None = None) -> None:
        options = [part for setting in settings for part in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamdet", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.log: list[str] = []
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = self.wait_for(r"listening at (http://127\.0\.0\.1:(\d+))")
        self.url, self.port = found[1], int(found[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return what a line of the log matches, as soon as there is one."""
        deadline_s = time.monotonic() + _STARTS_WITHIN_S
        with self._said:
            while True:
                for line in self.log:
                    if found := re.search(pattern, line):
                        return found
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or (not self._reader.is_alive() and self.process.poll() is not None):
                    raise AssertionError(f"no line matches {pattern}:\n" + "".join(self.log))
                self._said.wait(min(left_s, 0.2))

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in small letters) and body of an answer."""
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, names, answer.read()
        finally:
            connection.close()

    def stop(self) -> int:
        """End it as a supervisor does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._reader.join()
        return code

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._said:
                self.log.append(line)
                self._said.notify_all()
