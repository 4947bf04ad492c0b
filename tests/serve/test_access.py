"""Who may ask, how often, and for which metrics."""

import hmac
import logging

import pytest

from streamdet.config import load
from streamdet.errors import ConfigError
from streamdet.serve import access
from tests.serve.inside import Inside
from tests.serve.samples import as_json, daily

HEADER = "Ocp-Apim-Subscription-Key"
SHOP, ALL = "shop-0123456789abcdef", "all-0123456789abcdef"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
KEYS = [
    {"name": "shop", "key": SHOP, "metrics": ["shop_*"], "requests_per_second": 2},
    {"name": "all", "key": ALL},
]


@pytest.fixture
def inside(tmp_path):
    return Inside(tmp_path, serve={"keys": KEYS})


@pytest.mark.parametrize("sent", [None, "", "wrong", SHOP[:-1], SHOP + "x", "\xe9" * 21])
def test_without_a_key_of_ours_nothing_is_answered(inside, sent):
    headers = {HEADER: sent.encode("latin-1")} if sent is not None else {}
    answer = inside.client.post(ENTIRE, json=as_json(daily()), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["x-ms-error-code"] == answer.json()["code"] == "401"
    assert HEADER in answer.json()["message"]


def test_a_key_of_ours_is_let_in(inside):
    answer = inside.client.post(ENTIRE, json=as_json(daily()), headers={HEADER: ALL})
    assert answer.status_code == 200


def test_every_key_is_compared_whichever_was_sent(inside, monkeypatch):
    compared = []
    monkeypatch.setattr(
        access.hmac,
        "compare_digest",
        lambda a, b, compare=hmac.compare_digest: compared.append(len(b)) or compare(a, b),
    )
    for sent in (SHOP, ALL, "w"):
        inside.client.get("/v1/series", headers={HEADER: sent})
    assert compared == [32] * 2 * 3


def test_the_pages_for_machines_need_no_key(inside):
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert inside.client.get(path).status_code == 200


def test_a_key_that_has_asked_too_often_is_told_when_to_ask_again(inside):
    def ask():
        return inside.client.get("/v1/series", headers={HEADER: SHOP})

    assert [ask().status_code for _ in range(3)] == [200, 200, 429]
    refused = ask()
    assert refused.json()["code"] == "TooManyRequests"
    assert refused.headers["retry-after"] == "1"
    assert inside.client.get("/v1/series", headers={HEADER: ALL}).status_code == 200
    inside.clock.advance(0.5)
    assert [ask().status_code for _ in range(2)] == [200, 429]


def test_a_key_for_some_metrics_neither_writes_nor_sees_others(inside):
    assert inside.point("shop_orders", 0, 1.0, key=ALL).status_code == 200
    assert inside.point("cpu", 0, 1.0, key=ALL).status_code == 200
    refused = inside.point("cpu", 1, 1.0, key=SHOP)
    assert (refused.status_code, refused.json()["code"]) == (403, "403")
    listed = inside.client.get("/v1/series", headers={HEADER: ALL}).json()["series"]
    ids = {each["metric"]: each["id"] for each in listed}
    assert set(ids) == {"cpu", "shop_orders"}
    seen = inside.client.get("/v1/series", headers={HEADER: SHOP}).json()["series"]
    assert [each["metric"] for each in seen] == ["shop_orders"]
    inside.clock.advance(1)
    hidden = inside.client.get(f"/v1/series/{ids['cpu']}/verdicts", headers={HEADER: SHOP})
    unknown = inside.client.get(f"/v1/series/{'0' * 32}/verdicts", headers={HEADER: SHOP})
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json() == unknown.json()


def test_the_log_names_the_key_and_never_shows_it(inside, caplog):
    with caplog.at_level(logging.DEBUG):
        inside.client.get("/v1/series", headers={HEADER: SHOP})
        inside.client.get("/v1/series", headers={HEADER: "wrong-key"})
    (let_in, denied) = [r for r in caplog.records if r.name.startswith("streamdet.serve")]
    assert let_in.fields["key"] == "shop"
    assert let_in.fields["status"] == 200
    assert "key" not in denied.fields
    assert SHOP not in caplog.text
    assert "wrong-key" not in f"{caplog.text}{denied.fields}"


def test_a_key_is_read_from_its_file(tmp_path):
    (tmp_path / "key").write_text(f"{ALL}\n")
    given = {"name": "a", "key_file": str(tmp_path / "key")}
    inside = Inside(tmp_path, serve={"keys": [given]})
    assert inside.client.get("/v1/series", headers={HEADER: ALL}).status_code == 200


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot read"), ("short", "at least 16"), (f"{ALL}\n{ALL}", "printable")],
)
def test_a_file_that_holds_no_key_ends_the_start(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "key").write_text(content)
    given = {"name": "a", "key_file": str(tmp_path / "key")}
    with pytest.raises(ConfigError, match=complaint) as refused:
        Inside(tmp_path, serve={"keys": [given]})
    assert "short" not in str(refused.value).replace("too short", "")


def test_one_key_under_two_names_is_refused(tmp_path):
    keys = [{"name": "a", "key": ALL}, {"name": "b", "key": ALL}]
    with pytest.raises(ConfigError, match="b and a are the same key"):
        Inside(tmp_path, serve={"keys": keys})


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("serve.host=0.0.0.0", "there are no serve.keys"),
        ("serve.host=example.org", "there are no serve.keys"),
        ("serve.keys=[{name: a}]", "a file that holds the key"),
        (f"serve.keys=[{{name: a, key: {ALL}}}]", "is a secret"),
        ("serve.keys=[{name: a, key_file: x}, {name: a, key_file: y}]", "earlier key"),
        ("serve.tls_key=key.pem", "certificate"),
    ],
)
def test_a_configuration_that_would_open_the_server_is_refused(setting, complaint):
    with pytest.raises(ConfigError, match=complaint) as refused:
        load(None, [setting])
    assert ALL not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_may_ask_without_a_key(host):
    assert load(None, [f"serve.host={host}"]).serve.host == host
