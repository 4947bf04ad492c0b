"""The process of `streamdet serve`: sockets, signals, and everything built and taken down."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import fcntl
import gc
import logging
import math
import os
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

from streamdet import __version__
from streamdet.clock import Clock, SystemClock
from streamdet.config import Config
from streamdet.errors import ConfigError, RequestError

try:
    import scipy  # noqa: F401  # the workers' need; told here, before they start
    import starlette  # noqa: F401
    import statsmodels  # noqa: F401
    import uvicorn
except ModuleNotFoundError as error:
    raise ConfigError(
        f'serve needs {error.name}, which is not installed: pip install "streamdet[web]"'
    ) from None

from streamdet.metrics import HttpMetrics, Metrics
from streamdet.multivariate.operations import Operations
from streamdet.multivariate.source import Sources
from streamdet.multivariate.store import ModelStore
from streamdet.serve import worker
from streamdet.serve.access import Access
from streamdet.serve.application import Application
from streamdet.serve.body import BodyReader
from streamdet.serve.catalogue import OPERATIONS
from streamdet.serve.data_folder import DataFolder
from streamdet.serve.pool import Background, processes, threads
from streamdet.serve.protocol import protocol
from streamdet.serve.series import KeptSeries
from streamdet.serve.services import Services
from streamdet.serve.state_file import StateFile
from streamdet.serve.topics import DataTopics
from streamdet.types import WorkerStatus
from streamdet.warm import warm

log = logging.getLogger(__name__)

_STATE_FILE, _LOCK_FILE = "series.state", "lock"
_THREADS = 2  # of the multivariate operations; numpy has threads of its own
_KEEP_ALIVE_S = 30
_BACKLOG = 1024


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    On a signal no new connection is taken, what is under way is answered, the state of the series
    is written. `shutdown_timeout` bounds all of it.

    Raises
    ------
    ConfigError
        The address cannot be listened on, or a file cannot be used.
    """
    clock = SystemClock()
    access = Access(config.serve.keys, clock)
    log.info("streamdet %s serves, detection settings %s", __version__, config.detection_hash)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(_listen(config.serve.host, config.serve.port))
        folder = config.serve.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamdet-")))
        service = Service(config, stack.enter_context(_held(folder)), clock)
        server = _Server(
            _uvicorn_config(config, service.application(access)),
            config.shutdown_timeout.total_seconds(),
        )
        # uvicorn sends itself the signal again when all is done; it must not end us before that
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        scheme = "http" if config.serve.tls_certificate is None else "https"
        host, port = listening.getsockname()[:2]
        log.info("listening at %s://%s:%d", scheme, f"[{host}]" if ":" in host else host, port)
        server.run(sockets=[listening])
        service.close()
        faulthandler.cancel_dump_traceback_later()
    log.info("everything answered, state written")
    if service.trains:
        # a thread cannot be ended but with its process
        log.warning("a model is being trained; it will be FAILED")
        logging.shutdown()
        os._exit(0)
    return 0


