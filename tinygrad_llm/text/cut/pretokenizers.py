r"""Pre-tokenizers: where a text is cut before a model sees its pieces.

No token crosses a cut, so these rules shape a vocabulary as much as its model does. Each class is a
component that tokenizer.json can name, with the meaning that Hugging Face's tokenizers gives it. A
pre-tokenizer first rewrites its piece (only ByteLevel and Metaspace do: a space in front, spaces
spelled anew), then cuts it at `spans`; a `Sequence` cuts each piece again.

Most cut at matches of a pattern, the delimiters, and differ in where these go. For the delimiter
"-" in "a--b":

    Removed              a       b         MergedWithPrevious   a- - b
    Isolated             a - -   b         MergedWithNext       a - -b
    Contiguous           a --    b

Source: pre_tokenizers/ and tokenizer/normalizer.rs of tokenizers 0.23.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import regex

from ...host.errors import UserError
from ..characters import unicode_16
from ..characters.aligned import Aligned
from .expressions import Expression
from .oniguruma import compile_oniguruma
from .patterns import CL100K_HF, GPT2, O200K, QWEN2, splitter

Span = tuple[int, int]
Text = TypeVar("Text", str, Aligned)

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
SCHEMES = ("always", "first", "never")

# Patterns that mean the same to Oniguruma as to `regex`, and take every character of every text, so
# that "Removed" removes nothing. CL100K is not one: its {1,3}+ means more to Oniguruma.
_KNOWN = frozenset({GPT2, CL100K_HF, QWEN2, O200K})

# \s of `regex` is Unicode's White_Space; str.isspace and `re` add U+001C to U+001F.
_SPACE = regex.compile(r"\s", regex.VERSION1)
_WORD = Expression(r"\w+|[^\w\s]+", regex.VERSION1, trusted=True)
_NUMBER = Expression(r"\p{N}", regex.VERSION1, trusted=True,
                     changes=unicode_16.changes_of_numbers)
_PUNCTUATION = Expression(r"[\p{P}!-/:-@\[-`\{-\~]", regex.VERSION1,  # ASCII's symbols too
                          trusted=True, changes=unicode_16.changes_of_punctuation)


class PreTokenizer:
    """The base of all pre-tokenizers: most define `spans`, a few `rewrite` as well.

    first: whether a piece begins where the whole text does, which matters to Metaspace.
    """

    def __call__(self, piece: str, first: bool = True) -> list[str]:
        """Return the pieces of `piece`; none is empty."""
        return [part for part, _ in self.cut(piece, 0 if first else -1)]

    def align(self, a: Aligned, first: bool = True) -> list[Aligned]:
        """Return the pieces of `a`, each character with its source."""
        return [part for part, _ in self.cut(a, 0 if first else -1)]

    def cut(self, piece: Text, start: int) -> list[tuple[Text, int]]:
        """Return the pieces, and where in each the whole text starts.

        0 where a piece begins as the text does, more with something put before, else below 0.
        """
        text = self.rewrite(piece if isinstance(piece, str) else piece.text, start >= 0)
        start += len(text) - len(piece) if start >= 0 else 0
        piece = text if isinstance(piece, str) else _prepended(piece, text)
        return [(piece[i:j], start - i) for i, j in self.spans(text) if i < j]

    def rewrite(self, text: str, first: bool) -> str:
        """Return the text to cut: characters may change and others stand before, no more."""
        return text

    def spans(self, text: str) -> Iterable[Span]:
        """Return where the pieces lie in `text`; empty ones do not count."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash((type(self), repr(self._settings())))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({settings})"

    def _settings(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}


class ByteLevel(PreTokenizer):
    """GPT-2's cuts. The bytes that the name speaks of are spelled by the model.

    add_prefix_space: a space is put first where none is, so that a first word is like any other.
    use_regex: cut at GPT-2's pattern; otherwise not at all. `trim_offsets` does nothing here; the
    post-processor of this name has it.

    >>> ByteLevel(add_prefix_space=True)("it's 42")
    [' it', "'s", ' 42']
    """

    def __init__(
        self, add_prefix_space: bool = True, trim_offsets: bool = True, use_regex: bool = True
    ) -> None:
        self.add_prefix_space, self.trim_offsets = add_prefix_space, trim_offsets
        self.use_regex = use_regex

    def rewrite(self, text: str, first: bool) -> str:
        """Return the text with a space in front, if `add_prefix_space` and none is there."""
        return " " + text if self.add_prefix_space and not text.startswith(" ") else text

    def spans(self, text: str) -> Iterable[Span]:
        """Return the matches of GPT-2's pattern, which together are the whole text."""
        if not self.use_regex:
            return [(0, len(text))]
        return compile_oniguruma(GPT2).spans(text)


