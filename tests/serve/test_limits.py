"""Clients that send too much, too slowly or nonsense, against a served process; and its end."""

import json
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest

from tests.serve.inside import Inside
from tests.serve.samples import as_json, daily
from tests.serve.served import KEY, Served

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
KEYED = {"Ocp-Apim-Subscription-Key": KEY}
HEAD = f"POST {ENTIRE} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HEAD += f"Ocp-Apim-Subscription-Key: {KEY}\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that is impatient and has little room."""
    key = tmp_path_factory.mktemp("keys") / "key"
    key.write_text(KEY)
    settings = (
        f"serve.keys=[{{name: test, key_file: {key}}}]",
        "serve.read_timeout=1s",
        "serve.max_body_bytes=64KiB",
        "serve.max_connections=8",
        "serve.workers=1",
    )
    with Served(*settings) as server:
        yield server


def code_of(answer):
    status, headers, body = answer
    told = json.loads(body)
    assert headers["x-ms-error-code"] == told["code"]
    assert set(told) == {"code", "message"}
    return status, told["code"]


def raw(server, *parts, pause_s=0.0):
    """Send bytes as they are, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        for part in parts:
            link.sendall(part)
            time.sleep(pause_s)
        received = b""
        while some := link.recv(65536):
            received += some
        return received


def test_a_body_over_the_limit_is_refused(strict):
    answer = strict.request("POST", ENTIRE, b" " * 70_000, **KEYED)
    assert code_of(answer) == (413, "RequestTooLarge")


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_over_the_limit(strict):
    chunks = [b"%x\r\n%s\r\n" % (4096, b" " * 4096)] * 20
    head = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    received = raw(strict, head, *chunks, b"0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"RequestTooLarge"' in received


def test_a_body_of_a_length_beyond_all_numbers_is_refused(strict):
    received = raw(strict, f"{HEAD}Content-Length: {'9' * 15}\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 413 ")


def test_who_sends_a_body_too_slowly_is_told_so_and_cut_off(strict):
    received = raw(strict, f'{HEAD}Content-Length: 100\r\n\r\n{{"series"'.encode())
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"RequestTimeout"' in received


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A"])
def test_who_never_finds_the_end_of_a_head_is_cut_off(strict, sent):
    assert raw(strict, sent).startswith(b"HTTP/1.1 408 ")


def test_bytes_now_and_then_do_not_keep_a_connection(strict):
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\n")
        cut_off = False
        for _ in range(600):
            try:
                link.sendall(b"X: y\r\n")
            except OSError:  # a reset or a broken pipe, as it happens
                cut_off = True
                break
            time.sleep(0.05)
        assert cut_off


def test_what_is_no_http_is_refused(strict):
    received = raw(strict, b"nonsense\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"BadRequest"' in received


def test_one_connection_too_many_is_refused_and_the_others_live(strict):
    held = [socket.create_connection(("127.0.0.1", strict.port)) for _ in range(8)]
    try:
        assert raw(strict).startswith(b"HTTP/1.1 503 ")
    finally:
        for link in held:
            link.close()
    deadline_s = time.monotonic() + 30
    while strict.request("GET", "/healthz")[0] != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "json"]
)
def test_a_body_that_is_no_json_by_its_header_is_refused(strict, content_type):
    answer = strict.request("POST", ENTIRE, b"{}", **KEYED, **{"Content-Type": content_type})
    assert code_of(answer) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("bomb", [b"[" * 60_000, b'{"series":' * 6_000, b'{"a":' * 10_000])
def test_a_bomb_of_depth_is_one_bad_request_and_the_worker_lives(strict, bomb):
    status, code = code_of(strict.request("POST", ENTIRE, bomb, **KEYED))
    assert (status, code) == (400, "InvalidJsonFormat")


def test_unknown_paths_and_methods_have_the_form_of_every_error(strict):
    assert code_of(strict.request("GET", "/nowhere")) == (404, "NotFound")
    status, headers, _ = answer = strict.request("PUT", "/v1/series", b"{}")
    assert code_of(answer) == (405, "MethodNotAllowed")
    assert "GET" in headers["allow"]
    assert status == 405


def test_paths_of_azure_are_the_same_in_any_case(strict):
    body = json.dumps(as_json(daily())).encode()
    path = "/AnomalyDetector/V1.1/TimeSeries/Entire/Detect"
    assert strict.request("POST", path, body, **KEYED)[0] == 200


def test_an_error_of_our_own_tells_nothing_of_the_inside(tmp_path, caplog):
    inside = Inside(tmp_path)

    def fail(*_):
        raise ZeroDivisionError("secret of the inside")

    inside.series.page = fail
    answer = inside.client.get("/v1/series")
    assert answer.status_code == 500
    assert answer.json()["code"] == answer.headers["x-ms-error-code"] == "UnexpectedError"
    assert "secret" not in answer.text
    assert "secret of the inside" in caplog.text


def test_a_signal_ends_it_when_all_is_answered_and_the_state_is_written(tmp_path):
    settings = (f"serve.folder={tmp_path}", "serve.workers=1", "serve.snapshot_interval=1h")
    body = json.dumps(as_json(daily())).encode()
    point = b'{"timestamp":"2026-01-01T00:00:00Z","value":1}'
    with Served(*settings) as server:
        server.wait_for("ready after")
        assert server.request("POST", "/v1/series/cpu/points", point)[0] == 200
        asking = [HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(8)]
        for each in asking:
            each.request("POST", ENTIRE, body, {"Content-Type": "application/json"})
        server.request("GET", "/healthz")  # accepted behind all of them
        assert server.stop() == 0
        assert [each.getresponse().status for each in asking] == [200] * 8
        for each in asking:
            each.close()
        assert "state written" in "".join(server.log)
    with Served(*settings) as heir:
        listed = json.loads(heir.request("GET", "/v1/series")[2])["series"]
        assert [each["metric"] for each in listed] == ["cpu"]


def test_of_two_servers_on_one_folder_the_second_is_refused(served):
    folder = served.data.parent / "kept"
    command = [sys.executable, "-m", "streamdet", "serve", "--port", "0"]
    command += ["--set", f"serve.folder={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"serve.folder: {folder}: another server works in it" in done.stderr


def test_who_does_not_take_its_answers_is_cut_off(strict):
    n_asked = 600
    with socket.create_connection(("127.0.0.1", strict.port), timeout=60) as link:
        link.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * n_asked)
        time.sleep(3)  # three times what it may take
        received = b""
        try:
            while some := link.recv(1 << 20):
                received += some
        except ConnectionResetError:
            pass
    assert 0 < received.count(b"HTTP/1.1 200 ") < n_asked


def test_without_the_extra_the_command_says_what_to_install():
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['streamdet', 'serve'];"
        "from streamdet.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert "serve needs uvicorn" in done.stderr
    assert 'pip install "streamdet[web]"' in done.stderr


def test_a_port_that_is_taken_is_said_in_words(strict):
    command = [sys.executable, "-m", "streamdet", "serve", "--port", str(strict.port)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{strict.port}" in done.stderr
