"""The package azure-ai-anomalydetector, unmodified, against a served process."""

import csv
import json
import time
from datetime import timedelta

import numpy as np
import pytest
from azure.ai.anomalydetector import AnomalyDetectorClient
from azure.ai.anomalydetector.models import (
    AnomalyDetectorErrorCodes,
    DataSchema,
    ModelInfo,
    MultivariateBatchDetectionOptions,
    MultivariateLastDetectionOptions,
    TimeSeriesPoint,
    UnivariateChangePointDetectionOptions,
    UnivariateDetectionOptions,
    VariableValues,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)

from tests.serve.samples import START, as_json, daily, shifted
from tests.serve.served import KEY


@pytest.fixture(scope="module")
def client(served):
    with AnomalyDetectorClient(served.url, AzureKeyCredential(KEY)) as client:
        yield client


def points(series):
    return [TimeSeriesPoint(timestamp=at, value=value) for at, value in series]


def test_the_entire_series_is_judged(client):
    options = UnivariateDetectionOptions(
        series=points(daily()), granularity="daily", sensitivity=85
    )
    found = client.detect_univariate_entire_series(options)
    assert [i for i, each in enumerate(found.is_anomaly) if each] == [41]
    assert found.is_positive_anomaly[41]
    assert not any(found.is_negative_anomaly)
    assert found.period == 7
    assert len(found.expected_values) == len(found.upper_margins) == len(found.severity) == 49


def test_the_last_point_is_judged(client):
    series = points(daily(50, spike_at=49))
    options = UnivariateDetectionOptions(series=series, granularity="daily", sensitivity=95)
    found = client.detect_univariate_last_point(options)
    assert found.is_anomaly
    assert found.is_positive_anomaly
    assert found.suggested_window == 4 * found.period + 1
    assert found.severity > 0


def test_a_change_point_is_found(client):
    options = UnivariateChangePointDetectionOptions(
        series=points(shifted()), granularity="daily", stable_trend_window=5, threshold=0.9
    )
    found = client.detect_univariate_change_point(options)
    assert len(found.is_change_point) == len(found.confidence_scores) == 96


def test_missing_points_are_imputed_as_asked(client):
    series = points(daily())
    del series[10]
    options = UnivariateDetectionOptions(
        series=series, granularity="daily", impute_mode="fixed", impute_fixed_value=3.2e7
    )
    assert len(client.detect_univariate_entire_series(options).is_anomaly) == 48


GOOD = as_json(daily())
UNSORTED = as_json(daily()[::-1])
WRONG = {
    "InvalidCustomInterval": {**GOOD, "customInterval": 0},
    "BadArgument": {**GOOD, "series": [{"timestamp": "x", "value": "y"}] * 12},
    "InvalidGranularity": {**GOOD, "granularity": "fortnightly"},
    "InvalidPeriod": {**GOOD, "period": -1},
    "InvalidModelArgument": {**GOOD, "sensitivity": 1000},
    "InvalidSeries": UNSORTED,
    "InvalidJsonFormat": b"{",
    "RequiredGranularity": {"series": GOOD["series"]},
    "RequiredSeries": {"granularity": "daily"},
    "InvalidImputeMode": {**GOOD, "imputeMode": "guess"},
    "InvalidImputeFixedValue": {**GOOD, "imputeMode": "fixed"},
}


def test_every_code_of_the_client_is_provoked_below():
    assert set(WRONG) == {code.value for code in AnomalyDetectorErrorCodes}


@pytest.mark.parametrize("code", WRONG)
def test_the_client_is_told_what_is_wrong(client, code):
    detect = (
        client.detect_univariate_change_point
        if code == "RequiredGranularity"
        else client.detect_univariate_entire_series
    )
    with pytest.raises(HttpResponseError) as refused:
        detect(WRONG[code])
    assert refused.value.status_code == 400
    assert refused.value.model.code == code
    assert refused.value.model.message
    assert refused.value.response.headers["x-ms-error-code"] == code


def table(path, n, broken=()):
    """Write a system of three variables that move together, but for the rows of `broken`."""
    rng = np.random.default_rng(3)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "a", "b", "c"])
        for i in range(n):
            common = np.sin(i / 20) + rng.normal(scale=0.05)
            noise = rng.normal(scale=0.02, size=3)
            values = [common + noise[0], 2 * common + noise[1], -common + noise[2]]
            if i in broken:
                values[1] = -2 * common
            at = START + timedelta(minutes=i)
            rows.writerow([f"{at:%Y-%m-%dT%H:%M:%SZ}", *values])


