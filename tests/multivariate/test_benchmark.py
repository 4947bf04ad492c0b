"""What the measurement promises of its own data, and that it tells what it is there to tell."""

import numpy as np
import pytest

from benchmarks.multivariate.__main__ import report
from benchmarks.multivariate.events import disturb
from benchmarks.multivariate.systems import SYSTEMS


@pytest.mark.parametrize("kind", SYSTEMS)
def test_no_single_variable_shows_an_event(kind):
    random = np.random.default_rng(3)
    value = SYSTEMS[kind](random, 4000, 8)
    changed, events = disturb(random, value, 2000, 4)
    assert np.array_equal(changed[:2000], value[:2000])
    for event in events:
        for j in event.variables:
            low, high = np.quantile(value[: event.begin, j], [0.002, 0.998])
            course = changed[event.begin : event.end, j]
            assert np.mean((course < low) | (course > high)) <= 0.02
            assert not np.array_equal(course, value[event.begin : event.end, j])


def test_the_measurement_says_whether_the_bars_are_met(capsys):
    report(seed=2, systems=1, kinds=["linear"])
    said = capsys.readouterr().out
    assert "| all |" in said
    assert "F1 by event: " in said
    assert "right variable among the top 3: " in said
