"""A bad network: what stands between a client and a server on loopback, and does them harm.

Bytes pass through it in both directions. While a test runs it may dribble them, swallow them, cut
the connections, or not answer at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

from tests.servers import free_ports

_READ_BYTES = 65_536
_CALL_TIMEOUT_S = 30
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)  # SO_LINGER of no time: RST in place of FIN


class Mode(Enum):
    """What becomes of bytes, and of those who connect."""

    PASS = auto()
    DRIBBLE = auto()
    """They come late, a few at a time."""
    BLACK_HOLE = auto()
    """They are swallowed. Connections stay, new ones too, and nobody is told."""
    MUTE = auto()
    """Requests arrive, answers are swallowed: who asked cannot know what was done."""
    REFUSE = auto()
    """Connections are reset, and no new ones taken."""


class FaultProxy:
    """Forwards connections to `port` to `target_port`, both on 127.0.0.1, the worse the `mode`.

    A connection that lost a byte is dead: it swallows whatever follows, in every later mode, as
    where a firewall has forgotten it. As a context manager it listens, and is closed at the end.
    """

    def __init__(self) -> None:
        self.port, self.target_port = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self.mode = Mode.PASS
        """Change it by `become`."""
        self.delay_s, self.bytes_per_s = 0.05, 20_000.0
        """Of DRIBBLE: how late bytes are at least, and how many come in a second, per direction."""
        self._mute_at: bytes | None = None
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    def become(self, mode: Mode) -> None:
        """Treat what is read from now on, on every connection, as `mode` says."""
        self._call(self._become(mode))

    def mute_at(self, api_key: int) -> None:
        """Become MUTE with the next request of a kind of Kafka's protocol, which still arrives."""
        self._mute_at = api_key.to_bytes(2)

    def note(self, request: bytes) -> None:
        """Look at what a client sends, for `mute_at`; a length, four bytes, comes first."""
        if self._mute_at is not None and request[4:6] == self._mute_at:
            self.mode, self._mute_at = Mode.MUTE, None

    def reset(self) -> int:
        """Cut all connections (RST); return how many there were. New ones are taken."""
        return self._call(self._reset())

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(_CALL_TIMEOUT_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)

    async def _become(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.REFUSE:
            await self._end()
        elif self._server is None:
            await self._listen()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> int:
        cut = list(self._connections)
        for connection in cut:
            connection.cut()
        await asyncio.gather(*(connection.ended.wait() for connection in cut))
        return len(cut)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # the server is away: so are we
            _cut(writer)
            return
        connection = _Connection(self, (reader, writer), there)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)


class _Connection:
    """One connection of a client, and the one to the server that goes with it."""

    def __init__(
        self,
        proxy: FaultProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.ended = asyncio.Event()
        self._proxy = proxy
        self._client, self._server = client, server
        self._dead = False
        self._requests_lost = False

    async def run(self) -> None:
        requests = asyncio.ensure_future(self._pump(self._client[0], self._server[1], False))
        answers = asyncio.ensure_future(self._pump(self._server[0], self._client[1], True))
        # One end has closed, or was cut: so is the other.
        _, left = await asyncio.wait((requests, answers), return_when=asyncio.FIRST_COMPLETED)
        for pump in left:
            pump.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self.cut()
        self.ended.set()

    def cut(self) -> None:
        _cut(self._client[1])
        _cut(self._server[1])

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_READ_BYTES):
                if not answers:
                    self._proxy.note(data)
                mode = self._proxy.mode
                self._dead |= mode is Mode.BLACK_HOLE or (mode is Mode.MUTE and answers)
                passes = mode is Mode.MUTE and not answers and not self._requests_lost
                if self._dead and not passes:
                    self._requests_lost |= not answers
                    continue
                if mode is Mode.DRIBBLE:
                    data = await self._dribble(data, sink)
                sink.write(data)
                await sink.drain()

    async def _dribble(self, data: bytes, sink: asyncio.StreamWriter) -> bytes:
        """Send `data` bit by bit, while that is the mode; return what is left."""
        await asyncio.sleep(self._proxy.delay_s)
        while data and self._proxy.mode is Mode.DRIBBLE:
            some = max(1, int(self._proxy.bytes_per_s / 20))
            sink.write(data[:some])
            await sink.drain()
            data = data[some:]
            await asyncio.sleep(some / self._proxy.bytes_per_s)
        return data


def _cut(writer: asyncio.StreamWriter) -> None:
    its_socket = writer.get_extra_info("socket")
    if not writer.transport.is_closing():
        its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
    writer.transport.abort()
