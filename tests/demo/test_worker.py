"""The demo's worker: its configuration is an ordinary one, and it is watched."""

import pytest

from streamdet.config import load
from streamdet.demo.signals import PROFILES
from streamdet.demo.worker import Worker, config_text, total
from streamdet.errors import FatalError
from streamdet.types import SeriesId


def test_the_configuration_is_valid_and_leaves_the_season_to_the_detector(tmp_path):
    file = tmp_path / "streamdet.yaml"
    file.write_text(config_text("127.0.0.1:9092", 9108))
    config = load(file)
    assert config.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert config.metrics.port == 9108
    for profile in PROFILES:
        detection = config.detection_for(SeriesId(profile.metric))
        assert detection.period is None
        assert detection.interval_us == 300_000_000


def test_totals_add_up_the_samples_that_have_the_labels():
    counters = {
        ("points_total", frozenset({("topic", "a"), ("outcome", "ok")})): 3.0,
        ("points_total", frozenset({("topic", "b"), ("outcome", "ok")})): 4.0,
        ("points_total", frozenset({("topic", "b"), ("outcome", "late")})): 5.0,
        ("other_total", frozenset({("topic", "b"), ("outcome", "ok")})): 6.0,
    }
    assert total(counters, "points_total") == 12
    assert total(counters, "points_total", outcome="ok") == 7
    assert total(counters, "points_total", outcome="ok", topic="b") == 4
    assert total({}, "points_total") == 0


def test_a_worker_that_ends_is_reported_with_its_log(tmp_path):
    # No bootstrap server has such a name: the configuration is refused, or no broker is found.
    with Worker(tmp_path, "") as worker:
        with pytest.raises(FatalError) as error:
            worker.wait_ready()
        assert "the worker ended with exit code 2; its log ends:" in str(error.value)
        assert "bootstrap_servers" in str(error.value)
