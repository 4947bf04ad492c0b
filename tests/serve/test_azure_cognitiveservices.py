"""The package azure-cognitiveservices-anomalydetector, unmodified, against a served process."""

import pytest
from azure.cognitiveservices.anomalydetector import AnomalyDetectorClient
from azure.cognitiveservices.anomalydetector.models import (
    APIErrorException,
    ChangePointDetectRequest,
    Granularity,
    Point,
    Request,
)
from msrest.authentication import CognitiveServicesCredentials

from tests.serve.samples import daily, shifted
from tests.serve.served import KEY


@pytest.fixture(scope="module")
def client(served):
    with AnomalyDetectorClient(served.url, CognitiveServicesCredentials(KEY)) as client:
        yield client


def points(series):
    return [Point(timestamp=at, value=value) for at, value in series]


def test_the_entire_series_is_judged(client):
    found = client.entire_detect(
        Request(series=points(daily()), granularity=Granularity.daily, sensitivity=85)
    )
    assert [i for i, each in enumerate(found.is_anomaly) if each] == [41]
    assert found.period == 7
    assert len(found.expected_values) == len(found.lower_margins) == 49


def test_the_last_point_is_judged(client):
    series = points(daily(50, spike_at=49))
    found = client.last_detect(Request(series=series, granularity=Granularity.daily))
    assert found.is_anomaly
    assert found.suggested_window == 4 * found.period + 1


def test_change_points_are_asked_for_in_camel_case(client):
    request = ChangePointDetectRequest(series=points(shifted()), granularity=Granularity.daily)
    found = client.change_point_detect(request)
    assert len(found.is_change_point) == len(found.confidence_scores) == 96


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"series": points(daily()[:11])}, "InvalidSeries"),
        ({"period": -1}, "InvalidPeriod"),
        ({"sensitivity": 1000}, "InvalidModelArgument"),
        ({"max_anomaly_ratio": 0.5}, "InvalidModelArgument"),
        ({"custom_interval": 0}, "InvalidCustomInterval"),
    ],
)
def test_the_client_is_told_what_is_wrong(client, wrong, code):
    given = {"series": points(daily()), "granularity": Granularity.daily, **wrong}
    with pytest.raises(APIErrorException) as refused:
        client.entire_detect(Request(**given))
    assert refused.value.response.status_code == 400
    assert refused.value.error.code == code
    assert refused.value.error.message
