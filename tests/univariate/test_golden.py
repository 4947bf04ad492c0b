"""The comparison with answers of Azure's service, on answers of our own."""

import json

import pytest

from benchmarks import azure_golden
from streamdet.univariate.operations import answer
from tests.univariate.requests import request, weekly_season


@pytest.fixture
def folder(tmp_path):
    fields = request(weekly_season())
    for mode in ("entire", "last"):
        response = answer(mode, json.dumps(fields).encode())
        case = {"request": fields, "response": response, "type": mode}
        (tmp_path / f"{mode}.json").write_text(json.dumps(case))
    return tmp_path


def run(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["azure_golden", str(folder)])
    azure_golden.main()
    return capsys.readouterr().out


def test_the_same_answers_pass(folder, monkeypatch, capsys):
    out = run(folder, monkeypatch, capsys)
    assert "passed 2 of 2" in out
    assert "agree 100.00%" in out


def test_another_verdict_does_not_pass(folder, monkeypatch, capsys):
    file = folder / "entire.json"
    case = json.loads(file.read_text())
    case["response"]["isAnomaly"][3] = not case["response"]["isAnomaly"][3]
    file.write_text(json.dumps(case))
    assert "passed 1 of 2" in run(folder, monkeypatch, capsys)


def test_an_expected_value_may_differ_by_5_percent_and_no_more():
    assert azure_golden.compare({"expectedValue": 100.0}, {"expectedValue": 104.9}) == {
        "expected": 1
    }
    assert azure_golden.compare({"expectedValue": 100.0}, {"expectedValue": 105.1}) == {
        "expected": 0
    }