class Split(PreTokenizer):
    """Cuts at the matches of `pattern`: Oniguruma's regular expression, or the string itself.

    `invert` swaps delimiters and what is between them. Raises UserError for what is no pattern.

    >>> Split("-", behavior="MergedWithNext")("a--b")
    ['a', '-', '-b']
    """

    def __init__(
        self, pattern: str, *, is_regex: bool = False, behavior: str = "Isolated",
        invert: bool = False,
    ) -> None:
        self.pattern, self.is_regex = pattern, is_regex
        self.behavior, self.invert = _one_of(behavior, BEHAVIORS, "behavior"), invert
        self._expression = (compile_oniguruma(pattern) if is_regex
                            else Expression(regex.escape(pattern), trusted=True))

    def spans(self, text: str) -> Iterable[Span]:
        """Return the parts that `behavior` makes of the matches and the stretches between."""
        parts = _delimited(self._expression.spans(text), text)
        if self.invert:
            parts = ((i, j, not is_match) for i, j, is_match in parts)
        return _apply_behavior(parts, self.behavior)


class Pattern(PreTokenizer):
    """Cuts at a pattern as tiktoken writes it, in the words of `regex`; see `patterns`.

    This is Split(is_regex=True) but for the few patterns that Oniguruma reads differently.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._splitter = splitter(pattern)

    def spans(self, text: str) -> Iterable[Span]:
        """Return the matches and the stretches between."""
        start = 0
        for piece in self._splitter.split(text):
            yield start, start + len(piece)
            start += len(piece)


class Whitespace(PreTokenizer):
    r"""Keeps words, and runs of other characters that are no white space: `\w+|[^\w\s]+`."""

    def spans(self, text: str) -> Iterable[Span]:
        """Return the matches."""
        return (match.span() for match in _WORD.compiled(text).finditer(text))


class WhitespaceSplit(PreTokenizer):
    """Keeps the stretches between white space."""

    def spans(self, text: str) -> Iterable[Span]:
        """Return the stretches without white space."""
        return _apply_behavior(_delimited(_matches(_SPACE, text), text), "Removed")


class BertPreTokenizer(PreTokenizer):
    """Keeps the stretches between white space, each punctuation character by itself."""

    def spans(self, text: str) -> Iterable[Span]:
        """Return the words and the punctuation."""
        punctuation = _PUNCTUATION.compiled(text)
        for start, end in _apply_behavior(_delimited(_matches(_SPACE, text), text), "Removed"):
            part = text[start:end]
            for i, j, _ in _delimited(_matches(punctuation, part), part):
                yield start + i, start + j


class Punctuation(PreTokenizer):
    """Cuts at punctuation: categories P of Unicode 8, and ASCII's symbols."""

    def __init__(self, behavior: str = "Isolated") -> None:
        self.behavior = _one_of(behavior, BEHAVIORS, "behavior")

    def spans(self, text: str) -> Iterable[Span]:
        """Return the parts that `behavior` makes."""
        matches = _matches(_PUNCTUATION.compiled(text), text)
        return _apply_behavior(_delimited(matches, text), self.behavior)


class Digits(PreTokenizer):
    """Cuts numbers (categories N of Unicode 17) out, whole or digit by digit."""

    def __init__(self, individual_digits: bool = False) -> None:
        self.individual_digits = individual_digits

    def spans(self, text: str) -> Iterable[Span]:
        """Return numbers and the stretches between."""
        behavior = "Isolated" if self.individual_digits else "Contiguous"
        matches = _matches(_NUMBER.compiled(text), text)
        return _apply_behavior(_delimited(matches, text), behavior)


