"""Ask for memory before it is needed: one point a series a tick comes from another row each time.

The rows of a hundred thousand series are larger than any cache, and the work on one point is too
long for the processor to look ahead to the next by itself. Without these hints a point waits for
each line of its row in turn, which took three times as long.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from streamdet.kernels.header import LINE_BYTES


def _hint(builder, view, offset_bytes):
    """Emit a hint: the line so far behind the start of an array will be written, keep it."""
    place = builder.gep(builder.bitcast(view.data, cgutils.voidptr_t), [offset_bytes])
    flags = [cgutils.int32_t(flag) for flag in (1, 3, 1)]  # write, to every cache, data
    kind = ir.FunctionType(ir.VoidType(), [place.type, *(flag.type for flag in flags)])
    hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(hint, [place, *flags])


def _prefetch_row(typingctx, rows, index):
    n_lines = -(-rows.dtype.size // LINE_BYTES)

    def emit(context, builder, signature, arguments):
        view = context.make_array(rows)(context, builder, arguments[0])
        stride = cgutils.unpack_tuple(builder, view.strides, 1)[0]
        start = builder.mul(arguments[1], stride)
        for line in range(n_lines):
            _hint(builder, view, builder.add(start, stride.type(line * LINE_BYTES)))
        return context.get_dummy_value()

    return types.void(rows, types.intp), emit


def _prefetch_place(typingctx, ring, row, column):
    def emit(context, builder, signature, arguments):
        view = context.make_array(ring)(context, builder, arguments[0])
        strides = cgutils.unpack_tuple(builder, view.strides, 2)
        along = [builder.mul(at, stride) for at, stride in zip(arguments[1:], strides, strict=True)]
        _hint(builder, view, builder.add(*along))
        return context.get_dummy_value()

    return types.void(ring, types.intp, types.intp), emit


def _prefetch_bytes(typingctx, buffer, at, size):
    def emit(context, builder, signature, arguments):
        view = context.make_array(buffer)(context, builder, arguments[0])
        first, size = arguments[1:]
        _hint(builder, view, first)
        _hint(builder, view, builder.add(first, size))
        return context.get_dummy_value()

    return types.void(buffer, types.intp, types.intp), emit


def _nothing(*arguments):
    """Stand in where nothing is compiled: a hint changes no result."""


_compiled = not getattr(config, "DISABLE_JIT", False)

prefetch_row: Any = intrinsic(_prefetch_row) if _compiled else _nothing
"""``prefetch_row(rows, index)``: record[s] and an index within it, not negative."""
prefetch_place: Any = intrinsic(_prefetch_place) if _compiled else _nothing
"""``prefetch_place(ring, row, column)``: float32[s, length] and a place within it, likewise."""
prefetch_bytes: Any = intrinsic(_prefetch_bytes) if _compiled else _nothing
"""``prefetch_bytes(buffer, at, size)``: uint8[s], no more than two lines of it."""
