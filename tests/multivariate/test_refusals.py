"""What a request has wrong is answered by Azure's code, and nothing else ever comes out."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.errors import RequestError
from streamdet.multivariate import operations as operations_module
from tests.multivariate.service import Service, last_body, stamp, system, train_body, write_table

UNKNOWN = "00000000-0000-0000-0000-000000000000"
WINDOW = 50


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("service"))
    write_table(service.data / "training.csv", system(300))
    service.model_id = service.train()
    return service


def code_of(call, *given):
    with pytest.raises(RequestError) as caught:
        call(*given)
    return caught.value.code


TRAIN = [
    ({"dataSource": None}, "RequiredSource"),
    ({"dataSource": ""}, "RequiredSource"),
    ({"dataSource": 5}, "InvalidRequestParameterError"),
    ({"dataSchema": "Table"}, "InvalidRequestParameterError"),
    ({"startTime": None}, "RequiredStartTime"),
    ({"endTime": None}, "RequiredEndTime"),
    ({"startTime": "yesterday"}, "InvalidTimestampFormat"),
    ({"startTime": 5}, "InvalidTimestampFormat"),
    ({"endTime": "2020-01-01T00:00:00Z"}, "InvalidRequestParameterError"),
    ({"slidingWindow": 27}, "InvalidSlidingWindow"),
    ({"slidingWindow": 2881}, "InvalidSlidingWindow"),
    ({"slidingWindow": 28.5}, "InvalidSlidingWindow"),
    ({"slidingWindow": True}, "InvalidSlidingWindow"),
    ({"displayName": "x" * 25}, "InvalidRequestParameterError"),
    ({"displayName": 5}, "InvalidRequestParameterError"),
    ({"alignPolicy": []}, "InvalidRequestParameterError"),
    ({"alignPolicy": {"alignMode": "inner"}}, "InvalidAlignMode"),
    ({"alignPolicy": {"fillNAMethod": "Mean"}}, "InvalidFillNAMethod"),
    ({"alignPolicy": {"fillNAMethod": ["Zero"]}}, "InvalidFillNAMethod"),
    ({"alignPolicy": {"fillNAMethod": "Fixed"}}, "RequiredPaddingValue"),
    ({"alignPolicy": {"fillNAMethod": "Fixed", "paddingValue": "0"}},
     "InvalidRequestParameterError"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), TRAIN)
def test_a_request_to_train_is_refused_by_its_code(service, fields, code):
    assert code_of(service.operations.train, train_body(**fields)) == code
    assert service.queue == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_what_is_no_json_object_is_refused(service, body):
    assert code_of(service.operations.train, body) == "InvalidJsonFormat"
    assert code_of(service.operations.detect_batch, service.model_id, body) == "InvalidJsonFormat"
    code = code_of(service.operations.detect_last, service.model_id, body)
    assert code in ("InvalidJsonFormat", "InvalidRequestParameterError")


@pytest.mark.parametrize("given", ["-1", "ten", "", "1.5", 1.5, True, "9" * 30, "١"])
def test_a_list_from_nowhere_is_refused(service, given):
    for paging in ((given, None), (None, given)):
        assert code_of(service.operations.list_models, *paging) == "InvalidRequestParameterError"


def test_a_list_goes_on_where_the_page_ends(service):
    page = service.operations.list_models("0", "1")
    assert len(page["models"]) == 1
    assert service.operations.list_models(1, 1)["nextLink"] == ""


def test_unknown_models_and_results_do_not_exist(service):
    operations = service.operations
    assert code_of(operations.get_model, UNKNOWN) == "ModelNotExist"
    assert code_of(operations.delete_model, UNKNOWN) == "ModelNotExist"
    assert code_of(operations.detect_batch, UNKNOWN, b"{}") == "ModelNotExist"
    assert code_of(operations.detect_last, UNKNOWN, b"{}") == "ModelNotExist"
    assert code_of(operations.get_result, UNKNOWN) == "ResultNotExist"


def test_a_model_in_training_is_not_ready(service):
    model_id = service.operations.train(train_body())["modelId"]
    assert code_of(service.operations.detect_last, model_id, b"{}") == "ModelNotReady"
    service.run()
    service.operations.delete_model(model_id)


def training_error(service, **fields):
    model_id = service.train(**fields)
    info = service.operations.get_model(model_id)["modelInfo"]
    assert code_of(service.operations.detect_last, model_id, b"{}") == "ModelFailed"
    service.operations.delete_model(model_id)
    assert info["status"] == "FAILED"
    return info["errors"][0]["code"]


def test_what_is_wrong_with_training_data_is_told_by_the_model(service):
    write_table(service.data / "short.csv", system(WINDOW))
    with zipfile.ZipFile(service.data / "empty.zip", "w"):
        pass
    assert training_error(service, dataSource="none.csv") == "FileNotExist"
    assert training_error(service, dataSource="short.csv") == "NotEnoughInput"
    assert training_error(service, startTime=stamp(9000)) == "NoData"
    many = {"dataSource": "empty.zip", "dataSchema": "MultiTable"}
    assert training_error(service, **many) == "NoVariablesFound"


def test_an_error_of_our_own_is_told_without_its_text(service, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(operations_module, "train", broken)
    model_id = service.train()
    info = service.operations.get_model(model_id)["modelInfo"]
    assert info["errors"][0]["code"] == "UnexpectedError"
    assert "secret" not in json.dumps(info)
    service.operations.delete_model(model_id)


def batch_body(**fields):
    body = {"dataSource": "training.csv", "startTime": stamp(100), "endTime": stamp(200)}
    return json.dumps({**body, **fields}).encode()


@pytest.mark.parametrize("count", [0, 31, "10", 1.5, True])
def test_contributors_are_counted_from_1_to_30(service, count):
    operations, model_id = service.operations, service.model_id
    body = batch_body(topContributorCount=count)
    assert code_of(operations.detect_batch, model_id, body) == "InvalidRequestParameterError"
    body = last_body(system(WINDOW), topContributorCount=count)
    assert code_of(operations.detect_last, model_id, body) == "InvalidRequestParameterError"


def batch_error(service, **fields):
    result = service.operations.detect_batch(service.model_id, batch_body(**fields))
    service.run()
    summary = service.operations.get_result(result["resultId"])["summary"]
    assert summary["status"] == "FAILED"
    return summary["errors"][0]["code"]


def test_what_is_wrong_with_a_batch_is_told_by_its_result(service, monkeypatch):
    write_table(service.data / "short.csv", system(WINDOW - 1))
    write_table(service.data / "wide.csv", system(300, variables=6))
    write_table(service.data / "narrow.csv", system(300, variables=4))
    assert batch_error(service, dataSource="none.csv") == "FileNotExist"
    assert batch_error(service, dataSource="narrow.csv") == "FileNotExist"
    assert batch_error(service, dataSource="wide.csv") == "RedundantFile"
    assert batch_error(service, dataSource="short.csv") == "NotEnoughInput"
    assert batch_error(service, startTime=stamp(900), endTime=stamp(901)) == "NoData"
    monkeypatch.setattr(operations_module, "BATCH_MAX", 100)
    assert batch_error(service) == "DataExceedsLimit"


def variables(**changed):
    times = [stamp(t) for t in range(WINDOW)]
    return [
        {"variable": f"v{j}", "timestamps": times, "values": [1.0] * WINDOW, **changed}
        for j in range(5)
    ]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "NoVariablesFound"),
        (None, "InvalidRequestParameterError"),
        (variables()[:4], "FileNotExist"),
        ([*variables(), {**variables()[0], "variable": "other"}], "RedundantFile"),
        ([*variables(), variables()[0]], "DuplicatedVariables"),
        (variables(timestamps=["x"] * WINDOW), "InvalidTimestampFormat"),
        (variables(values=[1.0]), "VariableParseError"),
        (variables(values=["1"] * WINDOW), "InvalidRequestParameterError"),
        (variables(values=[None] * WINDOW), "NoData"),
        (variables(variable=None), "InvalidRequestParameterError"),
        (variables(timestamps=[stamp(0)] * WINDOW), "NotEnoughInput"),
        (variables() * 61, "DataExceedsLimit"),
    ],
)
def test_the_points_of_a_request_are_refused_by_their_code(service, given, code):
    body = json.dumps({"variables": given, "topContributorCount": 5}).encode()
    assert code_of(service.operations.detect_last, service.model_id, body) == code


def test_more_than_2880_timestamps_are_refused(service):
    body = last_body(np.ones((2881, 5)))
    assert code_of(service.operations.detect_last, service.model_id, body) == "DataExceedsLimit"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["v0", "training.csv", "..", "topic:x", stamp(0), stamp(290), "Fixed"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["variable", "timestamps", "values", "alignMode",
                                       "fillNAMethod", "paddingValue"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
requests = st.dictionaries(
    st.sampled_from(["dataSource", "dataSchema", "startTime", "endTime", "displayName",
                     "slidingWindow", "alignPolicy", "topContributorCount", "variables"]),
    json_values,
)  # fmt: skip


@settings(max_examples=40)
@given(requests, st.sampled_from(["train", "batch", "last"]))
def test_nothing_but_a_refusal_comes_out_of_any_request(service, request, operation):
    operations, model_id = service.operations, service.model_id
    valid = {"train": train_body(), "batch": batch_body(), "last": last_body(system(WINDOW))}
    body = json.dumps({**json.loads(valid[operation]), **request}).encode()
    try:
        if operation == "train":
            trained = operations.train(body)["modelId"]
            service.run()
            operations.delete_model(trained)
        elif operation == "batch":
            result = operations.detect_batch(model_id, body)
            service.run()
            assert operations.get_result(result["resultId"])["summary"]["status"] != "RUNNING"
        else:
            operations.detect_last(model_id, body)
    except RequestError as error:
        assert error.status in (400, 404, 429)  # noqa: PT017 - one of the outcomes wanted


@settings(max_examples=15)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(),
                min_size=5, max_size=5))  # fmt: skip
def test_values_of_any_size_are_judged(service, newest):
    value = system(WINDOW + 1, seed=5)  # a time without any value is none
    body = json.loads(last_body(value))
    for variable, number in zip(body["variables"], newest, strict=True):
        variable["values"][-1] = number
    answer = service.operations.detect_last(service.model_id, json.dumps(body).encode())
    for result in answer["results"]:
        assert 0 <= result["value"]["severity"] < 1
        assert 0 <= result["value"]["score"] <= 2
