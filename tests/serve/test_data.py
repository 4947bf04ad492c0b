"""Files of training data: sent, replaced, listed, deleted, and never there by half."""

import asyncio
import errno
import io
import json
import os
import socket
import time
import zipfile
from datetime import timedelta

import pytest

from streamdet.serve.data_folder import DataFolder
from streamdet.serve.operation import Refusal
from tests.serve.inside import Inside
from tests.serve.samples import START, daily
from tests.serve.served import KEY

MODELS = "/anomalydetector/v1.1/multivariate/models"
HEADER = "Ocp-Apim-Subscription-Key"
CSV = {"Content-Type": "text/csv"}
HEAD = f"Host: x\r\nContent-Type: text/csv\r\n{HEADER}: {KEY}\r\n"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def inside(tmp_path, folder):
    limits = {"max_upload_bytes": "2KiB", "max_body_bytes": "1KiB"}
    return Inside(tmp_path, serve={"data_folder": str(folder), **limits})


def put(inside, name="a.csv", content=b"timestamp,a\n", **headers):
    return inside.client.put(f"/v1/data/{name}", content=content, headers={**CSV, **headers})


def code_of(answer):
    assert answer.json()["code"] == answer.headers["x-ms-error-code"]
    return answer.status_code, answer.json()["code"]


def names(folder):
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def test_a_file_is_sent_replaced_listed_and_deleted(inside, folder):
    sent = put(inside, "plant-2.csv", b"old")
    assert (sent.status_code, sent.json()) == (201, {"dataSource": "plant-2.csv", "sizeBytes": 3})
    assert put(inside, "plant-2.csv", b"newer").status_code == 200
    assert put(inside, "a.zip", b"z").status_code == 201
    assert (folder / "plant-2.csv").read_bytes() == b"newer"
    assert inside.client.get("/v1/data").json()["files"] == [
        {"dataSource": "a.zip", "sizeBytes": 1},
        {"dataSource": "plant-2.csv", "sizeBytes": 5},
    ]
    assert inside.client.delete("/v1/data/plant-2.csv").status_code == 204
    assert code_of(inside.client.delete("/v1/data/plant-2.csv")) == (404, "FileNotExist")
    assert names(folder) == ["a.zip"]


def test_before_the_first_file_there_is_none(inside):
    assert inside.client.get("/v1/data").json() == {"files": []}
    assert code_of(inside.client.delete("/v1/data/a.csv")) == (404, "FileNotExist")


def test_a_zip_that_is_sent_is_trained_on(tmp_path, folder):
    inside = Inside(tmp_path, serve={"data_folder": str(folder)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, factor in (("a", 1), ("b", -2)):
            rows = "".join(f"{at:%Y-%m-%dT%H:%M:%SZ},{factor * v}\n" for at, v in daily(90, None))
            archive.writestr(f"{name}.csv", f"timestamp,value\n{rows}")
    sent = put(inside, "both.zip", packed.getvalue(), **{"Content-Type": "application/zip"})
    body = {
        "dataSource": sent.json()["dataSource"],
        "dataSchema": "MultiTable",
        "startTime": f"{START:%Y-%m-%dT%H:%M:%SZ}",
        "endTime": f"{START + timedelta(days=89):%Y-%m-%dT%H:%M:%SZ}",
        "slidingWindow": 28,
    }
    made = inside.client.post(MODELS, json=body)
    assert made.status_code == 201
    model = inside.client.get(f"{MODELS}/{made.json()['modelId']}").json()
    assert model["modelInfo"]["status"] == "READY"


@pytest.mark.parametrize(
    "name",
    ["a.txt", "a", ".csv", ".a.csv", "-a.csv", "a.csv%0A", "%61%00.csv", "a%5Cb.csv", "a b.csv",
     "\xe9.csv", "a.CSV", "topic:a.csv", f"{'a' * 125}.csv", "..csv"],
)  # fmt: skip
def test_a_name_that_is_not_plain_is_refused(inside, folder, name):
    assert code_of(put(inside, name)) == (400, "InvalidFileName")
    assert code_of(inside.client.delete(f"/v1/data/{name}")) == (400, "InvalidFileName")
    assert names(folder) == []


@pytest.mark.parametrize("path", ["..%2Fa.csv", "%2e%2e%2fa.csv", "b%2Fa.csv", "%2Fa.csv", ""])
def test_no_name_leads_out_of_the_folder(inside, folder, path):
    folder.mkdir()
    (folder.parent / "a.csv").write_text("of others")
    assert put(inside, path).status_code in (404, 405)
    assert inside.client.delete(f"/v1/data/{path}").status_code in (404, 405)
    assert (folder.parent / "a.csv").read_text() == "of others"
    assert names(folder) == []


def test_folders_and_links_are_the_operators(inside, folder):
    (folder / "folder.csv").mkdir(parents=True)
    (folder.parent / "secret").write_text("of others")
    (folder / "link.csv").symlink_to(folder.parent / "secret")
    for name in ("folder.csv", "link.csv"):
        assert code_of(put(inside, name)) == (409, "NotAFile")
        assert code_of(inside.client.delete(f"/v1/data/{name}")) == (404, "FileNotExist")
    assert inside.client.get("/v1/data").json() == {"files": []}
    assert (folder.parent / "secret").read_text() == "of others"


def test_a_file_over_the_limit_leaves_nothing(inside, folder):
    assert put(inside, content=b"x" * 2048).status_code == 201
    assert code_of(put(inside, "b.csv", b"x" * 2049)) == (413, "RequestTooLarge")

    async def unannounced():
        for _ in range(2049):
            yield b"x"

    assert code_of(put(inside, "b.csv", unannounced())) == (413, "RequestTooLarge")
    assert code_of(put(inside, "a.csv", unannounced())) == (413, "RequestTooLarge")
    assert names(folder) == ["a.csv"]
    assert (folder / "a.csv").read_bytes() == b"x" * 2048


def test_a_file_that_stops_coming_leaves_nothing(tmp_path, folder):
    serve = {"data_folder": str(folder), "read_timeout": "100ms"}

    async def stalled():
        yield b"x"
        await asyncio.sleep(60)

    assert code_of(put(Inside(tmp_path, serve=serve), content=stalled())) == (408, "RequestTimeout")
    assert names(folder) == []


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data", ""])
def test_a_body_that_is_no_file_by_its_header_is_refused(inside, folder, media_type):
    refused = put(inside, **{"Content-Type": media_type})
    assert code_of(refused) == (415, "UnsupportedMediaType")
    assert "text/csv" in refused.json()["message"]
    assert names(folder) == []


def test_without_a_data_folder_nothing_is_taken(tmp_path):
    inside = Inside(tmp_path)
    for answer in (
        put(inside),
        inside.client.get("/v1/data"),
        inside.client.delete("/v1/data/a.csv"),
    ):
        assert code_of(answer) == (403, "NoDataFolder")
        assert "serve.data_folder" in answer.json()["message"]


def test_without_a_key_nothing_is_taken_shown_or_deleted(tmp_path, folder):
    keys = [{"name": "all", "key": KEY}]
    inside = Inside(tmp_path, serve={"data_folder": str(folder), "keys": keys})
    assert put(inside, **{HEADER: KEY}).status_code == 201
    for wrong in ({}, {HEADER: "wrong"}):
        assert put(inside, content=b"other", **wrong).status_code == 401
        assert inside.client.get("/v1/data", headers=wrong).status_code == 401
        assert inside.client.delete("/v1/data/a.csv", headers=wrong).status_code == 401
    assert (folder / "a.csv").read_bytes() == b"timestamp,a\n"


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (errno.ENOSPC, 507, "InsufficientStorage"),
        (errno.EROFS, 403, "DataFolderNotWritable"),
        (errno.EIO, 500, "UnexpectedError"),
    ],
)
def test_a_disk_that_does_not_take_it_keeps_the_old_file(
    inside, folder, monkeypatch, number, status, code
):
    assert put(inside, content=b"old").status_code == 201

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    assert code_of(put(inside, content=b"new")) == (status, code)
    assert names(folder) == ["a.csv"]
    assert (folder / "a.csv").read_bytes() == b"old"


