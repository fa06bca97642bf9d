r"""JSON text as expressions: strings, numbers in a range, fields of an object, any value.

The layout is that of json.dumps, with or without the space behind a comma and a colon, and no other
white space: a model could write that without end. A string is made of its decoded text, of which
each character stands for its writings (RFC 8259, section 7). These are

    printable ASCII             itself, but for \" and \\
    the control characters      \b \f \n \r \t, the others \u00XX
    U+007F and above            itself or \uXXXX, above U+FFFF two of these

and no others; a lone surrogate has none. No writing begins another, and each is of one character,
so the writings of an intersection are the intersection of the writings.

A number has at most 20 digits before its point and 20 behind it. An exponent, from -329 to 307,
stands behind one digit and its fraction, so that each number is finite in float64; a number with
a bound has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ...host.errors import UserError
from .expressions import (
    ANYTHING,
    EMPTY,
    Both,
    Characters,
    Choice,
    Expression,
    Ranges,
    Repeat,
    Row,
    complement,
    literal,
    parse,
)

DIGITS = 20
_LISTED = 1_000  # multiples
_EXACT = 15  # decimal digits that float64 tells apart (Goldberg 1991, theorem 15)

_SPACE = Repeat(literal(" "), 0, 1)
COMMA, COLON = Row((literal(","), _SPACE)), Row((literal(":"), _SPACE))
TRUTH, NULL = Choice((literal("true"), literal("false"))), literal("null")
INTEGER = parse(rf"-?[1-9][0-9]{{0,{DIGITS - 1}}}|0")
NUMBER = parse(rf"-?(0|[1-9][0-9]{{0,{DIGITS - 1}}})(\.[0-9]{{1,{DIGITS}}})?|-?[1-9]"
               rf"(\.[0-9]{{1,{DIGITS}}})?[eE]([+-]?([0-9]{{1,2}}|[12][0-9][0-9]|30[0-7])"
               r"|-3[0-2][0-9])")

_PLAIN = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E))  # characters with one writing, of one byte
_SIGNS = "0123456789abcdefABCDEF"
_SHORT = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}


def string(texts: Expression) -> Expression:
    """Return the JSON strings that stand for the texts."""
    return Row((literal('"'), _written(texts), literal('"')))


def _written(texts: Expression) -> Expression:
    match texts:
        case Characters(ranges):
            return _writings(ranges)
        case Row(parts):
            return Row(tuple(map(_written, parts)))
        case Choice(options):
            return Choice(tuple(map(_written, options)))
        case Repeat(part, least, most):
            return Repeat(_written(part), least, most)
        case Both(first, second):
            return Both(_written(first), _written(second))


@lru_cache(maxsize=1024)
def _writings(ranges: Ranges) -> Expression:
    """Return the writings of one character of the ranges."""
    def of(*kind: tuple[int, int]) -> Ranges:
        return complement((*complement(ranges), *complement(kind)))

    short = [code for code, letter in _SHORT.items() if of((code, code))]
    escapes: list[Expression] = [_one_of(ord(_SHORT[code]) for code in short)] if short else []
    if escaped := of((0, 7), (11, 11), (14, 0x1F), (0x7F, 0xD7FF), (0xE000, 0xFFFF)):
        escapes.append(Row((literal("u"), _digits(escaped, 4, 4, 16))))
    for first, last in of((0x10000, 0x10FFFF)):
        for a, b in _rectangles(first - 0x10000, last - 0x10000):
            high = 0xD800 + (a >> 10), 0xD800 + (b >> 10)
            low = 0xDC00 + a % 1024, 0xDC00 + b % 1024
            escapes.append(Row((literal("u"), _digits((high,), 4, 4, 16), literal("\\u"),
                                _digits((low,), 4, 4, 16))))
    options: list[Expression] = [Row((literal("\\"), _choice(escapes)))] if escapes else []
    if raw := of((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, 0x10FFFF)):
        options.append(Characters(raw))
    return _choice(options)


def _rectangles(first: int, last: int) -> list[tuple[int, int]]:
    """Return parts of a range of 20-bit numbers, of each of which the halves are independent."""
    if first >> 10 == last >> 10:
        return [(first, last)]
    start, end = -(-first // 1024) * 1024, (last + 1) // 1024 * 1024
    return [(a, b) for a, b in ((first, start - 1), (start, end - 1), (end, last)) if a <= b]


def _digits(ranges: Ranges, size: int, least: int, base: int = 10) -> Expression:
    """Return the numbers of the ranges, in `size` digits; zeros behind `least` of them may miss."""
    unit, any_digit = base ** (size - 1), _one_of(map(ord, _SIGNS[:22 if base == 16 else 10]))
    if ranges == ((0, base * unit - 1),):  # a row has fewer states than a repetition
        return Row((any_digit,) * size) if least == size else Repeat(any_digit, least, size)
    behind: dict[Ranges, list[int]] = {}  # digits by the ranges of what may follow
    for digit in range(base):
        start = digit * unit
        rest = tuple((max(first - start, 0), min(last - start, unit - 1))
                     for first, last in ranges if first - start < unit and last >= start)
        behind.setdefault(rest, []).append(digit)
    options = [Row((_one_of(ord(sign) for d in digits for sign in {_SIGNS[d], _SIGNS[d].upper()}),
                    _digits(rest, size - 1, max(least - 1, 0), base) if size > 1 else EMPTY))
               for rest, digits in behind.items() if rest]
    return _choice([*options, EMPTY] if not least and ranges[0][0] == 0 else options)


def _one_of(codes: Iterable[int]) -> Characters:
    return Characters(complement(complement((code, code) for code in codes)))


def _choice(options: Sequence[Expression]) -> Expression:
    return options[0] if len(options) == 1 else Choice(tuple(options))


def numbers(low: float | None, high: float | None, above: float | None, below: float | None,
            of: int | None) -> Expression | None:
    r"""Return the numbers x with low <= x <= high and above < x < below; None if there is none.

    of: they are its multiples, whole numbers where it is 1. UserError where these are too many.

    With k digits behind the point, $10^k x$ is a whole number, and the bounds become whole ones.
    Rounding to float64 is monotone, so a text within the digits of `low` and `high` is read as a
    float that is there too; whole texts are read exactly, and so are whole bounds. A text could be
    rounded to `above`, if that is not 0, unless $10^{-k}$ is more than the distance of floats
    there: k is 15 less the digits of `above` before its point.
    """
    strict = [len(str(int(abs(bound)))) for bound in (above, below) if bound]
    k = 0 if of else max(0, min([DIGITS, *(_EXACT - size for size in strict)]))
    unit = 10**k
    least, most = [1 - 10**DIGITS * unit], [10**DIGITS * unit - 1]
    if low is not None:
        least.append(math.ceil(_exact(low) * unit))
    if high is not None:
        most.append(math.floor(_exact(high) * unit))
    if above is not None:
        least.append(math.floor(_exact(above) * unit) + 1)
    if below is not None:
        most.append(math.ceil(_exact(below) * unit) - 1)
    first, last = max(least), min(most)
    options = [_size(max(0, first), last, k)] if max(0, first) <= last else []
    if first <= min(-1, last):
        options.append(Row((literal("-"), _size(max(1, -last), -first, k))))
    if not options:
        return None
    found = _choice(options)
    return found if of in (None, 1) else _multiples(of, first, last, found)


def _exact(bound: float) -> Fraction:
    return Fraction(bound if bound == int(bound) else str(bound))


def _multiples(of: int, first: int, last: int, within: Expression) -> Expression | None:
    """Return the multiples of a whole number in a range: one by one, or by their last digits."""
    least, most = -(-first // of), last // of
    if most - least < _LISTED:
        found = [literal(str(of * n)) for n in range(least, most + 1)]
        return _choice(found) if found else None
    size = next((k for k in range(4) if 10**k % of == 0), None)
    if size is None:
        raise UserError(f"multipleOf {of} is not supported for as many numbers: take one that "
                        f"divides 1000, or bounds that at most {_LISTED} multiples lie between")
    short = [literal(str(n)) for n in range(0, 10**size, of)]
    ends = [literal(f"{n:0{size}}") for n in range(0, 10**size, of)]
    long = Row((Repeat(_one_of(map(ord, _SIGNS[:10])), 1, None), _choice(ends)))
    return Both(within, Row((Repeat(literal("-"), 0, 1), _choice([*short, long]))))


def _size(first: int, last: int, k: int) -> Expression:
    """Return n / 10**k for each n from `first` to `last`, both at least 0."""
    if not k:
        return _choice([
            _digits(((max(first, 10 ** (n - 1) if n > 1 else 0), min(last, 10**n - 1)),), n, n)
            for n in range(len(str(first)), len(str(last)) + 1)])
    (a, low), (b, high), most = divmod(first, 10**k), divmod(last, 10**k), 10**k - 1
    spans = [(a, a, low, high)] if a == b else [
        (a, a, low, most), (a + 1, b - 1, 0, most), (b, b, 0, high)]
    return _choice([
        Row((_size(start, end, 0),
             Repeat(Row((literal("."), _digits(((lowest, highest),), k, 1))), int(lowest > 0), 1)))
        for start, end, lowest, highest in spans if start <= end])


def separated(items: Iterable[Expression]) -> Expression:
    """Return the items, all of them, with commas between."""
    return Row(tuple(part for item in items for part in (COMMA, item))[1:])


def pair(key: str, value: Expression) -> Expression:
    """Return an object's key and its value."""
    return Row((string(literal(key)), COLON, value))


