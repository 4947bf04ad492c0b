"""A commit goes on beside the work on what comes next; what it took is what it makes final."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event

import pytest

from streamdet.errors import FatalError, TransactionAborted
from streamdet.testing import CrashPoint
from streamdet.types import Partition
from tests.service import (
    DEAD_LETTERS,
    GROUP,
    INPUT,
    Worker,
    anomalies,
    broker,
    config,
    events,
    point,
    produce,
    with_spikes,
)

P0, P1 = Partition(INPUT, 0), Partition(INPUT, 1)
SPIKES = [60, 61, 62, 150]


def filled(partitions: int = 1):
    on = broker(partitions)
    for partition in range(partitions):
        values = with_spikes(200, SPIKES, seed=partition)
        produce(on, [point(m, v) for m, v in enumerate(values)], partition)
    return on


def eager(on, name: str = "w", **settings) -> Worker:
    settings = {"limits": {"batch_records": 10}, **settings}
    worker = Worker(on, config(commit_mode="eager", **settings), name)
    while worker.pipeline.status.not_ready is not None:
        worker.turn(commit=False)
    return worker


def turn_until_begun(worker: Worker) -> None:
    """Turn until a commit is under way."""
    while worker.pipeline._committer._underway is None:
        worker.turn(commit=False)


def turn_until_aborted(worker: Worker) -> TransactionAborted:
    try:
        for _ in range(100):
            worker.turn(commit=False)
    except TransactionAborted as error:
        return error
    raise AssertionError("nothing was aborted")


def assert_all_is_final(on, worker: Worker, partitions: int = 1) -> None:
    assert on.committed(GROUP) == {Partition(INPUT, p): 200 for p in range(partitions)}
    found = [(e["source"]["partition"], e["source"]["offset"]) for e in anomalies(on)]
    assert sorted(found) == [(p, at) for p in range(partitions) for at in SPIKES]
    assert worker.outcomes() == {"ok": 200 * partitions}


def test_work_goes_on_beside_a_commit_until_there_is_more_to_send():
    on = filled()
    worker = eager(on)
    turn_until_begun(worker)
    assert on.committed(GROUP) == {}
    assert worker.outcomes() == {}
    task = worker.pipeline._assignment.tasks[P0]
    taken = task.next_offset
    while on.committed(GROUP) == {}:
        assert anomalies(on) == []
        worker.turn(commit=False)
    assert on.committed(GROUP) == {P0: taken}, "what came later is not in it"
    assert task.next_offset > taken
    assert worker.outcomes() == {"ok": taken}
    worker.drain()
    assert_all_is_final(on, worker)


def test_the_interval_makes_all_final_also_while_events_come_all_the_time():
    on = filled()
    worker = eager(on, publish="all")
    for _ in range(12):
        worker.turn(commit=False)
        assert on.committed(GROUP).get(P0, 0) < worker.pipeline._assignment.tasks[P0].next_offset
    worker.turn()
    assert on.committed(GROUP) == {P0: worker.pipeline._assignment.tasks[P0].next_offset}
    assert len(events(on)) == on.committed(GROUP)[P0]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["producer.flush", "producer.commit"])
def test_if_it_fails_what_was_done_beside_it_is_thrown_away_too(step, after):
    on = filled()
    worker = eager(on)
    on.fail_at(step, TransactionAborted("made up"), after=after and step != "producer.commit")
    turn_until_begun(worker)
    worker.pipeline._discard(turn_until_aborted(worker))
    worker.drain()
    assert_all_is_final(on, worker)
    assert worker.metric("transactions_total", result="aborted") == 1


def test_an_error_beside_a_commit_lets_it_come_to_its_end_first():
    on = filled()
    worker = eager(on)
    turn_until_begun(worker)
    taken = worker.pipeline._assignment.tasks[P0].next_offset
    worker.turn(commit=False)
    worker.pipeline._discard(TransactionAborted("met beside it"))
    assert on.committed(GROUP) == {P0: taken}
    worker.drain()
    assert_all_is_final(on, worker)


def test_a_partition_that_is_given_back_takes_the_commit_under_way_along():
    on = filled(partitions=2)
    first = eager(on, "first")
    turn_until_begun(first)
    second = Worker(on, config(commit_mode="eager"), "second")
    for _ in range(4):
        first.turn(commit=False)
        second.turn(commit=False)
    assert {len(w.pipeline._assignment.tasks) for w in (first, second)} == {1}
    for worker in (first, second):
        worker.drain()
    counted = {key: first.outcomes()[key] + second.outcomes()[key] for key in first.outcomes()}
    assert counted == {"ok": 400}
    found = [(e["source"]["partition"], e["source"]["offset"]) for e in anomalies(on)]
    assert sorted(found) == [(p, at) for p in range(2) for at in SPIKES]


def test_of_a_partition_that_is_lost_the_commit_under_way_does_not_count():
    on = filled()
    zombie = eager(on, "zombie")
    turn_until_begun(zombie)
    zombie.turn(commit=False)
    on.expel(zombie.consumer)
    heir = Worker(on, config(commit_mode="eager"), "heir")
    heir.drain()
    zombie.pipeline._discard(turn_until_aborted(zombie))
    assert_all_is_final(on, heir)
    assert zombie.outcomes() == {}


def test_a_dead_letter_that_is_refused_holds_the_records_of_its_own_commit_back():
    on = filled()
    produce(on, [b"no point"])
    values = with_spikes(200, [190], seed=5)
    produce(on, [point(m, v, host="b") for m, v in enumerate(values)])
    worker = eager(on)
    on.fail_at("producer.commit", TransactionAborted("refused", DEAD_LETTERS), skip=2)
    aborted = turn_until_aborted(worker)
    task = worker.pipeline._assignment.tasks[P0]
    assert task.dead_letter_from == 200
    worker.pipeline._discard(aborted)
    assert worker.pipeline._assignment._held == {P0: 200}
    for _ in range(60):
        worker.turn()
    assert on.committed(GROUP) == {P0: 401}, "the topic is there, so it goes on"
    assert len(on.read(DEAD_LETTERS)) == 1


@pytest.mark.parametrize("polls", range(8, 16))
@pytest.mark.parametrize("error", [FatalError("made up"), CrashPoint()], ids=repr)
def test_leaving_waits_for_what_is_under_way_and_commits_no_more(polls, error):
    on = filled()
    on.fail_at("consumer.poll", error, skip=polls)
    worker = Worker(on, config(commit_mode="eager", limits={"batch_records": 10}))
    with pytest.raises(type(error)):
        worker.pipeline.run(Event())
    assert worker.pipeline._committer._underway is None
    final = on.committed(GROUP).get(P0, 0)
    begun = polls * 10 >= 80  # with the batch of the first spikes
    assert final == (70 if begun else 0)
    assert {e["source"]["offset"] for e in anomalies(on)} == {at for at in SPIKES if at < final}


def test_a_commit_is_made_on_the_thread_it_is_given_to():
    on, made_on = filled(), set()
    commit = threading.Event()
    with ThreadPoolExecutor(1) as beside:

        def submit(make_it):
            def make_it_late():
                made_on.add(threading.get_ident())
                assert commit.wait(30)
                make_it()

            return beside.submit(make_it_late)

        worker = Worker(on, config(commit_mode="eager", limits={"batch_records": 10}), "w", submit)
        while worker.pipeline.status.not_ready is not None:
            worker.turn(commit=False)
        turn_until_begun(worker)
        assert on.committed(GROUP) == {}
        commit.set()
        worker.drain()
    assert_all_is_final(on, worker)
    assert len(made_on - {threading.get_ident()}) == 1


def test_each_commit_counts_its_own_points_once():
    on = filled()
    worker = eager(on, publish="all")
    seen = [0.0]
    while on.committed(GROUP).get(P0) != 200:
        worker.turn(commit=len(seen) % 3 == 0)
        seen.append(worker.outcomes().get("ok", 0.0))
        assert seen[-1] == on.committed(GROUP).get(P0, 0)
    assert all(a <= b for a, b in pairwise(seen))
