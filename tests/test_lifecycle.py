"""The table of a partition's life is kept to: by the table itself, and by the tasks of a worker."""

from __future__ import annotations

from itertools import product

import pytest

from streamdet.lifecycle import NEXT, IllegalStep, State, step
from streamdet.task import Task
from streamdet.types import Partition
from tests.service import INPUT, Worker, broker, config, point, produce

PLACE = Partition(INPUT, 0)


@pytest.mark.parametrize(("old", "new"), list(product(State, State)))
def test_a_state_is_entered_from_where_the_table_says_and_from_nowhere_else(old, new):
    if new in NEXT[old]:
        assert step(PLACE, old, new) is new
    else:
        with pytest.raises(IllegalStep, match=rf"metrics\[0\] is {old} and cannot become {new}"):
            step(PLACE, old, new)


def test_every_state_is_reached_and_all_end_closed():
    assert set(NEXT) == set(State)
    assert set().union(*NEXT.values()) == set(State) - {State.ASSIGNED}
    for state in State:
        seen = {state}
        while more := {after for each in seen for after in NEXT[each]} - seen:
            seen |= more
        assert State.CLOSED in seen


def test_a_task_refuses_a_step_that_is_not_in_the_table():
    task = Task(PLACE, config())
    task.enter(State.RUNNING)
    with pytest.raises(IllegalStep):
        task.enter(State.RESTORING)
    assert task.state is State.RUNNING


def states(worker):
    return [str(task.state) for task in worker.pipeline._assignment.tasks.values()]


def test_a_worker_leads_its_partitions_through_their_lives(monkeypatch):
    entered = []
    monkeypatch.setattr(
        Task, "enter", lambda self, to, enter=Task.enter: entered.append(to) or enter(self, to)
    )
    on = broker()
    produce(on, [point(minute, 1.0) for minute in range(30)])
    first = Worker(on)
    first.turn(3)
    first.consumer.close()
    assert entered == [State.RUNNING, State.REVOKING, State.CLOSED]
    entered.clear()
    second = Worker(on)
    second.turn()
    assert states(second) == ["restoring"]
    second.drain()
    assert entered == [State.RESTORING, State.RUNNING]
    entered.clear()
    on.expel(second.consumer)
    second.turn()
    assert entered[:2] == [State.LOST, State.CLOSED]
