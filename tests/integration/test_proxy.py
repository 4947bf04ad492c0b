"""The bad network does to connections what its modes say, and nothing else."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.servers.proxy import FaultProxy, Mode

SILENCE_S = 0.3


@pytest.fixture
def proxy():
    """A proxy before a server that gives back what it gets, line by line."""
    with FaultProxy() as made:
        server = Echo(made.target_port)
        yield made
        server.end()


class Echo:
    """Answers each line with itself; the lines that it got are kept."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # shut down by `end`
                return
            self._threads.append(threading.Thread(target=self._answer, args=[connection]))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:  # reset
                return

    def end(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join(10)


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def answer(connection: socket.socket, said: bytes) -> bytes:
    connection.sendall(said)
    return b"".join(iter(lambda: connection.recv(1), said[-1:])) + said[-1:]


def hears_nothing(connection: socket.socket) -> bool:
    connection.settimeout(SILENCE_S)
    try:
        return not connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)


def test_bytes_pass_in_both_directions(proxy):
    with connect(proxy) as one, connect(proxy) as another:
        assert answer(one, b"first\n") == b"first\n"
        assert answer(another, b"x" * 1_000_000 + b"\n") == b"x" * 1_000_000 + b"\n"


def test_dribbling_bytes_all_come_in_the_end_though_not_at_once(proxy):
    proxy.bytes_per_s = 2_000
    proxy.become(Mode.DRIBBLE)
    with connect(proxy) as connection:
        connection.sendall(b"y" * 1_000)
        assert 0 < len(connection.recv(1_000)) < 1_000
        proxy.become(Mode.PASS)
        connection.sendall(b"\n")
        assert b"".join(iter(lambda: connection.recv(1), b"\n")).strip(b"y") == b""


def test_a_black_hole_takes_everything_and_who_was_in_it_stays_unheard(proxy):
    with connect(proxy) as inside, connect(proxy) as idle:
        proxy.become(Mode.BLACK_HOLE)
        inside.sendall(b"lost\n")
        with connect(proxy) as late:
            late.sendall(b"lost\n")
            assert hears_nothing(inside)
            assert hears_nothing(late)
            proxy.become(Mode.PASS)
            late.sendall(b"lost too\n")
            assert hears_nothing(late)
        assert answer(idle, b"lost nothing\n") == b"lost nothing\n"


def test_a_mute_network_lets_requests_through_and_no_answer(proxy):
    with connect(proxy) as connection:
        proxy.become(Mode.MUTE)
        connection.sendall(b"asked\n")
        assert hears_nothing(connection)
        proxy.become(Mode.PASS)
        connection.sendall(b"asked again\n")
        assert hears_nothing(connection)
    with connect(proxy) as another:
        assert answer(another, b"heard\n") == b"heard\n"


def test_the_network_falls_mute_with_the_request_that_is_named(proxy):
    with connect(proxy) as connection:
        proxy.mute_at(26)
        assert answer(connection, b"\0\0\0\4\0\1ab\n") == b"\0\0\0\4\0\1ab\n"
        connection.sendall(b"\0\0\0\4\0\x1aab\n")
        assert hears_nothing(connection)
        assert proxy.mode is Mode.MUTE


def test_a_reset_cuts_what_is_there_and_takes_what_comes(proxy):
    with connect(proxy) as connection:
        assert answer(connection, b"before\n") == b"before\n"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(proxy) as connection:
        assert answer(connection, b"after\n") == b"after\n"


def test_who_is_refused_may_come_again_later(proxy):
    with connect(proxy) as connection:
        assert answer(connection, b"before\n") == b"before\n"
        proxy.become(Mode.REFUSE)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.become(Mode.PASS)
    with connect(proxy) as connection:
        assert answer(connection, b"after\n") == b"after\n"


def test_a_server_that_is_away_is_a_connection_that_is_cut():
    refused = pytest.raises(ConnectionResetError)
    with FaultProxy() as proxy, refused, connect(proxy) as connection:
        connection.recv(1)
