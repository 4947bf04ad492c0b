"""Azure's multivariate operations, one after the other as a client uses them."""

import json

import azure.ai.anomalydetector.models as azure
import numpy as np
import pytest
from azure.ai.anomalydetector._model_base import _deserialize

from tests.multivariate.service import Service, last_body, stamp, system, write_table


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    write_table(service.data / "training.csv", system(2000))
    return service


def test_a_model_is_trained_listed_and_deleted(service):
    model_id = service.train(displayName="plant")
    record = service.operations.get_model(model_id)
    assert record["modelInfo"]["status"] == "READY"
    assert record["modelInfo"]["displayName"] == "plant"
    assert service.operations.list_models()["models"] == [record]
    service.operations.delete_model(model_id)
    assert service.operations.list_models()["currentCount"] == 0


def test_a_variable_that_leaves_the_others_is_found_and_named(service):
    model_id = service.train()
    value = system(120, seed=1)
    value[-5:, 2] = system(120, seed=2)[-5:, 2]
    value[-1, 2] = 10 - 3 * (value[-1, 2] - 10) + 5
    answer = service.operations.detect_last(model_id, last_body(value))
    assert len(answer["results"]) == 10
    newest = answer["results"][-1]
    assert newest["timestamp"] == stamp(119)
    assert newest["value"]["isAnomaly"]
    assert newest["value"]["interpretation"][0]["variable"] == "v2"


def test_a_batch_is_judged_from_its_start_to_its_end(service):
    model_id = service.train()
    write_table(service.data / "later.csv", system(500, seed=3), first=5000)
    body = {"dataSource": "later.csv", "startTime": stamp(5100), "endTime": stamp(5299)}
    record = service.operations.detect_batch(model_id, json.dumps(body).encode())
    assert record["summary"]["status"] == "CREATED"
    service.run()
    result = service.operations.get_result(record["resultId"])
    assert result["summary"]["status"] == "READY", result["summary"]
    assert [each["timestamp"] for each in result["results"]] == [
        stamp(minute) for minute in range(5100, 5300)
    ]


def test_azures_own_classes_read_every_answer(service):
    record = service.operations.get_model(service.train())
    model = _deserialize(azure.AnomalyDetectionModel, record)
    assert model.model_info.status == azure.ModelStatus.READY
    assert model.model_info.diagnostics_info.variable_states[0].effective_count == 2000
    value = np.vstack([system(99, seed=1), np.full((1, 5), 99.0)])
    answer = service.operations.detect_last(model.model_id, last_body(value))
    last = _deserialize(azure.MultivariateLastDetectionResult, answer)
    assert last.results[-1].value.is_anomaly
    assert last.results[-1].value.interpretation[0].correlation_changes is not None
