"""How a process is told to end, and what ends it when it does not."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import signal
import socket
from collections.abc import Iterator
from threading import Event, Thread
from types import FrameType

log = logging.getLogger(__name__)

_STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stopped_by_signals(grace_s: float) -> Iterator[Event]:
    """Give an event that SIGTERM and SIGINT set; a second one of them is a KeyboardInterrupt.

    `grace_s` after the first the process ends with exit code 1, and says where it stood, unless
    the body has come to its end. For the main thread; the handlers that were there before are there
    again afterwards.

    Notes
    -----
    Python runs a handler when the main thread is between two instructions, and a question to
    brokers that are away is one for half a minute. So the grace is counted by a thread, which hears
    of the signal at once. It is no alarm: the default action of that does nothing to the first
    process of a container.
    """
    stop = Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        log.info("%s: finishing the batch, committing, leaving", signal.Signals(number).name)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    heard, told = socket.socketpair()
    told.setblocking(False)
    counting = Thread(target=_count, args=[heard, grace_s], name="grace", daemon=True)
    counting.start()
    before = {number: signal.signal(number, on_signal) for number in _STOPPING}
    told_before = signal.set_wakeup_fd(told.fileno())
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(told_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        counting.join()
        heard.close()
    faulthandler.cancel_dump_traceback_later()


def _count(heard: socket.socket, grace_s: float) -> None:
    """Begin to count at the first signal to stop; return when nobody can tell of one any more."""
    while numbers := heard.recv(1):
        if numbers[0] in _STOPPING:
            faulthandler.dump_traceback_later(grace_s, exit=True)
            return
