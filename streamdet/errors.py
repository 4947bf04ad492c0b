"""What can go wrong, named by what happens next.

    StreamdetError
    ├── ConfigError          exit 2: the operator corrects the configuration or the command
    ├── RecordError          this record, or point, becomes a dead letter; the stream goes on
    ├── RetriableError       the same call again, within the deadline
    ├── TransactionAborted   discard state, go back to the committed offsets, go on
    ├── Fenced               another worker has our place: discard everything, exit 1 or rejoin
    └── FatalError           exit 1: nothing in this process can mend it

Wrong use by ourselves is an `assert` and never caught.
"""

from __future__ import annotations

from streamdet.types import Reason


class StreamdetError(Exception):
    """Base of everything streamdet raises on purpose."""


class ConfigError(StreamdetError):
    """The configuration or a command cannot be used. Exit code 2.

    Operator action: correct the file, line and field that the message names.
    """


class RecordError(StreamdetError):
    """A record, or one point of it, cannot be used: a dead letter, and the stream goes on.

    Operator action: none; look at the dead-letter topic when the count of `reason` grows.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class RetriableError(StreamdetError):
    """A passing fault of the broker or the network: the same call may succeed later.

    Operator action: none, unless it lasts; then check the brokers.
    """


class TransactionAborted(StreamdetError):
    """The open transaction is lost; what it held is processed again from the committed offsets.

    Operator action: none, unless `streamdet_transactions_total{result="aborted"}` keeps growing;
    then the message names the broker's reason (rights, topic, size).
    """


class Fenced(StreamdetError):
    """Another producer or group member holds our identity.

    Operator action: give every worker its own `kafka.instance_id`, or let the other one run.
    """


class FatalError(StreamdetError):
    """The process cannot go on. Exit code 1; a supervisor restarts it.

    Operator action: read the message; it names the topic, right or broker at fault.
    """
