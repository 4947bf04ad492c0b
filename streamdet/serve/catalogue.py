"""The one table of operations: the router, the document, the log and the metrics are made of it."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import get_args

import msgspec

from streamdet.metrics import CONTENT_TYPE
from streamdet.serve import data, kept, multivariate, univariate
from streamdet.serve.data_folder import NAME_CHARACTERS_MAX, NAME_PATTERN
from streamdet.serve.openapi import document
from streamdet.serve.operation import Answer, Call, Operation, Response, Schema
from streamdet.serve.schemas import ref
from streamdet.serve.services import Services
from streamdet.serve.worker import Name, Version

_TEXT = "text/plain; charset=utf-8"
_ID: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_SUMMARIES: dict[Name, str] = {
    "entire": "Detect anomalies in an entire series",
    "last": "Detect whether the last point of a series is an anomaly",
    "changepoint": "Detect the change points of a series",
}
_BODIES: dict[Name, tuple[str, str]] = {
    "entire": ("UnivariateDetectionOptions", "UnivariateEntireDetectionResult"),
    "last": ("UnivariateDetectionOptions", "UnivariateLastDetectionResult"),
    "changepoint": (
        "UnivariateChangePointDetectionOptions",
        "UnivariateChangePointDetectionResult",
    ),
}


def _univariate(name: Name, version: Version) -> Operation:
    # v1.0 has neither imputation nor severity; change points are the same in both
    suffix = "V10" if version == "v1.0" and name != "changepoint" else ""
    request, response = _BODIES[name]
    return Operation(
        id=f"{name}-{version}",
        method="POST",
        path=f"/anomalydetector/{version}/timeseries/{name}/detect",
        summary=_SUMMARIES[name],
        tag="univariate",
        handle=univariate.handler(name, version),
        request=ref(request + suffix),
        responses={200: Response("What was found.", ref(response + suffix))},
    )


_MODEL = f"{multivariate.MODELS}/{{modelId}}"
_NOT_FOUND = {404: Response("There is none.", ref("Error"))}


def _multivariate() -> tuple[Operation, ...]:
    model, result = ref("AnomalyDetectionModel"), ref("MultivariateDetectionResult")
    model_id = {"modelId": _ID}
    return (
        Operation(
            "train-model", "POST", multivariate.MODELS,
            "Train a model of many variables", "multivariate", multivariate.train,
            {201: Response("Training begins.", model, {"Location": "Where the model is."})},
            request=ref("ModelRequest"),
        ),
        Operation(
            "list-models", "GET", multivariate.MODELS,
            "List models", "multivariate", multivariate.list_models,
            {200: Response("A page of models.", ref("ModelList"))},
            query={"skip": _COUNT, "top": _COUNT},
        ),
        Operation(
            "detect-batch", "POST", f"{_MODEL}:detect-batch",
            "Detect anomalies in data of many variables", "multivariate",
            multivariate.detect_batch,
            {
                202: Response(
                    "Detection begins.", result,
                    {
                        "Operation-Id": "The result's id.",
                        "Operation-Location": "Where the result is.",
                    },
                ),
                **_NOT_FOUND,
            },
            request=ref("MultivariateBatchDetectionOptions"), parameters=model_id,
        ),
        Operation(
            "detect-last", "POST", f"{_MODEL}:detect-last",
            "Detect anomalies in the newest of the points sent", "multivariate",
            multivariate.detect_last,
            {
                200: Response("What was found.", ref("MultivariateLastDetectionResult")),
                **_NOT_FOUND,
            },
            request=ref("MultivariateLastDetectionOptions"), parameters=model_id,
        ),
        Operation(
            "get-model", "GET", _MODEL, "Get a model", "multivariate", multivariate.get_model,
            {200: Response("The model.", model), **_NOT_FOUND}, parameters=model_id,
        ),
        Operation(
            "delete-model", "DELETE", _MODEL,
            "Delete a model", "multivariate", multivariate.delete_model,
            {204: Response("It is gone."), **_NOT_FOUND}, parameters=model_id,
        ),
        Operation(
            "get-batch-result", "GET", f"{multivariate.RESULTS}/{{resultId}}",
            "Get what became of a detect-batch", "multivariate", multivariate.get_result,
            {200: Response("The result.", result), **_NOT_FOUND}, parameters={"resultId": _ID},
        ),
    )  # fmt: skip


def _data() -> tuple[Operation, ...]:
    file = ref("DataFile")
    name = {"name": {"type": "string", "pattern": NAME_PATTERN, "maxLength": NAME_CHARACTERS_MAX}}
    refused = {403: Response("No data folder, or it is not to be written to.", ref("Error"))}
    other = {409: Response("A folder or link has this name.", ref("Error"))}
    return (
        Operation(
            "put-data", "PUT", f"{data.DATA}/{{name}}",
            "Send a file of training data, in place of one of its name", "data", data.put,
            {
                200: Response("It has taken the place of the earlier one.", file),
                201: Response("It is there.", file),
                507: Response("The disk is full.", ref("Error")),
                **refused, **other,
            },
            parameters=name, takes_file=True,
        ),
        Operation(
            "list-data", "GET", data.DATA, "List files of training data", "data", data.list_files,
            {200: Response("Files by name.", ref("DataFileList")), **refused},
        ),
        Operation(
            "delete-data", "DELETE", f"{data.DATA}/{{name}}",
            "Delete a file of training data", "data", data.delete,
            {204: Response("It is gone."), **_NOT_FOUND, **refused}, parameters=name,
        ),
    )  # fmt: skip


def _kept() -> tuple[Operation, ...]:
    return (
        Operation(
            "add-point", "POST", f"{kept.SERIES}/{{metric}}/points",
            "Judge a point of a series whose state is kept here", "series", kept.add_point,
            {
                200: Response("Its verdict, an event.", ref("Event")),
                202: Response("It waits for its turn, or is part of a window.", ref("Pending")),
                403: Response("The key is not for this metric.", ref("Error")),
                409: Response("Late, a duplicate, off the grid, a series too many.", ref("Error")),
            },
            request=ref("Point"),
            parameters={"metric": {"type": "string", "minLength": 1, "maxLength": 256}},
        ),
        Operation(
            "list-series", "GET", kept.SERIES,
            "List series", "series", kept.list_series,
            {200: Response("A page of series.", ref("SeriesList"))},
            query={
                "skip": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0},
                "top": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            },
        ),
        Operation(
            "get-verdicts", "GET", f"{kept.SERIES}/{{id}}/verdicts",
            "Get the newest verdicts of a series, with its band", "series", kept.get_verdicts,
            {200: Response("The verdicts, oldest first.", ref("SeriesVerdicts")), **_NOT_FOUND},
            parameters={"id": _ID},
        ),
    )  # fmt: skip


async def _openapi(services: Services, call: Call) -> Answer:
    return Answer(HTTPStatus.OK, openapi_json())


async def _healthz(services: Services, call: Call) -> Answer:
    return Answer(HTTPStatus.OK, b"ok\n", media_type=_TEXT)


async def _readyz(services: Services, call: Call) -> Answer:
    found = services.not_ready()
    status = HTTPStatus.OK if found is None else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, f"{found or 'ok'}\n".encode(), media_type=_TEXT)


async def _metrics(services: Services, call: Call) -> Answer:
    render = services.metrics.render
    # the figures of the series are read in their own thread; it may be busy until all is loaded
    loading = services.not_ready() is not None
    body = render() if loading else await services.series_thread.run(render)
    return Answer(HTTPStatus.OK, body, media_type=CONTENT_TYPE)


def _pages() -> tuple[Operation, ...]:
    text: Schema = {"type": "string"}
    return (
        Operation(
            "openapi", "GET", "/openapi.json", "This document", "server", _openapi,
            {200: Response("OpenAPI 3.1.", {"type": "object"})}, needs_key=False,
        ),
        Operation(
            "healthz", "GET", "/healthz", "Whether the server lives", "server", _healthz,
            {200: Response("It does.", text, media_type="text/plain")}, needs_key=False,
        ),
        Operation(
            "readyz", "GET", "/readyz", "Whether requests should come here", "server", _readyz,
            {
                200: Response("They should.", text, media_type="text/plain"),
                503: Response("They should not: why.", text, media_type="text/plain"),
            },
            needs_key=False,
        ),
        Operation(
            "metrics", "GET", "/metrics", "Metrics for Prometheus", "server", _metrics,
            {
                200: Response("Its text format.", text, media_type="text/plain"),
                503: Response("Too many points wait.", ref("Error")),
            },
            needs_key=False,
        ),
    )  # fmt: skip


OPERATIONS: tuple[Operation, ...] = (
    *(_univariate(name, version) for version in get_args(Version) for name in get_args(Name)),
    *_multivariate(),
    *_data(),
    *_kept(),
    *_pages(),
)


@cache
def openapi_json() -> bytes:
    """Return the document of all operations."""
    return msgspec.json.encode(document(OPERATIONS))
