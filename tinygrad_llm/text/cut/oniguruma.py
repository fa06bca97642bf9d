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

So a pattern is read here and respelled. All that is neither alike nor respelled (calls of groups,
absent operators, verbose mode, named back references, ...) is refused by name. One difference may
be left: properties follow the Unicode version of each library.

Source: Oniguruma 6.9's doc/RE, with its default (Ruby's) syntax.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from ...host.errors import UserError

_ALIKE = frozenset("dDwWsSbBAGXRKtnrfva")  # after a backslash
_RESPELLED = {"h": "[0-9A-Fa-f]", "H": "[^0-9A-Fa-f]", "Z": r"(?=\n?\Z)", "z": r"\Z",
              "N": r"[^\n]", "O": r"[\s\S]", "e": r"\x1b"}
_ALIKE_IN_CLASS = frozenset("dDwWsStnrfva")
_RESPELLED_IN_CLASS = {"h": "0-9A-Fa-f", "H": "[^0-9A-Fa-f]", "e": r"\x1b", "b": r"\x08"}
_QUANTIFIER = regex.compile(r"[*+?]|\{(?:(\d+)|(\d*),(\d*)(?<!\{,))\}")
_GROUP = regex.compile(r"\((?:\?(?:[:=!>]|<[=!]|<[A-Za-z]\w*>|([im]*)(?:-([im]*))?([:)])))?(?!\?)")
_COMMENT = regex.compile(r"\(\?#[^)]*\)")
_CHARACTER = regex.compile(r"\\(?:x\{0*([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")
_PROPERTY = regex.compile(r"\\[pP]\{\^?[\w ]+\}")
_POSIX = regex.compile(r"\[:\^?[a-z]+:\]")


@lru_cache(maxsize=64)
def compile_oniguruma(pattern: str) -> regex.Pattern[str]:
    """Return a compiled pattern of `regex` with the same matches as Oniguruma's `pattern`.

    Raises UserError where it is no pattern, or has parts that `regex` cannot express.

    >>> compile_oniguruma(r"\\p{N}{1,3}+|\\h").findall("12345 f")
    ['12345', 'f']
    """
    try:
        return regex.compile(_Reader(pattern).read(), regex.VERSION1 | regex.MULTILINE)
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
        self.groups: list[tuple[int, str]] = []  # those around it

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

    def _repeat(self, quantifier: regex.Match[str]) -> None:
        """Write `quantifier`, with a bracket around where `regex` would read it otherwise."""
        if self.atom is None:
            raise ValueError(f"{quantifier[0]} at position {quantifier.start()} repeats nothing")
        exact, least, most = quantifier.groups()
        if least and most and int(least) > int(most):
            raise ValueError(f"{quantifier[0]} at position {quantifier.start()} counts downwards")
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
        if end == ")":  # (?i): from here to the end of the group
            self.closing += ")"
            self.written.append(f"(?{flags}:")
        else:
            self.groups.append((len(self.written), self.closing))
            self.closing = ")"
            self.written.append(f"(?{flags}:" if end else group[0])
        self.atom = None

    def _close(self) -> None:
        if not self.groups:
            raise ValueError(f"a ) without its ( at position {self.place}")
        self.written.append(self.closing)
        self.atom, self.closing = self.groups.pop()
        self.place, self.quantified = self.place + 1, False

    def _escape(self, alike: frozenset[str], respelled: dict[str, str]) -> str:
        """Return the spelling for `regex` of the escape at `place`, and step over it."""
        if known := _PROPERTY.match(self.pattern, self.place):
            self.place = known.end()
            return str(known[0])
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

    def _class(self) -> str:
        """Return the spelling for `regex` of the class [...] at `place`, with its inner classes."""
        written, depth, first = [], 0, False
        while self.place < len(self.pattern):
            char = self.pattern[self.place]
            if posix := (_POSIX.match(self.pattern, self.place) if depth else None):
                written.append(posix[0])
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
                        return "".join(written)
                else:  # a second - | or ~ would be an operation on sets, and ] its end
                    before = written[-1][-1]
                    written.append("\\" + char if char in "]|~" or char == before == "-" else char)
                first = False
        raise ValueError("a [ without its ]")

    def _unknown(self, what: str) -> ValueError:
        return ValueError(f"{what} at position {self.place} is not known here")
