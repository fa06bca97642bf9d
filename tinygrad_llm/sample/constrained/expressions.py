r"""Regular languages of text as trees, and the regular expressions that name them.

    Characters   one character (code point) of one of the ranges; of no range: no text at all
    Row          its parts, one after the other; of no part: the empty text
    Choice       one of its options; of no option: no text at all
    Repeat       `part` at least `least` and at most `most` times (None: any number of times)
    Both         a text of both languages

`parse` reads the subset that JSON schema's patterns (ECMA 262) and Python's `re` share. Where the
two, or the ASCII and the Unicode meaning of \d \w \s, differ over a character, it stands nowhere:
so a text of the language matches in each of them. (`.` is no line end of either, \D no Unicode
digit, \d an ASCII one.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn, Union

from ...host.errors import UserError, shortened

Ranges = tuple[tuple[int, int], ...]
Expression = Union["Characters", "Row", "Choice", "Repeat", "Both"]

LAST = 0x10FFFF  # code point
MOST_TIMES = 10_000
DEEPEST = 100  # groups in each other


@dataclass(frozen=True, slots=True)
class Characters:
    """One character of the ranges (first, last) of code points; surrogates are no characters."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Row:
    """The parts, one after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the options."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The part, at least `least` times and at most `most` times; None: any number of times."""

    part: Expression
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Both:
    """The texts that are of the first language and of the second."""

    first: Expression
    second: Expression


@dataclass(frozen=True, slots=True)
class _Anchor(Characters):
    """A ^ or $ of the pattern, until `_without_anchors` takes it away."""

    sign: str
    position: int


EMPTY = Row(())
ANYTHING = Repeat(Characters(((0, LAST),)), 0, None)


def literal(text: str) -> Row:
    """Return the language of this one text."""
    return Row(tuple(Characters(((ord(char), ord(char)),)) for char in text))


def complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the code points that are in none of the ranges, sorted and apart."""
    found, start = [], 0
    for first, last in sorted(ranges):
        if start < first:
            found.append((start, first - 1))
        start = max(start, last + 1)
    return (*found, (start, LAST)) if start <= LAST else tuple(found)


def parse(pattern: str, *, search: bool = False) -> Expression:
    r"""Return the language of the texts that the pattern matches whole, or somewhere (`search`).

    Known are characters, `.`, escapes (\d \w \s \D \W \S \n \t \r \f \v \0 \xHH \uHHHH \u{H...}
    and punctuation), classes, alternatives, groups, the quantifiers * + ? {m} {m,} {m,n} (with a
    `?` for lazy ones, which match the same texts), and ^ and $ at the ends of an alternative. Any
    other construct raises UserError with its name and its place.
    """
    parser = _Parser(pattern)
    found = parser.alternatives(0)
    if parser.place < len(pattern):
        parser.refuse("a ) that closes nothing", "write \\) for the character")
    beyond = ANYTHING if search else EMPTY
    return parser.without_anchors(found, beyond, beyond)


_ESCAPES = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "0": 0}
_REFUSED = {"b": "a word boundary", "B": "a word boundary", "p": "a Unicode property",
            "P": "a Unicode property", "k": "a backreference", "A": "an anchor of Python's",
            "Z": "an anchor of Python's", "c": "a control escape",
            **dict.fromkeys("123456789", "a backreference")}
_GROUPS = {"?:": "", "?=": "a lookahead", "?!": "a lookahead", "?<=": "a lookbehind",
           "?<!": "a lookbehind", "?>": "an atomic group", "?#": "a comment",
           "?P=": "a backreference", "?(": "a condition"}
_ASCII: dict[str, Ranges] = {"d": ((48, 57),), "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
                             "s": ((9, 13), (32, 32))}
_LINE_ENDS = ((10, 10), (13, 13), (0x2028, 0x2029))


@lru_cache
def _unicode(letter: str) -> Ranges:
    r"""Return what \d, \w or \s is to Python or, of white space, to ECMA 262."""
    every = "".join(map(chr, range(LAST + 1)))
    found = tuple((run.start(), run.end() - 1) for run in re.finditer(rf"\{letter}+", every))
    return (*found, (0xFEFF, 0xFEFF)) if letter == "s" else found


def _class(letter: str, wide: bool) -> Ranges:
    r"""Return the characters of \d \w \s \D \W \S: to all readings or, `wide`, to any."""
    if letter.isupper():
        return complement(_class(letter.lower(), not wide))
    return _unicode(letter) if wide else _ASCII[letter]


class _Parser:
    """Reads a pattern from its beginning to its end; `place` is the next character's."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.place = pattern, 0

    def refuse(self, what: str, way_out: str, position: int | None = None) -> NoReturn:
        place = self.place if position is None else position
        raise UserError(f"the pattern {shortened(self.pattern)} has {what} at position {place}; "
                        f"{way_out}")

    def find(self, expected: str) -> re.Match[str] | None:
        """Return the match of a regular expression here, and go on behind it."""
        if found := re.compile(expected, re.ASCII | re.DOTALL).match(self.pattern, self.place):
            self.place = found.end()
        return found

    def alternatives(self, depth: int) -> Expression:
        options = [self.row(depth)]
        while self.find(r"\|"):
            options.append(self.row(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def row(self, depth: int) -> Expression:
        parts: list[Expression] = []
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            parts.append(self.quantified(self.item(depth)))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def item(self, depth: int) -> Expression:
        start = self.place
        if self.find(r"[*+?]|\{(\d+(,\d*)?|,\d*)\}"):
            self.refuse("a quantifier with nothing before it", "escape it with \\", start)
        self.place = start + 1
        match char := self.pattern[start]:
            case "^" | "$":
                return _Anchor((), char, start)
            case "(":
                return self.group(depth + 1)
            case "[":
                return Characters(self.set())
            case ".":
                return Characters(complement(_LINE_ENDS))
            case "\\":
                return Characters(self.escape(wide=False))
        return Characters(((ord(char), ord(char)),))

    def quantified(self, part: Expression) -> Expression:
        start = self.place
        found = self.find(r"(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})(\??)")
        if not found:
            if self.find(r"\{,\d*\}"):
                self.refuse("a count without its least number", "write {0,n}", start)
            return part
        if isinstance(part, _Anchor):
            self.refuse(f"a quantifier of {part.sign}", "take it out", start)
        if self.find(r"[*+?]|\{\d+(,\d*)?\}"):
            self.refuse("a quantifier of a quantifier, or a possessive one",
                        "put a group (?:...) around the first, or take the second out", start)
        sign, least, comma, most, _ = found.groups()
        if sign:
            return Repeat(part, int(sign == "+"), 1 if sign == "?" else None)
        counts = [int(count[:9]) for count in (least, most if comma else least) if count]
        if max(counts) > MOST_TIMES:
            self.refuse(f"a count above {MOST_TIMES}", "take a smaller one, or none", start)
        if counts[0] > counts[-1]:
            self.refuse("a count whose most is below its least", "exchange the two", start)
        return Repeat(part, counts[0], counts[1] if len(counts) == 2 else None)

    def group(self, depth: int) -> Expression:
        start = self.place - 1
        if not self.find(r"\?P?<[A-Za-z_]\w*>") and (
                kind := self.find(r"\?(?:P=|<[=!]|.)|\?")) and (name := _GROUPS.get(
                    kind[0], "a flag or an unknown kind of group")):
            self.refuse(name, "write the group as (?:...), without it", start)
        if depth > DEEPEST:
            self.refuse(f"more than {DEEPEST} groups in each other", "take some out", start)
        inner = self.alternatives(depth)
        if not self.find(r"\)"):
            self.refuse("a ( without its )", "close it, or write \\( for the character", start)
        return inner

    def escape(self, wide: bool) -> Ranges:
        r"""Return the characters of the escape behind a \."""
        start = self.place - 1
        if found := self.find(r"[dwsDWS]"):
            return _class(found[0], wide)
        if found := self.find(r"[ntrfv]|0(?!\d)"):
            code = _ESCAPES[found[0]]
        elif found := self.find("u([dD][89abAB][0-9a-fA-F]{2})\\\\u([dD][c-fC-F][0-9a-fA-F]{2})"):
            code = 0x10000 + (int(found[1], 16) - 0xD800) * 0x400 + int(found[2], 16) - 0xDC00
        elif found := self.find(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{0*([0-9a-fA-F]{1,6})\}"):
            code = int(next(filter(None, found.groups())), 16)
        elif found := self.find(r"\W|_"):
            code = ord(found[0])
        else:
            what = _REFUSED.get(self.pattern[self.place:self.place + 1], "an unknown escape")
            self.refuse(f"{what} (\\{self.pattern[self.place:self.place + 1]})",
                        "spell out the characters that are meant", start)
        if code > LAST:
            self.refuse("a code point above 10FFFF", "take one that exists", start)
        return ((code, code),)

    def set(self) -> Ranges:
        """Return the characters of the class behind a [."""
        start = self.place - 1
        negated = bool(self.find(r"\^"))
        ranges: list[tuple[int, int]] = []
        if self.find(r"\]"):
            self.refuse("a class that is empty, or begins with ]", "write \\] for the character",
                        start)
        while not self.find(r"\]"):
            place, first = self.place, self.member(start, negated)
            if self.find(r"-(?!\])"):
                last = self.member(start, negated)
                if len(first) != 1 or len(last) != 1 or not first[0][0] == first[0][1] <= (
                        last[0][0]) == last[0][1]:
                    self.refuse("a range that has no first and last character, in this order",
                                "exchange the two, or write \\- for the character", place)
                first = ((first[0][0], last[0][0]),)
            ranges += first
        return complement(ranges) if negated else complement(complement(ranges))

    def member(self, start: int, negated: bool) -> Ranges:
        """Return the characters of the next character or escape of a class."""
        if not (found := self.find(r"\\b|.")):
            self.refuse("a [ without its ]", "close it, or write \\[ for the character", start)
        if found[0] == "\\":
            return self.escape(wide=negated)
        code = 8 if found[0] == "\\b" else ord(found[0])
        return ((code, code),)

    def without_anchors(self, part: Expression, before: Expression | None,
                        after: Expression | None) -> Expression:
        """Return the part without ^ and $, and with what may stand where they do not.

        before, after: that, where the pattern ends with the part on this side; elsewhere None.
        """
        if isinstance(part, Choice):
            return Choice(tuple(self.without_anchors(p, before, after) for p in part.options))
        if not isinstance(part, Row | _Anchor):
            if isinstance(part, Repeat):
                self.without_anchors(part.part, None, None)
            return Row((before or EMPTY, part, after or EMPTY)) if before or after else part
        parts = list(part.parts) if isinstance(part, Row) else [part]
        while before and parts and isinstance(parts[0], _Anchor) and parts[0].sign == "^":
            before = parts.pop(0) and EMPTY
        while after and parts and isinstance(parts[-1], _Anchor) and parts[-1].sign == "$":
            after = parts.pop() and EMPTY
        for anchor in parts:
            if isinstance(anchor, _Anchor):
                self.refuse(f"a {anchor.sign} that is not at an end of the pattern",
                            f"take it out, or write \\{anchor.sign} for the character",
                            anchor.position)
        if not parts:
            return Row((before or EMPTY, after or EMPTY))
        ends = [(before if k == 0 else None, after if k == len(parts) - 1 else None)
                for k in range(len(parts))]
        return Row(tuple(self.without_anchors(p, *e) for p, e in zip(parts, ends, strict=True)))
