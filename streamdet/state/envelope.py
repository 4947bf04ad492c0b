"""The outside of a state record: magic, version, checksum, and a compressed payload. docs/state.md.

Magic, version and checksum stay where they are in every version of the format, so a reader tells
a broken record from one that is too new for it.
"""

from __future__ import annotations

import struct
import zlib

import zstandard

from streamdet.errors import Damage, StateCorrupt

MAGIC = b"SDST"
VERSION = 1
SIZE_MAX_BYTES = 64 << 20
"""Of a payload, uncompressed."""

_HEAD = struct.Struct("<4sBI")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LEVEL = 1  # level 3 took up to three times as long, and a twentieth off at best


def seal(payload: bytes) -> bytes:
    """Return the record's value for a payload of at most SIZE_MAX_BYTES."""
    assert len(payload) <= SIZE_MAX_BYTES, "a reader refuses larger ones: make smaller chunks"
    frame = zstandard.ZstdCompressor(
        level=_LEVEL, write_checksum=True, write_content_size=True
    ).compress(payload)
    return _HEAD.pack(MAGIC, VERSION, zlib.crc32(frame)) + frame


def unseal(value: bytes, size_max_bytes: int = SIZE_MAX_BYTES) -> bytes:
    """Return the payload of a record's value.

    Raises StateCorrupt. Memory: the payload's size, which is looked at before anything is
    allocated, and is at most `size_max_bytes`.
    """
    if len(value) < _HEAD.size:
        raise StateCorrupt(Damage.TORN, f"it ends after {len(value)} bytes, within its head")
    magic, version, checksum = _HEAD.unpack_from(value)
    if magic != MAGIC:
        raise StateCorrupt(
            Damage.FOREIGN, f"it begins with {magic!r} and not with {MAGIC!r}: not a state record"
        )
    frame = value[_HEAD.size :]
    found = zlib.crc32(frame)
    if found != checksum:
        raise StateCorrupt(
            Damage.CHECKSUM,
            f"the CRC-32 of its {len(frame)} bytes is {found:08x}, and should be {checksum:08x}: "
            "it was cut or changed",
        )
    if version != VERSION:
        what = "a newer streamdet wrote it" if version > VERSION else "no streamdet wrote that"
        raise StateCorrupt(
            Damage.VERSION, f"format version {version}, {what}; this one reads version {VERSION}"
        )
    return _decompressed(frame, size_max_bytes)


def _decompressed(frame: bytes, size_max_bytes: int) -> bytes:
    if not frame.startswith(_ZSTD_MAGIC):
        raise StateCorrupt(Damage.INCONSISTENT, "no zstandard frame follows its head")
    try:
        declared = zstandard.get_frame_parameters(frame)
        size = declared.content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            raise StateCorrupt(Damage.INCONSISTENT, "its frame does not declare a size")
        if size > size_max_bytes:
            raise StateCorrupt(
                Damage.TOO_LARGE,
                f"its payload would have {size} bytes, and at most {size_max_bytes} are taken",
            )
        if not declared.has_checksum:
            raise StateCorrupt(Damage.INCONSISTENT, "its frame has no checksum of its content")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise StateCorrupt(Damage.INCONSISTENT, f"its frame cannot be read: {error}") from None
