"""The commit: what was sent and how far was read become true together, in numbered steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamdet.ports import RecordConsumer, RecordProducer
from streamdet.types import OutgoingRecord, Partition


def commit(
    next_offsets: Mapping[Partition, int],
    state: Iterable[OutgoingRecord],
    producer: RecordProducer,
    consumer: RecordConsumer,
    timeout_s: float,
) -> None:
    """Make everything sent since the last commit, `state` and `next_offsets` final.

    With a transactional producer (``delivery: exactly_once``) nothing is visible to a
    read-committed reader before step 4, and a crash at any step leaves either all of it or
    nothing. Without one (``at_least_once``) a crash between 1 and 3 leads to the same events
    again, with the same ids; state that is further than the offsets knows what it contains.

    Raises
    ------
    TransactionAborted
        Nothing of it holds: abort, discard the state, go back to the committed offsets.
    Fenced, FatalError
        This process cannot go on.
    """
    # Step 1: every record sent is delivered; a refused one is known before offsets move.
    producer.flush(timeout_s)
    # Step 2: the state. Only now, since without a transaction a point that is in the state is
    # never judged again: its event has to be out.
    if records := list(state):
        producer.send(records)
        producer.flush(timeout_s)
    if producer.transactional:
        # Step 3 and 4: the offsets join the transaction, which then commits. One call, because
        # a time-out in 4 is not an abort: it is repeated until the outcome is known.
        producer.commit(next_offsets, consumer.group_metadata(), timeout_s)
    else:
        # Step 3: the offsets.
        consumer.commit(next_offsets, timeout_s)
