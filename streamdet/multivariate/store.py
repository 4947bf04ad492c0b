"""Models and results in a folder: what was asked for, what became of it, over restarts.

    models/ID.json    the model as the API tells it       models/ID.model   its numbers
    results/ID.json   a result of detect-batch as the API tells it

Every file is written beside its place, synced, and moved there: after a crash there is the old
one or the new one. What a process was still at when it ended is FAILED when the next one starts.
"""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from streamdet.clock import Clock, SystemClock
from streamdet.errors import RequestError
from streamdet.files import HALF_SUFFIX, write_whole
from streamdet.multivariate.data import format_time
from streamdet.multivariate.model import Model

MODELS_MAX = 300
RUNNING_MODELS_MAX = 5
RUNNING_RESULTS_MAX = 20
RESULTS_KEPT_S = 7 * 24 * 3600
UNFINISHED = ("CREATED", "RUNNING")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LOADED_MAX = 16  # models held in memory: 50 variables take a few MB

Record = dict[str, Any]


class ModelStore:
    """Models and results below `folder`; every method may be called from any thread.

    Records handed out are copies: change one by `update_model` or `update_result`.

    Parameters
    ----------
    folder
        Made if it is not there. One process at a time writes to it.
    """

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._models_folder = folder / "models"
        self._results_folder = folder / "results"
        for each in (self._models_folder, self._results_folder):
            each.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._models: dict[str, Record] = {}
        self._results: dict[str, float] = {}  # to seconds since 1970 of its creation
        self._running_results: set[str] = set()
        self._loaded: dict[str, Model] = {}
        self._recover()

    def create_model(self, info: Record) -> Record:
        """Return the record of a new model of status CREATED.

        Raises
        ------
        RequestError
            TooManyModels, TooManyRunningModels.
        """
        with self._lock:
            if len(self._models) >= MODELS_MAX:
                raise RequestError(
                    "TooManyModels",
                    f"This server has reached the maximum number of models, {MODELS_MAX}. "
                    "Delete unused models.",
                )
            running = sum(_status(record) in UNFINISHED for record in self._models.values())
            if running >= RUNNING_MODELS_MAX:
                raise RequestError(
                    "TooManyRunningModels",
                    "This server has reached the maximum number of running models, "
                    f"{RUNNING_MODELS_MAX}. Try again when one has completed.",
                )
            now = self._now()
            model_id = str(uuid.uuid4())
            record = {
                "modelId": model_id,
                "createdTime": now,
                "lastUpdatedTime": now,
                "modelInfo": {**info, "status": "CREATED", "errors": []},
            }
            self._write_model(model_id, record)
            return _copy(record)

    def update_model(self, model_id: str, changed: Mapping[str, Any]) -> None:
        """Set fields of a model's `modelInfo`; of a model that was deleted nothing is kept."""
        with self._lock:
            if model_id in self._models:
                record = _copy(self._models[model_id])
                record["modelInfo"].update(changed)
                record["lastUpdatedTime"] = self._now()
                self._write_model(model_id, record)

    def save(self, model_id: str, model: Model, changed: Mapping[str, Any]) -> None:
        """Keep what was trained, and then set fields of the model's `modelInfo`."""
        content = model.to_bytes()
        with self._lock:
            if model_id in self._models:
                write_whole(self._numbers(model_id), content)
                self.update_model(model_id, changed)

    def model(self, model_id: str) -> Record:
        """Return a model's record.

        Raises
        ------
        RequestError
            ModelNotExist.
        """
        with self._lock:
            if model_id not in self._models:
                raise RequestError("ModelNotExist", "The model does not exist.", 404)
            return _copy(self._models[model_id])

    def models(self, skip: int, top: int) -> tuple[list[Record], int]:
        """Return the `top` records after the first `skip`, newest update first, and their count."""
        with self._lock:
            newest = list(self._models.values())[::-1]  # each change puts a record at the end
            return [_copy(record) for record in newest[skip : skip + top]], len(newest)

    def delete_model(self, model_id: str) -> None:
        """Forget a model and its numbers.

        Raises
        ------
        RequestError
            ModelNotExist.
        """
        with self._lock:
            self.model(model_id)
            # the record first: numbers without one are swept up at the next start
            for path in (self._record(model_id), self._numbers(model_id)):
                path.unlink(missing_ok=True)
            del self._models[model_id]
            self._loaded.pop(model_id, None)

    def load(self, model_id: str) -> Model:
        """Return what was trained.

        Raises
        ------
        RequestError
            ModelNotExist; ModelNotReady, ModelFailed by its status; ModelFailed, too, when its
            file is damaged.
        """
        with self._lock:
            status = _status(self.model(model_id))
            if status in UNFINISHED:
                raise RequestError("ModelNotReady", "The model is not ready yet.")
            if status == "FAILED":
                raise RequestError(
                    "ModelFailed", "Model failed to be trained: get the model for its errors."
                )
            model = self._loaded.pop(model_id, None)
            if model is None:
                try:
                    model = Model.from_bytes(self._numbers(model_id).read_bytes())
                except (OSError, ValueError) as error:
                    raise RequestError(
                        "ModelFailed", f"The model's file cannot be used: {error}. Train it again."
                    ) from None
            self._loaded[model_id] = model
            if len(self._loaded) > _LOADED_MAX:
                del self._loaded[next(iter(self._loaded))]  # the one unused for longest
            return model

    def create_result(self, setup: Record) -> Record:
        """Return the record of a new result of status CREATED; those of before a week go.

        Raises
        ------
        RequestError
            TooManyRequests: as many are under way as are taken.
        """
        with self._lock:
            self._expire()
            if len(self._running_results) >= RUNNING_RESULTS_MAX:
                raise RequestError(
                    "TooManyRequests",
                    f"{RUNNING_RESULTS_MAX} detections are under way. Try again later.",
                    429,
                )
            result_id = str(uuid.uuid4())
            record = {
                "resultId": result_id,
                "summary": {
                    "status": "CREATED", "errors": [], "variableStates": [], "setupInfo": setup,
                },
                "results": [],
            }  # fmt: skip
            self._write_result(result_id, record)
            self._results[result_id] = self._clock.time_s()
            self._running_results.add(result_id)
            return _copy(record)

    def update_result(
        self, result_id: str, changed: Mapping[str, Any], results: list[Record] | None = None
    ) -> None:
        """Set fields of a result's `summary`, and its results."""
        with self._lock:
            record = self.result(result_id)
            record["summary"].update(changed)
            if results is not None:
                record["results"] = results
            self._write_result(result_id, record)
            if record["summary"]["status"] not in UNFINISHED:
                self._running_results.discard(result_id)

    def result(self, result_id: str) -> Record:
        """Return a result's record.

        Raises
        ------
        RequestError
            ResultNotExist: unknown, or older than seven days.
        """
        with self._lock:
            self._expire()
            if result_id in self._results:
                with contextlib.suppress(OSError, ValueError):
                    content = self._result(result_id).read_bytes()
                    return _as_record(content, ("resultId", "summary", "results"))
            raise RequestError("ResultNotExist", "The result does not exist.", 404)

    def _recover(self) -> None:
        """Take over what an earlier process left: all of it that can be read."""
        for folder in (self._models_folder, self._results_folder):
            for half in folder.glob(f"*{HALF_SUFFIX}"):
                half.unlink(missing_ok=True)
        ended = {
            "status": "FAILED",
            "errors": [{"code": "UnexpectedError", "message": "The server was stopped meanwhile."}],
        }
        for path in sorted(self._models_folder.glob("*.json"), key=_modified):
            with contextlib.suppress(OSError, ValueError):
                record = _as_record(path.read_bytes(), ("modelId", "lastUpdatedTime", "modelInfo"))
                self._models[path.stem] = record
                if _status(record) in UNFINISHED:
                    self.update_model(path.stem, ended)
        for path in self._models_folder.glob("*.model"):
            if path.stem not in self._models:
                path.unlink(missing_ok=True)
        for path in sorted(self._results_folder.glob("*.json"), key=_modified):
            if _ID.fullmatch(path.stem):
                self._results[path.stem] = _modified(path)
                with contextlib.suppress(RequestError):
                    if self.result(path.stem)["summary"]["status"] in UNFINISHED:
                        self.update_result(path.stem, ended)

    def _expire(self) -> None:
        oldest = self._clock.time_s() - RESULTS_KEPT_S
        for result_id in [each for each, made in self._results.items() if made < oldest]:
            self._result(result_id).unlink(missing_ok=True)
            del self._results[result_id]
            self._running_results.discard(result_id)

    def _write_model(self, model_id: str, record: Record) -> None:
        write_whole(self._record(model_id), msgspec.json.encode(record))
        self._models.pop(model_id, None)  # what was put in last stands last
        self._models[model_id] = record

    def _write_result(self, result_id: str, record: Record) -> None:
        write_whole(self._result(result_id), msgspec.json.encode(record))

    def _record(self, model_id: str) -> Path:
        return self._models_folder / f"{model_id}.json"

    def _numbers(self, model_id: str) -> Path:
        return self._models_folder / f"{model_id}.model"

    def _result(self, result_id: str) -> Path:
        return self._results_folder / f"{result_id}.json"

    def _now(self) -> str:
        return format_time(int(self._clock.time_s() * 1_000_000))


def _as_record(content: bytes, fields: tuple[str, ...]) -> Record:
    record = msgspec.json.decode(content, type=dict[str, Any])
    if any(field not in record for field in fields):
        raise ValueError("no record of this streamdet")
    return record


def _copy(record: Record) -> Record:
    return msgspec.json.decode(msgspec.json.encode(record), type=dict[str, Any])


def _status(record: Record) -> str:
    return str(record["modelInfo"]["status"])


def _modified(path: Path) -> float:
    return path.stat().st_mtime
