"""The operations on files of training data."""

from __future__ import annotations

from http import HTTPStatus

from streamdet.serve.operation import Answer, Call
from streamdet.serve.services import Services

DATA = "/v1/data"


async def put(services: Services, call: Call) -> Answer:
    """Keep a file that is sent."""
    stored = await services.data.put(call.path["name"], call.file)
    told = {"dataSource": stored.name, "sizeBytes": stored.size_bytes}
    return Answer.of(told, HTTPStatus.OK if stored.replaced else HTTPStatus.CREATED)


async def list_files(services: Services, call: Call) -> Answer:
    """List files by name."""
    found = await services.threads.run(services.data.sizes)
    files = [{"dataSource": name, "sizeBytes": size_bytes} for name, size_bytes in found]
    return Answer.of({"files": files})


async def delete(services: Services, call: Call) -> Answer:
    """Delete a file."""
    await services.threads.run(services.data.delete, call.path["name"])
    return Answer(HTTPStatus.NO_CONTENT)
