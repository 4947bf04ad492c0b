"""The OpenAPI document: true of the server, and made of the same table as its routes."""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
)

from streamdet.serve.catalogue import OPERATIONS, openapi_json
from streamdet.serve.schemas import COMPONENTS
from tests.serve.served import KEY

EVENT = json.loads((Path(__file__).parents[2] / "docs" / "event.schema.json").read_text())
DOCUMENT = json.loads(openapi_json())
schema = schemathesis.openapi.from_dict(DOCUMENT)
load_all_checks()


@schemathesis.serializer("application/zip")
def as_bytes(_, value):
    """Send what stands for a zip: the server does not look inside."""
    return str(value).encode(errors="replace")


@schema.parametrize()
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_keeps_to_its_document(case, served):
    served.wait_for("ready after")
    case.call_and_validate(
        base_url=served.url,
        headers={"Ocp-Apim-Subscription-Key": KEY},
        # no schema says that timestamps ascend, so what fits it may be refused; and the key that is
        # put in here mends what was broken on purpose (benchmarks.openapi checks that too)
        excluded_checks=[positive_data_acceptance, negative_data_rejection],
    )


def test_the_document_is_served(served):
    status, _, body = served.request("GET", "/openapi.json")
    assert (status, json.loads(body)) == (200, DOCUMENT)


def test_every_operation_of_the_table_is_in_the_document():
    documented = {
        (method.upper(), path): described["operationId"]
        for path, methods in DOCUMENT["paths"].items()
        for method, described in methods.items()
    }
    assert documented == {(each.method, each.path): each.id for each in OPERATIONS}
    assert len(set(documented.values())) == len(OPERATIONS)


def test_every_schema_is_used_and_every_schema_named_exists():
    text = openapi_json().decode()
    for name, component in COMPONENTS.items():
        Draft202012Validator.check_schema(component)
        assert f'"#/components/schemas/{name}"' in text, name
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(COMPONENTS)


def test_the_event_is_the_one_that_is_published():
    event = COMPONENTS["Event"]
    assert set(event["properties"]) == set(EVENT["properties"])
    assert set(event["required"]) == set(EVENT["required"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_page_names_every_operation(operation):
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    path = operation.path.replace("/v1.0/timeseries", "/{v1.0\\|v1.1}/timeseries")
    path = path.replace("/v1.1/timeseries", "/{v1.0\\|v1.1}/timeseries")
    assert path in page
