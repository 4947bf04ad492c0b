"""Where requests are computed: bounded, and alive after a death."""

import asyncio
import gc
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from streamdet.serve.operation import Refusal
from streamdet.serve.pool import Background, Pool, processes, threads


def test_more_than_may_wait_is_refused_with_when_to_try_again():
    pool, gate = threads(1, 1, "test"), threading.Event()

    async def ask():
        first, second = (asyncio.create_task(pool.run(gate.wait)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await pool.run(gate.wait)
        gate.set()
        assert await first
        assert await second
        assert await pool.run(lambda: 3) == 3
        return refused.value

    refusal = asyncio.run(ask())
    assert (refusal.status, refusal.code) == (503, "ServerBusy")
    assert refusal.headers["Retry-After"] == "1"
    pool.close()


def test_who_goes_away_makes_no_room_before_the_work_is_done():
    pool, gate = threads(1, 0, "test"), threading.Event()

    async def ask():
        gone = asyncio.create_task(pool.run(gate.wait))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert pool.n_calls == 1
        gate.set()
        while pool.n_calls:
            await asyncio.sleep(0.001)

    asyncio.run(ask())
    pool.close()


def test_a_worker_that_dies_fails_its_own_request_only():
    context = multiprocessing.get_context("spawn")
    pool = Pool(lambda: ProcessPoolExecutor(1, context), 1, 0)

    async def ask():
        with pytest.raises(Refusal, match="died"):
            await pool.run(os._exit, 1)
        return await pool.run(int, "3")

    assert asyncio.run(ask()) == 3
    pool.close()


def test_what_nobody_waits_for_is_known_until_it_is_done():
    background, gate = Background(1, "test"), threading.Event()
    done = threading.Event()
    background.start(lambda: bool(gate.wait()) and done.set())
    assert not background.is_idle
    gate.set()
    assert done.wait(10)
    background.close()


def test_no_request_waits_for_the_collector_to_look_at_every_module():
    pool = processes(1, 0)
    assert asyncio.run(pool.run(gc.get_freeze_count)) > 10_000
    pool.close()
