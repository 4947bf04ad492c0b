"""Series that are kept on the server: a point in, its verdict out."""

import json
import math
from pathlib import Path

import jsonschema
import pytest

from streamdet.errors import ConfigError
from tests.serve.inside import Inside

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "event.schema.json").read_text())


@pytest.fixture
def inside(tmp_path):
    return Inside(tmp_path)


def wave(minute):
    return 100 + 5 * math.sin(minute / 3) + (minute * 7919 % 13) / 10


def test_the_answer_to_a_point_is_its_event(inside):
    for minute in range(60):
        event = inside.point("cpu", minute, wave(minute), dimensions={"host": "a"}).json()
        jsonschema.validate(event, SCHEMA)
    assert (event["metric"], event["dimensions"]) == ("cpu", {"host": "a"})
    assert event["status"] == "ok"
    assert not event["isAnomaly"]
    spike = inside.point("cpu", 60, 500.0, dimensions={"host": "a"}).json()
    assert spike["isPositiveAnomaly"]
    assert spike["state"] == "onset"
    assert spike["source"] == {"topic": "http", "partition": 0, "offset": 60}


def test_the_newest_verdicts_have_the_band(tmp_path):
    inside = Inside(tmp_path, serve={"recent_verdicts": 20})
    for minute in range(50):
        inside.point("cpu", minute, wave(minute))
    (series,) = inside.client.get("/v1/series").json()["series"]
    assert series["lastTimestamp"] == "2026-01-01T00:49:00Z"
    found = inside.client.get(f"/v1/series/{series['id']}/verdicts").json()
    assert len(found["verdicts"]) == 20
    times = [each["timestamp"] for each in found["verdicts"]]
    assert times == sorted(times)
    assert times[-1] == series["lastTimestamp"]
    for each in found["verdicts"]:
        assert each["lowerBoundary"] < each["expectedValue"] < each["upperBoundary"]


@pytest.mark.parametrize(
    ("again", "code"),
    [(10, "DuplicatePoint"), (4, "LatePoint")],
)
def test_a_point_that_comes_again_or_too_late_changes_nothing(inside, again, code):
    for minute in range(11):
        inside.point("cpu", minute, 1.0)
    answer = inside.point("cpu", again, 900.0)
    assert answer.status_code == 409
    assert answer.json()["code"] == answer.headers["x-ms-error-code"] == code


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"{", "InvalidJsonFormat", "truncated"),
        (b"[" * 100_000, "InvalidPoint", "object"),
        (b'{"value":' + b"[" * 100_000, "InvalidJsonFormat", ""),
        (b"{}", "InvalidPoint", "value"),
        (b'{"value":1,"metric":"other"}', "InvalidPoint", "metric"),
        (b'{"value":"1","timestamp":"2026-01-01T00:00:00Z"}', "InvalidPoint", "value"),
        (b'{"value":1,"timestamp":"yesterday"}', "InvalidPoint", "timestamp"),
        (b'{"value":1,"timestamp":"2026-01-01T00:00:00"}', "InvalidPoint", "zone"),
        (b'{"value":1,"timestamp":"1999-01-01T00:00:00Z"}', "InvalidPoint", "earliest"),
        (b'{"value":1,"dimensions":{"a":1}}', "InvalidPoint", "dimension"),
    ],
)
def test_what_is_no_point_is_refused_with_the_reason(inside, body, code, says):
    headers = {"Content-Type": "application/json"}
    answer = inside.client.post("/v1/series/cpu/points", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] == code
    assert says in answer.json()["message"]
    assert inside.client.get("/v1/series").json()["series"] == []


def test_a_point_that_has_to_wait_is_said_to_be_pending(tmp_path):
    inside = Inside(tmp_path, detection={"allowed_lateness": "5m"})
    answer = inside.point("cpu", 0, 1.0)
    assert (answer.status_code, answer.json()) == (202, {"status": "pending"})
    for minute in range(1, 10):
        inside.point("cpu", minute, 1.0)
    (series,) = inside.client.get("/v1/series").json()["series"]
    found = inside.client.get(f"/v1/series/{series['id']}/verdicts").json()["verdicts"]
    assert 0 < len(found) < 10  # those that the lateness of five minutes has let go
    assert found[0]["timestamp"] == "2026-01-01T00:00:00Z"


def test_a_series_too_many_is_refused_and_the_others_go_on(tmp_path):
    inside = Inside(tmp_path, limits={"max_series": 2})
    assert [inside.point(name, 0, 1.0).status_code for name in "ab"] == [200, 200]
    refused = inside.point("c", 0, 1.0)
    assert (refused.status_code, refused.json()["code"]) == (409, "TooManySeries")
    assert inside.point("a", 1, 1.0).status_code == 200


