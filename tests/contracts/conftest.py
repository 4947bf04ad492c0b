"""The contract's two worlds, as one fixture."""

from __future__ import annotations

import pytest

from tests.contracts.worlds import KafkaWorld, MemoryWorld


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def world(request):
    """The broker in memory, then a real one."""
    if request.param == "memory":
        made = MemoryWorld()
    else:
        made = KafkaWorld(request.getfixturevalue("kafka").bootstrap)
    yield made
    made.close()
