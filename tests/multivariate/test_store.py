"""Models and results are kept over restarts, within bounds."""

import numpy as np
import pytest

from streamdet.errors import RequestError
from streamdet.multivariate import store as store_module
from streamdet.multivariate.data import AlignPolicy, Column, align
from streamdet.multivariate.store import RESULTS_KEPT_S, ModelStore
from streamdet.multivariate.train import train
from streamdet.testing import ManualClock
from tests.multivariate.service import system

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def trained():
    value = system(200)
    time_us = np.arange(200) * 60_000_000
    columns = [Column(f"v{j}", time_us, value[:, j]) for j in range(value.shape[1])]
    return train(align(columns, AlignPolicy()), 50, AlignPolicy(), "OneTable")[0]


def code_of(call, *given):
    with pytest.raises(RequestError) as caught:
        call(*given)
    return caught.value.code, caught.value.status


def status(store, model_id):
    return store.model(model_id)["modelInfo"]["status"]


def test_a_model_and_its_numbers_survive_a_restart(tmp_path, trained):
    store = ModelStore(tmp_path)
    model_id = store.create_model({"displayName": "plant"})["modelId"]
    store.save(model_id, trained, {"status": "READY"})
    later = ModelStore(tmp_path)
    assert later.model(model_id) == store.model(model_id)
    assert later.load(model_id).to_bytes() == trained.to_bytes()


def test_what_was_under_way_has_failed_after_a_restart(tmp_path):
    store = ModelStore(tmp_path)
    created = store.create_model({})["modelId"]
    running = store.create_model({})["modelId"]
    store.update_model(running, {"status": "RUNNING"})
    result_id = store.create_result({})["resultId"]
    later = ModelStore(tmp_path)
    for model_id in (created, running):
        assert status(later, model_id) == "FAILED"
        assert later.model(model_id)["modelInfo"]["errors"][0]["code"] == "UnexpectedError"
    assert later.result(result_id)["summary"]["status"] == "FAILED"


def test_half_written_and_foreign_files_are_left_out(tmp_path):
    store = ModelStore(tmp_path)
    model_id = store.create_model({})["modelId"]
    (tmp_path / "models" / "half.json.new").write_bytes(b"{")
    (tmp_path / "models" / "torn.json").write_bytes(b'{"modelId": ')
    (tmp_path / "models" / "other.json").write_bytes(b"[]")
    (tmp_path / "models" / "orphan.model").write_bytes(b"")
    later = ModelStore(tmp_path)
    assert [each["modelId"] for each in later.models(0, 10)[0]] == [model_id]
    assert not (tmp_path / "models" / "half.json.new").exists()
    assert not (tmp_path / "models" / "orphan.model").exists()


def test_models_are_listed_by_newest_update(tmp_path):
    store = ModelStore(tmp_path, ManualClock())
    ids = [store.create_model({})["modelId"] for _ in range(3)]
    store.update_model(ids[0], {"status": "FAILED"})
    records, total = store.models(0, 2)
    assert [each["modelId"] for each in records] == [ids[0], ids[2]]
    assert total == 3
    assert [each["modelId"] for each in store.models(2, 2)[0]] == [ids[1]]


def test_models_and_trainings_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MODELS_MAX", 7)
    store = ModelStore(tmp_path)
    ids = [store.create_model({})["modelId"] for _ in range(5)]
    assert code_of(store.create_model, {}) == ("TooManyRunningModels", 400)
    for model_id in ids:
        store.update_model(model_id, {"status": "READY"})
    store.create_model({})
    store.create_model({})
    assert code_of(store.create_model, {}) == ("TooManyModels", 400)
    store.delete_model(ids[0])
    store.create_model({})


def test_results_under_way_have_a_limit(tmp_path):
    store = ModelStore(tmp_path)
    ids = [store.create_result({})["resultId"] for _ in range(20)]
    assert code_of(store.create_result, {}) == ("TooManyRequests", 429)
    store.update_result(ids[3], {"status": "READY"}, [])
    store.create_result({})


def test_results_are_kept_for_seven_days(tmp_path):
    clock = ManualClock()
    store = ModelStore(tmp_path, clock)
    result_id = store.create_result({})["resultId"]
    clock.advance(RESULTS_KEPT_S)
    assert store.result(result_id)["resultId"] == result_id
    clock.advance(1)
    assert code_of(store.result, result_id) == ("ResultNotExist", 404)
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("model_id", [UNKNOWN, "", "../models", "a/b", "\0"])
def test_an_unknown_model_or_result_does_not_exist(tmp_path, model_id):
    store = ModelStore(tmp_path)
    for call in (store.model, store.load, store.delete_model):
        assert code_of(call, model_id) == ("ModelNotExist", 404)
    assert code_of(store.result, model_id) == ("ResultNotExist", 404)


def test_a_model_is_used_only_when_it_is_ready(tmp_path, trained):
    store = ModelStore(tmp_path)
    model_id = store.create_model({})["modelId"]
    assert code_of(store.load, model_id)[0] == "ModelNotReady"
    store.update_model(model_id, {"status": "FAILED"})
    assert code_of(store.load, model_id)[0] == "ModelFailed"
    store.save(model_id, trained, {"status": "READY"})
    store.load(model_id)


def test_a_damaged_file_of_a_model_is_refused(tmp_path, trained):
    store = ModelStore(tmp_path)
    model_id = store.create_model({})["modelId"]
    store.save(model_id, trained, {"status": "READY"})
    path = tmp_path / "models" / f"{model_id}.model"
    path.write_bytes(path.read_bytes()[:-1])
    assert code_of(store.load, model_id)[0] == "ModelFailed"


def test_a_model_deleted_while_it_trains_leaves_nothing(tmp_path, trained):
    store = ModelStore(tmp_path)
    model_id = store.create_model({})["modelId"]
    store.delete_model(model_id)
    store.save(model_id, trained, {"status": "READY"})
    assert list((tmp_path / "models").iterdir()) == []


def test_records_handed_out_are_copies(tmp_path):
    store = ModelStore(tmp_path)
    record = store.create_model({})
    record["modelInfo"]["status"] = "READY"
    assert status(store, record["modelId"]) == "CREATED"
