"""The rows of the whole path: streamdet beside a bare consume-and-drop loop, beside itself.

What is timed is the steady state. All series are taken in first, with enough points to be past
their cold start, by the same worker processes that are then timed. The parts of the load are made
one by one: the embedded broker keeps 5 MiB a partition.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.bars import Bar, Measured, rates
from benchmarks.contender import Contender, Part, Task
from benchmarks.load import Load, ends_sum
from streamdet.kafka.mock import PARTITIONS, MockBroker

TOPICS = tuple(f"bench-{i}" for i in range(4))
OUTPUTS = ("anomalies", "dead-letters")
_LEAD_IN_POINTS = 16
"""Of each series: a series is judged from its thirteenth point on."""
_LEAD_IN_RECORDS = 10_000
"""Of a partition at once, so that the broker keeps them all."""
_BIG_POINTS, _BIG_SHARE = 100, 4
"""Points of a large message, and one in how many series has one: again for the broker's sake."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    n_series: int = 160_000
    ticks: int = 14
    """Points of each series in a part: 2.2 million messages."""
    few_series: int = 1_008
    many_series: int = 1_000_000


QUICK = Plan(rounds=2, n_series=16_000, ticks=20, few_series=1_008, many_series=64_000)


class Arena:
    """A broker with a load, and the contenders that take it."""

    def __init__(self, stack: ExitStack, bootstrap: str, topics: Sequence[str], n: int) -> None:
        self._stack, self.bootstrap, self.topics = stack, bootstrap, topics
        self.load = Load(bootstrap, topics, PARTITIONS, n)

    def enter(self, kind: str, topics: Sequence[str] = (), **settings: object) -> Contender:
        """Start a contender on `topics`, or on all."""
        settings = {"commit_interval": "100ms", **settings}
        task = Task(kind, self.bootstrap, topics or self.topics, PARTITIONS, settings=settings)
        return self._stack.enter_context(Contender(task))

    def lead_in(self, contenders: Sequence[Contender]) -> list[list[Part]]:
        """Let all series be taken in, by one contender after the other; return each one's parts."""
        each = self.load.n_series // len(self.load.places)
        pieces = next(
            n for n in range(1, each + 1) if each % n == 0 and each <= n * _LEAD_IN_RECORDS
        )
        found: list[list[Part]] = [[] for _ in contenders]
        for piece in range(pieces):
            self.load.produce(1, _LEAD_IN_POINTS, piece=piece, pieces=pieces, spikes=False)
            for contender, parts in zip(contenders, found, strict=True):
                parts.append(contender.take(self.load.end))
        return found

    def next_part(self, ticks: int, per_record: int = 1, pieces: int = 1) -> int:
        """Produce a part; return its end."""
        first = self.load.end
        self.load.produce(ticks, per_record, piece=pieces - 1, pieces=pieces)
        self.load.check(first)
        return self.load.end


@contextmanager
def arenas(*kinds: tuple[Sequence[str], int]) -> Iterator[list[Arena]]:
    """Give an arena for each (topics, series), all on one broker."""
    with ExitStack() as stack:
        broker = stack.enter_context(MockBroker())
        broker.create_topics([*OUTPUTS, *(topic for topics, _ in kinds for topic in topics)])
        yield [Arena(stack, broker.bootstrap, topics, n) for topics, n in kinds]


def in_turn(number: int, contenders: dict[str, Contender], end: int) -> dict[str, Part]:
    """Return how each took the part, in an order that turns around from round to round."""
    names = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
    found = {name: contenders[name].take(end) for name in names}
    said = ", ".join(f"{name} {part.rate:,.0f}/s" for name, part in sorted(found.items()))
    print(f"  round {number + 1}: {said}", flush=True)
    return found


def whole_path(plan: Plan) -> list[Measured]:
    """One point a message: either delivery beside the bare loop; and series that are new."""
    bar = Measured(Bar("whole path, exactly_once, of the bare loop", 0.55, 0.8))
    other = Measured(Bar("likewise, at_least_once"))
    cold = Measured(Bar("taking in a new series", unit=" us"))
    found: dict[str, list[float]] = {}
    with arenas((TOPICS, plan.n_series)) as (arena,):
        names = ("exactly_once", "at_least_once", "bare")
        contenders = {name: arena.enter(name) for name in names}
        parts, *_ = arena.lead_in(list(contenders.values()))
        n_new = sum(part.n_records for part in parts)
        cold.figures = [1e6 * sum(part.ended_s - part.began_s for part in parts) / n_new]
        cold.how = f"{n_new:,} requests of {_LEAD_IN_POINTS} points, each the first of its series"
        events = ends_sum(arena.bootstrap, OUTPUTS[0])
        for number in range(plan.rounds):
            taken = in_turn(number, contenders, arena.next_part(plan.ticks))
            for name, part in taken.items():
                found.setdefault(name, []).append(part.rate)
            bar.figures.append(taken["exactly_once"].rate / taken["bare"].rate)
            other.figures.append(taken["at_least_once"].rate / taken["bare"].rate)
        events = ends_sum(arena.bootstrap, OUTPUTS[0]) - events
    n = plan.rounds * plan.ticks * plan.n_series
    what = f"{plan.n_series:,} series, {events / 2 / n:.1%} events"  # of two that publish
    bar.how = (
        f"{what}; {rates('whole path', found['exactly_once'])}, {rates('bare', found['bare'])}"
    )
    other.how = rates("whole path", found["at_least_once"])
    return [bar, other, cold]


