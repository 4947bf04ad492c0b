"""The operations on series that are kept here."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from streamdet.config import KeyConfig
from streamdet.errors import RequestError
from streamdet.serve.operation import Answer, Call, Refusal
from streamdet.serve.series import MayRead
from streamdet.serve.services import Services

SERIES = "/v1/series"
_PAGE, _PAGE_MAX = 100, 1000


async def add_point(services: Services, call: Call) -> Answer:
    """Judge one point."""
    metric = call.path["metric"]
    if call.key is not None and not call.key.opens(metric):
        raise Refusal(HTTPStatus.FORBIDDEN, "403", "Access denied: the key is not for this metric.")
    if (reason := services.not_ready()) is not None:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "NotReady",
            f"The server is not ready: {reason}.",
            {"Retry-After": "1"},
        )
    event = await services.series_thread.run(services.series.take, metric, call.body)
    if event is None:
        return Answer.of({"status": "pending"}, HTTPStatus.ACCEPTED)
    return Answer(HTTPStatus.OK, event)


async def list_series(services: Services, call: Call) -> Answer:
    """List series by name."""
    skip = _whole(call.query, "skip", 0, 2**31 - 1, 0)
    top = _whole(call.query, "top", 1, _PAGE_MAX, _PAGE)
    series, more = await services.series_thread.run(services.series.page, _may(call.key), skip, top)
    link = f"{call.base_url}{SERIES}?skip={skip + top}&top={top}" if more else ""
    return Answer.of({"series": series, "nextLink": link})


async def get_verdicts(services: Services, call: Call) -> Answer:
    """Return the newest verdicts of a series."""
    wanted = call.path["id"]
    return Answer.of(
        await services.series_thread.run(services.series.verdicts, wanted, _may(call.key))
    )


def _may(key: KeyConfig | None) -> MayRead:
    return None if key is None else key.opens


def _whole(query: Mapping[str, str], name: str, least: int, most: int, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not least <= number <= most:
        raise RequestError(
            "InvalidRequestParameterError", f"'{name}' must be an integer from {least} to {most}."
        )
    return number
