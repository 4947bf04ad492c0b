"""Numbers and times in JSON text, for the point parser: (position behind, value).

Position -1 means: not sure, decode it the careful way. What follows the text is the caller's to
look at: a scan that stops at one of its bounds leaves a digit there, and the caller wants a comma.
"""

from __future__ import annotations

import numpy as np

from streamdet.kernels.jit import inlined
from streamdet.kernels.words import first_byte, not_digit, number_of, word_at

QUOTE, COLON, MINUS, PLUS, DOT = ord('"'), ord(":"), ord("-"), ord("+"), ord(".")
ZERO, SMALL_E, TEE, ZULU = ord("0"), ord("e"), ord("T"), ord("Z")

FIRST_US = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
VALUE_MAX = 1e30
"""Values of a larger magnitude are refused: state is float32, and must never overflow in it."""
LAST_US = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
NO_TIME = np.iinfo(np.int64).min

DIGITS_MAX = 900_000_000_000_000_000  # one more digit still fits an int64
TEN_TO = np.array([10**exponent for exponent in range(11)])
POWERS = np.array([float(f"1e{exponent}") for exponent in range(23)])  # all exact
SPLITTER = 2.0**27 + 1  # Dekker's: parts a double in two halves of 26 bits
# Where the words of an instant, YYYY-MM- DDTHH:MM :SS, have no digits.
_DATE, _CLOCK = np.uint64(0x80 << 32 | 0x80 << 56), np.uint64(0x80 << 16 | 0x80 << 40)
_SECONDS, _THREE_BYTES = np.uint64(0x80), np.uint64(0xFFFFFF)
_8, _24, _40, _48 = np.uint64(8), np.uint64(24), np.uint64(40), np.uint64(48)
SLACK = 2.0**-100  # above the error of a double-double product, far below a tie's distance


