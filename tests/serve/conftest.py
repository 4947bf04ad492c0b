"""One server for all tests that change nothing of it."""

import pytest

from tests.serve.served import KEY, Served


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server with the one key KEY and a folder of data."""
    folder = tmp_path_factory.mktemp("served")
    data = folder / "data"
    data.mkdir()
    settings = (
        f"serve.folder={folder / 'kept'}",
        f"serve.data_folder={data}",
        "serve.max_upload_bytes=2MiB",
    )
    keys = {"STREAMDET_SERVE__KEYS": f"[{{name: test, key: {KEY}}}]"}
    with Served(*settings, "serve.workers=1", env=keys) as server:
        server.data = data
        yield server
