"""uvicorn's HTTP/1.1 with what it lacks: an end to clients that are slow on purpose."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedProtocol(H11Protocol):
    """One connection. The head of each request has to come, and the answer be taken, in time.

    The body is the application's to time, since only there it is known whether one is wanted.
    """

    read_timeout_s = 10.0
    connections_max = 1000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, or say at once that there is no room."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "ServerBusy",
                "Too many connections. Try again in 1 s.",
            )
            return
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Take what came; a request's head must be complete in time from its first byte on."""
        if self._head_timer is None and self._awaits_head():
            self._start_head_timer()
        super().data_received(data)
        if not self._awaits_head():
            self._stop_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes nothing; if that lasts, it is cut off."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.read_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken most of what there was."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the words of all other refusals."""
        self._refuse(HTTPStatus.BAD_REQUEST, "BadRequest", msg)

    def _awaits_head(self) -> bool:
        # behind its answer a body may go on for ever; it has to make way for a request in time too
        answered = self.cycle is not None and self.cycle.response_complete
        return self.conn.their_state is h11.IDLE or answered

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.read_timeout_s, self._head_too_slow)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            message = f"No request came within {self.read_timeout_s:g} s."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "RequestTimeout", message)

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Answer without a request, and close; h11 has no state for that, so it is not asked."""
        body = msgspec.json.encode({"code": code, "message": message})
        again = "retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"x-ms-error-code: {code}\r\ncontent-length: {len(body)}\r\n"
            f"{again}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def protocol(read_timeout_s: float, connections_max: int) -> type[TimedProtocol]:
    """Return the protocol with these limits; uvicorn makes its instances itself."""
    limits: dict[str, Any] = {"read_timeout_s": read_timeout_s, "connections_max": connections_max}
    return type("LimitedProtocol", (TimedProtocol,), limits)
