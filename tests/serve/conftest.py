"""One server for all tests that change nothing of it."""

import pytest

from tests.serve.served import Served


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server without keys, with a folder of data."""
    folder = tmp_path_factory.mktemp("served")
    data = folder / "data"
    data.mkdir()
    settings = (f"serve.folder={folder / 'kept'}", f"serve.data_folder={data}")
    with Served(*settings, "serve.workers=1") as server:
        server.data = data
        yield server
