"""What training leaves: numbers, and a file of them that holds nothing else."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamdet.multivariate.data import AlignPolicy

VERSION = 1
_MAGIC = b"streamdet multivariate model\n"
_HEADER = "header"

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model of m variables."""

    variables: tuple[str, ...]
    sliding_window: int
    policy: AlignPolicy
    schema: str
    center: F64
    """Shape (m,): the usual value of each."""
    scale: F64
    """Shape (m,): the usual distance from it."""
    weight: F64
    sigma: F64
    limit: F64

    @property
    def history(self) -> int:
        """Rows before the first one to judge that its verdict may depend on."""
        return self.sliding_window

    def to_bytes(self) -> bytes:
        """Return the content of the model's file: magic, SHA-256 of the rest, arrays as npz."""
        header = {
            "version": VERSION,
            "variables": self.variables,
            "slidingWindow": self.sliding_window,
            "mode": self.policy.mode,
            "fill": self.policy.fill,
            "paddingValue": self.policy.padding_value,
            "schema": self.schema,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays[_HEADER] = np.frombuffer(msgspec.json.encode(header), np.uint8)
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **arrays)
        payload = content.getvalue()
        return _MAGIC + hashlib.sha256(payload).digest() + payload

    @classmethod
    def from_bytes(cls, content: bytes) -> Model:
        """Return the model of a file's content.

        Raises
        ------
        ValueError
            It is damaged, or of another version; train the model again.
        """
        payload = content[len(_MAGIC) + 32 :]
        if not content.startswith(_MAGIC):
            raise ValueError("it is no model of streamdet")
        if hashlib.sha256(payload).digest() != content[len(_MAGIC) :][:32]:
            raise ValueError("its checksum is another one")
        try:
            with np.load(io.BytesIO(payload), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header: dict[str, Any] = msgspec.json.decode(arrays.pop(_HEADER).tobytes())
            if header["version"] != VERSION:
                raise ValueError(f"it is of version {header['version']}, not {VERSION}")
            policy = AlignPolicy(header["mode"], header["fill"], header["paddingValue"])
            return cls(
                tuple(header["variables"]),
                header["slidingWindow"],
                policy,
                header["schema"],
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError, zipfile.BadZipFile, msgspec.DecodeError) as error:
            raise ValueError(f"it lacks {error}") from None


_ARRAYS = tuple(field.name for field in fields(Model) if field.type == "F64")
