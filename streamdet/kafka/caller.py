"""Calls of librdkafka that may not come back, made on a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Caller:
    """Makes one call at a time, and lets go of one that does not return.

    librdkafka does not look at the time-out of send_offsets_to_transaction while it waits for a
    group coordinator that is gone, and may not even ask for the new one (its issues 5456 and
    5511): measured, minutes after a broker was killed. Nothing ends such a call. The thread lives
    as long as this object; to start one a call costs a tenth of a commit.
    """

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._raised: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        threading.Thread(
            target=_serve, args=[self._asked, self._raised], name="caller", daemon=True
        ).start()

    def call(self, what: Callable[[], None], timeout_s: float) -> None:
        """Return when `what` has; raise what it raised.

        Raises
        ------
        TimeoutError
            It did not return within `timeout_s`. This caller can make no other call.
        """
        self._asked.put(what)
        try:
            raised = self._raised.get(timeout=timeout_s)
        except queue.Empty:
            self.close()
            raise TimeoutError from None
        if raised is not None:
            raise raised

    def close(self) -> None:
        """Let the thread end, once it can."""
        self._asked.put(None)


def _serve(
    asked: queue.SimpleQueue[Callable[[], None] | None],
    raised: queue.SimpleQueue[BaseException | None],
) -> None:
    while (what := asked.get()) is not None:
        try:
            what()
        except BaseException as error:  # noqa: BLE001 (who called decides)
            raised.put(error)
        else:
            raised.put(None)
        del what  # or the client lives on while nothing is asked
