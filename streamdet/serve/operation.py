"""An operation of the API: what the router, the OpenAPI document and the metrics know of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from streamdet.config import KeyConfig
from streamdet.errors import RequestError

if TYPE_CHECKING:
    from streamdet.serve.services import Services

JSON = "application/json"
FILE = ("text/csv", "application/zip", "application/octet-stream")
"""Media types of a file that is sent."""
Schema = dict[str, Any]


class Refusal(RequestError):
    """A request that HTTP itself has a word for: 401, 404, 413, 429 and the like."""

    def __init__(
        self, status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, message, status)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON

    @staticmethod
    def of(
        value: object,
        status: HTTPStatus = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return `value` as JSON."""
        return Answer(status, msgspec.json.encode(value), headers or {})

    @staticmethod
    def refusing(error: RequestError) -> Answer:
        """Return the answer to a request that cannot be granted, as Azure gives it."""
        headers = {"x-ms-error-code": error.code}
        if isinstance(error, Refusal):
            headers |= error.headers
        told = {"code": error.code, "message": error.message}
        return Answer.of(told, HTTPStatus(error.status), headers)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in."""

    path: Mapping[str, str]
    """Parameters of the path."""
    query: Mapping[str, str]
    body: bytes
    """Empty where there is none, or it is a file."""
    file: AsyncIterator[bytes]
    """The body of an operation that takes a file, as it comes; read nowhere before."""
    key: KeyConfig | None
    """Whose it is; None: this server has no keys, or the operation needs none."""
    base_url: str
    """As the client has written it, without a path: `http://host:port`."""


Handle = Callable[["Services", Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Response:
    """A possible answer, for the document."""

    description: str
    schema: Schema | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Name -> what it says."""
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the catalogue."""

    id: str
    """In the document, the log and the metrics."""
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """As OpenAPI writes it, with parameters in braces."""
    summary: str
    tag: str
    handle: Handle
    responses: Mapping[int, Response]
    """Those of success, and refusals that are this operation's alone."""
    request: Schema | None = None
    """Of the body, JSON; None: it has none, or takes a file."""
    takes_file: bool = False
    """Whether the body is a file, of one of the types `FILE`."""
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    """Of the path; the name -> its schema."""
    query: Mapping[str, Schema] = field(default_factory=dict)
    needs_key: bool = True
