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
SETTLING = 100  # rows in which sums are as if they had always been added up
_MAGIC = b"streamdet multivariate model\n"
_HEADER = "header"
_DIGEST_BYTES = 32

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model of m variables.

    It judges c channels. A channel is a variable some rows ago, as far as the other variables
    tell it: one of delay 0 for each variable, and one more of a variable that others follow.
    """

    variables: tuple[str, ...]
    sliding_window: int
    policy: AlignPolicy
    schema: str
    center: F64
    """Shape (m,): the usual value of each."""
    scale: F64
    """Shape (m,): the usual distance from it."""
    channel: I64
    """Shape (c, 2): variable and delay in rows."""
    lags: I64
    """Shape (k,): ascending, how many rows ago others are looked at."""
    weight: F64
    """Shape (k, m, c): of each other variable at each lag."""
    offset: F64
    """Shape (c,)"""
    basis: F64
    """Shape (m, q): what the q strongest directions are made of."""
    curved: F64
    """Shape (p, c): weights of the bent terms; 0 where they bring nothing."""
    curved_offset: F64
    """Shape (c,)"""
    spread: F64
    """Shape (b, c): the usual residual, by the distance from the middle of the training."""
    distances: F64
    """Shape (b, c): the distances of `spread`."""
    memory: F64
    """Shape (3, c): autoregression of the residuals."""
    shock: F64
    """Shape (c,): the usual size of what is left by it."""
    usual: F64
    """Shape (c, s): of each statistic, what one row in ten exceeds."""
    rate: F64
    """Shape (c, s): by how much its log probability falls with each unit more."""
    ceiling: F64
    """Shape (c, s): where a statistic stops growing, so that it can come down again."""
    limit: F64
    """Shape (1,): the evidence from which on a row is anomalous."""
    jump: F64
    """Shape (m,): the step of a variable from row to row that is anomalous by itself."""

    @property
    def reach(self) -> int:
        """Rows before a row that its residual depends on."""
        return int(max(self.lags.max(), self.channel[:, 1].max()))

    @property
    def history(self) -> int:
        """Rows before the first one to judge that its verdict may depend on."""
        return self.sliding_window + self.reach + SETTLING

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
        begin = len(_MAGIC) + _DIGEST_BYTES
        digest, payload = content[len(_MAGIC) : begin], content[begin:]
        if not content.startswith(_MAGIC):
            raise ValueError("it is no model of streamdet")
        if hashlib.sha256(payload).digest() != digest:
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
        except (KeyError, TypeError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
            raise ValueError(f"it lacks {error}") from None


_ARRAYS = tuple(field.name for field in fields(Model) if field.type in ("F64", "I64"))
