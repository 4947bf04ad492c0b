"""The parent's pages: what its workers say on theirs, as one."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from streamdet.metrics import CONTENT_TYPE, WorkerMetrics
from streamdet.web.server import Page, text_page

LOOPBACK = "127.0.0.1"
_TIMEOUT_S = 2.0


def pages(ports: Mapping[int, int], metrics: WorkerMetrics) -> dict[str, Page]:
    """Return /metrics, /healthz and /readyz of the workers that listen on these ports.

    A worker that does not answer is not ready, and not dead either: it starts, or will be started
    again.
    """

    def not_alive() -> str | None:
        asked = {number: ask(port, "/healthz") for number, port in ports.items()}
        return _words(
            {
                number: answer[1]
                for number, answer in asked.items()
                if answer and answer[0] != HTTPStatus.OK
            }
        )

    def not_ready() -> str | None:
        asked = {number: ask(port, "/readyz") for number, port in ports.items()}
        return _words(
            {
                number: answer[1] if answer else "does not answer"
                for number, answer in asked.items()
                if not answer or answer[0] != HTTPStatus.OK
            }
        )

    def numbers() -> tuple[HTTPStatus, str, bytes]:
        asked = {number: ask(port, "/metrics") for number, port in ports.items()}
        exposed = {number: answer and answer[1] for number, answer in asked.items()}
        return HTTPStatus.OK, CONTENT_TYPE, metrics.render(exposed)

    return {"/metrics": numbers, "/healthz": text_page(not_alive), "/readyz": text_page(not_ready)}


def ask(port: int, path: str) -> tuple[int, str] | None:
    """Return status and text of a page on this machine; None: nobody answers."""
    connection = HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _words(problems: Mapping[int, str]) -> str | None:
    if not problems:
        return None
    return "; ".join(f"worker {number}: {text.strip()}" for number, text in problems.items())
