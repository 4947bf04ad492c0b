"""What the tests with real workers may ask for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.worker import Stream


@pytest.fixture
def stream(kafka, unique: Callable[[str], str], tmp_path: Path) -> Iterator[Stream]:
    """Names of topics and a group, and workers on them that end with the test."""
    own = Stream(kafka.bootstrap, unique, tmp_path)
    yield own
    own.end()
