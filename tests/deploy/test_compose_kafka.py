"""The Compose file as far as it goes without an engine: its settings and commands, on Kafka's jars.

What the services kafka, topics and streamdet would be given is given to the same programs here;
only addresses and folders differ.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from streamdet.metrics import scrape
from tests.deploy.test_docker import health_check, only
from tests.servers import free_ports
from tests.servers.kafka import KafkaServer

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
ENVIRONMENT = SERVICES["kafka"]["environment"]
TIMEOUT_S = 60
N_POINTS = 100


def properties(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """Return the broker's server.properties as its image makes them, on this machine's ports."""
    found = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in ENVIRONMENT.items()
        if name.startswith("KAFKA_")
    }
    for name in ("listeners", "advertised.listeners", "controller.quorum.voters"):
        found[name] = re.sub(
            r"(//|@)[a-z]*:(\d+)",
            lambda address: f"{address[1]}127.0.0.1:{ports[address[2]]}",
            found[name],
        )
    # on a heap of half a gigabyte the cleaner's own default is too much
    return {**found, "log.dirs": str(folder / "data"), "log.cleaner.dedupe.buffer.size": "8388608"}


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    ports = dict(zip(["9092", "19092", "29093"], free_ports(3), strict=True))
    server = KafkaServer()
    server.bootstrap = f"127.0.0.1:{ports['9092']}"
    lines = [f"{name}={value}" for name, value in properties(server.folder, ports).items()]
    (server.folder / "server.properties").write_text("\n".join(lines))
    with server:
        yield server


def streamdet(
    arguments: list[str], bootstrap: str, metrics_port: int, log: Path
) -> subprocess.Popen[bytes]:
    """Start the image's program with the arguments that the image or the Compose file gives it."""
    here = [
        str(DEPLOY / "streamdet.yaml") if each.startswith("/etc/") else each for each in arguments
    ]
    program = Path(sys.executable).with_name(json.loads(only("ENTRYPOINT"))[0])
    command = [str(program)] if program.exists() else [sys.executable, "-m", program.name]
    environment = {
        **os.environ,
        "STREAMDET_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "STREAMDET_METRICS__HOST": "127.0.0.1",
        "STREAMDET_METRICS__PORT": str(metrics_port),
    }
    with log.open("wb") as stream:
        return subprocess.Popen([*command, *here], env=environment, stdout=stream, stderr=stream)


def wait_until(holds: Callable[[], bool], worker: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert worker.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def sample(port: int, name: str, **labels: str) -> float | None:
    try:
        return scrape(f"http://127.0.0.1:{port}/metrics").get((name, frozenset(labels.items())))
    except OSError:  # it does not answer yet
        return None


def test_kafka_starts_with_the_settings_of_the_compose_file(broker):
    resource = ConfigResource(ResourceType.BROKER, str(ENVIRONMENT["KAFKA_NODE_ID"]))
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    told = admin.describe_configs([resource])[resource].result(TIMEOUT_S)
    assert told["auto.create.topics.enable"].value == "false"


def test_the_topics_are_made_and_the_worker_works_and_ends_in_time(broker, tmp_path):
    (port,) = free_ports(1)
    log = tmp_path / "topics.log"
    topics = streamdet(SERVICES["topics"]["command"], broker.bootstrap, port, log)
    assert topics.wait(TIMEOUT_S) == 0, log.read_text()

    log = tmp_path / "worker.log"
    worker = streamdet(json.loads(only("CMD")), broker.bootstrap, port, log)
    try:
        wait_until(lambda: sample(port, "streamdet_ready") == 1, worker, log)
        assert health_check(port) == 0
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for minute in range(N_POINTS):
            at = f"2021-03-02T{minute // 60:02}:{minute % 60:02}:00Z"
            point = {"metric": "requests", "timestamp": at, "value": 12.5 + minute % 3}
            producer.produce("metrics", json.dumps(point).encode(), key=b"requests")
        assert producer.flush(TIMEOUT_S) == 0
        ok = {"topic": "metrics", "outcome": "ok"}
        wait_until(lambda: sample(port, "streamdet_points_total", **ok) == N_POINTS, worker, log)
        worker.send_signal(signal.Signals[only("STOPSIGNAL")])
        grace_s = int(SERVICES["streamdet"]["stop_grace_period"].removesuffix("s"))
        assert worker.wait(grace_s) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
    for line in log.read_text().splitlines():
        json.loads(line)  # logging.format: json
