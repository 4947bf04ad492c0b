"""The life of a partition in a worker, as a table: which state may follow which.

    assigned ──► restoring ──► running ──► revoking ──► closed
        └──────────────────────►┘
    assigned, restoring, running ──► lost ──► closed       another worker may have it already
    assigned, restoring, running ──► closed                thrown away, and assigned anew

A task goes this way once. After an abort it is closed, and a new one of the same partition begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a partition stands in the life that the table describes."""

    ASSIGNED = "assigned"  # by the group; nothing is known of it yet
    RESTORING = "restoring"  # its state is loaded, and the input that it lacks replayed
    RUNNING = "running"  # its records are worked on
    REVOKING = "revoking"  # it is committed once more, and then given back
    LOST = "lost"  # taken away without a chance to commit
    CLOSED = "closed"  # no more is done with it


NEXT: Mapping[State, frozenset[State]] = {
    State.ASSIGNED: frozenset({State.RESTORING, State.RUNNING, State.LOST, State.CLOSED}),
    State.RESTORING: frozenset({State.RUNNING, State.LOST, State.CLOSED}),
    State.RUNNING: frozenset({State.REVOKING, State.LOST, State.CLOSED}),
    State.REVOKING: frozenset({State.CLOSED}),
    State.LOST: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class IllegalStep(AssertionError):
    """A partition was to enter a state that cannot follow its own: an error of ours."""


def step(partition: object, old: State, new: State) -> State:
    """Return `new`, which has to be a state that may follow `old`.

    Raises
    ------
    IllegalStep
    """
    if new not in NEXT[old]:
        raise IllegalStep(f"{partition} is {old} and cannot become {new}")
    return new
