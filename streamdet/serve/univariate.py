"""The univariate operations: bytes to a worker process, bytes back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec

from streamdet.errors import RequestError
from streamdet.serve.operation import Answer, Call, Handle
from streamdet.serve.services import Services
from streamdet.univariate.operations import answer

Name = Literal["entire", "last", "changepoint"]
Version = Literal["v1.0", "v1.1"]


def handler(name: Name, version: Version) -> Handle:
    """Return what answers the operation `name` of a version."""

    async def handle(services: Services, call: Call) -> Answer:
        found = await services.workers.run(compute, name, call.body, version)
        if isinstance(found, bytes):
            return Answer(HTTPStatus.OK, found)
        raise RequestError(*found)

    return handle


def compute(name: Name, body: bytes, version: Version) -> bytes | tuple[str, str, int]:
    """Return the response as JSON, or code, message and status of what is wrong.

    In a worker process: an error with arguments of its own does not survive the way back.
    """
    try:
        return msgspec.json.encode(answer(name, body, version))
    except RequestError as error:
        return error.code, error.message, error.status


def warm() -> None:
    """Import what the operations import late, and run each once."""
    series = ",".join(f'{{"value":{i % 4}}}' for i in range(48))
    body = f'{{"granularity":"none","series":[{series}]}}'.encode()
    names: tuple[Name, ...] = ("entire", "last", "changepoint")
    for name in names:
        compute(name, body, "v1.1")
