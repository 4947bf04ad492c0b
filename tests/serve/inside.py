"""The application without a process: on threads, with a clock that a test turns."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import httpx

from streamdet.config import Config
from streamdet.metrics import HttpMetrics, Metrics
from streamdet.multivariate.operations import Operations
from streamdet.multivariate.source import Sources
from streamdet.multivariate.store import ModelStore
from streamdet.serve.access import Access
from streamdet.serve.application import Application
from streamdet.serve.body import BodyReader
from streamdet.serve.catalogue import OPERATIONS
from streamdet.serve.data_folder import DataFolder
from streamdet.serve.pool import threads
from streamdet.serve.series import KeptSeries
from streamdet.serve.services import Services
from streamdet.serve.state_file import StateFile
from streamdet.testing import ManualClock
from streamdet.types import WorkerStatus

NOW_S = 1_768_867_200.0  # 2026-01-20


class Client:
    """Asks an application, without a socket."""

    def __init__(self, asgi) -> None:
        self._asgi = asgi

    def get(self, path, **given):
        return self._ask("GET", path, given)

    def post(self, path, **given):
        return self._ask("POST", path, given)

    def put(self, path, **given):
        return self._ask("PUT", path, given)

    def delete(self, path, **given):
        return self._ask("DELETE", path, given)

    def _ask(self, method, path, given):
        async def ask():
            transport = httpx.ASGITransport(self._asgi, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
                return await client.request(method, path, **given)

        return asyncio.run(ask())


class Inside:
    """An application of `settings`; `client` asks it."""

    def __init__(self, folder, not_ready=None, file=None, **settings) -> None:
        self.clock = ManualClock(NOW_S)
        self.config = Config.model_validate(settings)
        serve = self.config.serve
        self.metrics = Metrics(self.status, self.clock)
        self.series = KeptSeries(
            self.config, self.clock, self.metrics, StateFile(file) if file else None
        )
        self.pools = [threads(1, serve.queue, "test") for _ in range(3)]
        self.not_ready = not_ready
        store = ModelStore(folder / "multivariate")
        services = Services(
            workers=self.pools[0],
            threads=self.pools[1],
            multivariate=Operations(store, Sources(serve.data_folder), lambda work: work()),
            data=DataFolder(serve.data_folder),
            series_thread=self.pools[2],
            series=self.series,
            metrics=self.metrics,
            not_ready=lambda: self.not_ready,
        )
        application = Application(
            OPERATIONS,
            services,
            Access(serve.keys, self.clock),
            BodyReader(
                serve.max_body_bytes, serve.max_upload_bytes, serve.read_timeout.total_seconds()
            ),
            HttpMetrics(self.metrics.registry, lambda: self.pools[0].n_calls),
            self.clock,
            nullcontext,
        )
        self.client = Client(application.asgi)

    def status(self) -> WorkerStatus:
        return WorkerStatus(self.not_ready, (self.series.status(),))

    def point(self, metric, minute, value, key=None, **more):
        at = f"2026-01-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
        return self.client.post(
            f"/v1/series/{metric}/points",
            json={"timestamp": at, "value": value, **more},
            headers={"Ocp-Apim-Subscription-Key": key} if key else None,
        )
