"""docs/deployment.md names what exists, and its examples work."""

import re
from pathlib import Path

from streamdet.config import Config, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text()


def told_s(setting: str) -> int:
    """Return the time that the page's table tells, in seconds."""
    row = re.search(rf"^\|.*`{setting}`.*$", PAGE, re.MULTILINE)[0]
    return int(row.split("|")[2].removesuffix(" s "))


def test_every_file_that_is_named_exists():
    named = re.findall(r"`((?:deploy|requirements)/[\w./-]*)`", PAGE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_example_of_a_secured_cluster_loads(tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "streamdet.yaml"
    file.write_text(example)
    assert load(file).kafka.options["security.protocol"] == "SASL_SSL"


def test_the_times_are_the_defaults_and_each_is_longer_than_the_one_before():
    config = Config()
    settings = ["commit_interval", "transaction_timeout", "shutdown_timeout", "stop_grace_period"]
    commit, deadline, shutdown, grace = map(told_s, settings)
    assert commit == config.commit_interval.total_seconds()
    assert deadline == config.transaction_timeout.total_seconds() / 2
    assert shutdown == config.shutdown_timeout.total_seconds()
    assert commit < deadline < shutdown < grace
