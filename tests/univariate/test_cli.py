"""`streamdet detect`: Azure's request in, its response out."""

import json

import pytest
from typer.testing import CliRunner

from streamdet import cli
from tests.univariate.requests import body, weekly_season


def detect(*arguments, given=None):
    return CliRunner().invoke(cli.app, ["detect", *map(str, arguments)], input=given)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "request.json"
    path.write_bytes(body(weekly_season()))
    return path


@pytest.mark.parametrize(
    ("mode", "field"),
    [("entire", "expectedValues"), ("last", "expectedValue"), ("changepoint", "isChangePoint")],
)
def test_a_request_in_a_file_is_answered_on_standard_output(file, mode, field):
    done = detect(file, "--mode", mode)
    assert done.exit_code == 0
    assert field in json.loads(done.stdout)


def test_a_request_may_come_from_standard_input(file):
    piped = detect("-", given=file.read_bytes())
    assert json.loads(piped.stdout) == json.loads(detect(file).stdout)


def test_a_request_that_cannot_be_answered_ends_with_azures_error(tmp_path):
    path = tmp_path / "request.json"
    path.write_bytes(body(weekly_season(5)))
    done = detect(path)
    assert done.exit_code == 2
    assert "request.json: InvalidSeries: The 'series' field must have at least 12" in done.stderr
    assert done.stdout == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    done = detect(tmp_path / "absent.json")
    assert done.exit_code == 2
    assert "absent.json: cannot be read" in done.stderr
