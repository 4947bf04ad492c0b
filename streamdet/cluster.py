"""What brokers tell of themselves: the facts that `streamdet doctor` judges.

Nothing here asks anybody; `kafka.inspection` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from streamdet.types import Partition

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Untold:
    """An answer that was not to be had."""

    why: str
    forbidden: bool = False
    """The brokers refused to tell: a right is missing."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What came of connecting to one address."""

    address: str
    advertised: bool = False
    """Clients go there because a broker says so, not because it stands in the configuration."""
    steps: Mapping[str, float] = field(default_factory=dict)
    """Steps that went well, in their order (DNS, TCP, TLS, Kafka, login), and how many seconds
    each took."""
    failed: str | None = None
    """The step after those; None: all went well."""
    fault: str = ""
    """What it said."""
    certificate_ends_s: float | None = None
    """When the broker's certificate ends, seconds since 1970; None: none, or not checked."""
    features: Mapping[str, int] = field(default_factory=dict)
    """Features of the cluster, with their levels; none where brokers do not tell (before 3.3)."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster as its metadata have it."""

    name: str
    brokers: tuple[str, ...]
    """Advertised addresses."""
    topics: frozenset[str]
    """Those that this user may see."""
    administered: bool = True
    """A broker answers questions of administration; the embedded one does not."""
    all_rights: bool = False
    """This user may do everything on the cluster."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition of a topic, as its metadata have it."""

    index: int
    has_leader: bool
    n_replicas: int
    n_in_sync: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic that exists."""

    name: str
    partitions: tuple[PartitionState, ...]
    rights: frozenset[str] | None
    """Operations that this user may do, as READ; None: the brokers do not say."""
    settings: Mapping[str, str] | Untold
    """Of the topic, with the brokers' defaults."""

    @property
    def n_replicas(self) -> int:
        """Replication factor, the smallest of its partitions."""
        return min((partition.n_replicas for partition in self.partitions), default=0)


TopicAnswer = TopicState | Untold | None
"""None: there is no such topic."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """A consumer group."""

    state: str
    """STABLE, EMPTY, DEAD (nobody knows the group) and the like."""
    members: tuple[str, ...]
    """Where each is, as `host (instance)`."""
    assigned: frozenset[Partition]
    rights: frozenset[str] | None
    """As of a topic."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where one partition begins and ends, and how far a group is."""

    first: int
    stable: int
    """End of what may be read: the records of an open transaction, and all after, lie beyond."""
    end: int
    committed: int | None
    """The group's; None: it has none."""

    @property
    def lag(self) -> int:
        """Offsets that the group has yet to read; where it has none committed, all there are."""
        return max(0, self.stable - (self.first if self.committed is None else self.committed))


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the offsets of a group."""

    at_s: float
    """On a monotonic clock."""
    offsets: Mapping[Partition, Offsets]
