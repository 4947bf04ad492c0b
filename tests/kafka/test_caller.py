"""A call that does not come back is let go of; others come back with what they raised."""

from __future__ import annotations

import threading
from threading import Event

import pytest

from streamdet.kafka.caller import Caller


def test_calls_are_made_in_order_on_one_other_thread():
    caller, made = Caller(), []
    for number in range(3):
        caller.call(lambda number=number: made.append((number, threading.get_ident())), 10)
    assert [number for number, _ in made] == [0, 1, 2]
    assert len({thread for _, thread in made} - {threading.get_ident()}) == 1
    caller.close()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=repr)
def test_what_a_call_raises_is_raised_and_the_next_call_is_made(error):
    def refuse():
        raise error

    caller, made = Caller(), []
    with pytest.raises(type(error)) as raised:
        caller.call(refuse, 10)
    assert raised.value is error
    caller.call(lambda: made.append(1), 10)
    assert made == [1]
    caller.close()


def test_a_call_that_does_not_return_in_time_is_let_go_of_and_its_thread_ends_once_it_can():
    others, stuck = set(threading.enumerate()), Event()
    caller = Caller()
    (thread,) = set(threading.enumerate()) - others
    with pytest.raises(TimeoutError):
        caller.call(lambda: stuck.wait(60), 0.05)
    assert thread.is_alive()
    stuck.set()
    thread.join(10)
    assert not thread.is_alive()