def test_an_idle_series_is_let_go_of_with_its_verdicts(tmp_path):
    inside = Inside(tmp_path, limits={"series_ttl": "1h"})
    inside.point("old", 0, 1.0)
    for minute in range(0, 200, 10):
        inside.point("new", minute, 1.0)
    series = inside.client.get("/v1/series").json()["series"]
    assert [each["metric"] for each in series] == ["new"]


def test_series_are_listed_page_by_page(inside):
    for k in range(7):
        inside.point("cpu", k, 1.0, dimensions={"host": f"h{k}"})
    link, hosts = "/v1/series?top=3", []
    while link:
        page = inside.client.get(link).json()
        hosts += [each["dimensions"]["host"] for each in page["series"]]
        link = page["nextLink"]
    assert hosts == [f"h{k}" for k in range(7)]
    for wrong in ("top=0", "top=x", "skip=-1", "skip=" + "9" * 30):
        assert inside.client.get(f"/v1/series?{wrong}").status_code == 400


def test_a_metric_may_have_slashes_and_letters_of_any_script(inside):
    for metric in ("a/b", "größe %"):
        path = metric.replace("%", "%25")
        assert inside.point(path, 0, 1.0).json()["metric"] == metric


@pytest.mark.parametrize("metric", ["", "a%0Ab", "%00", "m" * 300])
def test_a_metric_that_is_no_name_is_refused_with_the_reason(inside, metric):
    answer = inside.point(metric, 0, 1.0)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPoint")
    assert "metric" in answer.json()["message"]


def test_until_the_kernels_are_loaded_points_are_sent_back(tmp_path):
    inside = Inside(tmp_path, not_ready="kernels are being loaded")
    answer = inside.point("cpu", 0, 1.0)
    assert (answer.status_code, answer.json()["code"]) == (503, "NotReady")
    assert "retry-after" in answer.headers
    ready = inside.client.get("/readyz")
    assert (ready.status_code, ready.text) == (503, "kernels are being loaded\n")


def test_a_restart_changes_no_verdict(tmp_path):
    undisturbed, file = Inside(tmp_path), tmp_path / "series.state"
    restarted = Inside(tmp_path, file=file)
    for minute in range(120):
        if minute in (30, 31, 90):
            restarted.series.save()
            restarted = Inside(tmp_path, file=file)
        for name in ("cpu", "memory"):
            value = 900.0 if minute in (89, 90) else wave(minute)
            expected = undisturbed.point(name, minute, value)
            assert restarted.point(name, minute, value).json() == expected.json()
    assert expected.json()["status"] == "ok"
    assert len(restarted.client.get("/v1/series").json()["series"]) == 2


def test_what_was_not_saved_may_be_sent_again(tmp_path):
    file = tmp_path / "series.state"
    inside = Inside(tmp_path, file=file)
    for minute in range(5):
        inside.point("cpu", minute, 1.0)
    inside.series.save()
    inside.point("cpu", 5, 1.0)
    crashed = Inside(tmp_path, file=file)
    assert crashed.point("cpu", 4, 1.0).status_code == 409
    assert crashed.point("cpu", 5, 1.0).status_code == 200


def test_state_is_written_only_when_it_has_changed(tmp_path):
    file = tmp_path / "series.state"
    inside = Inside(tmp_path, file=file)
    inside.point("cpu", 0, 1.0)
    inside.series.save()
    written_ns = file.stat().st_mtime_ns
    inside.series.save()
    assert file.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x93\x09\x00\x80"])
def test_a_file_that_is_no_state_of_ours_is_not_overwritten(tmp_path, content):
    file = tmp_path / "series.state"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="move it away"):
        Inside(tmp_path, file=file)
    assert file.read_bytes() == content


def test_points_are_counted_as_a_worker_counts_them(inside):
    for minute in (0, 1, 1, 2):
        inside.point("cpu", minute, 1.0)
    exposed = inside.client.get("/metrics").text
    assert 'streamdet_points_total{outcome="ok",topic="http"} 3.0' in exposed
    assert 'streamdet_points_total{outcome="duplicate",topic="http"} 1.0' in exposed
    assert 'streamdet_http_requests_total{operation="add-point",status="409"} 1.0' in exposed
    assert 'streamdet_series_active{partition="0",topic="http"} 1.0' in exposed
