"""The body of a request, read within limits of size, of time, and of all bodies together."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from streamdet.serve.operation import JSON, Refusal

_BODIES_AT_ONCE = 32
"""As many bodies of the greatest size may be in memory."""
_LINGER_S = 1.0
_CLOSE = {"Connection": "close"}


class BodyReader:
    """Reads bodies.

    Parameters
    ----------
    max_bytes
        Of one body.
    timeout_s
        In which it has to come.
    """

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._left_bytes = _BODIES_AT_ONCE * max_bytes

    async def read(self, request: Request) -> bytes:
        """Return the body.

        Raises
        ------
        Refusal
            413, 415, 408; 503 where too many bodies are being read.
        ClientDisconnect
            Nobody waits for an answer any more.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != JSON:
            await self._linger(request)
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                f"The header Content-Type must be {JSON}.",
                _CLOSE,
            )
        declared = request.headers.get("content-length", "0")
        # h11 has refused what is no number; one of too many digits is compared by their number
        if len(declared) > 18 or int(declared) > self._max_bytes:
            await self._linger(request)
            raise self._too_large()
        taken_bytes = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                parts: list[bytes] = []
                async for part in request.stream():
                    taken_bytes += len(part)
                    self._left_bytes -= len(part)
                    if taken_bytes > self._max_bytes:
                        parts.clear()
                        await self._linger(request)
                        raise self._too_large()
                    if self._left_bytes < 0:
                        raise Refusal(
                            HTTPStatus.SERVICE_UNAVAILABLE,
                            "ServerBusy",
                            "Too many requests are being read. Try again in 1 s.",
                            {"Retry-After": "1", **_CLOSE},
                        )
                    parts.append(part)
                return b"".join(parts)
        except TimeoutError:
            raise Refusal(
                HTTPStatus.REQUEST_TIMEOUT,
                "RequestTimeout",
                f"The request's body did not come within {self._timeout_s:g} s.",
                _CLOSE,
            ) from None
        finally:
            self._left_bytes += taken_bytes

    async def _linger(self, request: Request) -> None:
        """Read what still comes, for a moment: who is cut off while writing reads no answer."""
        try:
            async with asyncio.timeout(min(_LINGER_S, self._timeout_s)):
                async for _ in request.stream():
                    pass
        except (TimeoutError, ClientDisconnect, RuntimeError):
            return

    def _too_large(self) -> Refusal:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RequestTooLarge",
            f"The request is longer than {self._max_bytes} bytes.",
            _CLOSE,
        )
