r"""Pre-tokens found in whole arrays: the known patterns, without a regular expression.

A regular expression walks one character at a time and makes a string of each match. Here every
character becomes a kind (letter, number, white space, other) by one look-up in a table, and the
boundaries follow from comparing each character's kind with its neighbours', in a handful of passes
over small arrays. All known patterns say nearly the same; with $k_i$ the kind of character $i$:

1. A boundary stands where $k_i \ne k_{i-1}$.
2. The last character of a run of white space is apart from the rest, `\s+(?!\S)`, unless the text
   ends there. A space then joins what follows (` ?\p{L}+`); in the newer patterns it joins
   no number, and any other character that is no line break may join letters
   (`[^\r\n\p{L}\p{N}]?\p{L}+`), if a pre-token begins with it.
3. Line breaks belong to the punctuation before them (`[\r\n]*` after it); otherwise white space
   is cut after its last line break, `\s*[\r\n]+`.
4. Numbers are cut every three digits, or every one.
5. 's, 't, 're, 've, 'm, 'll and 'd are pre-tokens (GPT-2, CL100K, LLAMA3), or belong to the word
   before (O200K), where letters are also cut before a capital that follows a small letter.

These passes leave four things undecided, all under O200K: marks, a capital after a letter without
case, a slash after a line break, and contractions in a row. Text that has them is *hard*, and goes
through the regular expression. That both ways agree is a property that the tests draw examples for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from ..characters.unicode_16 import changes
from .patterns import CL100K, GPT2, LLAMA3, O200K, QWEN2, splitter

# Kinds of characters: letters first, white space last.
_LOWER, _UPPER, _UNCASED, _NUMBER, _OTHER, _MARK, _BLANK = range(7)
_CLASSES = ((_LOWER, r"\p{Ll}+"), (_UPPER, r"[\p{Lu}\p{Lt}]+"), (_UNCASED, r"[\p{Lm}\p{Lo}]+"),
            (_NUMBER, r"\p{N}+"), (_MARK, r"\p{M}+"), (_BLANK, r"\s+"))
# Groups of kinds, between which rule 1 sets boundaries: letters, numbers, the rest, white space.
_GROUPS = np.array([0, 0, 0, 1, 2, 2, 3], np.uint8)
_LETTERS, _OTHERS, _WHITE = 0, 2, 3
_APOSTROPHE, _SPACE, _LONG_S = ord("'"), ord(" "), ord("\u017f")  # (?i:s) also matches a long s


@dataclass(frozen=True)
class _Rules:
    """The differences between the known patterns."""

    digits: int = 0  # numbers are cut after so many; 0 for never
    modern: bool = True  # line breaks and the character before letters are treated as in rule 2, 3
    suffixes: bool = False  # contractions belong to the word before, and capitals cut
    whole_end: bool = False  # white space at the end of the text is not cut at line breaks


_RULES = {GPT2: _Rules(modern=False), CL100K: _Rules(3, whole_end=True), LLAMA3: _Rules(3),
          QWEN2: _Rules(1), O200K: _Rules(3, suffixes=True)}


def is_known(pattern: str) -> bool:
    """Return whether `starts` takes this pattern."""
    return pattern in _RULES


def starts(text: str, pattern: str) -> NDArray[np.intp]:
    """Return where the pre-tokens of `text` begin, in characters, ascending.

    The text must have no lone surrogates.
    """
    found = _begins(*_characters(text), _RULES[pattern]) if text and is_known(pattern) else None
    if found is None:
        pieces = splitter(pattern).split(text)
        lengths = np.fromiter(map(len, pieces), np.intp, len(pieces))
        return np.cumsum(lengths) - lengths
    return np.flatnonzero(found)


def _characters(text: str) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the code points of N characters, their kinds and their groups, (N,) each."""
    if text.isascii():
        data = text.encode()
        of_bytes = (data, data.translate(_ascii_kinds()), data.translate(_ascii_groups()))
        chars, kinds, groups = (np.frombuffer(part, np.uint8) for part in of_bytes)
        return chars, kinds, groups
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    kinds = _kinds()[points]
    return points, kinds, _GROUPS[kinds]


