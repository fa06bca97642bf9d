r"""Regular expressions by Unicode 16, with a budget of time.

**Unicode.** The package `regex` goes by its own version of Unicode, and what a pattern means must
not change with it. A pattern is compiled twice, the second time on demand: as it is, for texts in
which every character has the properties that it had, and respelled for others. There a part that
asks for a property, `\p{L}` or a class with it, becomes

    (?:(?![later])\p{L}|(?=[later])...)

with the answer that the pattern's Unicode has for the later characters. See `unicode_16`.

**Time.** A pattern may take exponential time: `(a|aa)+$` tries all ways to cut a run of a's. So a
file's pattern has SECONDS a text, and more for a long one. `regex` looks at the clock at every
match, which takes as long as a short match does. So where matches are dense, all are found as the
repetitions of one,

    (?:(?>(pattern)|(?s:.)))*+

which makes the same steps. It stops at a match of nothing, from where it goes on one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cached_property

import regex

from ...host.errors import UserError
from ..characters import unicode_16
from ..characters.unicode_versions import Characters

SECONDS = 2.0  # a text
_SECONDS_EACH = 5e-6  # and for each of its characters; ordinary patterns take a 50th of it
_FIRST = 16  # matches that show how dense they are
_DENSE = 16  # characters a match, below which one by one takes longer

_NEVER = r"\x00"
_ESCAPE = regex.compile(r"\\(?:[pP](?:\{[^}]*\}|\w)|N\{[^}]*\}|x\{[^}]*\}|.)", regex.DOTALL)
_ASKS = regex.compile(r"\\(?:[pP](?:\{[^}]*\}|\w)|[wWdDsS])|\[:\^?\w+:\]")
_POSIX = regex.compile(r"\[:\^?\w+:\]")
_PLACE = regex.compile(r"\\[GK]")  # of a search, and of a match
_VERBOSE = regex.compile(r"\(\?[a-zA-Z]*x")

Span = tuple[int, int]


class Expression:
    """The pattern `pattern` of the package `regex`, with `flags`.

    changes: the characters known otherwise than in the pattern's Unicode. trusted: it needs no
    budget of time. Raises `regex.error` where it is no pattern.

    >>> list(Expression(r"\\w+").spans("to be"))
    [(0, 2), (3, 5)]
    """

    def __init__(self, pattern: str, flags: int = 0, *, trusted: bool = False,
                 changes: Callable[[], unicode_16.Changes] = unicode_16.changes) -> None:
        self.pattern, self.flags, self.trusted, self.changes = pattern, flags, trusted, changes
        self.plain = regex.compile(pattern, flags)
        self._seen = self._hits = 0  # characters, and matches in them
        self._may_repeat = not (trusted or self.plain.groups or _PLACE.search(pattern))

    def compiled(self, text: str) -> regex.Pattern[str]:
        """Return the pattern of `regex` that has the right matches in `text`."""
        if text.isascii() or not self._changed.has_any_of(text):
            return self.plain
        return self._pinned

    def spans(self, text: str) -> Iterator[Span]:
        """Yield where the matches lie, as Oniguruma's iterator in Rust does.

        It takes an empty match, but not one where the match before ended; then it goes on one
        character later, while `regex` would look for another match at the same place. Raises
        UserError where the pattern takes too long.
        """
        compiled, end = self.compiled(text), time.monotonic() + self._budget(text)
        place, last, count, together = 0, -1, 0, self._is_dense()
        while place <= len(text):
            barred = -1  # where nothing matched, and so nothing else may
            if together:
                together = False
                found, place, barred = self._repeated(compiled, text, place, end)
                yield from found
                last, count = found[-1][1] if found else last, count + len(found)
                if barred > last:
                    yield barred, barred
                    last = barred
                if place == len(text):
                    break
                place = max(place, barred + 1)
            try:
                for match in _found(compiled, text, place, None if self.trusted else end):
                    i, j = match.span()
                    if i == barred:
                        break
                    if i < j or i > last:
                        yield i, j
                    place, last, count = j, j, count + 1
                    if i == j:
                        barred = i
                    elif count == _FIRST and self._may_repeat and j < _FIRST * _DENSE:
                        together = True
                        break
                else:
                    break
            except TimeoutError:
                self._check_time(text, end)
            place = max(place, barred + 1)
        self._seen, self._hits = self._seen + len(text), self._hits + count

    def _is_dense(self) -> bool:
        """Return whether the matches so far were dense, and may be found together."""
        return self._may_repeat and self._hits >= _FIRST and self._hits * _DENSE > self._seen

    def _repeated(self, compiled: regex.Pattern[str], text: str, place: int, end: float
                  ) -> tuple[list[Span], int, int]:
        """Return the matches from `place` on, where they end, and where nothing matched, or -1."""
        repeated = self._repeated_plain if compiled is self.plain else self._repeated_pinned
        try:
            match = repeated.match(text, place, timeout=_left(end))
        except TimeoutError:
            self._check_time(text, end)
            return [], place, -1
        found, barred = match.spans(1), -1
        if found and found[-1][0] == found[-1][1]:
            barred = found.pop()[0]
        return found, match.end(), barred

    def _check_time(self, text: str, end: float) -> None:
        """Raise UserError after `end`; before, `regex` has counted the time of other threads."""
        if time.monotonic() >= end:
            raise self._too_slow(text) from None

    def _budget(self, text: str) -> float:
        return SECONDS + _SECONDS_EACH * len(text)

    def _too_slow(self, text: str) -> UserError:
        shown = self.pattern if len(self.pattern) <= 200 else self.pattern[:200] + "..."
        return UserError(
            f"the pattern {shown!r} takes more than {self._budget(text):.0f} s on "
            f"a text of {len(text)} characters that begins with {text[:40]!r}: it tries too many "
            "ways to match; use a tokenizer with another pattern, or cut the text")

    @cached_property
    def _repeated_plain(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:(?>({self.pattern})|(?s:.)))*+", self.flags)

    @cached_property
    def _repeated_pinned(self) -> regex.Pattern[str]:
        return regex.compile(f"(?:(?>({self._pinned.pattern})|(?s:.)))*+", self.flags)

    @cached_property
    def _changed(self) -> Characters:
        return Characters(ord(char) for change in self._changes for char in change.chars)

    @cached_property
    def _changes(self) -> unicode_16.Changes:
        """The changes that matter to this pattern."""
        return tuple(change for change in self.changes()
                     if pinned(self.pattern, (change,), self._nested) != self.pattern)

    @cached_property
    def _pinned(self) -> regex.Pattern[str]:
        return regex.compile(pinned(self.pattern, self._changes, self._nested), self.flags)

    @property
    def _nested(self) -> bool:
        return bool(self.plain.flags & regex.VERSION1)


def pinned(pattern: str, changes: unicode_16.Changes, nested: bool) -> str:
    """Return the pattern with the same meaning for characters as they were.

    nested: whether classes may hold classes, as under regex.VERSION1. A pattern with comments
    (?x) stays as it is.
    """
    if _VERBOSE.search(pattern):
        return pattern
    written, place = [], 0
    while place < len(pattern):
        if pattern.startswith("(?#", place):
            end = pattern.find(")", place) + 1 or len(pattern)
            part = pattern[place:end]
        elif pattern[place] == "[":
            end = _end_of_class(pattern, place, nested)
            part = _pinned_part(pattern[place:end], changes)
        elif escape := _ESCAPE.match(pattern, place):
            end = escape.end()
            part = _pinned_escape(escape[0], changes)
        else:
            end, part = place + 1, pattern[place]
        written.append(part)
        place = end
    return "".join(written)


def _end_of_class(pattern: str, place: int, nested: bool) -> int:
    """Return where the class that begins at `place` is over."""
    depth = 0
    while place < len(pattern):
        if known := _ESCAPE.match(pattern, place) or (depth and _POSIX.match(pattern, place)):
            place = known.end()
        elif pattern[place] == "[" and (nested or not depth):
            place += 2 if pattern[place + 1:place + 2] == "^" else 1
            place += pattern[place:place + 1] == "]"  # the first is a character
            depth += 1
        elif pattern[place] == "]":
            depth, place = depth - 1, place + 1
            if not depth:
                return place
        else:
            place += 1
    return place


def _pinned_escape(escape: str, changes: unicode_16.Changes) -> str:
    if escape not in (r"\b", r"\B"):
        return _pinned_part(escape, changes)
    if (word := _pinned_part(r"\w", changes)) == r"\w":
        return escape
    before, after = ("=!", "!=") if escape == r"\b" else ("==", "!!")
    return (f"(?:(?<{before[0]}{word})(?{before[1]}{word})"
            f"|(?<{after[0]}{word})(?{after[1]}{word}))")


def _pinned_part(part: str, changes: unicode_16.Changes) -> str:
    """Return a class or an escape with the meaning for characters as they were."""
    asked = {part} if part[0] == "\\" else set(_ASKS.findall(part))
    asked = {name for name in asked if _ASKS.fullmatch(name)}
    others, ways = "", []
    for change in changes:
        fits = {name: _fits(name, change.stand_in) for name in asked if _differ(name, change)}
        if fits:
            others += change.chars
            ways.append(f"(?=[{_ranges(change.chars)}]){_answered(part, fits, change.chars)}")
    if not ways:
        return part
    return f"(?:(?![{_ranges(others)}]){part}|{'|'.join(ways)})"


def _answered(part: str, fits: dict[str, bool], chars: str) -> str:
    """Return the class, or the escape as one, where some properties are those of all `chars`."""
    answer = _ASKS.sub(lambda name: name[0] if name[0] not in fits else
                       _ranges(chars) if fits[name[0]] else _NEVER, part)
    return f"[{answer}]" if part[0] == "\\" else answer


def _fits(name: str, char: str) -> bool:
    return bool(regex.match(f"[{name}]", char, regex.VERSION1))


def _differ(name: str, change: unicode_16.Change) -> bool:
    """Return whether the property is today another for some of the characters."""
    if change.asked is not None and name not in change.asked:
        return False
    every = f"[{name}]*" if _fits(name, change.stand_in) else f"[^{name}]*"
    return not regex.fullmatch(every, change.chars, regex.VERSION1)


def _ranges(chars: str) -> str:
    """Return the inside of a class that has these characters."""
    points = sorted(map(ord, set(chars)))
    begins = [p for p, before in zip(points, [-2, *points], strict=False) if p != before + 1]
    ends = [p for p, after in zip(points, [*points[1:], -2], strict=True) if p != after - 1]
    return "".join(f"\\U{i:08x}-\\U{j:08x}" for i, j in zip(begins, ends, strict=True))


def _found(compiled: regex.Pattern[str], text: str, place: int, end: float | None
           ) -> Iterator[regex.Match[str]]:
    """Return the matches from `place` on; TimeoutError after `end`."""
    found: Iterator[regex.Match[str]] = compiled.finditer(
        text, place, timeout=None if end is None else _left(end))
    return found


def _left(end: float) -> float:
    return max(end - time.monotonic(), 1e-6)
