"""The servers that the other tests rely on do what those tests take for granted."""

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from tests.servers import Unavailable, kafka_jars
from tests.servers.kafka import ExternalKafka, KafkaServer, create_topic, obtain
from tests.servers.prometheus import Prometheus

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]


def read_all(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Return the first `count` records that a read_committed consumer sees in a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-reader",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        consumer.subscribe([topic])
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def test_a_committed_reader_never_sees_an_aborted_record(kafka, unique):
    topic = unique("servers")
    create_topic(kafka.bootstrap, topic)
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": unique("writer")}
    )
    producer.init_transactions(30)
    for value, end in (
        (b"first", producer.commit_transaction),
        (b"aborted", producer.abort_transaction),
        (b"last", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)  # on the broker before it is aborted, not dropped on the way
        end(30)

    assert read_all(kafka.bootstrap, topic, 2) == [b"first", b"last"]


def test_a_broker_from_its_jars_keeps_its_records_over_a_restart_and_a_kill():
    with KafkaServer() as broker:
        create_topic(broker.bootstrap, "kept")
        produce(broker.bootstrap, "kept", b"before the restart")
        broker.restart()
        produce(broker.bootstrap, "kept", b"before the kill")
        killed = broker.pid
        broker.kill()
        broker.start()

        assert broker.pid != killed
        assert read_all(broker.bootstrap, "kept", 2) == [b"before the restart", b"before the kill"]
    assert not broker.folder.exists()


def test_a_broker_ends_with_its_test_run_even_when_that_is_killed():
    script = """
import time
from tests.servers.kafka import KafkaServer
broker = KafkaServer()
broker.start()
print(broker.pid, broker.folder, flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    with run, run.stdout as announced:
        pid, folder = announced.readline().decode().split()
        os.kill(int(pid), 0)  # raises where there is no such process
        run.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (is_alive(int(pid)) or Path(folder).exists()):
        time.sleep(0.05)
    assert not is_alive(int(pid))
    assert not Path(folder).exists()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_broker_whose_address_is_given_is_used_as_it_is(kafka, monkeypatch):
    monkeypatch.setenv("STREAMDET_TEST_BOOTSTRAP", kafka.bootstrap)
    broker = obtain()
    assert isinstance(broker, ExternalKafka)
    assert broker.bootstrap == kafka.bootstrap
    # 25 is Kafka 4.0
    assert int(broker.version.removeprefix("with metadata.version ")) >= 25


def test_the_coordinates_and_the_checksums_name_the_same_jars():
    named = ("{1}-{2}.jar".format(*each.split(":")) for each in kafka_jars.coordinates())
    assert sorted(named) == sorted(kafka_jars.expected_sha256())


def test_a_jar_that_was_tampered_with_is_not_run(monkeypatch, tmp_path):
    genuine = kafka_jars.jars()
    monkeypatch.setattr(kafka_jars, "cache_folder", lambda name: tmp_path)
    monkeypatch.setattr(kafka_jars, "_resolve", lambda folder: None)
    for jar in genuine:
        (tmp_path / jar.name).symlink_to(jar)
    assert len(kafka_jars.jars()) == len(genuine)

    (tmp_path / genuine[0].name).unlink()
    (tmp_path / genuine[0].name).write_bytes(genuine[0].read_bytes() + b"x")
    with pytest.raises(Unavailable, match=f"{genuine[0].name} has SHA-256"):
        kafka_jars.jars()


def test_kcat_writes_and_reads(kafka, kcat, unique):
    topic = unique("kcat")
    create_topic(kafka.bootstrap, topic)
    address = ["-b", kafka.bootstrap, "-t", topic]
    subprocess.run([kcat, *address, "-P"], input=b"one\ntwo\n", check=True, timeout=60)
    read = subprocess.run(
        [kcat, *address, "-C", "-e", "-q", "-o", "beginning"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert read.stdout == b"one\ntwo\n"


def test_promtool_refuses_a_rule_that_is_no_promql(promtool, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text('groups: [{name: g, rules: [{record: "a:b", expr: "sum("}]}]')
    checked = subprocess.run(
        [promtool, "check", "rules", rules], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 1
    assert "parse error" in checked.stdout + checked.stderr


class OneMetric(http.server.BaseHTTPRequestHandler):
    """Serves one sample to a scrape."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"answer 42\n")

    def log_message(self, *args):
        pass


def test_prometheus_scrapes_a_target_and_answers_queries(prometheus_binary):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneMetric) as target:
        serving = threading.Thread(target=target.serve_forever)
        serving.start()
        address = f"127.0.0.1:{target.server_port}"
        try:
            with Prometheus(prometheus_binary, [address]) as prometheus:
                deadline = time.monotonic() + 60
                while not (found := prometheus.query("answer")) and time.monotonic() < deadline:
                    time.sleep(0.1)
        finally:
            target.shutdown()
            serving.join()
    (sample,) = found
    assert sample["metric"]["instance"] == address
    assert sample["value"][1] == "42"
