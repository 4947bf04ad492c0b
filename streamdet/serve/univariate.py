"""The univariate operations: bytes to a worker process, bytes back."""

from __future__ import annotations

from http import HTTPStatus

from streamdet.errors import RequestError
from streamdet.serve.operation import Answer, Call, Handle
from streamdet.serve.services import Services
from streamdet.serve.worker import Name, Version, compute


def handler(name: Name, version: Version) -> Handle:
    """Return what answers the operation `name` of a version."""

    async def handle(services: Services, call: Call) -> Answer:
        found = await services.workers.run(compute, name, call.body, version)
        if isinstance(found, bytes):
            return Answer(HTTPStatus.OK, found)
        raise RequestError(*found)

    return handle
