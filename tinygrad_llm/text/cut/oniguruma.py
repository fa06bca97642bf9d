r"""Oniguruma's regular expressions, in which tokenizer.json is written, for the package `regex`.

Both know Unicode's properties, possessive quantifiers and sets within classes, but what they spell
alike does not always mean the same:

    \h  \H        a hexadecimal digit, or none              (regex: horizontal white space)
    \Z  \z        before a last line break too, or not      (regex: \Z is never before one)
    ^  $          at every line, always                     (regex: only with its flag M)
    (?m:..)       the dot takes line breaks                 (regex: that is s)
    (?i)a|b       (?i:a|b), up to the end of the group      (regex: a flag of the whole pattern)
    \x{3042}      the character of that number              (regex: not known)
    x{1,3}+       one or more of x{1,3}                     (regex: possessive)
    x{3}?         three or none                             (regex: lazy)
    [+--] [a||b]  a range up to -, and |                    (regex: operations on sets)
    \w  \b        no joiners U+200C and U+200D              (regex: with them)
    \w  \b        also ² ³ ¹ ¼ ½ ¾, but not within a class      (regex: without)
    [[:digit:]]   any decimal digit, in [[:alnum:]] too     (regex: 0 to 9)
    [[:punct:]]   punctuation and symbols                   (regex: no symbols that are letters)
    \p{XDigit}    0 to 9, A to F, a to f                    (regex: full-width ones, too)
    (?i:\p{Lu})   a capital                                 (regex: a letter with case)

So a pattern is read here and respelled; properties are those of Unicode 16, see `expressions`. All
that is neither alike nor respelled (calls of groups, absent operators, verbose mode, named back
references, [[:upper:]] under (?i), ...) is refused by name.

Source: Oniguruma 6.9's doc/RE, with its default (Ruby's) syntax.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from ...host.errors import UserError
from ..characters import unicode_16
from .expressions import Expression
from .patterns import PATTERNS

_ALIKE = frozenset("dDwWsSbBAGXRKtnrfva")  # after a backslash
_RESPELLED = {"h": "[0-9A-Fa-f]", "H": "[^0-9A-Fa-f]", "Z": r"(?=\n?\Z)", "z": r"\Z",
              "N": r"[^\n]", "O": r"[\s\S]", "e": r"\x1b"}
_ALIKE_IN_CLASS = frozenset("dDsStnrfva")
_RESPELLED_IN_CLASS = {"h": "0-9A-Fa-f", "H": "[^0-9A-Fa-f]", "e": r"\x1b", "b": r"\x08",
                       "w": r"\p{Word}", "W": r"\P{Word}"}
_OPPOSITES = ((r"\s", r"\S"), (r"\d", r"\D"), (r"\p{Word}", r"\P{Word}"))
_PROPERTIES = {"word": r"\w", "xdigit": "[0-9A-Fa-f]", "posixpunct": r"[\p{P}\p{S}]"}
_NOT_ALIKE = frozenset({"extendedpictographic", "extpict", "diacritic", "dia"})
"""Properties that other characters have since Unicode 16."""
_CASED = frozenset([
    "lu", "ll", "lt", "lc", "upper", "lower", "cased", "uppercase", "lowercase", "uppercaseletter",
    "lowercaseletter", "titlecaseletter", "casedletter", "ascii"])
_POSIX_CLASSES = {"alnum": r"\p{Alnum}", "digit": r"\p{Nd}", "punct": r"[\p{P}\p{S}]",
                  "word": r"\p{Word}"}
_JOINERS, _FRACTIONS = "\u200c\u200d", "\xb2\xb3\xb9\xbc\xbd\xbe"
_OUTSIDE, _INSIDE = frozenset({r"\w", r"\W"}), frozenset({r"\p{Word}", r"\P{Word}"})
_MOST_REPEATS = 100_000  # Oniguruma's; nested ones multiply, and so does the memory of `regex`
_QUANTIFIER = regex.compile(r"[*+?]|\{(?:(\d+)|(\d*),(\d*)(?<!\{,))\}")
_GROUP = regex.compile(r"\((?:\?(?:[:=!>]|<[=!]|<[A-Za-z]\w*>|([im]*)(?:-([im]*))?([:)])))?(?!\?)")
_COMMENT = regex.compile(r"\(\?#[^)]*\)")
_CHARACTER = regex.compile(r"\\(?:x\{0*([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")
_PROPERTY = regex.compile(r"\\([pP])\{(\^?)([\w -]+)\}")
_POSIX = regex.compile(r"\[:(\^?)([a-z]+):\]")


def _changes() -> unicode_16.Changes:
    """Return the characters that are other than `regex` has them."""
    return (*unicode_16.changes(), unicode_16.Change(_JOINERS, "!", _OUTSIDE | _INSIDE),
            unicode_16.Change(_FRACTIONS, "a", _OUTSIDE))


@lru_cache(maxsize=64)
def compile_oniguruma(pattern: str, trusted: bool = False) -> Expression:
    """Return an expression of `regex` with the same matches as Oniguruma's `pattern`.

    trusted: it needs no budget of time. Raises UserError where it is no pattern, or has parts that
    `regex` cannot express.

    >>> list(compile_oniguruma(r"\\p{N}{1,3}+|\\h").spans("12345 f"))
    [(0, 5), (6, 7)]
    """
    try:
        return Expression(_Reader(pattern).read(), regex.VERSION1 | regex.MULTILINE,
                          trusted=trusted or pattern in PATTERNS.values(), changes=_changes)
    except (regex.error, RecursionError, OverflowError, MemoryError, ValueError) as error:
        shown = pattern if len(pattern) <= 200 else pattern[:200] + "..."
        raise UserError(f"the pattern {shown!r} cannot be used: {error or type(error).__name__}; "
                        "give one that Oniguruma and the package regex both know") from error


class _Reader:
    """Reads `pattern` from left to right and writes the pattern that `regex` is to read instead."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.place = pattern, 0
        self.written: list[str] = []
        self.atom: int | None = None  # the place in `written` from which a quantifier would repeat
        self.quantified = False
        self.closing = ")"  # closes the group that is open: more brackets after a (?i)
        self.repeats = self.most_repeats = 1  # within the atom, and within the group
        self.folds = False  # whether upper and lower case match each other here
        self.groups: list[tuple[int, str, bool, int]] = []  # those around it

    def read(self) -> str:
        """Return the pattern respelled, or raise ValueError."""
        while self.place < len(self.pattern):
            char = self.pattern[self.place]
            if quantifier := _QUANTIFIER.match(self.pattern, self.place):
                self._repeat(quantifier)
            elif char == "(":
                self._open()
            elif char == ")":
                self._close()
            else:
                self._one(char)
        if self.groups:
            raise ValueError("a ( without its )")
        return "".join(self.written) + self.closing[1:]

    def _one(self, char: str) -> None:
        start = len(self.written)
        if char == "\\":
            self.written.append(self._escape(_ALIKE, _RESPELLED))
        elif char == "[":
            self.written.append(self._class())
        else:
            self.written.append("\\" + char if char in "{}]" else char)
            self.place += 1
        self.atom, self.quantified = (None if char == "|" else start), False
        self.repeats = 1

    def _repeat(self, quantifier: regex.Match[str]) -> None:
        """Write `quantifier`, with a bracket around where `regex` would read it otherwise."""
        if self.atom is None:
            raise ValueError(f"{quantifier[0]} at position {quantifier.start()} repeats nothing")
        exact, least, most = quantifier.groups()
        if least and most and int(least) > int(most):
            raise ValueError(f"{quantifier[0]} at position {quantifier.start()} counts downwards")
        self.repeats *= max(int(exact or most or least or 1), 1)
        if self.repeats > _MOST_REPEATS:
            raise ValueError(f"{quantifier[0]} at position {quantifier.start()} leads to more than "
                             f"{_MOST_REPEATS} repetitions")
        self.most_repeats = max(self.most_repeats, self.repeats)
        if self.quantified:
            self._bracket()
        self.written.append(quantifier[0])
        self.place, self.quantified = quantifier.end(), True
        mark = self.pattern[self.place:self.place + 1]
        if mark == "?" and exact:
            self._bracket()
        elif mark == "?" or (mark == "+" and quantifier[0] in "*+?"):
            self.written.append(mark)  # lazy, or possessive
            self.place += 1

    def _bracket(self) -> None:
        self.written[self.atom:] = ["(?:", *self.written[self.atom:], ")"]
        self.quantified = False

    def _open(self) -> None:
        if comment := _COMMENT.match(self.pattern, self.place):
            self.place = comment.end()
            return
        group = _GROUP.match(self.pattern, self.place)
        if not group:
            raise self._unknown(self.pattern[self.place:self.place + 4])
        on, off, end = (part or "" for part in group.groups())
        flags = (on + ("-" + off if off else "")).replace("m", "s")
        self.place = group.end()
        if end != ")":
            self.groups.append((len(self.written), self.closing, self.folds, self.most_repeats))
            self.most_repeats = 1
        self.folds = "i" in on or (self.folds and "i" not in off)
        if end == ")":  # (?i): from here to the end of the group
            self.closing += ")"
            self.written.append(f"(?{flags}:")
        else:
            self.closing = ")"
            self.written.append(f"(?{flags}:" if end else group[0])
        self.atom = None

    def _close(self) -> None:
        if not self.groups:
            raise ValueError(f"a ) without its ( at position {self.place}")
        self.written.append(self.closing)
        self.repeats = self.most_repeats
        self.atom, self.closing, self.folds, self.most_repeats = self.groups.pop()
        self.place, self.quantified = self.place + 1, False

    def _escape(self, alike: frozenset[str], respelled: dict[str, str]) -> str:
        """Return the spelling for `regex` of the escape at `place`, and step over it."""
        if known := _PROPERTY.match(self.pattern, self.place):
            return self._property(known, alike is _ALIKE)
        if known := _CHARACTER.match(self.pattern, self.place):
            self.place = known.end()
            character = chr(int(known[1] or known[2] or known[3], 16))
            return str(regex.escape(character, special_only=False))
        letter = self.pattern[self.place + 1:self.place + 2]
        if not letter:
            raise ValueError("a backslash at its end")
        if letter in respelled:
            spelled = respelled[letter]
        elif letter in alike or not (letter.isascii() and letter.isalnum()):
            spelled = "\\" + letter
        elif "1" <= letter <= "9" and alike is _ALIKE:
            spelled = f"(?:\\{letter})"
        else:
            raise self._unknown("\\" + letter)
        self.place += 2
        return spelled

    def _property(self, known: regex.Match[str], outside: bool) -> str:
        name = regex.sub("[ _-]", "", known[3]).lower()
        if name in _NOT_ALIKE:
            raise self._unknown(known[0])
        if name in _CASED and self.folds and not outside:
            raise self._unknown(f"{known[0]} in a class under (?i)")
        self.place = known.end()
        if name in _CASED and self.folds:  # which a property does not heed
            return f"(?-i:{known[0]})"
        negated = (known[1] == "P") != bool(known[2])
        if name == "word" and not outside:
            return r"\P{Word}" if negated else r"\p{Word}"
        if name not in _PROPERTIES:
            return str(known[0])
        return _negated(_PROPERTIES[name]) if negated else _PROPERTIES[name]

    def _class(self) -> str:
        """Return the spelling for `regex` of the class [...] at `place`, with its inner classes."""
        written, depth, first = [], 0, False
        while self.place < len(self.pattern):
            char = self.pattern[self.place]
            if posix := (_POSIX.match(self.pattern, self.place) if depth else None):
                if posix[2] in _CASED and self.folds:
                    raise self._unknown(f"{posix[0]} under (?i)")
                spelled = _POSIX_CLASSES.get(posix[2], f"[[:{posix[2]}:]]")
                written.append(_negated(spelled) if posix[1] else spelled)
                self.place, first = posix.end(), False
            elif char == "\\":
                written.append(self._escape(_ALIKE_IN_CLASS, _RESPELLED_IN_CLASS))
                first = False
            elif char == "[":
                negated = self.pattern[self.place + 1:self.place + 2] == "^"
                written.append("[^" if negated else "[")
                self.place, depth, first = self.place + 1 + negated, depth + 1, True
            elif first and self.pattern.startswith("--", self.place):
                raise self._unknown("a class that begins with a range from -")
            else:
                self.place += 1
                if char == "]" and not first:
                    written.append("]")
                    depth -= 1
                    if not depth:
                        return self._checked("".join(written))
                else:  # a second - | or ~ would be an operation on sets, and ] its end
                    before = written[-1][-1]
                    written.append("\\" + char if char in "]|~" or char == before == "-" else char)
                first = False
        raise ValueError("a [ without its ]")

    def _checked(self, spelled: str) -> str:
        """Return the class; ValueError for [^\\s\\S], which `regex` takes for any character."""
        if spelled[1] == "^" and any(a in spelled and b in spelled for a, b in _OPPOSITES):
            raise self._unknown("a negated class with an escape and its opposite")
        return spelled

    def _unknown(self, what: str) -> ValueError:
        return ValueError(f"{what} at position {self.place} is not known here")


def _negated(spelled: str) -> str:
    """Return the spelling of what a class or an escape leaves out."""
    return "[^" + spelled[1:] if spelled[0] == "[" else "\\" + spelled[1].upper() + spelled[2:]
