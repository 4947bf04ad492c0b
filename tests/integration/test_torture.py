"""A minute of the torture: see `tests.torture`; for hours by hand, `make torture MINUTES=60`."""

from __future__ import annotations

import pytest

from tests.torture.faults import WORKER_FAULTS
from tests.torture.run import Plan, run

pytestmark = pytest.mark.kafka


@pytest.mark.timeout(600)
def test_a_minute_of_faults_changes_no_event_loses_none_and_doubles_none():
    # A seed whose first three faults of workers are one of each kind, and soon.
    report = run(Plan(minutes=1, seed=120, n_series=440, points=50_000))
    said = "\n".join(report.lines())
    assert report.holds, said
    kinds = {fault.kind for fault in report.faults}
    assert kinds > set(WORKER_FAULTS), said  # and of the brokers
    assert report.findings.events > 40_000, said
    assert report.restored_bytes, said
