"""The body of a request, read within limits of size, of time, and of all bodies together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from streamdet.serve.operation import FILE, JSON, Refusal

_BODIES_AT_ONCE = 32
"""As many bodies of the greatest size may be in memory."""
_BLOCK_BYTES = 2**20
"""Of a file: so much is in memory, and has to come in time."""
_LINGER_S = 1.0
_CLOSE = {"Connection": "close"}


class BodyReader:
    """Reads bodies.

    Parameters
    ----------
    max_bytes
        Of one body.
    file_max_bytes
        Of one that is a file.
    timeout_s
        In which it has to come; of a file, each block.
    """

    def __init__(self, max_bytes: int, file_max_bytes: int, timeout_s: float) -> None:
        self._max_bytes = max_bytes
        self._file_max_bytes = file_max_bytes
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
        await self._look_at_head(request, (JSON,), self._max_bytes)
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
                        raise _too_large(self._max_bytes)
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
            raise self._too_slow("The request's body") from None
        finally:
            self._left_bytes += taken_bytes

    async def file(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body in blocks; raises as `read` does, as soon as it is asked for one."""
        await self._look_at_head(request, FILE, self._file_max_bytes)
        taken_bytes = 0
        parts = request.stream()
        ended = False
        while not ended:
            block = bytearray()
            try:
                async with asyncio.timeout(self._timeout_s):
                    while len(block) < _BLOCK_BYTES and not ended:
                        part = await anext(parts, None)
                        ended = part is None
                        block += part or b""
            except TimeoutError:
                raise self._too_slow("The next MiB of the file") from None
            taken_bytes += len(block)
            if taken_bytes > self._file_max_bytes:
                await self._linger(request)
                raise _too_large(self._file_max_bytes)
            if block:
                yield bytes(block)

    async def _look_at_head(
        self, request: Request, media_types: Sequence[str], max_bytes: int
    ) -> None:
        """Refuse what the head alone shows to be wrong."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in media_types:
            await self._linger(request)
            raise Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                f"The header Content-Type must be {' or '.join(media_types)}.",
                _CLOSE,
            )
        declared = request.headers.get("content-length", "0")
        # h11 has refused what is no number; one of too many digits is compared by their number
        if len(declared) > 18 or int(declared) > max_bytes:
            await self._linger(request)
            raise _too_large(max_bytes)

    async def _linger(self, request: Request) -> None:
        """Read what still comes, for a moment: who is cut off while writing reads no answer."""
        try:
            async with asyncio.timeout(min(_LINGER_S, self._timeout_s)):
                async for _ in request.stream():
                    pass
        except (TimeoutError, ClientDisconnect, RuntimeError):
            return

    def _too_slow(self, what: str) -> Refusal:
        return Refusal(
            HTTPStatus.REQUEST_TIMEOUT,
            "RequestTimeout",
            f"{what} did not come within {self._timeout_s:g} s.",
            _CLOSE,
        )


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "RequestTooLarge",
        f"The request is longer than {max_bytes} bytes.",
        _CLOSE,
    )
