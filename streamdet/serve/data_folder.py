"""Files that clients send, in the folder that a multivariate `dataSource` names files of.

A file is written beside its place under a hidden name, synced, and moved there: a training that
reads at this moment has the old one or the new one. Only plain files directly in the folder are
listed, replaced and deleted; folders and links in it are the operator's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from streamdet.errors import RequestError
from streamdet.serve.operation import Refusal

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*\.(csv|zip)$"
NAME_CHARACTERS_MAX = 128
_NAME = re.compile(NAME_PATTERN, re.ASCII)
_HALF = ".streamdet-upload"
_ABANDONED_S = 3600.0
"""No upload that lives is as long without a byte; it is what a crash has left."""
_UPLOADS_AT_ONCE = 4
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was sent."""

    name: str
    size_bytes: int
    replaced: bool
    """Whether there was one of its name."""


class DataFolder:
    """Keeps files.

    Parameters
    ----------
    folder
        Where; made when the first file comes. None: no file is taken.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._n_uploads = 0

    async def put(self, name: str, blocks: AsyncIterator[bytes]) -> Stored:
        """Keep a file as a whole, or nothing of it.

        Raises
        ------
        Refusal
            400 for its name, 403 without a folder or the right to write there, 409 where a folder
            or link has the name, 503 where too many files are sent, 507 on a full disk; and what
            `blocks` raises.
        """
        place = self._place(name)
        if self._n_uploads >= _UPLOADS_AT_ONCE:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "ServerBusy",
                f"{_UPLOADS_AT_ONCE} files are being sent. Try again in 1 s.",
                {"Retry-After": "1"},
            )
        half = place.with_name(f".{name}.{secrets.token_hex(8)}{_HALF}")
        self._n_uploads += 1
        size_bytes = 0
        try:
            with _told():
                # the disk may be slow: not on the event loop
                with await asyncio.to_thread(_begin, half, place) as file:
                    async for block in blocks:
                        size_bytes += await asyncio.to_thread(file.write, block)
                    await asyncio.to_thread(_sync, file)
                replaced = await asyncio.to_thread(_move, half, place)
        finally:
            self._n_uploads -= 1
            with contextlib.suppress(OSError):
                half.unlink()
        return Stored(name, size_bytes, replaced)

    def sizes(self) -> list[tuple[str, int]]:
        """Return the files by name, and their bytes. Raises Refusal, 403, without a folder."""
        found = []
        with _told(), contextlib.suppress(FileNotFoundError), os.scandir(self._given()) as entries:
            for entry in entries:
                if _is_name(entry.name) and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # gone in the meantime
                        found.append((entry.name, entry.stat().st_size))
        return sorted(found)

    def delete(self, name: str) -> None:
        """Delete a file.

        Raises
        ------
        Refusal
            404 where there is no plain file of this name; 403 as of `put`.
        """
        place = self._place(name)
        with _told():
            try:
                if _is_plain(place):
                    place.unlink()
                    return
            except FileNotFoundError:
                pass
        raise Refusal(
            HTTPStatus.NOT_FOUND,
            "FileNotExist",
            f"File {name!r} does not exist. GET /v1/data lists those there are.",
        )

    def _given(self) -> Path:
        if self._folder is None:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                "NoDataFolder",
                "This server has no folder for data: its operator sets serve.data_folder.",
            )
        return self._folder

    def _place(self, name: str) -> Path:
        folder = self._given()
        if not _is_name(name):
            raise RequestError(
                "InvalidFileName",
                f"A name is at most {NAME_CHARACTERS_MAX} letters, digits and ._-, begins with "
                "none of .- and ends with .csv or .zip.",
            )
        return folder / name


def _is_name(text: str) -> bool:
    return len(text) <= NAME_CHARACTERS_MAX and _NAME.fullmatch(text) is not None


def _is_plain(place: Path) -> bool:
    return stat.S_ISREG(place.lstat().st_mode)


def _begin(half: Path, place: Path) -> BinaryIO:
    """Open the file that becomes `place`; take away what a crash has left of others."""
    place.parent.mkdir(parents=True, exist_ok=True)
    _is_free(place)
    long_ago_s = time.time() - _ABANDONED_S
    for left in place.parent.glob(f".*{_HALF}"):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < long_ago_s:
                left.unlink()
    return half.open("xb")


def _is_free(place: Path) -> bool:
    """Return whether there is no file; raises Refusal where there is another thing."""
    try:
        if _is_plain(place):
            return False
    except FileNotFoundError:
        return True
    raise Refusal(
        HTTPStatus.CONFLICT,
        "NotAFile",
        f"{place.name!r} is a folder or link of the server's operator. Choose another name.",
    )


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _move(half: Path, place: Path) -> bool:
    """Return whether there was a file before."""
    replaced = not _is_free(place)
    half.replace(place)
    return replaced


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell the client of errors that its operator, and not we, can mend."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Refusal(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "InsufficientStorage",
                "The server's disk is full. Delete files, or tell its operator.",
            ) from None
        if error.errno in _FORBIDDEN:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                "DataFolderNotWritable",
                "The server may not do this in its data folder: its operator gives the right.",
            ) from None
        raise
