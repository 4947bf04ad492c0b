"""What runs in a worker process: univariate detection, and nothing that it does not need."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from typing import Literal

import msgspec

from streamdet.errors import RequestError
from streamdet.univariate.operations import answer

Name = Literal["entire", "last", "changepoint"]
Version = Literal["v1.0", "v1.1"]


def compute(name: Name, body: bytes, version: Version) -> bytes | tuple[str, str, int]:
    """Return the response as JSON, or code, message and status of what is wrong.

    An error with arguments of its own would not survive the way back.
    """
    try:
        return msgspec.json.encode(answer(name, body, version))
    except RequestError as error:
        return error.code, error.message, error.status


def begin() -> None:
    """Make a new process the server's: it ends with it, and by it alone; load what is slow."""
    for number in (signal.SIGINT, signal.SIGTERM):  # to a whole group; the server drains first
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warm()
    gc.freeze()  # else some request waits a tenth of a second while every module is looked at


def warm() -> None:
    """Import what the operations import late, and run each once."""
    series = ",".join(f'{{"value":{i % 4}}}' for i in range(48))
    body = f'{{"granularity":"none","series":[{series}]}}'.encode()
    names: tuple[Name, ...] = ("entire", "last", "changepoint")
    for name in names:
        compute(name, body, "v1.1")


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was spawned"
    wait([parent.sentinel])
    os._exit(1)
