"""Eight bytes of text at a time, as one integer: the first byte is the lowest.

Every function here has a twin that is compiled nowhere, so that kernels run as plain Python too.
Sums and products are such that nothing wraps around.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from streamdet.kernels.jit import inlined

WORD_BYTES = 8
"""A buffer that words are read of has so many bytes behind its last text."""

_U = np.uint64
_EACH = 0x0101010101010101  # a byte times this stands in all eight places
_HIGH = _U(0x80 * _EACH)
_SEVEN_BITS = _U(0x7F * _EACH)
_QUOTES, _BACKSLASHES = _U(ord('"') * _EACH), _U(ord("\\") * _EACH)
_ZEROS = _U(ord("0") * _EACH)
_FROM_BLANK = _U((0x80 - 0x20) * _EACH)
_ONES = _U(_EACH)
_FROM_TEN = _U((0x80 - 10) * _EACH)
_PAIRS, _FOURS = _U(0x00FF00FF00FF00FF), _U(0x0000FFFF0000FFFF)
_LOW_HALF = _U(0xFFFFFFFF)
_10, _100, _10000 = _U(10), _U(100), _U(10_000)
_8, _16, _32, _64 = _U(8), _U(16), _U(32), _U(64)


def _word_at(typingctx, buffer, at):
    def emit(context, builder, signature, arguments):
        view = context.make_array(buffer)(context, builder, arguments[0])
        place = builder.gep(builder.bitcast(view.data, cgutils.voidptr_t), [arguments[1]])
        word = ir.IntType(64)
        return builder.load(builder.bitcast(place, word.as_pointer()), align=1)

    return types.uint64(buffer, types.intp), emit


def _first_byte(typingctx, marks):
    def emit(context, builder, signature, arguments):
        word = ir.IntType(64)
        count = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.lshr(count, ir.Constant(word, 3))

    return types.int64(types.uint64), emit


def _folded_product(typingctx, left, right):
    def emit(context, builder, signature, arguments):
        word, wide = ir.IntType(64), ir.IntType(128)
        left, right = (builder.zext(each, wide) for each in arguments)
        product = builder.mul(left, right)
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return builder.xor(builder.trunc(product, word), high)

    return types.uint64(types.uint64, types.uint64), emit


def _plain_word_at(buffer, at):
    return _U(int.from_bytes(buffer[at : at + WORD_BYTES].tobytes(), "little"))


def _plain_first_byte(marks):
    bits = int(marks)
    return ((bits & -bits).bit_length() - 1) // 8 if bits else 8


def _plain_folded_product(left, right):
    product = int(left) * int(right)
    return _U((product & (2**64 - 1)) ^ (product >> 64))


_compiled = not getattr(config, "DISABLE_JIT", False)

word_at: Any = intrinsic(_word_at) if _compiled else _plain_word_at
"""``word_at(buffer, at)``: the word that begins at `at`, on no boundary of memory's."""
first_byte: Any = intrinsic(_first_byte) if _compiled else _plain_first_byte
"""``first_byte(marks)``: the place of the first byte with a bit set, 0 to 7; 8: none has."""
folded_product: Any = intrinsic(_folded_product) if _compiled else _plain_folded_product
"""``folded_product(left, right)``: the two halves of the product of 128 bits, one xor the other."""


@inlined
def not_plain(word):
    """Mark the bytes that are no printable ASCII, or a quote or backslash."""
    low = word & _SEVEN_BITS
    plain = (
        (low + _FROM_BLANK) & ((low ^ _QUOTES) + _SEVEN_BITS) & ((low ^ _BACKSLASHES) + _SEVEN_BITS)
    )
    return (word | (low + _ONES) | ~plain) & _HIGH


@inlined
def not_digit(word):
    """Mark the bytes that are no decimal digit."""
    digits = word ^ _ZEROS
    return (digits | ((digits & _SEVEN_BITS) + _FROM_TEN)) & _HIGH


@inlined
def number_of(word, count):
    """Return the number that the first `count` bytes of a word, 1 to 8 digits, spell."""
    # From the end of the word, with zeros before; then neighbours in pairs, fours, and the whole.
    digits = (word ^ _ZEROS) << (_64 - _8 * _U(count))
    digits = (digits & _PAIRS) * _10 + ((digits >> _8) & _PAIRS)
    digits = (digits & _FOURS) * _100 + ((digits >> _16) & _FOURS)
    return np.int64((digits & _LOW_HALF) * _10000 + (digits >> _32))
