"""Where the way to a broker ends: at its name, its port, its TLS, or because no Kafka is there."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from streamdet.cluster import Reach
from streamdet.kafka.mock import MockBroker
from streamdet.kafka.reachability import addresses, reach_all

TIMEOUT_S = 5.0
CERTIFICATE = Path(__file__).with_name("broker.pem")
"""Of nobody but these tests, for 127.0.0.1, with its key; ends in 2126."""


def reach(address, options=None, timeout_s=TIMEOUT_S):
    (found,) = reach_all([Reach(address)], options or {}, timeout_s)
    return found


@contextlib.contextmanager
def server(answer=lambda connection: None, wrap=lambda listening: listening):
    """A server on loopback that does `answer` with each connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    listening = wrap(listening)
    open_connections = []

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except ssl.SSLError:
                continue
            except OSError:
                return
            open_connections.append(connection)
            answer(connection)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        yield address
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        serving.join()
        for connection in open_connections:
            connection.close()


def answer_versions(connection):
    """Answer as a broker of two features does, with fields and tags that nobody asked for."""
    connection.recv(1_000)
    api_keys = b"\x02" + b"\0\x12\0\0\0\4" + b"\0"
    other = b"\1\x08" + bytes(8)
    features = b"\x03" + b"\x05type\0\x02\0\x01\0" + b"\x05kind\0\x07\0\x07" + b"\x01\x09\x01x"
    tagged = b"\x02" + other + b"\x02" + bytes([len(features)]) + features
    body = b"\0\0\0\1" + b"\0\0" + api_keys + b"\0\0\0\0" + tagged
    connection.sendall(len(body).to_bytes(4) + body)


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ("a:1, b:2", ["a:1", "b:2"]),
        ("a", ["a:9092"]),
        ("PLAINTEXT://a:1,", ["a:1"]),
        ("[::1],[::1]:5", ["[::1]:9092", "[::1]:5"]),
    ],
)
def test_addresses_are_read_as_clients_read_them(servers, found):
    assert addresses(servers) == found


def test_a_broker_is_reached_in_steps_with_their_times():
    with MockBroker() as broker:
        found = reach(broker.bootstrap)
    assert found.failed is None
    assert list(found.steps) == ["DNS", "TCP", "Kafka"]
    assert all(took_s >= 0 for took_s in found.steps.values())


def test_the_features_of_a_cluster_come_with_the_answer():
    with server(answer_versions) as address:
        assert reach(address).features == {"type": 2, "kind": 7}


@pytest.mark.parametrize(
    ("address", "step"), [("no-such-host.invalid:9092", "DNS"), ("127.0.0.1:1", "TCP")]
)
def test_the_step_that_fails_is_named(address, step):
    found = reach(address)
    assert found.failed == step
    assert found.fault
    assert step not in found.steps


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x08\0\0\0\x07\0\0\0\0"]
)
def test_who_answers_otherwise_is_no_kafka(said):
    with server(lambda connection: connection.sendall(said)) as address:
        found = reach(address)
    assert found.failed == "Kafka"
    assert "Kafka" in found.fault


def test_an_answer_that_ends_too_soon_is_no_defect_of_ours():
    body = b"\0\0\0\1\0\0\x7f\0"
    with server(lambda each: each.sendall(len(body).to_bytes(4) + body)) as address:
        assert reach(address).failed == "Kafka"


def test_who_never_answers_is_given_up_and_the_others_are_told():
    with server() as silent, server(answer_versions) as speaking:
        first, second = reach_all([Reach(silent), Reach(speaking)], {}, 0.5)
    assert (first.failed, first.fault) == ("Kafka", "no answer")
    assert second.failed is None


@pytest.fixture
def secured():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with server(answer_versions, lambda plain: context.wrap_socket(plain, True)) as address:
        yield address


def test_a_certificate_that_is_trusted_tells_when_it_ends(secured):
    options = {"security.protocol": "ssl", "ssl.ca.location": str(CERTIFICATE)}
    found = reach(secured, options)
    assert (found.failed, list(found.steps)) == (None, ["DNS", "TCP", "TLS", "Kafka"])
    assert found.certificate_ends_s > time.time()


def test_a_certificate_that_is_not_trusted_says_so(secured):
    found = reach(secured, {"security.protocol": "SASL_SSL"})
    assert found.failed == "TLS"
    assert "certificate is not accepted" in found.fault


def test_what_the_operator_switched_off_is_not_checked(secured):
    unchecked = {"security.protocol": "SSL", "enable.ssl.certificate.verification": "false"}
    found = reach(secured, unchecked)
    assert (found.failed, found.certificate_ends_s) == (None, None)


def test_tls_to_a_port_without_it_fails_at_tls():
    with MockBroker() as broker:
        assert reach(broker.bootstrap, {"security.protocol": "SSL"}, 2).failed == "TLS"


def test_a_certificate_file_that_is_missing_is_told():
    with MockBroker() as broker:
        options = {"security.protocol": "SSL", "ssl.ca.location": "/no/such/ca.pem"}
        found = reach(broker.bootstrap, options)
    assert (found.failed, found.fault) == ("TLS", "No such file or directory")
