"""What can go wrong, named by what happens next.

    StreamdetError
    ├── ConfigError          exit 2: the operator corrects the configuration or the command
    ├── RecordError          this record, or point, becomes a dead letter; the stream goes on
    ├── RequestError         this request is answered with a code and a message; exit 2
    ├── RetriableError       the same call again, within the deadline
    ├── TransactionAborted   discard state, go back to the committed offsets, go on
    ├── Fenced               another worker has our place: discard everything, exit 1
    ├── StateCorrupt         drop this record of state, restore from what is sound
    └── FatalError           exit 1: nothing in this process can mend it

Wrong use by ourselves is an `assert` and never caught.
"""

from __future__ import annotations

from enum import StrEnum

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


class RequestError(StreamdetError):
    """A request for detection cannot be answered: its sender is told why. Exit code 2.

    `code` is one of Azure AI Anomaly Detector's error codes, `message` says which field is wrong
    and what it has to be.

    Operator action: none; who sends the requests corrects what the message names.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        """The HTTP status of the answer."""


class RetriableError(StreamdetError):
    """A passing fault of the broker or the network: the same call may succeed later.

    Operator action: none, unless it lasts; then check the brokers.
    """


class TransactionAborted(StreamdetError):
    """The open transaction is lost; what it held is processed again from the committed offsets.

    Operator action: none, unless `streamdet_transactions_total{result="aborted"}` keeps growing;
    then the message names the broker's reason (rights, topic, size).
    """

    def __init__(self, message: str, topic: str | None = None) -> None:
        super().__init__(message)
        self.topic = topic
        """The topic that refused a record; None: the reason is another one."""


class Fenced(StreamdetError):
    """Another member of the group has our `kafka.instance_id`.

    Operator action: give every worker its own, or let the other one run.
    """


class Damage(StrEnum):
    """What is wrong with a record of state. A closed set: it labels a metric."""

    TORN = "torn"  # it ends too early
    FOREIGN = "foreign"  # not a state record
    CHECKSUM = "checksum"
    VERSION = "version"  # of the format: newer than this streamdet
    TOO_LARGE = "too_large"  # declares more bytes than are taken
    LAYOUT = "layout"  # of rows that this streamdet does not have
    INCONSISTENT = "inconsistent"  # what it says cannot be, or belongs to another key


class StateCorrupt(StreamdetError):
    """A record of the state topic cannot be used: it is dropped, what is sound is restored.

    Operator action: none of one; of many, look at `damage`. `version` and `layout` come with a
    change of streamdet's version, `foreign` with a topic that something else writes to, the others
    with a broken disk.
    """

    def __init__(self, damage: Damage, message: str, differs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.damage = damage
        self.differs = differs
        """Of damage LAYOUT: each field that is another one here, in words."""


class FatalError(StreamdetError):
    """The process cannot go on. Exit code 1; a supervisor restarts it.

    Operator action: read the message; it names the topic, right or broker at fault.
    """
