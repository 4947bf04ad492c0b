"""docs/metrics.md says neither more nor less than what a worker and a server expose."""

import re
from pathlib import Path

import yaml

from streamdet import pipeline
from streamdet.types import Outcome, Reason
from tests.deploy.catalogue import families, other_families

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text()


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows that begin with a name."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def section(heading: str) -> str:
    return re.search(rf"^### {heading}\n(.*?)^##", PAGE, re.MULTILINE | re.DOTALL)[1]


def described() -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows(PAGE) if row[0].startswith("`streamdet_")}


def exposed():
    return {**families(), **other_families()}


def test_every_metric_is_described_and_every_metric_described_exists():
    assert sorted(described()) == sorted(exposed())


def test_every_metric_has_the_type_and_the_labels_that_the_page_tells():
    told = {name: (row[1], set(names_in(row[2]))) for name, row in described().items()}
    assert told == {name: (each.type, set(each.labels)) for name, each in exposed().items()}


def test_every_outcome_and_reason_is_explained():
    outcomes = [row[0].strip("`") for row in rows(section("Outcomes"))]
    assert outcomes == [outcome.name.lower() for outcome in Outcome]
    reasons = [row[0].strip("`") for row in rows(section("Reasons"))]
    assert reasons == [str(reason) for reason in Reason]


def test_every_stage_is_explained():
    source = Path(pipeline.__file__).read_text()
    stages = re.findall(r'stage\.labels\("(\w+)"\)', source)
    assert stages
    assert names_in(described()["streamdet_stage_seconds"][3]) == stages


def test_every_alert_is_named_and_every_alert_named_exists():
    path = ROOT / "deploy" / "prometheus" / "streamdet.rules.yml"
    (group,) = yaml.safe_load(path.read_text())["groups"]
    alerts = {rule["alert"] for rule in group["rules"]}
    assert set(re.findall(r"\bStreamdet[A-Z]\w+", PAGE)) == alerts
