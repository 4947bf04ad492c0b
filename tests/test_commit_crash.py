"""A worker dies before and after every step of the commit; its heir makes it right."""

from __future__ import annotations

import pytest

from streamdet.testing import CrashPoint
from streamdet.types import Partition
from tests.service import GROUP, INPUT, Worker, broker, config, events, point, produce, with_spikes

STEPS = {
    "exactly_once": ["producer.begin", "producer.send", "producer.flush", "producer.commit"],
    "at_least_once": ["producer.send", "producer.flush", "consumer.commit"],
}
CASES = [
    (delivery, step, after)
    for delivery, steps in STEPS.items()
    for step in steps
    for after in (False, True)
]


@pytest.mark.parametrize(("delivery", "step", "after"), CASES)
def test_a_crash_loses_nothing_and_doubles_nothing_but_ids(delivery, step, after):
    on = broker()
    values = with_spikes(60, at=[20, 40])
    produce(on, [point(m, v) for m, v in enumerate(values)])
    settings = config(delivery=delivery, publish="all")
    on.fail_at(step, CrashPoint(), after=after)
    dead = Worker(on, settings, name="w")
    with pytest.raises(CrashPoint):
        dead.turn()
    on.expel(dead.consumer)
    on_restart = Worker(on, settings, name="w")
    on_restart.drain()

    assert on.committed(GROUP) == {Partition(INPUT, 0): 60}
    found = events(on)
    assert {e["source"]["offset"] for e in found} == set(range(60))
    ids = [e["id"] for e in found]
    assert len(set(ids)) == 60
    if delivery == "exactly_once":
        assert len(ids) == 60
    anomalies = [e["source"]["offset"] for e in found if e["isAnomaly"]]
    assert set(anomalies) == {20, 40}