class CharDelimiterSplit(PreTokenizer):
    """Keeps the stretches between the characters `delimiter`."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = _one_character(delimiter, "delimiter")

    def spans(self, text: str) -> Iterable[Span]:
        """Return the stretches without it."""
        delimiter = regex.compile(regex.escape(self.delimiter))
        return _apply_behavior(_delimited(_matches(delimiter, text), text), "Removed")


class Metaspace(PreTokenizer):
    """SentencePiece's way: spaces become the visible `replacement`, and a piece begins with it.

    prepend_scheme: where a replacement comes first if none does: "always", at the "first" piece
    of the text, or "never". split: cut before each replacement, or not at all.

    >>> Metaspace()("Hey you")
    ['▁Hey', '▁you']
    """

    def __init__(
        self, replacement: str = "▁", prepend_scheme: str = "always", split: bool = True
    ) -> None:
        self.replacement = _one_character(replacement, "replacement")
        self.prepend_scheme = _one_of(prepend_scheme, SCHEMES, "prepend_scheme")
        self.split = split
        self._pattern = regex.compile(regex.escape(replacement))

    def rewrite(self, text: str, first: bool) -> str:
        """Return the text with its spaces replaced, and one more in front by `prepend_scheme`."""
        text = text.replace(" ", self.replacement)
        wanted = self.prepend_scheme == "always" or (self.prepend_scheme == "first" and first)
        prepend = wanted and not text.startswith(self.replacement)
        return self.replacement + text if prepend else text

    def spans(self, text: str) -> Iterable[Span]:
        """Return the pieces, each from one replacement to the next."""
        if not self.split:
            return [(0, len(text))]
        return _apply_behavior(_delimited(_matches(self._pattern, text), text), "MergedWithNext")


class Sequence(PreTokenizer):
    """One pre-tokenizer after the other: each cuts the pieces of the one before.

    >>> Sequence([WhitespaceSplit(), Digits()])("in 1999")
    ['in', '1999']
    """

    def __init__(self, pre_tokenizers: collections.abc.Sequence[PreTokenizer]) -> None:
        self.pre_tokenizers = tuple(pre_tokenizers)

    def cut(self, piece: Text, start: int) -> list[tuple[Text, int]]:
        """Return the pieces that are left after all of them, and where in each the text starts."""
        pieces = [(piece, start)] if len(piece) else []
        for step in self.pre_tokenizers:
            pieces = [part for piece, start in pieces for part in step.cut(piece, start)]
        return pieces


def single_pattern(pre_tokenizer: PreTokenizer | None) -> str | None:
    """Return the one pattern whose matches, with the stretches between, are the pieces, or None.

    GPT-2's tokenizer and its successors cut so, and a model can then encode a text in one go.
    """
    steps = pre_tokenizer.pre_tokenizers if isinstance(pre_tokenizer, Sequence) else (
        pre_tokenizer,)
    match steps:
        case [ByteLevel(add_prefix_space=False, use_regex=True)]:
            return GPT2
        case [Pattern() as own] | [Pattern() as own, ByteLevel(
                add_prefix_space=False, use_regex=False)]:
            return own.pattern
        case [Split(is_regex=True) as split, ByteLevel(add_prefix_space=False, use_regex=False)]:
            keeps = (split.behavior, split.invert) in (("Isolated", False), ("Removed", True))
            return split.pattern if keeps and split.pattern in _KNOWN else None
    return None


def asks_for_first(pre_tokenizer: PreTokenizer | None) -> bool:
    """Return whether the pre-tokenizer does otherwise with a piece that begins the text."""
    if isinstance(pre_tokenizer, Sequence):
        return any(map(asks_for_first, pre_tokenizer.pre_tokenizers))
    return isinstance(pre_tokenizer, Metaspace) and pre_tokenizer.prepend_scheme == "first"


def _delimited(matches: Iterable[Span], text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield where the matches and the stretches between them lie, and which is a match."""
    done = 0
    for i, j in matches:
        if done < i:
            yield done, i, False
        yield i, j, True
        done = j
    if done < len(text):
        yield done, len(text), False


def _matches(pattern: regex.Pattern[str], text: str) -> Iterator[Span]:
    """Yield where a pattern matches that never matches nothing."""
    return (match.span() for match in pattern.finditer(text))


def _apply_behavior(parts: Iterable[tuple[int, int, bool]], behavior: str) -> Iterable[Span]:
    """Return the pieces that `behavior` makes of matches and the stretches between."""
    if behavior == "Removed":
        return ((i, j) for i, j, is_match in parts if not is_match)
    if behavior == "Isolated":
        return ((i, j) for i, j, _ in parts)
    if behavior == "MergedWithNext":  # the same as with the previous, seen from the end
        flipped = [(-j, -i, is_match) for i, j, is_match in reversed(list(parts))]
        return [(-j, -i) for i, j in reversed(list(_apply_behavior(flipped, "MergedWithPrevious")))]
    joined: list[Span] = []
    before = None if behavior == "Contiguous" else False
    for i, j, is_match in parts:
        join = is_match == before if behavior == "Contiguous" else is_match and not before
        if join and joined:
            joined[-1] = (joined[-1][0], j)
        else:
            joined.append((i, j))
        before = is_match
    return joined


def _prepended(a: Aligned, text: str) -> Aligned:
    """Return `text`: the characters of `a`, respelled, after some that came from nothing."""
    more = len(text) - len(a.text)
    if not more:
        return Aligned(text, a.starts, a.ends)
    place = a.starts[:1].repeat(more) if len(a) else np.zeros(more, np.int64)
    return Aligned(text, np.concatenate((place, a.starts)), np.concatenate((place, a.ends)))


def _one_of(value: str, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise UserError(f"{what} {value!r} is not known; it may be {', '.join(allowed)}")
    return value


def _one_character(value: str, what: str) -> str:
    if len(value) != 1:
        raise UserError(f"{what} must be one character, got {value!r}")
    return value
