"""The HTTP side of a worker."""

from __future__ import annotations

import logging
import socket
import struct
import urllib.error
import urllib.request
from http import HTTPStatus
from threading import Event

import pytest

from streamdet.errors import ConfigError
from streamdet.web.server import WebServer, text_page


def get(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.status, error.read().decode()


def test_pages_answer_and_unknown_paths_say_what_there_is():
    pages = {"/metrics": lambda: (HTTPStatus.OK, "text/plain", b"numbers\n")}
    with WebServer("127.0.0.1", 0, pages) as server:
        assert get(server, "/metrics?name[]=x") == (200, "numbers\n")
        status, text = get(server, "/secrets")
    assert status == 404
    assert "/metrics" in text


def test_a_problem_is_503_with_its_words():
    problem = ["no partitions yet"]
    pages = {"/readyz": text_page(lambda: problem[0])}
    with WebServer("127.0.0.1", 0, pages) as server:
        assert get(server, "/readyz") == (503, "no partitions yet\n")
        problem[0] = None
        assert get(server, "/readyz") == (200, "ok\n")


def test_a_silent_client_does_not_keep_others_waiting():
    with (
        WebServer("127.0.0.1", 0, {"/healthz": text_page(lambda: None)}) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        silent.send(b"GET /healthz HT")
        assert get(server, "/healthz")[0] == 200


def test_a_port_in_use_is_a_configuration_error_that_names_the_field():
    taken = pytest.raises(ConfigError, match=r"metrics\.port.*another port")
    with WebServer("127.0.0.1", 0, {}) as server, taken:
        WebServer("127.0.0.1", server.port, {})


def test_a_client_that_hangs_up_leaves_no_trace_and_a_page_that_breaks_leaves_a_line(
    caplog, capfd, monkeypatch
):
    # without what tests before have set up, whose stream is closed by now
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])
    asked, answer = Event(), Event()

    def slow():
        asked.set()
        answer.wait(5)
        return HTTPStatus.OK, "text/plain", b"x" * 10_000_000

    def broken():
        raise ZeroDivisionError

    with WebServer("127.0.0.1", 0, {"/slow": slow, "/broken": broken}) as server:
        client = socket.create_connection(("127.0.0.1", server.port))
        # closed with a reset, so that writing to it fails at once
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert asked.wait(5)
        client.close()
        answer.set()
        with pytest.raises(OSError, match="closed connection"):
            get(server, "/broken")
    assert [record.message for record in caplog.records] == ["a request could not be answered"]
    assert capfd.readouterr().err == ""
