"""Keeps workers running: when each is started again, and when all of them end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamdet.clock import Clock
from streamdet.errors import ConfigError, FatalError

log = logging.getLogger(__name__)

BACK_OFF_S, BACK_OFF_MAX_S = 1.0, 30.0
QUIET_S = 60.0
"""Who has run for so long has got over its trouble: the next back-off is the shortest again."""
IMMEDIATE_S, IMMEDIATE_MAX = 5.0, 5
"""Who ends so soon, so often in a row, will do so again: a right is missing, or memory."""
KILL_AFTER_S = 2.0
"""Beyond `shutdown_timeout`, at which a worker ends itself and says where it stood."""

_EXIT_CONFIG = 2
_IN_ORDER = (0, -signal.SIGTERM)
"""The latter: it had only begun to start, and did not listen yet."""


class WorkerProcess(Protocol):
    """A worker's process, running when made."""

    pid: int

    def exit_code(self) -> int | None:
        """Return how it ended, a negative number by a signal; None while it runs."""
        ...

    def terminate(self) -> None:
        """Ask it to end in order."""
        ...

    def kill(self) -> None:
        """End it where it stands."""
        ...


@dataclass
class _Place:
    """One of the workers: the process, or the time at which it gets the next one."""

    number: int
    process: WorkerProcess | None = None
    since_s: float = 0.0
    """When the process was started; without one, when the next is due."""
    starts: int = 0
    back_off_s: float = BACK_OFF_S
    immediate: int = 0
    """How often in a row it ended at once."""


class Supervisor:
    """Starts workers 1 to `n_workers` at its first step, and whoever ends again, with back-off.

    Parameters
    ----------
    start
        Starts the worker of a number.
    restarted
        Called with the number of each that is started again.
    grace_s
        How long they may take to end in order.
    """

    def __init__(
        self,
        n_workers: int,
        *,
        start: Callable[[int], WorkerProcess],
        restarted: Callable[[int], None],
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._start = start
        self._restarted = restarted
        self._clock = clock
        self._grace_s = grace_s
        self._places = [_Place(number) for number in range(1, n_workers + 1)]
        self._kill_at_s = float("inf")
        self.exit_code = 0
        """1 when a worker did not end in order; valid once all have ended."""

    def step(self) -> None:
        """See who has ended and start whose time has come.

        Raises
        ------
        ConfigError
            A worker cannot use the configuration: no other could.
        FatalError
            A worker ends at once, again and again.
        """
        for place in self._places:
            now_s = self._clock.monotonic_s()
            if place.process is not None:
                code = place.process.exit_code()
                if code is not None:
                    self._ended(place, code, now_s)
            elif now_s >= place.since_s:
                if place.starts:
                    self._restarted(place.number)
                place.starts += 1
                place.process, place.since_s = self._start(place.number), now_s
                log.info("worker %d runs as process %d", place.number, place.process.pid)

    def _ended(self, place: _Place, code: int, now_s: float) -> None:
        ran_s = now_s - place.since_s
        place.process = None
        if code == _EXIT_CONFIG:
            raise ConfigError(
                f"worker {place.number} cannot use the configuration; its log says why"
            )
        place.immediate = place.immediate + 1 if ran_s < IMMEDIATE_S else 0
        if place.immediate == IMMEDIATE_MAX:
            raise FatalError(
                f"worker {place.number} ended {IMMEDIATE_MAX} times in a row within "
                f"{IMMEDIATE_S:.0f} s, last with exit code {code}; its log says why"
            )
        if ran_s >= QUIET_S:
            place.back_off_s = BACK_OFF_S
        log.warning(
            "worker %d ended with exit code %d after %.0f s; started again in %.0f s",
            *(place.number, code, ran_s, place.back_off_s),
        )
        place.since_s = now_s + place.back_off_s
        place.back_off_s = min(2 * place.back_off_s, BACK_OFF_MAX_S)

    def end(self) -> None:
        """Ask all to end in order. May be called twice."""
        if self._kill_at_s == float("inf"):
            self._kill_at_s = self._clock.monotonic_s() + self._grace_s + KILL_AFTER_S
            for place in self._running():
                assert place.process is not None
                place.process.terminate()

    def ending(self, *, kill: bool = False) -> bool:
        """Return whether some still run; kill them where `kill` is true or the time is over."""
        late = self._clock.monotonic_s() >= self._kill_at_s
        for place in self._running():
            assert place.process is not None
            code = place.process.exit_code()
            if code is None and (kill or late):
                log.error("worker %d did not end in time: killed", place.number)
                place.process.kill()
                code = place.process.exit_code()
            if code is not None:
                self.exit_code = self.exit_code or int(code not in _IN_ORDER)
                place.process = None
        return bool(self._running())

    def _running(self) -> list[_Place]:
        return [place for place in self._places if place.process is not None]