@inlined
def timestamp(buffer, at, end, multiplier, divisor, ticks_max):
    """Return (position behind, microseconds) of an ISO 8601 string or an integer.

    `multiplier / divisor` turns the integer to microseconds, rounded toward minus infinity;
    `ticks_max` is the largest that `multiplier` may be applied to. Division takes as long as all
    else here, so what is known is not found again, and a divisor of 1 not divided by.
    """
    if at < end and buffer[at] == QUOTE:
        return _instant(buffer, at + 1, end)
    sign = 1
    if at < end and buffer[at] == MINUS:
        sign = -1
        at += 1
    first = at
    at, ticks = _whole(buffer, at, end)
    if at == first or (buffer[first] == ZERO and at - first > 1):
        return -1, NO_TIME
    if at < end and _digit(buffer, at) >= 0:
        return -1, NO_TIME
    if (ticks if divisor == 1 else ticks // divisor) > ticks_max:  # the product may not overflow
        return -1, NO_TIME
    time = sign * ticks * multiplier
    if divisor != 1:
        time //= divisor
    return (at, time) if time >= FIRST_US else (-1, NO_TIME)


@inlined
def _instant(buffer, at, end):  # noqa: PLR0911
    """Return (position behind, microseconds) of ``YYYY-MM-DDTHH:MM:SS[.digits](Z|+HH:MM)"``."""
    if end - at < 21:
        return -1, NO_TIME
    date, clock, seconds = word_at(buffer, at), word_at(buffer, at + 8), word_at(buffer, at + 16)
    if (
        not_digit(date) != _DATE or not_digit(clock) != _CLOCK
        or not_digit(seconds) & _THREE_BYTES != _SECONDS
        or buffer[at + 4] != MINUS or buffer[at + 7] != MINUS or buffer[at + 10] != TEE
        or buffer[at + 13] != COLON or buffer[at + 16] != COLON
    ):  # fmt: skip
        return -1, NO_TIME
    year, month, day = number_of(date, 4), number_of(date >> _40, 2), number_of(clock, 2)
    hour, minute = number_of(clock >> _24, 2), number_of(clock >> _48, 2)
    second = number_of(seconds >> _8, 2)
    if (
        year < 1 or hour > 23 or minute > 59 or second > 59
        or month < 1 or month > 12 or day < 1 or day > _month_days(year, month)
    ):  # fmt: skip
        return -1, NO_TIME
    at += 19
    micros = 0
    if buffer[at] == DOT:
        word = word_at(buffer, at + 1)
        count = first_byte(not_digit(word))
        if count == 0:
            return -1, NO_TIME
        digits = min(count, 6)  # those beyond the sixth count nothing
        micros = number_of(word, digits) * TEN_TO[6 - digits]
        at += 1 + count
        if count == 8 and at < end and _digit(buffer, at) >= 0:
            at += 1
    offset_minutes = 0
    if at < end and buffer[at] == ZULU:
        at += 1
    elif at + 6 <= end and (buffer[at] == PLUS or buffer[at] == MINUS) and buffer[at + 3] == COLON:
        hours, minutes = _digits(buffer, at + 1, 2), _digits(buffer, at + 4, 2)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return -1, NO_TIME
        offset_minutes = hours * 60 + minutes
        if buffer[at] == MINUS:
            offset_minutes = -offset_minutes
        at += 6
    else:
        return -1, NO_TIME
    if at >= end or buffer[at] != QUOTE:
        return -1, NO_TIME
    minutes = (_days(year, month, day) * 24 + hour) * 60 + minute - offset_minutes
    time = (minutes * 60 + second) * 1_000_000 + micros
    return (at + 1, time) if FIRST_US <= time <= LAST_US else (-1, NO_TIME)


@inlined
def _whole(buffer, at, end):
    """Return (position behind, number) of a run of digits; it ends early at DIGITS_MAX.

    It may reach beyond `end`: then the position does, and the caller finds no comma there.
    """
    word = word_at(buffer, at)
    count = first_byte(not_digit(word))
    if count == 0:
        return at, 0
    found = number_of(word, count)
    at += count
    if count == 8:
        word = word_at(buffer, at)
        count = first_byte(not_digit(word))
        if count > 0:
            found = found * TEN_TO[count] + number_of(word, count)
            at += count
        while at < end and _digit(buffer, at) >= 0 and found <= DIGITS_MAX:
            found = found * 10 + _digit(buffer, at)
            at += 1
    return at, found


@inlined
def _digit(buffer, at):
    """Return the digit at `at`, or -1."""
    digit = np.int64(buffer[at]) - ZERO
    return digit if 0 <= digit <= 9 else -1


@inlined
def _digits(buffer, at, count):
    """Return the number that `count` digits spell, or -1."""
    number = 0
    for i in range(at, at + count):
        digit = _digit(buffer, i)
        if digit < 0:
            return -1
        number = number * 10 + digit
    return number


@inlined
def _month_days(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inlined
def _days(year, month, day):
    """Return days since 1970-01-01, counted in years that begin in March (leap day last)."""
    if month > 2:
        month -= 3
    else:
        month += 9
        year -= 1
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * month + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


@inlined
def number(buffer, at, end):
    """Return (position behind, value) of a JSON number; position -1: not sure."""
    negative = at < end and buffer[at] == MINUS
    if negative:
        at += 1
    first = at
    exponent = 0
    at, mantissa = _whole(buffer, at, end)
    if at == first or (buffer[first] == ZERO and at - first > 1):
        return -1, np.nan
    if at < end and buffer[at] == DOT:
        at += 1
        first = at
        if mantissa < TEN_TO[10]:
            word = word_at(buffer, at)
            count = first_byte(not_digit(word))
            if count > 0:
                mantissa = mantissa * TEN_TO[count] + number_of(word, count)
                at += count
        while at < end and _digit(buffer, at) >= 0 and mantissa <= DIGITS_MAX:
            mantissa = mantissa * 10 + _digit(buffer, at)
            at += 1
        if at == first:
            return -1, np.nan
        exponent = first - at
    if at < end and buffer[at] | 0x20 == SMALL_E:
        at += 1
        sign = 1
        if at < end and (buffer[at] == PLUS or buffer[at] == MINUS):
            sign = -1 if buffer[at] == MINUS else 1
            at += 1
        first = at
        power = 0
        while at < end and _digit(buffer, at) >= 0 and power < 100:
            power = power * 10 + _digit(buffer, at)
            at += 1
        if at == first:
            return -1, np.nan
        exponent += sign * power
    found = _double(mantissa, exponent)
    if np.isnan(found):
        return -1, np.nan
    return at, -found if negative else found


@inlined
def _double(mantissa, exponent):
    """Return the double nearest to mantissa * 10**exponent, NaN when not sure.

    Up to 2**53 and 10**22 both factors are exact and one operation rounds once (Clinger 1990).
    Full-precision doubles print 17 digits, which is more: for them the product or quotient is
    carried with its error (Dekker 1971) and taken if a bound on what is left cannot turn the
    rounding. Sending them all the careful way made such topics several times slower.
    """
    if exponent < -22 or exponent > 22:
        return np.nan
    power = POWERS[abs(exponent)]
    high = float(mantissa)
    low = float(mantissa - np.int64(high))
    if exponent >= 0:
        head = high * power
        tail = _product_error(high, power, head) + low * power
    else:
        head = high / power
        back = head * power
        tail = ((high - back) - _product_error(head, power, back) + low) / power
    if low == 0.0:
        return head
    below = head + (tail - head * SLACK)
    above = head + (tail + head * SLACK)
    return below if below == above else np.nan


@inlined
def _product_error(left, right, product):
    """Return left * right - product, exactly."""
    scaled = left * SPLITTER
    left_high = scaled - (scaled - left)
    left_low = left - left_high
    scaled = right * SPLITTER
    right_high = scaled - (scaled - right)
    right_low = right - right_high
    cross = (left_high * right_high - product) + left_high * right_low + left_low * right_high
    return cross + left_low * right_low
