"""Can a broker's address be reached: DNS, TCP, TLS, and does a Kafka answer there.

By sockets of our own, since a client of librdkafka says of all that only "no answer". The one
request that is sent, ApiVersions, is allowed before a login.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from streamdet.cluster import Reach
from streamdet.kafka.options import Options

_API_VERSIONS, _VERSION = 18, 3
_ANSWER_MAX_BYTES = 2**20
_FINALIZED_FEATURES = 2  # tag of a field
_PORT = 9092  # librdkafka's, where an address has none


def addresses(bootstrap_servers: str) -> list[str]:
    """Return the addresses of a list as `bootstrap.servers` has it, each as host:port."""
    named = (part.strip().rsplit("://", 1)[-1] for part in bootstrap_servers.split(","))
    return [each if _has_port(each) else f"{each}:{_PORT}" for each in named if each]


def reach_all(reaches: Sequence[Reach], options: Options, timeout_s: float) -> list[Reach]:
    """Connect to every address, all at a time; return what came of each within `timeout_s`.

    reaches : addresses with whatever is known already
    options : of librdkafka; decide whether TLS is spoken, and by which certificates
    """
    found = [replace(each, failed="DNS", fault=f"no answer in {timeout_s:g} s") for each in reaches]

    def probe(place: int) -> None:
        for progress in _progress(reaches[place], options, timeout_s):
            found[place] = progress

    # daemons: a resolver may hang for longer than anybody waits, and cannot be told to stop
    threads = [
        threading.Thread(target=probe, args=(place,), daemon=True) for place in range(len(reaches))
    ]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    return list(found)


def _has_port(address: str) -> bool:
    return address.rsplit(":", 1)[-1].isdigit() and not address.endswith("]")


def _progress(reach: Reach, options: Options, timeout_s: float) -> Iterator[Reach]:
    """Yield what is known after each step, the next one as not done yet; or what failed."""
    host, port = reach.address.rsplit(":", 1)
    host = host.strip("[]")
    with contextlib.ExitStack() as stack:
        doing, began_s = "DNS", time.monotonic()

        def passed(following: str) -> Reach:
            nonlocal doing, began_s, reach
            now_s = time.monotonic()
            steps = {**reach.steps, doing: now_s - began_s}
            reach = replace(reach, steps=steps, failed=following, fault="no answer")
            doing, began_s = following, now_s
            return reach

        try:
            places = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
            yield passed("TCP")
            connection = stack.enter_context(_connect(places, timeout_s))
            if str(options.get("security.protocol", "")).lower().endswith("ssl"):
                yield passed("TLS")
                secured = _context(options).wrap_socket(connection, server_hostname=host)
                connection = stack.enter_context(secured)
                reach = replace(reach, certificate_ends_s=_end_of(secured))
            yield passed("Kafka")
            features = _features(connection)
            yield replace(passed(""), failed=None, fault="", features=features)
        except (OSError, ValueError) as error:
            yield replace(reach, failed=doing, fault=_said(error))


def _connect(
    places: Sequence[tuple[int, int, int, str, tuple[object, ...]]], timeout_s: float
) -> socket.socket:
    """Return a connection to the first of `places` that takes one."""
    error: OSError | None = None
    for family, kind, protocol, _, place in places:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s / len(places))
        try:
            connection.connect(place)
        except OSError as refusal:
            connection.close()
            error = refusal
        else:
            return connection
    raise error or OSError("the name has no address")


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    text = getattr(error, "strerror", None) or str(error)
    return str(text) or type(error).__name__


def _context(options: Options) -> ssl.SSLContext:
    """Return what the `ssl.*` options of librdkafka say, as far as Python can do the same."""
    ca, pem = str(options.get("ssl.ca.location", "")), options.get("ssl.ca.pem")
    given = ca not in ("", "probe")
    is_folder = given and Path(ca).is_dir()
    context = ssl.create_default_context(
        cafile=ca if given and not is_folder else None,
        capath=ca if is_folder else None,
        cadata=None if pem is None else str(pem),
    )
    if options.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if str(options.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = options.get("ssl.certificate.location")
    if certificate is not None:
        key = options.get("ssl.key.location")
        secret = str(options.get("ssl.key.password", ""))
        context.load_cert_chain(str(certificate), None if key is None else str(key), secret)
    return context


def _end_of(connection: ssl.SSLSocket) -> float | None:
    certificate = connection.getpeercert()
    ends = certificate.get("notAfter") if certificate else None
    return ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None


def _features(connection: socket.socket) -> Mapping[str, int]:
    """Ask for the API versions; return the cluster's features that come with the answer.

    Raises
    ------
    OSError, ValueError
        Whoever listens there is no Kafka, or one that asks for TLS.
    """
    client = b"streamdet"
    request = struct.pack(">hhih", _API_VERSIONS, _VERSION, 1, len(client)) + client + b"\0"
    request += bytes([len(client) + 1]) + client + b"\x02" + b"1" + b"\0"
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as stream:
        size = int.from_bytes(stream.read(4))
        if not 6 <= size <= _ANSWER_MAX_BYTES:
            raise ValueError("no Kafka answers there, or one that wants another security.protocol")
        answer = stream.read(size)
    if len(answer) < size or answer[:4] != b"\0\0\0\1":
        raise ValueError("the answer is not Kafka's")
    return _Fields(answer, 4).features()


class _Fields:
    """Reads an ApiVersions answer; see Kafka's protocol guide, "compact" types."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def features(self) -> Mapping[str, int]:
        if self._integer(2) != 0:  # an error: the broker does not know this version
            return {}
        for _ in range(self._size()):
            self._at += 6
            self._pass_tags()
        self._at += 4  # throttle time
        for _ in range(self._varint()):
            tag, size = self._varint(), self._varint()
            if tag == _FINALIZED_FEATURES:
                return dict(self._feature() for _ in range(self._size()))
            self._at += size
        return {}

    def _feature(self) -> tuple[str, int]:
        size = self._size()
        name = self._data[self._at : self._at + size].decode()
        self._at += size
        level = self._integer(2)
        self._at += 2  # the lowest level is for the controllers
        self._pass_tags()
        return name, level

    def _pass_tags(self) -> None:
        for _ in range(self._varint()):
            self._varint()
            size = self._varint()  # not in one line: it moves on
            self._at += size

    def _size(self) -> int:
        return self._varint() - 1

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._integer(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def _integer(self, size: int) -> int:
        read = self._data[self._at : self._at + size]
        if len(read) < size:
            raise ValueError("the answer of the broker ends too soon")
        self._at += size
        return int.from_bytes(read)