class Service:
    """What the server is made of, but for its socket."""

    def __init__(self, config: Config, folder: Path, clock: Clock) -> None:
        serve = config.serve
        self._config = config
        self._clock = clock
        self._not_ready: str | None = "workers and kernels are being loaded"
        self._n_workers = serve.workers or os.cpu_count() or 1
        metrics = Metrics(self._status, clock)
        self._threads = threads(_THREADS, serve.queue, "multivariate")
        self._training = Background(1, "training")
        self._series_thread = threads(1, serve.queue, "series")
        file = StateFile(folder / _STATE_FILE) if serve.folder is not None else None
        self._series = KeptSeries(config, clock, metrics, file)
        store = ModelStore(folder / "multivariate", clock)
        self._workers = processes(self._n_workers, serve.queue)
        self._services = Services(
            workers=self._workers,
            threads=self._threads,
            multivariate=Operations(
                store, Sources(serve.data_folder, DataTopics(config).read), self._training.start
            ),
            data=DataFolder(serve.data_folder),
            series_thread=self._series_thread,
            series=self._series,
            metrics=metrics,
            not_ready=lambda: self._not_ready,
        )
        self._http = HttpMetrics(metrics.registry, lambda: self._workers.n_calls)

    @property
    def trains(self) -> bool:
        """Whether a thread is still at work."""
        return not self._training.is_idle

    def application(self, access: Access) -> Application:
        """Return the application of all operations."""
        serve = self._config.serve
        bodies = BodyReader(
            serve.max_body_bytes, serve.max_upload_bytes, serve.read_timeout.total_seconds()
        )
        return Application(
            OPERATIONS, self._services, access, bodies, self._http, self._clock, self._background
        )

    def close(self) -> None:
        """Let what runs end, but for training; write the state."""
        self._series_thread.close()
        self._series.save()  # nobody else has the series any more
        self._training.close()
        for pool in (self._threads, self._workers):
            pool.close()

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        """Load what is slow to load, and save the state now and then."""
        tasks = [asyncio.create_task(self._load()), asyncio.create_task(self._save_regularly())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self) -> None:
        began_s = time.monotonic()
        # as many calls as processes: none of them is idle, so each call makes one
        calls = [self._workers.run(worker.warm) for _ in range(self._n_workers)]
        try:
            await asyncio.gather(self._series_thread.run(warm, self._config.detectors), *calls)
        except RequestError:
            self._not_ready = "workers cannot start; the log has the reason"
            log.exception("the workers cannot start")
            return
        gc.freeze()  # as in a worker
        self._not_ready = None
        log.info("ready after %.1f s, %d workers", time.monotonic() - began_s, self._n_workers)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._config.serve.snapshot_interval.total_seconds())
            try:
                await self._series_thread.run(self._series.save)
            except RequestError:  # too many points wait; the next turn comes
                log.warning("the state was not saved: too many points wait")
            except Exception:
                log.exception("the state was not saved, by an error of streamdet's own")

    def _status(self) -> WorkerStatus:
        return WorkerStatus(self._not_ready, (self._series.status(),))


class _Server(uvicorn.Server):
    """Says what a signal does, and ends the process where its grace is over."""

    def __init__(self, config: uvicorn.Config, grace_s: float) -> None:
        super().__init__(config)
        self._grace_s = grace_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain."""
        log.info("%s: answering what is under way", signal.Signals(sig).name)
        faulthandler.dump_traceback_later(self._grace_s, exit=True)
        super().handle_exit(sig, frame)


def _uvicorn_config(config: Config, application: Application) -> uvicorn.Config:
    serve = config.serve
    read_timeout_s = serve.read_timeout.total_seconds()
    made = uvicorn.Config(
        application.asgi,
        http=protocol(read_timeout_s, serve.max_connections),
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        # the rest of the grace is for the state
        timeout_graceful_shutdown=math.ceil(config.shutdown_timeout.total_seconds() * 0.7),
        ssl_certfile=serve.tls_certificate,
        ssl_keyfile=serve.tls_key,
    )
    try:
        made.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"serve.tls_certificate, serve.tls_key: cannot be used: {error}"
        ) from None
    return made


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"serve.host, serve.port: cannot listen on {host}:{port}: {error.strerror}; "
            "choose another port, or end the process that holds this one"
        ) from None
    return listening


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Have `folder` for this process alone: of two, each would overwrite the other's state."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_FILE).open("ab")
    except OSError as error:
        raise ConfigError(f"serve.folder: {folder}: cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"serve.folder: {folder}: another server works in it; end that one, or give this "
                "one a folder of its own"
            ) from None
        except OSError as error:  # as on some file systems of networks
            log.warning("serve.folder: %s: cannot be locked: %s", folder, error.strerror)
        yield folder
