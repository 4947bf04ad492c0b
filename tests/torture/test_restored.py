"""The torture's points without its brokers: a task that dies and is restored says the same."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import pytest

from streamdet.config import Config
from streamdet.metrics import Tally
from streamdet.serde.decoder import Decoder
from streamdet.serde.event import EventEncoder
from streamdet.serde.limits import DecodeLimits
from streamdet.snapshot import load, take
from streamdet.task import Task
from streamdet.types import OutgoingRecord, Partition, Record
from tests.integration import offline
from tests.torture.points import PRODUCERS, ROLLUP, RULES, Points

SERIES, MINUTES, DEATHS = 110, 160, 8
PLACE = Partition("points", 0)
NOW_MS = 1_795_000_000_000


def records(seed: int) -> list[Record]:
    points = Points(seed, SERIES, MINUTES, partitions=2)
    minutes = zip(*(points.of(producer) for producer in range(PRODUCERS)), strict=True)
    sent = [each for minute in minutes for some in minute for each in some]
    sent = [each for each in sent if zlib.crc32(each.key) % points.partitions == PLACE.index]
    sent += [each for each in points.closing() if each.partition == PLACE.index]
    return [Record(PLACE, at, NOW_MS, each.key, each.value) for at, each in enumerate(sent)]


class Run:
    """A task as a worker has it, with a state topic that is a list."""

    def __init__(self, config: Config, points: list[Record]) -> None:
        self.task = Task(PLACE, config, 0)
        self.published: list[OutgoingRecord] = []
        self.outcomes: Counter = Counter()
        self.committed = 0
        self._open: list[OutgoingRecord] = []
        self._state: list[Record] = []
        self._points = points
        self._decoder, self._encoder = Decoder(DecodeLimits()), EventEncoder()

    def take(self, start: int, end: int) -> None:
        batch = offline.Batch(PLACE, self._points[start:end])
        points = self._decoder.decode(batch, "ms")
        handles = self.task.route(points, self._decoder.identify)
        judged = self.task.detect(points, handles)
        topic = self.task.config.output.anomalies
        self._open += [self._encoder.encode(each, topic) for each in self.task.select(judged)]
        self.task.count(batch, points, judged, 0)

    def commit(self, offset: int, budget_bytes: int) -> None:
        for each in take(self.task, "state", budget_bytes):
            self._state.append(Record(PLACE, len(self._state), NOW_MS, each.key, each.value))
        self.published += self._open
        self._open = []
        self.outcomes += self.task.take_tally().outcomes
        self.committed = offset
        self.task.evict()

    def die(self, chance: random.Random) -> None:
        self.task = Task(PLACE, self.task.config, self.committed)
        *_, found = load(self.task, self._state, self.committed)
        assert not found.problems
        self.task.event_time.replays = True
        at = found.replay_from
        while at < self.committed:
            end = min(at + chance.randint(1, 400), self.committed)
            self.take(at, end)
            at = end
        self.task.end_replay()
        self.task.tally = Tally()
        self._open = []


@pytest.mark.parametrize("seed", range(6))
def test_a_restored_task_says_what_one_that_never_died_says(seed: int):
    chance = random.Random(seed)
    rules = [dict(rule) for rule in RULES]
    if seed % 3 == 2:
        for rule in rules:
            if "aggregate" in rule["set"]:
                rule["set"] = {**rule["set"], "rollup": ROLLUP}
    config = Config.model_validate(
        {
            "input": {"topics": [PLACE.topic]},
            "output": {"publish": "all"},
            "limits": {"series_ttl": chance.choice(("30m", "1h", "14d"))},
            "rules": rules,
        }
    )
    points = records(seed)
    run = Run(config, points)
    batch, budget_bytes = chance.choice((30, 300)), chance.choice((1, 2_000, 20_000))
    at, deaths = 0, 0
    while at < len(points):
        end = min(at + chance.randint(1, batch), len(points))
        run.take(at, end)
        at = end
        if chance.random() < 0.4 or at == len(points):
            run.commit(at, budget_bytes)
        if chance.random() < DEATHS * batch / 2 / len(points):
            run.die(chance)
            at, deaths = run.committed, deaths + 1

    wanted = offline.detect(config, points)
    assert deaths > 1
    assert run.outcomes == wanted.outcomes
    assert sorted((event.key, event.value, event.headers) for event in run.published) == sorted(
        (event.key, event.value, event.headers) for event in wanted.events
    )