def wait_until_done(status):
    deadline_s = time.monotonic() + 60
    while status() not in ("READY", "FAILED"):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return status()


def test_a_model_is_trained_listed_used_and_deleted(client, served):
    table(served.data / "system.csv", 600, broken=range(560, 570))
    start, end = START, START + timedelta(minutes=499)
    model = client.train_multivariate_model(
        ModelInfo(
            data_source="https://account.blob.core.windows.net/system.csv?sig=secret",
            data_schema=DataSchema.ONE_TABLE,
            start_time=start,
            end_time=end,
            sliding_window=30,
            display_name="sample",
        )
    )
    model_id = model.model_id
    assert "secret" not in str(model)

    def status():
        return client.get_multivariate_model(model_id).model_info.status

    assert wait_until_done(status) == "READY", client.get_multivariate_model(model_id)
    assert model_id in [each.model_id for each in client.list_multivariate_models()]
    batch = client.detect_multivariate_batch_anomaly(
        model_id,
        MultivariateBatchDetectionOptions(
            data_source="system.csv",
            start_time=START + timedelta(minutes=500),
            end_time=START + timedelta(minutes=599),
            top_contributor_count=3,
        ),
    )

    def result():
        return client.get_multivariate_batch_detection_result(batch.result_id)

    assert wait_until_done(lambda: result().summary.status) == "READY"
    assert len(result().results) == 100
    found = client.detect_multivariate_last_anomaly(model_id, last_of(served.data / "system.csv"))
    assert found.results
    client.delete_multivariate_model(model_id)
    with pytest.raises(ResourceNotFoundError) as gone:
        client.get_multivariate_model(model_id)
    assert gone.value.response.headers["x-ms-error-code"] == "ModelNotExist"


def test_a_file_that_is_sent_is_trained_on_and_judged(client, served, tmp_path):
    table(tmp_path / "sent.csv", 600, broken=range(560, 570))
    headers = {"Ocp-Apim-Subscription-Key": KEY, "Content-Type": "text/csv"}
    content = (tmp_path / "sent.csv").read_bytes()
    status, _, body = served.request("PUT", "/v1/data/sent.csv", content, **headers)
    assert status == 201
    source = json.loads(body)["dataSource"]
    info = ModelInfo(
        data_source=source,
        start_time=START,
        end_time=START + timedelta(minutes=499),
        sliding_window=30,
    )
    model_id = client.train_multivariate_model(info).model_id

    def status_of_model():
        return client.get_multivariate_model(model_id).model_info.status

    assert wait_until_done(status_of_model) == "READY"
    asked = MultivariateBatchDetectionOptions(
        data_source=source,
        start_time=START + timedelta(minutes=500),
        end_time=START + timedelta(minutes=599),
    )
    result_id = client.detect_multivariate_batch_anomaly(model_id, asked).result_id

    def result():
        return client.get_multivariate_batch_detection_result(result_id)

    assert wait_until_done(lambda: result().summary.status) == "READY"
    found = [i for i, each in enumerate(result().results, 500) if each.value.is_anomaly]
    assert set(found) & set(range(560, 570))
    assert served.request("DELETE", "/v1/data/sent.csv", **headers)[0] == 204


def last_of(path):
    rows = list(csv.reader(path.read_text().splitlines()))[-40:]
    timestamps = [row[0] for row in rows]
    return MultivariateLastDetectionOptions(
        variables=[
            VariableValues(
                variable=name, timestamps=timestamps, values=[float(row[k + 1]) for row in rows]
            )
            for k, name in enumerate("abc")
        ],
        top_contributor_count=2,
    )


def test_models_are_listed_page_by_page(client, served):
    table(served.data / "small.csv", 60)
    made = set()
    for _ in range(3):
        info = ModelInfo(
            data_source="small.csv",
            start_time=START,
            end_time=START + timedelta(minutes=59),
            sliding_window=28,
        )
        model_id = client.train_multivariate_model(info).model_id
        made.add(model_id)
        wait_until_done(lambda at=model_id: client.get_multivariate_model(at).model_info.status)
    listed = [each.model_id for each in client.list_multivariate_models(top=2)]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def test_a_wrong_key_is_told_as_azure_tells_it(served):
    stranger = AnomalyDetectorClient(served.url, AzureKeyCredential("wrong"))
    with stranger, pytest.raises(ClientAuthenticationError) as refused:
        stranger.detect_univariate_entire_series(GOOD)
    assert refused.value.status_code == 401
    assert refused.value.response.headers["x-ms-error-code"] == "401"
