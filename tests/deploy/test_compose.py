"""The Compose file: of the right form, and its parts agree with one another."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from streamdet.config import load

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
CONFIG = DEPLOY / "streamdet.yaml"

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", ["topics", "streamdet"])


def mounts(name: str) -> list[list[str]]:
    """Return the volumes of a service: source, target and perhaps mode."""
    return [volume.split(":") for volume in SERVICES[name].get("volumes", [])]


def test_it_is_of_the_form_that_compose_reads():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@each_service
def test_every_port_is_bound_to_the_loopback(name):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


@each_service
def test_everything_that_is_mounted_exists(name):
    for source, *_ in mounts(name):
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_every_image_is_of_a_fixed_version_or_built_here(name):
    service = SERVICES[name]
    assert "build" in service or service["image"].partition(":")[2][-1].isdigit()


@each_of_ours
def test_streamdet_has_no_more_rights_than_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "user" not in service, "the image's own user has no rights at all"


def test_the_image_is_built_from_the_root_of_the_repository():
    build = SERVICES["streamdet"]["build"]
    context = DEPLOY / build["context"]
    assert (context / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert (context / ".dockerignore").exists()


def test_the_topics_are_there_before_the_worker_starts():
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    waits_for = SERVICES["streamdet"]["depends_on"]["topics"]["condition"]
    assert waits_for == "service_completed_successfully"
    assert "restart" not in SERVICES["topics"]


def test_the_configuration_loads_and_fits_the_services():
    config = load(CONFIG)
    assert ["./streamdet.yaml", "/etc/streamdet/streamdet.yaml", "ro"] in mounts("streamdet")
    assert config.kafka.bootstrap_servers in listeners()
    ports = {int(port.rpartition(":")[2]) for port in SERVICES["streamdet"]["ports"]}
    assert ports == {config.metrics.port}


def test_the_worker_has_the_time_to_end_by_itself():
    grace = SERVICES["streamdet"]["stop_grace_period"]
    assert grace.endswith("s")
    assert int(grace[:-1]) > load(CONFIG).shutdown_timeout.total_seconds()


def test_clients_on_this_machine_reach_kafka_by_the_name_it_tells_them():
    (port,) = SERVICES["kafka"]["ports"]
    assert f"localhost:{port.rpartition(':')[2]}" in listeners()


def listeners() -> list[str]:
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    return [each.partition("://")[2] for each in advertised.split(",")]


def test_grafana_finds_its_dashboard_and_prometheus():
    provisioning = DEPLOY / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/streamdet.yaml").read_text())[
        "providers"
    ]
    target = provider["options"]["path"]
    assert ["./grafana/dashboards", target, "ro"] in mounts("grafana")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana/dashboards" / Path(home).relative_to(target)).exists()
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    host = source["url"].removeprefix("http://").partition(":")[0]
    assert host in SERVICES
