"""A file to write, and no variables of this machine's."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith("STREAMDET_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "streamdet.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write
