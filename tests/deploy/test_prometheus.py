"""Prometheus' configuration and alerts, judged by Prometheus' own promtool."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.catalogue import unknown_parts

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "streamdet.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "streamdet.rules.yml"],
        ["test", "rules", "streamdet.rules_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_is_content(promtool, arguments):
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@each_rule
def test_an_alert_is_made_of_metrics_and_labels_that_exist(rule):
    assert list(unknown_parts(rule["expr"])) == []


@each_rule
def test_an_alert_says_how_grave_it_is_what_is_wrong_and_what_to_do(rule):
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")


@each_rule
def test_an_alert_fires_in_its_test(rule):
    tests = (FOLDER / "streamdet.rules_test.yml").read_text()
    assert f'ALERTS{{alertname="{rule["alert"]}", alertstate="firing"' in tests


def test_an_alert_speaks_only_of_labels_that_it_has():
    for rule in RULES:
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
        labels = {label for each in kept for label in re.findall(r"\w+", each)}
        text = " ".join(rule["annotations"].values())
        told = set(re.findall(r"\$labels\.(\w+)", text))
        # without an aggregation an alert has the labels of its series, the target's among them
        assert told <= (labels or {"job", "instance"}), rule["alert"]


def test_prometheus_asks_the_workers_where_they_answer():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (scrape,) = config["scrape_configs"]
    (discovery,) = scrape["dns_sd_configs"]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    worker = yaml.safe_load((DEPLOY / "streamdet.yaml").read_text())
    assert set(discovery["names"]) <= set(services)
    assert discovery["port"] == worker["metrics"]["port"]


def test_grafana_knows_how_often_prometheus_scrapes():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    path = DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
