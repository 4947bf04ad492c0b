"""The Dockerfile, as far as it can be judged without an engine."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from http import HTTPStatus
from pathlib import Path

import pytest

from streamdet.web.server import WebServer, text_page

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PORT = 9108


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, rest) in order, continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [
        (keyword, re.sub(r"\s+", " ", rest))
        for keyword, rest in (line.split(maxsplit=1) for line in logical if line.strip())
    ]


def only(keyword: str) -> str:
    """Return the rest of the only such instruction of the final stage."""
    stages = [index for index, (name, _) in enumerate(instructions()) if name == "FROM"]
    (rest,) = [rest for name, rest in instructions()[stages[-1] :] if name == keyword]
    return rest


def health_command() -> list[str]:
    return json.loads(only("HEALTHCHECK").partition(" CMD ")[2])


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [hadolint, "--no-color", "--failure-threshold", "style", DOCKERFILE]
    linted = subprocess.run(command, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert linted.stdout == ""


def test_everything_that_is_copied_exists_and_nothing_else_reaches_the_build():
    copied = {
        source
        for keyword, rest in instructions()
        if keyword == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert [source for source in copied if not (ROOT / source).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_the_image_has_the_python_that_the_requirements_were_locked_for():
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    locked_for = re.search(r"with Python (\d+\.\d+)", lock)[1]
    assert f"ARG PYTHON_IMAGE=python:{locked_for}-slim\n" in DOCKERFILE.read_text()


def test_the_image_runs_the_worker_as_nobody_special_and_is_stopped_gently():
    assert only("USER") == "10001:10001"
    assert only("STOPSIGNAL") == "SIGTERM"
    (program,) = json.loads(only("ENTRYPOINT"))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert program in scripts
    assert json.loads(only("CMD"))[0] == "run"


def test_the_modules_that_the_build_runs_exist():
    text = " ".join(rest for keyword, rest in instructions() if keyword == "RUN")
    ours = set(re.findall(r"-m (streamdet[\w.]*)", text))
    assert ours
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize(("problem", "healthy"), [(None, True), ("the loop hangs", False)])
def test_the_health_check_tells_a_live_worker_from_one_that_hangs(problem, healthy):
    pages = {"/healthz": text_page(lambda: problem)}
    with WebServer("127.0.0.1", 0, pages) as server:
        assert (health_check(server.port) == 0) is healthy


def test_the_health_check_fails_where_nobody_answers():
    with WebServer("127.0.0.1", 0, {"/": lambda: (HTTPStatus.OK, "text/plain", b"")}) as server:
        port = server.port
    assert health_check(port) != 0


def test_the_health_check_asks_the_port_that_the_image_tells():
    assert only("EXPOSE") == str(PORT)
    assert str(PORT) in " ".join(health_command())


def health_check(port: int) -> int:
    """Run the image's health check against another port, with a proxy in its way."""
    program, *arguments = health_command()
    assert program == "python"
    command = [sys.executable, *(each.replace(str(PORT), str(port)) for each in arguments)]
    environment = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return subprocess.run(command, env=environment, capture_output=True, timeout=30).returncode
