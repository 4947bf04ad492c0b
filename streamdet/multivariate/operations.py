"""Azure's multivariate operations: JSON bytes in, dicts of Azure's fields out.

Each method is one operation of the API of v1.1, and raises nothing but `RequestError`. Training
and detection of a batch run later, in what the caller hands over as `start`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from streamdet.errors import RequestError
from streamdet.multivariate.data import Column, Frame, align
from streamdet.multivariate.infer import detect
from streamdet.multivariate.model import Model
from streamdet.multivariate.requests import (
    BatchRequest,
    TrainRequest,
    read_batch,
    read_last,
    read_paging,
    read_train,
)
from streamdet.multivariate.source import Sources
from streamdet.multivariate.store import MODELS_MAX, ModelStore, Record
from streamdet.multivariate.train import train

BATCH_MAX = 20_000  # timestamps
LAST_MAX = 2880
LAST_RESULTS_MAX = 10
_BEGINNING_US = -(2**62)  # before every time that can be written

log = logging.getLogger(__name__)


class Operations:
    """The multivariate API without its HTTP.

    Parameters
    ----------
    start
        Runs a function some time later, in another thread; it never raises.
    """

    def __init__(
        self, store: ModelStore, sources: Sources, start: Callable[[Callable[[], None]], object]
    ) -> None:
        self._store = store
        self._sources = sources
        self._start = start

    def train(self, body: bytes) -> Record:
        """Begin to train a model (201); the answer's `modelId` belongs into the header Location.

        Raises
        ------
        RequestError
            InvalidJsonFormat, RequiredSource, RequiredStartTime, RequiredEndTime,
            InvalidTimestampFormat, InvalidSlidingWindow, InvalidAlignMode, InvalidFillNAMethod,
            RequiredPaddingValue, InvalidRequestParameterError, TooManyModels,
            TooManyRunningModels. What is wrong with the data is told by the model's errors.
        """
        request = read_train(body)
        record = self._store.create_model(request.info())
        self._start(lambda: self._train(record["modelId"], request))
        return record

    def list_models(self, skip: object = None, top: object = None) -> Record:
        """Return models by newest update (200); `nextLink` is a query of `skip` and `top`.

        Raises
        ------
        RequestError
            InvalidRequestParameterError.
        """
        first, count = read_paging(skip, top)
        models, total = self._store.models(first, count)
        more = first + count < total
        return {
            "models": models,
            "currentCount": total,
            "maxCount": MODELS_MAX,
            "nextLink": f"?skip={first + count}&top={count}" if more else "",
        }

    def get_model(self, model_id: str) -> Record:
        """Return a model (200). Raises RequestError: ModelNotExist."""
        return self._store.model(model_id)

    def delete_model(self, model_id: str) -> None:
        """Forget a model (204). Raises RequestError: ModelNotExist."""
        self._store.delete_model(model_id)

    def detect_batch(self, model_id: str, body: bytes) -> Record:
        """Begin to judge a source (202); the `resultId` belongs into the header Operation-Id.

        Raises
        ------
        RequestError
            ModelNotExist, ModelNotReady, ModelFailed, InvalidJsonFormat, RequiredSource,
            RequiredStartTime, RequiredEndTime, InvalidTimestampFormat,
            InvalidRequestParameterError, TooManyRequests. What is wrong with the data is told by
            the result's errors.
        """
        model = self._store.load(model_id)
        request = read_batch(body)
        record = self._store.create_result(request.info())
        self._start(lambda: self._detect(record["resultId"], model, request))
        return record

    def get_result(self, result_id: str) -> Record:
        """Return what became of a `detect_batch` (200). Raises RequestError: ResultNotExist."""
        return self._store.result(result_id)

    def detect_last(self, model_id: str, body: bytes) -> Record:
        """Judge the newest timestamps of a request's own points (200).

        Of n timestamps the last ``n - slidingWindow + 1`` are judged, at most 10.

        Raises
        ------
        RequestError
            ModelNotExist, ModelNotReady, ModelFailed, InvalidJsonFormat, InvalidTimestampFormat,
            InvalidRequestParameterError, and those of the data: NoVariablesFound,
            DuplicatedVariables, VariableParseError, FileNotExist, RedundantFile, NoData,
            NotEnoughInput, DataExceedsLimit.
        """
        model = self._store.load(model_id)
        columns, top = read_last(body)
        frame = _frame(model, columns)
        if len(frame.time_us) > LAST_MAX:
            raise RequestError(
                "DataExceedsLimit",
                f"There are {len(frame.time_us)} timestamps; the limit is {LAST_MAX}.",
            )
        _check_length(frame, model.sliding_window)
        first = max(model.sliding_window - 1, len(frame.time_us) - LAST_RESULTS_MAX)
        return {"variableStates": frame.states, "results": detect(model, frame, top, first)}

    def _train(self, model_id: str, request: TrainRequest) -> None:
        def work() -> None:
            self._store.update_model(model_id, {"status": "RUNNING"})
            columns = self._sources.read(
                request.source, request.schema, request.start_us, request.end_us
            )
            frame = align(columns, request.policy)
            _check_length(frame, request.sliding_window, more=1)
            model, state = train(frame, request.sliding_window, request.policy, request.schema)
            diagnostics = {"modelState": state, "variableStates": frame.states}
            self._store.save(model_id, model, {"status": "READY", "diagnosticsInfo": diagnostics})

        _carefully(work, lambda failed: self._store.update_model(model_id, failed))

    def _detect(self, result_id: str, model: Model, request: BatchRequest) -> None:
        def work() -> None:
            self._store.update_result(result_id, {"status": "RUNNING"})
            columns = self._sources.read(
                request.source, model.schema, _BEGINNING_US, request.end_us
            )
            frame, first = _window(model, columns, request.start_us)
            self._store.update_result(
                result_id,
                {"status": "READY", "variableStates": frame.states},
                detect(model, frame, request.top, first),
            )

        _carefully(work, lambda failed: self._store.update_result(result_id, failed))


def _carefully(work: Callable[[], None], tell: Callable[[dict[str, Any]], None]) -> None:
    """Do what an answer was not waited for: what goes wrong is kept for who asks later."""
    try:
        try:
            work()
        except RequestError as error:
            tell(_failed(error.code, error.message))
        except Exception:
            log.exception("a multivariate task ended by an error of streamdet's own")
            tell(_failed("UnexpectedError", "The server's log has the reason."))
    except Exception:
        # the disk is full, or the record was deleted meanwhile: there is nobody left to tell
        log.exception("what became of a multivariate task could not be kept")


def _failed(code: str, message: str) -> dict[str, Any]:
    return {"status": "FAILED", "errors": [{"code": code, "message": message}]}


def _frame(model: Model, columns: list[Column]) -> Frame:
    """Return the points as the table that the model was trained on: its variables, its order."""
    given = {column.variable: column for column in columns}
    if not columns:
        raise RequestError("NoVariablesFound", "No variables found.")
    for column in columns:
        if column.variable not in model.variables:
            raise RequestError(
                "RedundantFile",
                f"File {column.variable!r} is redundant: the model was trained without it.",
            )
    for variable in model.variables:
        if variable not in given:
            raise RequestError(
                "FileNotExist",
                f"File {variable!r} does not exist: the model was trained with this variable.",
            )
    frame = align(columns, model.policy)
    if frame.variables == model.variables:
        return frame
    order = [frame.variables.index(variable) for variable in model.variables]
    return Frame(
        model.variables, frame.time_us, frame.value[:, order], [frame.states[j] for j in order]
    )


def _window(model: Model, columns: list[Column], start_us: int) -> tuple[Frame, int]:
    """Return the rows that a batch needs, some before its start among them, and its first row."""
    frame = _frame(model, columns)
    _check_length(frame, model.sliding_window)
    first = int(np.searchsorted(frame.time_us, start_us))
    judged = len(frame.time_us) - first
    if not judged:
        raise RequestError("NoData", "There is no effective data from startTime to endTime.")
    if judged > BATCH_MAX:
        raise RequestError(
            "DataExceedsLimit",
            "The length of data whose timestamp is between startTime and endTime exceeds limit "
            f"({BATCH_MAX}).",
        )
    begin = max(0, min(first, len(frame.time_us) - 1) - model.history)
    if begin:
        begin_us = frame.time_us[begin]
        columns = [
            Column(each.variable, each.time_us[wanted], each.value[wanted])
            for each in columns
            for wanted in [each.time_us >= begin_us]
        ]
        frame = _frame(model, columns)
    return frame, len(frame.time_us) - judged


def _check_length(frame: Frame, window: int, more: int = 0) -> None:
    if len(frame.time_us) < window + more:
        raise RequestError(
            "NotEnoughInput",
            f"Not enough data. The length of data is {len(frame.time_us)}, but the minimum length "
            f"is {'larger than ' if more else ''}the sliding window, which is {window}.",
        )
