"""A request from its head to its answer: who asks, how much, the body, the operation, the log line.

Whatever happens inside, what goes out is an answer of the catalogue or `{code, message}`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamdet.clock import Clock
from streamdet.errors import RequestError
from streamdet.metrics import HttpMetrics
from streamdet.serve.access import HEADER, Access
from streamdet.serve.body import BodyReader
from streamdet.serve.operation import Answer, Call, Operation, Refusal
from streamdet.serve.services import Services

log = logging.getLogger(__name__)

_AZURE = "/anomalydetector/"
_UNKNOWN = "unknown"
"""In the metrics and the log, the operation of what is none."""


class Application:
    """Serves the operations of a catalogue; `asgi` is what a server calls.

    Parameters
    ----------
    background
        Called when the server starts; what it yields in is the time that the server runs.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        services: Services,
        access: Access,
        bodies: BodyReader,
        metrics: HttpMetrics,
        clock: Clock,
        background: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._services = services
        self._access = access
        self._bodies = bodies
        self._metrics = metrics
        self._clock = clock

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with background():
                yield

        self._starlette = Starlette(
            routes=list(self._routes(operations)),
            exception_handlers={HTTPException: self._no_operation},
            lifespan=lifespan,
        )
        self._starlette.router.redirect_slashes = False

    @property
    def asgi(self) -> ASGIApp:
        """The application; Azure's paths are the same in any case, and its clients use two."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].lower().startswith(_AZURE):
                scope["path"] = scope["path"].lower()
            await self._starlette(scope, receive, send)

        return app

    def _routes(self, operations: Sequence[Operation]) -> list[Route]:
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            by_path.setdefault(operation.path, {})[operation.method] = operation
        return [
            Route(_pattern(path), self._endpoint(methods), methods=list(methods))
            for path, methods in by_path.items()
        ]

    def _endpoint(
        self, methods: Mapping[str, Operation]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            operation = methods[method]
            return await self._told(request, operation.id, self._answer(request, operation))

        return endpoint

    async def _answer(self, request: Request, operation: Operation) -> Answer:
        key = None
        if operation.needs_key:
            key = self._access.admit(request.headers.get(HEADER))
            request.state.key = key.name if key else None
        body = await self._bodies.read(request) if operation.request is not None else b""
        path = {name: str(value) for name, value in request.path_params.items()}
        file = self._bodies.file(request)  # nothing is read of it until somebody asks for it
        call = Call(path, request.query_params, body, file, key, _base_url(request))
        return await operation.handle(self._services, call)

    async def _told(
        self, request: Request, operation_id: str, answering: Awaitable[Answer]
    ) -> Response:
        """Answer, count the request, and write its line."""
        began_s = self._clock.monotonic_s()
        try:
            answer = await answering
        except RequestError as error:
            answer = Answer.refusing(error)
        except ClientDisconnect:
            answer = Answer(HTTPStatus.REQUEST_TIMEOUT)  # nobody reads it; the line tells
        except Exception:
            log.exception("%s failed by an error of streamdet's own", operation_id)
            answer = Answer.refusing(
                RequestError("UnexpectedError", "The server's log has the reason.", 500)
            )
        elapsed_s = self._clock.monotonic_s() - began_s
        self._metrics.count(operation_id, int(answer.status), elapsed_s)
        fields: dict[str, object] = {
            "status": int(answer.status),
            "operation": operation_id,
            "bytes": len(answer.body),
            "ms": round(1000 * elapsed_s, 1),
        }
        if code := answer.headers.get("x-ms-error-code"):
            fields["code"] = code
        if key := getattr(request.state, "key", None):
            fields["key"] = key
        if request.client is not None:
            fields["client"] = request.client.host
        # a line a scrape or a probe would drown the log
        level = logging.DEBUG if operation_id in ("healthz", "readyz", "metrics") else logging.INFO
        message = "%s %s"
        log.log(level, message, request.method, request.url.path, extra={"fields": fields})
        media_type = answer.media_type if answer.body else None
        return Response(answer.body, int(answer.status), dict(answer.headers), media_type)

    async def _no_operation(self, request: Request, error: Exception) -> Response:
        """Answer a path or method that no operation has, which Starlette finds out."""
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            message = f"This path does not take {request.method}."
            refusal = Refusal(status, "MethodNotAllowed", message, error.headers)
        else:
            message = "Resource not found. /openapi.json lists the operations."
            refusal = Refusal(status, "NotFound", message, error.headers)

        async def refuse() -> Answer:
            raise refusal

        return await self._told(request, _UNKNOWN, refuse())


class _Metric(Convertor[str]):
    """A metric in a path: it may hold slashes, and of control characters the decoder tells."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("metric", _Metric())


def _pattern(path: str) -> str:
    return path.replace("{metric}", "{metric:metric}")


def _base_url(request: Request) -> str:
    """Return scheme and host as the client has written them."""
    host = request.headers.get("host") or "localhost"
    return f"{request.url.scheme}://{host}"
