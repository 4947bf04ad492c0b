"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

HALF_SUFFIX = ".new"
"""Of a file that is being written; one that is left over is of a crash."""


def write_whole(path: Path, content: bytes) -> None:
    """Let `content` be the file at `path`: written beside it, synced, and moved there.

    After a crash there is the old one or the new one. Raises OSError.
    """
    half = path.with_name(path.name + HALF_SUFFIX)
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