def byte_offsets(text: str) -> NDArray[np.intp]:
    """Return where each of N characters, and the end, lies in the text's UTF-8, shape (N + 1,)."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    sizes = 1 + (points >= 0x80).view(np.int8) + (points >= 0x800) + (points >= 0x10000)
    offsets = np.zeros(len(points) + 1, np.intp)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


@cache
def _kinds() -> NDArray[np.uint8]:
    """Return the kind of every code point in Unicode 16."""
    table = np.full(0x110000, _OTHER, np.uint8)
    points = np.arange(0x110000, dtype="<u4")
    points[0xD800:0xE000] = 0  # surrogates are no characters
    everything = points.tobytes().decode("utf-32-le")
    for kind, pattern in _CLASSES:
        for match in regex.finditer(pattern, everything):
            table[match.start():match.end()] = kind
    for chars, stand_in, _ in changes():
        table[list(map(ord, chars))] = table[ord(stand_in)]
    return table


@cache
def _ascii_kinds() -> bytes:
    ascii_table = np.full(256, _OTHER, np.uint8)
    for kind, pattern in _CLASSES:
        for match in regex.finditer(pattern, "".join(map(chr, range(128)))):
            ascii_table[match.start():match.end()] = kind
    return ascii_table.tobytes()


@cache
def _ascii_groups() -> bytes:
    return _GROUPS[np.frombuffer(_ascii_kinds(), np.uint8)].tobytes()


def _begins(chars: NDArray[Any], kinds: NDArray[np.uint8], groups: NDArray[np.uint8],
            rules: _Rules) -> NDArray[np.bool_] | None:
    """Return for each of N characters whether a pre-token begins there; None where it is hard."""
    begins = np.empty(len(chars), np.bool_)
    begins[0] = True
    np.not_equal(groups[1:], groups[:-1], out=begins[1:])  # rule 1
    white = groups == _WHITE
    ends_white = white[:-1] > white[1:]  # the last of its run, and the text goes on
    if rules.suffixes:
        if (kinds == _MARK).any():
            return None
        capital = kinds == _UPPER
        if ((kinds[:-1] == _UNCASED) & capital[1:]).any():
            return None
        begins[1:] |= (kinds[:-1] == _LOWER) & capital[1:]
    if rules.modern:
        if not _modern_white_space(begins, chars, groups, white, ends_white, rules):
            return None
    else:
        begins[:-1] |= ends_white
        begins[1:] &= ~(ends_white & (chars[:-1] == _SPACE))
    if rules.digits:
        _cut_numbers(begins, groups, rules.digits)
    return begins if _contractions(begins, chars, groups, rules) else None


def _modern_white_space(begins: NDArray[np.bool_], chars: NDArray[Any], groups: NDArray[np.uint8],
                        white: NDArray[np.bool_], ends_white: NDArray[np.bool_],
                        rules: _Rules) -> bool:
    """Rules 2 and 3, and the one character before letters; return False where it is hard."""
    breaks = (chars == 10) | (chars == 13)
    if rules.suffixes and (breaks[:-1] & (chars[1:] == ord("/"))).any():
        return False  # `[\r\n/]*` may go on
    _cut_at_line_breaks(begins, groups, white, ends_white, breaks)
    if rules.whole_end and white[-1]:
        _join_the_end(begins, groups, white, breaks)
    joins = ends_white & ~breaks[:-1]
    begins[:-1] |= joins
    letters = groups[1:] == _LETTERS
    begins[1:] &= ~(joins & (letters | ((chars[:-1] == _SPACE) & (groups[1:] == _OTHERS))))
    begins[1:] &= ~(letters & (groups[:-1] == _OTHERS) & begins[:-1])
    return True


def _cut_at_line_breaks(begins: NDArray[np.bool_], groups: NDArray[np.uint8],
                        white: NDArray[np.bool_], ends_white: NDArray[np.bool_],
                        breaks: NDArray[np.bool_]) -> None:
    first, after = _runs(breaks)
    if not len(first):
        return
    tail = (first > 0) & (groups[first - 1] == _OTHERS)
    begins[first[tail]] = False
    goes_on = np.append(white, False)[after]  # white space after the line breaks
    next_first = np.append(first[1:], len(white) + 1)
    ends = np.append(np.flatnonzero(ends_white) + 1, len(white))
    last = next_first >= ends[np.searchsorted(ends, after)]
    begins[after[goes_on & (last | tail)]] = True


def _join_the_end(begins: NDArray[np.bool_], groups: NDArray[np.uint8], white: NDArray[np.bool_],
                  breaks: NDArray[np.bool_]) -> None:
    run = len(white) - int(np.argmin(white[::-1])) if not white.all() else 0
    begins[run + 1:] = False
    if run and groups[run - 1] == _OTHERS and breaks[run]:  # these breaks are the punctuation's
        after = run + int(np.argmin(np.append(breaks[run:], False)))
        begins[after:after + 1] = True


def _cut_numbers(begins: NDArray[np.bool_], groups: NDArray[np.uint8], size: int) -> None:
    first, after = _runs(groups == 1)
    long = after - first > size
    first, count = first[long], (after[long] - first[long] - 1) // size
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    begins[np.repeat(first, count) + size * (within + 1)] = True


def _contractions(begins: NDArray[np.bool_], chars: NDArray[Any], groups: NDArray[np.uint8],
                  rules: _Rules) -> bool:
    """Rule 5; return False where it is hard."""
    at = np.flatnonzero(chars[:-1] == _APOSTROPHE)
    at = at[(at > 0) & (groups[at - 1] == _LETTERS)] if rules.suffixes else at[begins[at]]
    if not len(at):
        return True
    one, two = (chars[np.minimum(at + k, len(chars) - 1)] for k in (1, 2))
    if rules.modern:
        one, two = (np.where(c == _LONG_S, ord("s"), c | 32) for c in (one, two))
    short = np.isin(one, np.frombuffer(b"sdmt", np.uint8))
    pairs = ((one == ord("l")) & (two == ord("l"))) | (
        ((one == ord("v")) | (one == ord("r"))) & (two == ord("e")))
    pairs &= at + 2 < len(chars)
    at, after = at[short | pairs], (at + np.where(short, 2, 3))[short | pairs]
    if rules.suffixes:
        if (at[1:] == after[:-1]).any():
            return False
        begins[at] = False
    begins[at + 1] = False
    begins[after - 1] = False
    begins[after[after < len(chars)]] = True
    return True


def _runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where runs of True begin and where they are over."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return edges[::2], edges[1::2]
