"""Three brokers on loopback, for what one alone cannot show: leaders that move, copies that lag."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.integration.worker import wait_until
from tests.servers import free_ports
from tests.servers.kafka import KafkaServer, Ports

NODES = 3
_IN_SYNC_TIMEOUT_S = 60


class KafkaCluster:
    """Brokers from Apache Kafka's jars, each a controller too: any one of them may be away.

    Topics have a copy on each, of which two have to be in sync. As a context manager it is
    started, and ended with all that it stored.
    """

    def __init__(self) -> None:
        free = free_ports(2 * NODES)
        ports = [Ports(*pair) for pair in zip(free[::2], free[1::2], strict=True)]
        self.nodes = [KafkaServer(node=node, ports=ports) for node in range(NODES)]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_until_ready()
            self.wait_in_sync()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def wait_in_sync(self) -> None:
        """Wait until every broker is in, and has all there is of every partition."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        wait_until(lambda: _in_sync(admin), "all brokers to be in sync", _IN_SYNC_TIMEOUT_S)

    def leaders(self, topic: str) -> set[int]:
        """Return which nodes lead partitions of a topic."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
        return {partition.leader - 1 for partition in partitions.values()}

    def _end(self) -> None:
        for node in self.nodes:
            node.end()


def _in_sync(admin: AdminClient) -> bool:
    try:
        found = admin.list_topics(timeout=5)
    except KafkaException:
        return False
    return len(found.brokers) == NODES and all(
        len(partition.isrs) == NODES
        for topic in found.topics.values()
        for partition in topic.partitions.values()
    )