def test_who_reads_while_a_file_is_sent_has_the_old_one(folder):
    folder.mkdir()
    (folder / "a.csv").write_bytes(b"old")
    seen = []

    async def blocks():
        for part in (b"ne", b"w"):
            yield part
            seen.append((folder / "a.csv").read_bytes())

    files = DataFolder(folder)
    stored = asyncio.run(files.put("a.csv", blocks()))
    assert seen == [b"old", b"old"]
    assert (stored.size_bytes, stored.replaced) == (3, True)
    assert (folder / "a.csv").read_bytes() == b"new"


def test_a_few_files_are_sent_at_once_and_the_next_is_told_to_wait(folder):
    async def send():
        files, go_on = DataFolder(folder), asyncio.Event()

        async def blocks():
            await go_on.wait()
            yield b"x"

        sending = [asyncio.create_task(files.put(f"{i}.csv", blocks())) for i in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await files.put("more.csv", blocks())
        go_on.set()
        await asyncio.gather(*sending)
        await files.put("more.csv", blocks())
        return refused.value

    refused = asyncio.run(send())
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert names(folder) == ["0.csv", "1.csv", "2.csv", "3.csv", "more.csv"]


def test_what_a_crash_has_left_goes_with_the_next_file(inside, folder):
    folder.mkdir()
    left, alive = folder / ".b.csv.1.streamdet-upload", folder / ".b.csv.2.streamdet-upload"
    for path in (left, alive):
        path.write_bytes(b"half")
    long_ago_s = time.time() - 7200
    os.utime(left, (long_ago_s, long_ago_s))
    assert put(inside).status_code == 201
    assert names(folder) == [alive.name, "a.csv"]
    assert [each["dataSource"] for each in inside.client.get("/v1/data").json()["files"]] == [
        "a.csv"
    ]


def half_files(served):
    return [each for each in names(served.data) if each.endswith(".streamdet-upload")]


def test_a_file_that_breaks_off_leaves_nothing(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        head = f"PUT /v1/data/broken.csv HTTP/1.1\r\n{HEAD}Content-Length: 1500000\r\n\r\n"
        link.sendall(head.encode() + b"x" * 1_400_000)
        wait_until(lambda: half_files(served))
    wait_until(lambda: not half_files(served))
    assert "broken.csv" not in names(served.data)
    served.wait_for(r"PUT /v1/data/broken\.csv.*408")


def wait_until(holds):
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("framing", "n_chunks"), [("Content-Length: 3000000", 0), ("Transfer-Encoding: chunked", 9)]
)
def test_a_file_over_the_limit_is_refused_on_the_wire(served, framing, n_chunks):
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as link:
        link.sendall(f"PUT /v1/data/big.csv HTTP/1.1\r\n{HEAD}{framing}\r\n\r\n".encode())
        for _ in range(n_chunks):
            link.sendall(b"40000\r\n" + b"x" * 2**18 + b"\r\n")
        received = b""
        while some := link.recv(65536):
            received += some
    assert received.startswith(b"HTTP/1.1 413 ")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "RequestTooLarge"
    assert half_files(served) == []
    assert "big.csv" not in names(served.data)
