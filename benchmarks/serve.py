"""Latency and throughput of `streamdet serve`, on 127.0.0.1.

python -m benchmarks.serve [--seconds N]

Requests of `last/detect` come ten a second, whatever becomes of those before; a latency counts from
when its request was due. Then as many come as are answered. Last, processes are compared with
threads, in turns.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from http.client import HTTPConnection

import numpy as np

from streamdet.serve.worker import begin, compute, warm
from tests.serve.served import KEY, Served

PATH = "/anomalydetector/v1.1/timeseries/last/detect"
RATE = 10
BARS_MS = {1440: (60, 25), 8640: (300, 120)}
"""Points of a request -> what p99 must be, and what is aimed at."""
_DAY = 288
_HEADERS = {"Content-Type": "application/json", "Ocp-Apim-Subscription-Key": KEY}
_ASKERS = 32


def seasonal(n_points: int, seed: int = 1) -> bytes:
    """Return a request of days of five minutes, with noise and a spike."""
    noise = np.random.default_rng(seed).normal(size=n_points)
    start_s = 1_700_000_100
    series = [
        {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_s + 300 * i)),
            "value": 100 + 20 * math.sin(2 * math.pi * i / _DAY) + noise[i],
        }
        for i in range(n_points)
    ]
    series[n_points // 2]["value"] = 400.0
    return json.dumps({"granularity": "minutely", "customInterval": 5, "series": series}).encode()


class Asker:
    """A connection that stays open."""

    def __init__(self, server: Served) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=600)

    def ask(self, body: bytes) -> int:
        """Send one request; return the status of its answer."""
        self._connection.request("POST", PATH, body, _HEADERS)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def paced(server: Served, body: bytes, seconds: float) -> list[float]:
    """Return the latency in ms of each of `RATE` requests a second; of one refused infinity."""
    n_requests = int(RATE * seconds)
    begin_s = time.monotonic() + 0.5
    latency_ms = [0.0] * n_requests

    def follow(first: int) -> None:
        asker = Asker(server)
        for number in range(first, n_requests, _ASKERS):
            due_s = begin_s + number / RATE
            time.sleep(max(0.0, due_s - time.monotonic()))
            answered = asker.ask(body) == 200
            latency_ms[number] = 1000 * (time.monotonic() - due_s) if answered else math.inf

    _all_at_once(follow, _ASKERS)
    return latency_ms


def saturated(server: Served, body: bytes, seconds: float) -> float:
    """Return the requests answered a second when eight clients ask one behind the other."""
    end_s = time.monotonic() + seconds
    answered = [0] * 8

    def follow(k: int) -> None:
        asker = Asker(server)
        while time.monotonic() < end_s:
            answered[k] += asker.ask(body) == 200

    _all_at_once(follow, len(answered))
    return sum(answered) / seconds


def computed(executor: Executor, body: bytes, seconds: float) -> float:
    """Return the requests that a pool computes a second."""
    end_s, n_done = time.monotonic() + seconds, 0
    while time.monotonic() < end_s:
        calls = [executor.submit(compute, "last", body, "v1.1") for _ in range(8)]
        n_done += len([call.result() for call in calls])
    return n_done / seconds


def report(seconds: float) -> None:
    """Print everything."""
    keys = {"STREAMDET_SERVE__KEYS": f"[{{name: bench, key: {KEY}}}]"}
    with Served(env=keys) as server:
        server.wait_for("ready after")
        print(f"last/detect, seasonal (a day of {_DAY}), {os.cpu_count()} processors")
        for n_points, (must_ms, aim_ms) in BARS_MS.items():
            body = seasonal(n_points)
            paced(server, body, 1)
            latency_ms = paced(server, body, seconds)
            p50, p99 = np.percentile(latency_ms, [50, 99])
            met = "aim met" if p99 <= aim_ms else "met" if p99 <= must_ms else "NOT met"
            print(
                f"{n_points:5,} points at {RATE} requests/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms "
                f"({met}: {must_ms} ms, aim {aim_ms} ms)"
            )
            rate = saturated(server, body, seconds / 2)
            print(f"{n_points:5,} points at saturation: {rate:.1f} requests/s")
    compare(seconds / 2)


def compare(seconds: float) -> None:
    """Print what two processes and two threads compute, in turns."""
    body = seasonal(1440)
    warm()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=begin) as processes:
        list(processes.map(abs, range(100)))
        with ThreadPoolExecutor(2) as threads:
            pools = {"processes": processes, "threads": threads}
            rates: dict[str, list[float]] = {name: [] for name in pools}
            for _ in range(3):
                for name, pool in pools.items():
                    rates[name].append(computed(pool, body, seconds / 3))
    for name, found in rates.items():
        print(f"two {name}: {np.median(found):.1f} requests of 1,440 points a second")
    ratio = np.median(rates["processes"]) / np.median(rates["threads"])
    print(f"processes / threads: {ratio:.2f}")


def _all_at_once(work: Callable[[int], None], n: int) -> None:
    failures: list[BaseException] = []

    def guarded(k: int) -> None:
        try:
            work(k)
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that asked
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    report(parser.parse_args().seconds)