def points_per_s(plan: Plan) -> float:
    """Return what one worker does, exactly once, with nothing beside it."""
    with arenas((TOPICS, plan.n_series)) as (arena,):
        contender = arena.enter("exactly_once")
        arena.lead_in([contender])
        return statistics.median(
            contender.take(arena.next_part(plan.ticks)).rate for _ in range(plan.rounds)
        )


def hundred_points(plan: Plan) -> list[Measured]:
    """Requests of a hundred points: points a second by messages a second of the bare loop."""
    bar = Measured(
        Bar(f"{_BIG_POINTS} points a message, points/s by the bare loop's messages/s", 3, 6)
    )
    points: list[float] = []
    bare: list[float] = []
    lean = tuple(f"lean-{topic}" for topic in TOPICS)
    with arenas((TOPICS, plan.n_series), (lean, plan.n_series)) as (arena, plain):
        contender = arena.enter("exactly_once")
        arena.lead_in([contender])
        loop = plain.enter("bare")
        for number in range(plan.rounds):
            end = arena.next_part(1, _BIG_POINTS, pieces=_BIG_SHARE)
            points.append(_BIG_POINTS * contender.take(end).rate)
            bare.append(loop.take(plain.next_part(plan.ticks)).rate)
            print(
                f"  round {number + 1}: {points[-1]:,.0f} points/s, bare {bare[-1]:,.0f}/s",
                flush=True,
            )
    bar.figures = [a / b for a, b in zip(points, bare, strict=True)]
    bar.how = f"{rates('points', points)}, {rates('bare, one point a message,', bare)}"
    return [bar]


def two_processes(plan: Plan) -> list[Measured]:
    """Two workers with half of the topics each beside one with all."""
    bar = Measured(Bar("two processes against one", 1.5, 1.8))
    found: dict[str, list[float]] = {"one": [], "two": []}
    with arenas((TOPICS, plan.n_series)) as (arena,):
        one = arena.enter("exactly_once")
        two = [arena.enter("exactly_once", topics) for topics in (TOPICS[:2], TOPICS[2:])]
        arena.lead_in([one, *two])
        for number in range(plan.rounds):
            end = arena.next_part(plan.ticks)
            for name in ("one", "two") if number % 2 else ("two", "one"):
                found[name].append(_together([one] if name == "one" else two, end))
            said = ", ".join(f"{name} {each[-1]:,.0f}/s" for name, each in found.items())
            print(f"  round {number + 1}: {said}", flush=True)
    bar.figures = [b / a for a, b in zip(*found.values(), strict=True)]
    bar.how = ", ".join(rates(name, each) for name, each in found.items())
    return [bar]


def series_cost(plan: Plan) -> list[Measured]:
    """The whole path with very many series beside few, rings of 64 points."""
    bar = Measured(Bar("cost a point, very many series against few", 1.6, 1.3, less_is_better=True))
    many_topics = tuple(f"many-{topic}" for topic in TOPICS)
    rings = {"detection": {"ring_length": 64}, "limits": {"max_series": plan.many_series}}
    with arenas((TOPICS, plan.few_series), (many_topics, plan.many_series)) as (few, many):
        contenders = [arena.enter("exactly_once", **rings) for arena in (few, many)]
        for arena, contender in zip((few, many), contenders, strict=True):
            arena.lead_in([contender])
        n = max(plan.n_series * plan.ticks, 2 * plan.many_series)
        found: list[list[float]] = [[], []]
        for number in range(plan.rounds):
            for arena, contender, its in zip((few, many), contenders, found, strict=True):
                end = arena.next_part(n // arena.load.n_series)
                its.append(contender.take(end).rate)
            print(
                f"  round {number + 1}: few {found[0][-1]:,.0f}/s, many {found[1][-1]:,.0f}/s",
                flush=True,
            )
    bar.figures = [a / b for a, b in zip(*found, strict=True)]
    sizes = [f"{n:,} series" for n in (plan.few_series, plan.many_series)]
    bar.how = ", ".join(rates(name, each) for name, each in zip(sizes, found, strict=True))
    return [bar]


def _together(contenders: Sequence[Contender], end: int) -> float:
    """Return records a second of contenders that run at once."""
    for each in contenders:
        each.begin(end)
    parts = [each.wait() for each in contenders]
    took_s = max(part.ended_s for part in parts) - min(part.began_s for part in parts)
    return sum(part.n_records for part in parts) / took_s
