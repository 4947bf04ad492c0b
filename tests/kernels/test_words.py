"""Words of text: the compiled ones and their twins agree with what stands in the bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamdet.kernels import words
from streamdet.kernels.jit import kernel

bytes_of_text = (
    st.sampled_from(range(0x20, 0x7F)) | st.sampled_from(b"0123456789") | st.integers(0, 255)
)
texts = st.lists(bytes_of_text, min_size=8, max_size=8).map(bytes)
halves = st.integers(0, 2**64 - 1)


@kernel
def marked(buffer, at):
    word = words.word_at(buffer, at)
    plain, digits = words.not_plain(word), words.not_digit(word)
    return word, words.first_byte(plain), words.first_byte(digits)


@kernel
def spelled(buffer, at, count):
    return words.number_of(words.word_at(buffer, at), count)


@kernel
def folded(left, right):
    return words.folded_product(left, right)


def first(text: bytes, fits) -> int:
    return next((at for at, byte in enumerate(text) if not fits(byte)), 8)


@given(texts, st.integers(0, 9))
def test_the_first_byte_that_is_not_plain_or_no_digit_is_found(text, at):
    buffer = np.frombuffer(b"\xff" * at + text + bytes(8), np.uint8)
    plain = first(text, lambda byte: 0x20 <= byte < 0x7F and byte not in b'"\\')
    digits = first(text, lambda byte: byte in b"0123456789")
    assert marked(buffer, at) == (int.from_bytes(text, "little"), plain, digits)


@given(st.from_regex(r"[0-9]{1,8}", fullmatch=True), texts)
def test_a_number_is_what_its_digits_spell(number, rest):
    buffer = np.frombuffer(number.encode() + rest, np.uint8)
    assert spelled(buffer, 0, len(number)) == int(number)


@given(halves, halves)
def test_a_product_is_folded_at_its_middle(left, right):
    expected = (left * right >> 64) ^ (left * right & (2**64 - 1))
    for fold in (folded, words._plain_folded_product):
        assert int(fold(np.uint64(left), np.uint64(right))) == expected


@given(texts, halves)
def test_the_twins_that_are_not_compiled_agree(text, marks):
    buffer = np.frombuffer(text, np.uint8)
    assert int(words._plain_word_at(buffer, 0)) == int.from_bytes(text, "little")
    low = marks & -marks
    assert words._plain_first_byte(np.uint64(marks)) == (low.bit_length() - 1) // 8 if marks else 8
