"""Unicode as it was when the published vocabularies were made, not as Python's tables have it.

Each version of Unicode adds characters: letters with a lower case, marks, decompositions. Python's
tables are of its own release (14 in Python 3.11, 16 in 3.14), so a tokenizer that just asked them
would give other ids after an update. The tokenizers that vocabularies were made with, and are run
by, have normal forms of Unicode 9, general categories (in BERT's rules) of Unicode 8, grapheme
clusters of Unicode 16 and lower case of Unicode 17; what patterns match is in `unicode_16`. Here
are the differences: the characters of versions up to 18 that were no marks, no format controls and
had no decomposition then. A test compares all 1,112,064 characters.

Characters of the future behave as Python knows them, until they are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal
from unicodedata import category, combining, normalize

import regex

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_ABOVE = re.compile("[\U00010000-\U0010ffff]")


class Characters:
    """A set of characters that says 100 times faster than `re` whether a text has any of them.

    `re` looks up a character below U+10000 in a table, and compares one above range by range.
    """

    def __init__(self, points: Iterable[int]) -> None:
        self.all = frozenset(map(chr, points))
        below = sorted(char for char in self.all if char < "\U00010000")
        self.below = re.compile(f"[{''.join(map(re.escape, below))}]" if below else "(?!)")

    def has_any_of(self, text: str) -> bool:
        """Return whether a character of `text` is in the set."""
        return bool(self.below.search(text)) or not self.all.isdisjoint(_ABOVE.findall(text))


def points(ranges: str) -> list[int]:
    """Return the code points in `ranges`, such as "7fd 8ca-8d3"."""
    ends = [[int(end, 16) for end in part.split("-")] for part in ranges.split()]
    return [point for first, *last in ends for point in range(first, (last or [first])[0] + 1)]


_LATER_THAN_9 = points("""
    558 58b-58c 5c8-5c9 7fd 890-891 897-89f 8ca-8d3 9fe afa-aff b53-b55 c04 c3c cf3 d00 d3b-d3c
    d81 eba ece 1715 180f 1abf-1af0 1cf7 1df6-1dfa 209d-209f 32ff a7f1-a7f4 a82c a8ff ab69 105c9
    105d2 105da 105e4 10781-10785 10787-107b0 107b2-107bf 10d24-10d27 10d69-10d6d 10eab-10eac
    10ecb-10ecf 10ef0-10eff 10f46-10f50 10f82-10f85 11070 11073-11074 110c2 110cd 11145-11146
    111c9 111ce-111cf 11241 1133b 11382-11385 1138b 1138e 11390-11391 113b8-113c0 113c2 113c5
    113c7-113ca 113cc-113d0 113d2 113e1-113e2 1145e 1182c-1183a 11930-11935 11937-11938
    1193b-1193e 11940 11942-11943 119d1-119d7 119da-119e0 119e4 11a01-11a0a 11a33-11a39
    11a3b-11a3e 11a47 11a51-11a5b 11a8a-11a99 11b60-11b67 11d31-11d36 11d3a 11d3c-11d3d
    11d3f-11d45 11d47 11d8a-11d8e 11d90-11d91 11d93-11d97 11df0 11ef3-11ef6 11f00-11f01 11f03
    11f34-11f3a 11f3e-11f42 11f5a 13430-13440 13447-13455 1611e-1612f 16d63 16d67-16d6a 16f4f
    16f7f-16f87 16fe4 16ff0-16ff1 1b123-1b126 1ccd6-1ccf9 1cf00-1cf2d 1cf30-1cf46 1d127-1d128
    1d250-1d252 1d25b-1d25c 1d25f 1d280-1d281 1d6a6 1df95 1dfcd-1dfff 1e030-1e06d 1e08f
    1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e6e3 1e6e6 1e6ee-1e6ef 1e6f5 1f16c
    1fbf0-1fbf9""")

_LATER_THAN_8 = points("""
    8d4-8e2 1885-1886 1dfb a8c5 a9bd 1123e 11438-1143f 11442-11444 11446 11c30-11c36 11c38-11c3d
    11c3f 11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6 1e000-1e006 1e008-1e018 1e01b-1e021
    1e023-1e024 1e026-1e02a 1e944-1e94a""")

LATER_THAN_16 = "".join(map(chr, points("""
    5c8-5c9 b53-b54 1ade-1adf 1aec-1af0 10ecb-10ecf 10ef0-10ef9 11df0 1d127-1d128 1d250-1d252
    1d25b-1d25c 1d25f 1d280-1d281""")))
"""Marks that join no grapheme cluster."""

_LOWER_CASE = dict(zip(
    points("1c89 a7cb a7cc a7ce a7d2 a7d4 a7da a7dc 10d50-10d65 16ea0-16eb8"),
    points("1c8a 264 a7cd a7cf a7d3 a7d5 a7db 19b 10d70-10d85 16ebb-16ed3"), strict=True))

_INERT = Characters(_LATER_THAN_9)
_NEW_CAPITALS = Characters(_LOWER_CASE)
_NO_MARKS = _INERT.all
_NO_NONSPACING_MARKS = _NO_MARKS | frozenset(map(chr, _LATER_THAN_8))
_ONE_INERT = re.compile(f"([{''.join(sorted(_NO_MARKS))}])")
_NEW_CAPITAL = re.compile(f"[{''.join(map(chr, _LOWER_CASE))}]")
_MANY_MARKS = regex.compile(r"\p{M}{32,}")

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + (
    "\u2028\u2029\u202f\u205f\u3000")
"""The characters with the property White_Space; `str.isspace` also has U+001C to U+001F."""


def is_mark(char: str) -> bool:
    """Return whether `char` is a combining mark (category M) of Unicode 9."""
    return char in "\u1cf2\u1cf3" or (category(char)[0] == "M" and char not in _NO_MARKS)


def is_nonspacing_mark(char: str) -> bool:
    """Return whether `char` is of category Mn in Unicode 8."""
    is_mn = category(char) == "Mn" and char not in _NO_NONSPACING_MARKS
    return is_mn or char in "\u1734\U0001171e"


def is_control(char: str) -> bool:
    """Return whether `char` is a control, format or private-use character of Unicode 8."""
    return category(char) in ("Cc", "Cf", "Co") and char not in _NO_NONSPACING_MARKS


def lower_case(text: str) -> str:
    """Return `text` in lower case, character by character.

    So a capital sigma becomes σ wherever it stands; `str.lower` makes it ς at the end of a word.
    """
    if text.isascii():
        return text.lower()
    text = text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()
    if not _NEW_CAPITALS.has_any_of(text):
        return text
    return _NEW_CAPITAL.sub(lambda match: chr(_LOWER_CASE[ord(match[0])]), text)


def normal_form(form: Form, text: str) -> str:
    """Return `text` in the normal form `form` of Unicode 9.

    A character that did not exist neither decomposes nor combines nor lets a mark pass it: the
    text on its two sides is normalised by itself.
    """
    if text.isascii():
        return text
    text = _MANY_MARKS.sub(lambda match: _in_canonical_order(match[0]), text)
    if not _INERT.has_any_of(text):
        return normalize(form, text)
    return "".join(part if k % 2 else normalize(form, part)
                   for k, part in enumerate(_ONE_INERT.split(text)))


def _in_canonical_order(marks: str) -> str:
    """Return `marks` decomposed and ordered, so that `normalize` finds nothing left to order.

    It inserts each mark by walking back over those before it, which is quadratic in a long row.
    """
    ordered: list[str] = []
    run: list[str] = []  # marks that may change places: those of classes other than 0
    for mark in marks:
        for part in mark if mark in _NO_MARKS else normalize("NFD", mark):
            if part not in _NO_MARKS and combining(part):
                run.append(part)
            else:
                ordered += [*sorted(run, key=combining), part]
                run.clear()
    return "".join(ordered + sorted(run, key=combining))
