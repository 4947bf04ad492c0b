"""What every test may ask for: a real Kafka, kcat, Prometheus, and names of its own."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import Unavailable, tools
from tests.servers import kafka as kafka_server

# A first call compiles a kernel, and machines are busy: how long an example takes tells nothing.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

_BROKER = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def kafka(request):
    """A running Apache Kafka, shared by the tests of a run; started for the first that asks."""
    broker = _or_exit(kafka_server.obtain)
    described = f"Apache Kafka {broker.version} {broker.origin}, {broker.bootstrap}"
    request.config.stash[_BROKER] = described
    yield broker
    broker.end()


@pytest.fixture(scope="session")
def kcat() -> Path:
    """The program kcat: another implementation's way to read and write topics."""
    return _or_exit(tools.kcat)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program promtool, which checks rules and expositions as Prometheus would."""
    return _or_exit(tools.promtool)


@pytest.fixture(scope="session")
def prometheus_binary() -> Path:
    """The program prometheus, for `tests.servers.prometheus.Prometheus`."""
    return _or_exit(tools.prometheus)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A function that makes a name (topic, group, transactional id) nobody else uses."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the broker, so that `-m "not kafka"` really needs none."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test that needs a broker and skips itself: no such test is ever left out."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and item.get_closest_marker("kafka"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped; tests that need a Kafka never are"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config):
    """Say which Kafka the tests met."""
    if _BROKER in config.stash:
        terminalreporter.write_line(f"kafka: {config.stash[_BROKER]}")


def _or_exit(obtain):
    try:
        return obtain()
    except Unavailable as error:
        # neither skipped nor passed over: without it the run proves nothing
        pytest.exit(str(error), returncode=1)
