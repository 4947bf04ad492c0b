"""The state of series in one local file: the records that a worker sends to its state topic.

There is no input to replay here, so all chunks have to be of one offset: the file is written as a
whole, beside its place, synced, and moved there. After a crash there is the old one or the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec

from streamdet.errors import ConfigError
from streamdet.files import write_whole
from streamdet.snapshot import load, take
from streamdet.task import Task
from streamdet.types import Partition, Record

log = logging.getLogger(__name__)

_FORMAT = 1
_TOPIC = "state"


class _File(msgspec.Struct, array_like=True):
    format: int
    next_offset: int
    """Of the next point."""
    records: dict[bytes, bytes]
    """Key -> value."""


class StateFile:
    """Keeps the state of one task.

    Parameters
    ----------
    path
        Its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[bytes, bytes] = {}

    def load_into(self, task: Task) -> None:
        """Put into a task, which must be new, what the file holds; without one, nothing.

        Raises
        ------
        ConfigError
            The file cannot be read, or is none of ours: to go on would mean to overwrite it.
        """
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from None
        try:
            file = msgspec.msgpack.decode(content, type=_File)
        except msgspec.MsgspecError as error:
            raise ConfigError(
                f"{self._path}: is damaged ({error}); move it away to begin without state"
            ) from None
        if file.format != _FORMAT:
            raise ConfigError(
                f"{self._path}: is of format {file.format}, and this streamdet knows {_FORMAT}; "
                "use the version that wrote it, or move it away to begin without state"
            )
        self._records = file.records
        for found in load(task, self._as_read(), file.next_offset):
            restored = found
        for problem in restored.problems:
            log.warning("%s: %s", self._path, problem)
        task.next_offset = file.next_offset
        task.end_replay()
        log.info("state of %d series restored from %s", task.store.n_series, self._path)

    def save(self, task: Task) -> None:
        """Write what the task knows. An OSError is told, and the next call tries again."""
        for record in take(task, _TOPIC, budget_bytes=2**62):
            assert record.key is not None
            if record.value is None:
                self._records.pop(record.key, None)
            else:
                self._records[record.key] = record.value
        content = msgspec.msgpack.encode(_File(_FORMAT, task.next_offset or 0, self._records))
        try:
            write_whole(self._path, content)
        except OSError as error:
            # the next turn tries again; a traceback would say no more
            log.warning("%s: the state cannot be written: %s", self._path, error.strerror)
            return
        task.changed = False

    def _as_read(self) -> Iterator[Record]:
        place = Partition(_TOPIC, 0)
        for offset, (key, value) in enumerate(self._records.items()):
            yield Record(place, offset, -1, key, value)
