"""The Grafana dashboard: made from its source, made of metrics that exist, and with an answer."""

import importlib.util
import itertools
import json
import math
import re
import subprocess
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamdet.metrics import CONTENT_TYPE, Metrics, Tally
from streamdet.types import Outcome, Reason
from streamdet.web.server import WebServer
from tests.deploy.catalogue import PARTITION, families, metrics_in_use, unknown_parts
from tests.servers.prometheus import Prometheus

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "streamdet.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [target for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [target["expr"] for target in TARGETS]
# Grafana's ids of the units in use; an id that it does not know is shown as text behind a number.
UNITS = {"short", "cps", "s", "percentunit", "bytes", "Bps", "dateTimeAsIso"}
ANSWER_TIMEOUT_S = 60

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def as_prometheus_gets_it(expression: str) -> str:
    """Return the expression with Grafana's variables filled in."""
    values = {"__rate_interval": "1m", "__range": "1h", "job": ".+", "instance": ".+"}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)


def test_the_committed_dashboard_is_what_its_source_makes():
    path = GRAFANA / "dashboard.py"
    spec = importlib.util.spec_from_file_location("dashboard", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    committed = module.OUTPUT.read_text()
    assert module.dashboard() == committed, "run: python deploy/grafana/dashboard.py"


@each_panel
def test_every_panel_says_what_it_shows_and_in_which_unit(panel):
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS


def test_every_panel_has_its_own_number_title_and_place():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        assert columns.stop <= 24
        own = set(itertools.product(columns, range(at["y"], at["y"] + at["h"])))
        assert not own & cells, panel["title"]
        cells |= own


def test_data_source_job_and_instance_are_chosen_on_the_page():
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {"job", "instance"} <= set(variables)
    used = [each["datasource"]["uid"] for each in [*PANELS, *TARGETS]]
    used += [each["datasource"]["uid"] for each in variables.values() if each["type"] == "query"]
    assert set(used) == {"${datasource}"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_looks_at_the_chosen_workers_only(expression):
    selectors = re.findall(r"\bstreamdet_\w+(\{[^}]*\})?", expression)
    assert selectors
    for selector in selectors:
        assert 'job=~"$job"' in selector
        assert 'instance=~"$instance"' in selector


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_is_made_of_metrics_and_labels_that_exist(expression):
    assert list(unknown_parts(expression)) == []


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rates_follow_the_scrape_interval_and_the_zoom(expression):
    assert set(re.findall(r"rate\([^\[]*\[([^\]]*)\]", expression)) <= {"$__rate_interval"}
    assert set(re.findall(r"increase\([^\[]*\[([^\]]*)\]", expression)) <= {"$__range"}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"])
def test_every_legend_names_a_label_that_the_query_keeps(target):
    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
        assert re.search(rf"by \([^)]*\b{label}\b", target["expr"])


def test_every_metric_is_shown_somewhere():
    shown = " ".join(EXPRESSIONS)
    missing = [
        name
        for name, family in families().items()
        if not any(re.search(rf"\b{sample}\b", shown) for sample in family.samples)
    ]
    assert missing == []


def test_every_expression_parses(promtool, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": as_prometheus_gets_it(expression)}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", file], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(EXPRESSIONS)} rules found" in checked.stdout


def test_every_panel_has_something_to_show_of_a_worker_at_work(prometheus_binary):
    metrics, http = metrics_in_use()
    pages = {"/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE, metrics.render())}
    with (
        WebServer("127.0.0.1", 0, pages) as server,
        Prometheus(prometheus_binary, [f"127.0.0.1:{server.port}"]) as prometheus,
    ):
        empty = EXPRESSIONS
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while empty and time.monotonic() < deadline:
            work(metrics)
            http.count("last-v1.1", 200, 0.01)
            time.sleep(0.5)
            empty = [each for each in empty if not any(numbers(prometheus, each))]
    assert empty == []


def work(metrics: Metrics) -> None:
    """Count what a worker counts in a second."""
    tally = Tally()
    tally.records, tally.size_bytes, tally.points, tally.evicted = 10, 1000, 60, 1
    tally.outcomes.update(dict.fromkeys(Outcome, 10))
    tally.dead_letters.update(Reason)
    tally.undecodable.update(Reason)
    tally.anomalies["positive", "high"] += 1
    tally.future = tally.grid_changes = tally.released_early = 1
    tally.imputed = tally.absences = tally.returns = 1
    metrics.record({PARTITION: tally})
    metrics.stage_seconds.labels("decode").observe(0.001)
    metrics.commit_seconds.observe(0.01)
    metrics.restore_seconds.observe(0.5)
    metrics.state_bytes.inc(4096)
    metrics.batch_records.observe(10)
    metrics.transactions.labels("committed").inc()
    metrics.rebalances.labels("assigned").inc()


def numbers(prometheus: Prometheus, expression: str) -> Iterator[bool]:
    """Yield for each sample of the answer whether it is a number."""
    answer: list[dict[str, Any]] = prometheus.query(as_prometheus_gets_it(expression))
    return (math.isfinite(float(sample["value"][1])) for sample in answer)
