"""State to the state topic and back: whatever was interrupted goes on as if nothing had been."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.detectors import DETECTORS
from streamdet.kernels.header import ABSENT
from streamdet.snapshot import LAYOUTS, Restored, load, take
from streamdet.state import ledger
from streamdet.state.record import PartitionKey, decode, decode_key
from streamdet.task import Task
from streamdet.types import Partition, Record, Verdicts
from tests.aligned import Point, as_it_stands, columns, configured
from tests.state_of import state_of
from tests.test_event_time import MINUTE, START, clean, ended, on_the_road

PARTITION = Partition("t", 0)
RULES = {
    "nothing held": {},
    "lateness": {"allowed_lateness": "5m", "absent_after": "10m", "granularity": "minutely"},
    "windows": {"allowed_lateness": "5m", "aggregate": {"interval": "5m", "function": "p95"}},
    "roll-up": {"granularity": "minutely", "rollup": {"by": [], "function": "sum"}},
    "counter": {"transform": "rate"},
    "spectral residual": {"detector": "spectral_residual"},
    "found season": {"period": None, "ring_length": None},
}


class Service:
    """One partition's task, its state topic, and what it published; may be ended at any batch."""

    def __init__(self, config) -> None:
        self.config = config
        self.task = Task(PARTITION, config)
        self.topic: list[Record] = []
        self.committed = 0
        self.said: list[tuple] = []

    def process(self, stream: list[Point], start: int, stop: int) -> list[tuple]:
        points = columns(stream[start:stop], start)
        judged = self.task.detect(points, self.task.route(points, as_it_stands))
        rows = list(self.task.select(judged))
        self.task.next_offset = stop
        released, verdicts = judged.released, judged.verdicts
        of_rows = [getattr(verdicts, each.name) for each in fields(Verdicts)]
        of_rows += [released.use, released.time_us, released.offset]
        names = [self.task.store.name(handle) for handle in released.handle.tolist()]
        said = [
            (name, *(column[i].tobytes() for column in of_rows))
            for i, name in enumerate(names)
            if released.use[i] < ABSENT
        ]
        return said + [(row.kind, str(row.series), row.time_us, row.incident) for row in rows]

    def commit(self, budget_bytes: int) -> None:
        self.task.evict()
        for record in take(self.task, "state", budget_bytes):
            at = len(self.topic)
            self.topic.append(Record(Partition("state", 0), at, 0, record.key, record.value))
        self.committed = self.task.next_offset or 0

    def die(self, stream: list[Point], batch: int) -> None:
        """Begin again with what the state topic has, and replay what it lacks."""
        self.task = Task(PARTITION, self.config)
        *_, restored = load(self.task, self.topic, self.committed)
        assert not restored.problems
        self.task.event_time.replays = True
        for start in range(restored.replay_from, self.committed, batch):
            self.process(stream, start, min(start + batch, self.committed))
        self.task.end_replay()
        self.task.next_offset = self.committed


@pytest.fixture(autouse=True, scope="module")
def _a_chunk_for_each_series():
    whole = ledger.CHUNK_BYTES
    ledger.CHUNK_BYTES = 1
    yield
    ledger.CHUNK_BYTES = whole


def run(config, stream, batch, deaths=(), budget_bytes=0, every=1) -> tuple[list[tuple], dict]:
    """Return all that is said, in an order of its own for each series, and the state at the end."""
    service = Service(config)
    deaths = set(deaths)
    number = start = 0
    said = []
    uncommitted = []
    while start < len(stream):
        stop = min(start + batch, len(stream))
        uncommitted += service.process(stream, start, stop)
        number += 1
        start = stop
        if number in deaths:
            deaths.discard(number)
            uncommitted = []
            service.die(stream, batch + 3)
            start = service.committed
        elif number % every == 0:
            service.commit(budget_bytes)
            said += uncommitted
            uncommitted = []
    return sorted(said + uncommitted), state_of(service.task)


def stream_of(seed: int, n: int = 150) -> list[Point]:
    return ended(on_the_road(clean(seed, n, n_series=4), seed))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=15)
