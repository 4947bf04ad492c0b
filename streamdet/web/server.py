"""A small HTTP server on a thread of its own: /metrics, /healthz and /readyz on one port.

The standard library serves: three read-only pages need no framework, and prometheus_client
itself serves this way. A slow or silent client holds one thread for at most `_TIMEOUT_S` and
never touches the loop.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

from streamdet.errors import ConfigError

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0

Page = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Returns status, content type and body."""


def text_page(problem: Callable[[], str | None]) -> Page:
    """Return a page that says ``ok``, or 503 and the problem in words."""

    def page() -> tuple[HTTPStatus, str, bytes]:
        found = problem()
        status = HTTPStatus.OK if found is None else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "text/plain; charset=utf-8", f"{found or 'ok'}\n".encode()

    return page


class _Server(ThreadingHTTPServer):
    """Says in the log what went wrong, where the library would print a traceback past it."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):  # the client's affair
            log.exception("a request could not be answered")


class WebServer:
    """Serves `pages` until closed.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one, see `port`.
    pages : dict
        Path -> page.

    Raises
    ------
    ConfigError
        The address cannot be listened on.
    """

    def __init__(self, host: str, port: int, pages: dict[str, Page]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S
            server_version = "streamdet"
            sys_version = ""

            def do_GET(self) -> None:  # the library's name for it
                page = pages.get(self.path.partition("?")[0])
                if page is None:
                    known = f"not here; there are {', '.join(pages)}\n".encode()
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", known)
                else:
                    self._answer(*page())

            def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass  # a line a scrape would drown the log

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise ConfigError(
                f"metrics.host, metrics.port: cannot listen on {host}:{port}: {error.strerror}; "
                "choose another port, or end the process that holds this one"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="web", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
