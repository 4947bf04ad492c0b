"""The OpenAPI 3.1 document of a table of operations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streamdet import __version__
from streamdet.serve.access import HEADER
from streamdet.serve.operation import FILE, JSON, Operation, Response, Schema
from streamdet.serve.schemas import COMPONENTS, ref

_ERRORS = {
    400: "The request cannot be used; `code` and `message` say why.",
    401: "The key is missing or wrong.",
    408: "The request did not come in time.",
    413: "The request is too long.",
    415: "The request is of another media type.",
    429: "The key has sent too many requests.",
    500: "An error of the server's own.",
    503: "The server is busy.",
}
_BODY_ERRORS = (408, 413, 415)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document as a JSON object."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamdet",
            "version": __version__,
            "description": "Anomaly detection in the words of Azure AI Anomaly Detector, and "
            "series whose state is on the server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": HEADER}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(_parameters(operation)),
        "responses": {
            str(status): _response(response)
            for status, response in sorted({**_refusals(operation), **operation.responses}.items())
        },
        "security": [{"key": []}] if operation.needs_key else [],
    }
    if operation.request is not None:
        content: Schema = {JSON: {"schema": operation.request}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.takes_file:
        described["requestBody"] = {"required": True, "content": {each: {} for each in FILE}}
    return described


def _parameters(operation: Operation) -> Iterator[Schema]:
    for name, schema in operation.parameters.items():
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in operation.query.items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _refusals(operation: Operation) -> dict[int, Response]:
    """Return what any operation of its kind may be answered with."""
    found = {status: Response(text, ref("Error"), _HEADER) for status, text in _ERRORS.items()}
    if operation.request is None and not operation.takes_file:
        for status in _BODY_ERRORS:
            del found[status]
    if not operation.needs_key:
        return {500: found[500]}
    return found


_HEADER = {"x-ms-error-code": "The error's code."}


def _response(response: Response) -> dict[str, Any]:
    described: dict[str, Any] = {"description": response.description}
    if response.schema is not None:
        described["content"] = {response.media_type: {"schema": response.schema}}
    if response.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in response.headers.items()
        }
    return described