@given(
    st.integers(0, 10**6),
    st.integers(5, 60),
    st.lists(st.integers(1, 60), max_size=3),
    st.sampled_from([0, 1, 2_000, 10**9]),
    st.integers(1, 4),
)
def test_what_is_said_is_what_would_have_been_said(rule, seed, batch, deaths, budget, every):
    config = configured({"m": RULES[rule]}, limits={"series_ttl": "2h"})
    stream = stream_of(seed)
    want = run(config, stream, batch)
    assert run(config, stream, batch, deaths, budget, every) == want


def jobs(seed: int, n: int = 240) -> list[Point]:
    """Return points of jobs, each a series of its own, that begin and end all the time."""
    rng = np.random.default_rng(seed)
    return [
        Point(f'm{{job="{k}",run="{(minute + 3 * k) // 25}"}}', at_us, float(value))
        for minute in range(n)
        for k, value in enumerate(rng.normal(50, 1, 5))
        for at_us in [START + minute * MINUTE]
        if rng.random() > 0.05
    ]


@pytest.mark.parametrize("series_a_chunk", [1, 3])
@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(5, 60),
    st.lists(st.integers(1, 120), max_size=5),
    st.sampled_from([0, 1, 2_000, 10**9]),
    st.integers(1, 4),
)
def test_a_series_in_a_place_that_another_has_left_is_not_taken_for_it(
    series_a_chunk, seed, batch, deaths, budget, every
):
    config = configured({"m": {}}, limits={"series_ttl": "30m"})
    row = DETECTORS["forecast"].layout.row.itemsize + 4 * 64
    ledger.CHUNK_BYTES, before = series_a_chunk * row, ledger.CHUNK_BYTES
    try:
        stream = jobs(seed)
        want = run(config, stream, batch)[0]
        assert run(config, stream, batch, deaths, budget, every)[0] == want
    finally:
        ledger.CHUNK_BYTES = before


# ----------------------------------------------------------- whose state it is, and of which topic


def written(config, stream, topic_id="") -> Service:
    service = Service(config)
    service.task = Task(PARTITION, config, topic_id=topic_id)
    service.process(stream, 0, len(stream))
    service.commit(10**9)
    return service


def of_group(name: str):
    config = configured({"m": {}})
    kafka = config.kafka.model_copy(update={"group_id": name})
    return config.model_copy(update={"kafka": kafka})


def test_groups_that_share_a_topic_read_their_own_state_only():
    one = written(of_group("one"), stream_of(1))
    other = written(of_group("other"), stream_of(2, 40))
    both = [each for pair in zip(one.topic, other.topic, strict=False) for each in pair]
    both += one.topic[len(other.topic) :]
    assert {decode_key(record.key).group for record in both} == {"one", "other"}
    for service in (one, other):
        n_series = service.task.store.n_series
        want, own_bytes = (
            state_of(service.task),
            sum(len(r.key) + len(r.value) for r in service.topic),
        )
        service.task = Task(PARTITION, service.config)
        *_, found = load(service.task, both, service.committed)
        assert found == Restored(service.committed, n_series=n_series, size_bytes=own_bytes)
        assert state_of(service.task) == want


def test_a_group_whose_name_begins_as_anothers_does_not_get_its_state():
    service = written(of_group("one"), stream_of(1, 40))
    for name in ("on", "one2", 'one","t', "o"):
        *_, found = load(Task(PARTITION, of_group(name)), service.topic, service.committed)
        assert (found.n_series, found.size_bytes, found.problems) == (0, 0, []), name


@pytest.mark.parametrize(
    ("then", "now", "used"),
    [("a", "a", True), ("", "a", True), ("a", "", True), ("", "", True), ("a", "b", False)],
)
def test_state_of_a_topic_that_was_made_anew_is_not_used(then, now, used):
    config = of_group("one")
    service = written(config, stream_of(1, 40), topic_id=then)
    task = Task(PARTITION, config, topic_id=now)
    *_, found = load(task, service.topic, service.committed)
    assert found.replay_from == service.committed
    if used:
        assert (found.problems, task.store.n_series) == ([], service.task.store.n_series)
    else:
        (problem,) = found.problems
        assert "id a, and this one has b: the topic was made anew; nothing of the" in problem
        assert (found.n_series, task.store.n_series) == (0, 0)


def test_the_topics_id_is_written_again_with_each_commit():
    service = written(of_group("one"), stream_of(1, 40), topic_id="a")
    (record,) = [each for each in service.topic if type(decode_key(each.key)) is PartitionKey]
    assert decode(record.key, record.value, LAYOUTS).topic_id == "a"