def value(given: Any) -> Expression:
    """Return one JSON value; a whole float has its point or not."""
    match given:
        case str():
            return string(literal(given))
        case list():
            return Row((literal("["), separated(map(value, given)), literal("]")))
        case dict():
            pairs = (pair(key, value(item)) for key, item in given.items())
            return Row((literal("{"), separated(pairs), literal("}")))
        case float() if given.is_integer():
            return Choice((literal(repr(given)), literal(str(int(given)))))
    return literal(json.dumps(given))


def fields(given: Sequence[tuple[Expression, bool]]) -> Expression:
    """Return an object's fields in order, with commas between; one with False may miss."""
    first = next((k for k, (_, required) in enumerate(given) if required), len(given))
    before, after = [field for field, _ in given[:first]], given[first + 1:]
    if first == len(given):
        return Repeat(_some(before), 0, 1) if before else EMPTY
    return Row((*(Repeat(Row((field, COMMA)), 0, 1) for field in before), given[first][0],
                *(Repeat(Row((COMMA, field)), int(required), 1) for field, required in after)))


def _some(given: list[Expression]) -> Expression:
    """Return at least one of the fields: the first half has one, or the second half alone."""
    if len(given) == 1:
        return given[0]
    half = len(given) // 2
    after = [Repeat(Row((COMMA, field)), 0, 1) for field in given[half:]]
    return Choice((Row((_some(given[:half]), *after)), _some(given[half:])))


def other_texts(names: Iterable[str]) -> Expression:
    """Return the texts that are none of the names.

    Each begins as some name does and then differs, or is at its end. Characters that JSON may
    escape take many states, so beginnings behind which the same ones differ share them.
    """
    after: dict[str, set[int]] = {"": set()}
    ends = {*names}
    for name in dict.fromkeys(names):
        for place, char in enumerate(name):
            after.setdefault(name[:place], set()).add(ord(char))
            after.setdefault(name[:place + 1], set())
    differing: dict[Characters, list[Row]] = {}
    for plain in (complement(complement(_PLAIN)), complement(_PLAIN)):
        for start, nexts in after.items():
            kind = Characters(complement((*complement(plain), *((c, c) for c in nexts))))
            differing.setdefault(kind, []).append(literal(start))
    begun = [Row((Choice(tuple(starts)), kind)) for kind, starts in differing.items()]
    return Choice((Row((Choice(tuple(begun)), ANYTHING)),
                   *(literal(start) for start in after if start not in ends)))
