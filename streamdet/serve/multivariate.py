"""The multivariate operations of v1.1, on threads: numpy does the work, the models are here."""

from __future__ import annotations

from http import HTTPStatus

from streamdet.serve.operation import Answer, Call
from streamdet.serve.services import Services

MODELS = "/anomalydetector/v1.1/multivariate/models"
RESULTS = "/anomalydetector/v1.1/multivariate/detect-batch"


async def train(services: Services, call: Call) -> Answer:
    """Begin to train a model."""
    model = await services.threads.run(services.multivariate.train, call.body)
    location = f"{call.base_url}{MODELS}/{model['modelId']}"
    return Answer.of(model, HTTPStatus.CREATED, {"Location": location})


async def list_models(services: Services, call: Call) -> Answer:
    """List models."""
    skip, top = call.query.get("skip"), call.query.get("top")
    found = await services.threads.run(services.multivariate.list_models, skip, top)
    if found["nextLink"]:
        found["nextLink"] = f"{call.base_url}{MODELS}{found['nextLink']}"
    return Answer.of(found)


async def get_model(services: Services, call: Call) -> Answer:
    """Get a model."""
    model_id = call.path["modelId"]
    return Answer.of(await services.threads.run(services.multivariate.get_model, model_id))


async def delete_model(services: Services, call: Call) -> Answer:
    """Delete a model."""
    await services.threads.run(services.multivariate.delete_model, call.path["modelId"])
    return Answer(HTTPStatus.NO_CONTENT)


async def detect_batch(services: Services, call: Call) -> Answer:
    """Begin to judge a source."""
    model_id = call.path["modelId"]
    found = await services.threads.run(services.multivariate.detect_batch, model_id, call.body)
    headers = {
        "Operation-Id": found["resultId"],
        "Operation-Location": f"{call.base_url}{RESULTS}/{found['resultId']}",
    }
    return Answer.of(found, HTTPStatus.ACCEPTED, headers)


async def get_result(services: Services, call: Call) -> Answer:
    """Get what became of a batch."""
    result_id = call.path["resultId"]
    return Answer.of(await services.threads.run(services.multivariate.get_result, result_id))


async def detect_last(services: Services, call: Call) -> Answer:
    """Judge the newest timestamps of a request."""
    model_id = call.path["modelId"]
    found = await services.threads.run(services.multivariate.detect_last, model_id, call.body)
    return Answer.of(found)
