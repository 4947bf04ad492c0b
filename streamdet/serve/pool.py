"""Where requests are computed: off the event loop, a bounded number at a time, in a bounded queue.

Univariate detection is on processes: one that dies costs one request, and the event loop does not
wait for the interpreter's lock (docs/serve.md has the figures).
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from streamdet.serve.operation import Refusal
from streamdet.serve.worker import begin

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_RETRY_AFTER_S = 1


class Pool:
    """Runs functions for requests; refuses more than may wait.

    Parameters
    ----------
    make
        Makes the executor; called again where its processes have died.
    size
        Calls that run at once.
    queue
        Calls that may wait.
    """

    def __init__(self, make: Callable[[], Executor], size: int, queue: int) -> None:
        self._make = make
        self._executor = make()
        self._capacity = size + queue
        self.n_calls = 0
        """Calls that run or wait."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns.

        Raises
        ------
        Refusal
            503: as many calls wait as may. Or its process has died, as for want of memory; the
            next call has another one.
        """
        assert not kwargs, "executors of asyncio take none"
        if self.n_calls >= self._capacity:
            raise _busy("All workers are busy, and as many requests wait as may")
        executor = self._executor
        self.n_calls += 1
        try:
            # shielded: who goes away does not make room for the next before the work is done
            work = asyncio.get_running_loop().run_in_executor(executor, function, *args)
            work.add_done_callback(self._done)
        except BrokenProcessPool:
            self.n_calls -= 1
            self._renew(executor)
            raise _busy("A worker has died") from None
        try:
            return await asyncio.shield(work)
        except BrokenProcessPool:
            self._renew(executor)
            raise _busy("A worker has died") from None

    def close(self) -> None:
        """Let what runs end, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _done(self, work: asyncio.Future[T]) -> None:
        self.n_calls -= 1
        if not work.cancelled():
            work.exception()  # looked at, also where nobody waits any more

    def _renew(self, broken: Executor) -> None:
        if self._executor is broken:
            log.error("a worker process died; all of them are made anew")
            self._executor = self._make()
            broken.shutdown(wait=False)


class Background:
    """Runs what nobody waits for, on threads.

    Parameters
    ----------
    size
        Calls that run at once; any number may wait, who calls bounds them.
    """

    def __init__(self, size: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._work: set[Future[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._work

    def start(self, function: Callable[[], None]) -> None:
        """Run a function some time."""
        work = self._executor.submit(function)
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    def close(self) -> None:
        """Drop what waits; what runs cannot be ended."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def processes(size: int, queue: int) -> Pool:
    """Return a pool of worker processes; see `worker`."""

    def make() -> Executor:
        # not forked: the server has threads
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(size, context, initializer=begin)

    return Pool(make, size, queue)


def threads(size: int, queue: int, name: str) -> Pool:
    """Return a pool of threads, for what releases the lock or has to have one memory."""
    return Pool(lambda: ThreadPoolExecutor(size, thread_name_prefix=name), size, queue)


def _busy(what: str) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "ServerBusy",
        f"{what}. Try again in {_RETRY_AFTER_S} s.",
        {"Retry-After": str(_RETRY_AFTER_S)},
    )
