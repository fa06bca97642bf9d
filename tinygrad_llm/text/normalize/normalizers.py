"""Normalisers: changes to a text before it is cut into words and tokens.

Each is a class with two methods that make the same text. `__call__` is the fast one, str -> str.
`align` also keeps the provenance of each character, Aligned -> Aligned, so that the part of the
source that a token covers is known. Most normalisers change each character by itself, without
regard to its neighbours; `by_character` is the `align` of all of them.

They do the same as the normalisers of the same names in tokenizer.json, the format in which most
vocabularies are published; `unicode_versions` says by which version of Unicode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Row
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..characters.aligned import Aligned
from ..characters.alphabet import BYTE_TO_CHAR
from ..characters.surrogates import refuse_lone_surrogates
from ..characters.unicode_versions import (
    WHITE_SPACE,
    is_control,
    is_mark,
    is_nonspacing_mark,
    lower_case,
)
from ..cut.oniguruma import compile_oniguruma
from .normal_forms import NFC, NFD, NFKC, NFKD

__all__ = ["NFC", "NFD", "NFKC", "NFKD", "BertNormalizer", "ByteLevel", "Lowercase", "Nmt",
           "Normalizer", "Prepend", "Replace", "Sequence", "Strip", "StripAccents"]


class Normalizer(Protocol):
    """The interface of all normalisers."""

    def __call__(self, text: str) -> str:
        """Return `text` normalised."""

    def align(self, a: Aligned) -> Aligned:
        """Return `a.text` normalised as by `__call__`, each character with its source span."""


class Table(dict[int, str]):
    """A table for `str.translate`, filled as characters come: code point -> `change(char)`."""

    def __init__(self, change: Callable[[str], str]) -> None:
        super().__init__()
        self.change = change

    def __missing__(self, point: int) -> str:
        self[point] = changed = self.change(chr(point))
        return changed


def by_character(a: Aligned, change: Callable[[str], str]) -> Aligned:
    """Return `a` with each character c replaced by the string `change(c)`."""
    changed = {char: change(char) for char in set(a.text)}
    if all(len(new) == 1 for new in changed.values()):
        return Aligned("".join([changed[char] for char in a.text]), a.starts, a.ends)
    pieces = [changed[char] for char in a.text]
    first = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    return a.remap("".join(pieces), first, first + 1)


@dataclass(frozen=True)
class Lowercase:
    """Lower case, character by character: İ becomes i and a dot above, Σ always becomes σ."""

    def __call__(self, text: str) -> str:
        """Return `text` in lower case."""
        return lower_case(text)

    def align(self, a: Aligned) -> Aligned:
        """Return `a` in lower case."""
        return by_character(a, lower_case)


def _unless(is_dropped: Callable[[str], bool]) -> Callable[[str], str]:
    return lambda char: "" if is_dropped(char) else char


_WITHOUT_MARKS = Table(_unless(is_mark))
_WITHOUT_NONSPACING_MARKS = Table(_unless(is_nonspacing_mark))


@dataclass(frozen=True)
class StripAccents:
    """Drops all combining marks; an é of one character keeps its accent (decompose first)."""

    def __call__(self, text: str) -> str:
        """Return `text` without combining marks."""
        return text if text.isascii() else text.translate(_WITHOUT_MARKS)

    def align(self, a: Aligned) -> Aligned:
        """Return `a` without combining marks."""
        return by_character(a, _WITHOUT_MARKS.change)


@dataclass(frozen=True)
class Strip:
    """Drops white space at the beginning (`left`) and at the end (`right`)."""

    left: bool = True
    right: bool = True

    def __call__(self, text: str) -> str:
        """Return `text` without outer white space."""
        text = text.lstrip(WHITE_SPACE) if self.left else text
        return text.rstrip(WHITE_SPACE) if self.right else text

    def align(self, a: Aligned) -> Aligned:
        """Return `a` without outer white space."""
        start = len(a.text) - len(a.text.lstrip(WHITE_SPACE)) if self.left else 0
        return a[start:start + len(self(a.text))]


@dataclass(frozen=True)
class Prepend:
    """Puts `prepend` before a text that is not empty."""

    prepend: str

    def __call__(self, text: str) -> str:
        """Return `text` with `prepend` before it."""
        return self.prepend + text if text else text

    def align(self, a: Aligned) -> Aligned:
        """Return `a` with `prepend` before it, which has no source."""
        return a.rewrite([(0, 0, self.prepend)]) if a.text else a


@dataclass(frozen=True)
class Replace:
    """Replaces every match of `pattern` by `content`, literally.

    `pattern` is a string, or with `is_regex` a regular expression as Oniguruma reads it.
    UserError where it is none.
    """

    pattern: str
    content: str
    is_regex: bool = False

    def __post_init__(self) -> None:
        if self.is_regex:
            compile_oniguruma(self.pattern)

    def __call__(self, text: str) -> str:
        """Return `text` with the matches replaced."""
        if not self.is_regex and text:
            return text.replace(self.pattern, self.content)
        parts, done = [], 0
        for first, last in self._matches(text):
            parts += [text[done:first], self.content]
            done = last
        return "".join([*parts, text[done:]])

    def align(self, a: Aligned) -> Aligned:
        """Return `a` with the matches replaced; a replacement came from the whole match."""
        return a.rewrite((first, last, self.content) for first, last in self._matches(a.text))

    def begins(self, a: Aligned) -> bool:
        """Return whether `a` with the matches replaced begins as the source does.

        See `keeps_beginning`.
        """
        first, last = next(self._matches(a.text), (0, 0))
        if first == 0 < last and self.content:
            return int(a.starts[last - 1]) == 0
        a = self.align(a)
        return len(a) > 0 and int(a.starts[0]) == 0

    def _matches(self, text: str) -> Iterator[tuple[int, int]]:
        pattern = self.pattern if self.is_regex else re.escape(self.pattern)
        return compile_oniguruma(pattern, not self.is_regex).spans(text) if text else iter(())


@dataclass(frozen=True)
class BertNormalizer:
    """BERT's: cleans, sets Chinese characters apart, strips accents, lowers case.

    `clean_text` drops control characters and U+FFFD and turns white space into spaces,
    `handle_chinese_chars` puts a space on either side of each Chinese character, `strip_accents`
    (None: if `lowercase`) decomposes and drops nonspacing marks.

    Source: Devlin et al. 2018, the code published with it (`BasicTokenizer`).
    """

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    @property
    def strips(self) -> bool:
        """Whether accents are stripped."""
        return self.lowercase if self.strip_accents is None else self.strip_accents

    def __call__(self, text: str) -> str:
        """Return `text` normalised."""
        if self.clean_text:
            text = text.translate(_CLEAN)
        if self.handle_chinese_chars and _CHINESE.search(text):
            text = text.translate(_SET_APART)
        if self.strips and not text.isascii():
            text = NFD()(text).translate(_WITHOUT_NONSPACING_MARKS)
        return lower_case(text) if self.lowercase else text

    def align(self, a: Aligned) -> Aligned:
        """Return `a` normalised; spaces beside Chinese characters have no source."""
        if self.clean_text:
            a = by_character(a, _clean)
        if self.handle_chinese_chars:
            places = [match.start() for match in _CHINESE.finditer(a.text)]
            a = a.rewrite((i, i, " ") for place in places for i in (place, place + 1))
        if self.strips:
            a = by_character(NFD().align(a), _WITHOUT_NONSPACING_MARKS.change)
        return by_character(a, lower_case) if self.lowercase else a


def _clean(char: str) -> str:
    if char in "\t\n\r":
        return " "
    if is_control(char) or char == "\ufffd":
        return ""
    return " " if char in WHITE_SPACE else char


_CLEAN = Table(_clean)

# The blocks of CJK ideographs. BERT's code begins extension E where it does, at U+2B820; the
# tokenizers that read tokenizer.json begin at U+2B920, and their ids are what files promise.
_CHINESE = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f]")
_SET_APART = Table(lambda char: f" {char} " if _CHINESE.match(char) else char)


def _nmt(char: str) -> str:
    point = ord(char)
    if (0 < point < 0x20 and char not in "\t\n\f\r") or point in (0x7F, 0x8F, 0x9F):
        return ""
    is_space = char in "\t\n\f\r\u1680\u2028\u2029\u2581\ufeff\ufffd" or 0x200B <= point <= 0x200F
    return " " if is_space else char


_NMT = Table(_nmt)


@dataclass(frozen=True)
class Nmt:
    """Drops control characters and turns uncommon white space into spaces.

    Source: the rules "nmt" of SentencePiece (Kudo and Richardson 2018), without its NFKC.
    """

    def __call__(self, text: str) -> str:
        """Return `text` normalised."""
        return text.translate(_NMT)

    def align(self, a: Aligned) -> Aligned:
        """Return `a` normalised."""
        return by_character(a, _nmt)


def _spell_bytes(char: str) -> str:
    return "".join([BYTE_TO_CHAR[byte] for byte in char.encode()])


_BYTE_LEVEL = Table(_spell_bytes)


@dataclass(frozen=True)
class ByteLevel:
    """Spells the UTF-8 bytes of the text in GPT-2's printable alphabet.

    Raises UserError for a lone surrogate, which has no UTF-8.
    """

    def __call__(self, text: str) -> str:
        """Return the printable characters that spell the bytes of `text`."""
        refuse_lone_surrogates(text)
        return text.translate(_BYTE_LEVEL)

    def align(self, a: Aligned) -> Aligned:
        """Return the spelling of `a`; all bytes of a character have the character's span."""
        refuse_lone_surrogates(a.text)
        return by_character(a, _spell_bytes)


@dataclass(frozen=True)
class Sequence:
    """Applies `normalizers` one after the other."""

    normalizers: Row[Normalizer]

    def __call__(self, text: str) -> str:
        """Return `text` normalised by each in turn."""
        for normalizer in self.normalizers:
            text = normalizer(text)
        return text

    def align(self, a: Aligned) -> Aligned:
        """Return `a` normalised by each in turn."""
        for normalizer in self.normalizers:
            a = normalizer.align(a)
        return a


def keeps_beginning(normalizer: Normalizer | None, a: Aligned) -> bool:
    """Return whether `a`, once normalised, begins with characters from the source's beginning.

    Hugging Face's tokenizers takes the content that Replace puts in to come from the last character
    of the match. No offset here says so, but it decides which piece is "first" for a Metaspace that
    prepends to that one.
    """
    if isinstance(normalizer, Sequence):
        for step in normalizer.normalizers:
            if not keeps_beginning(step, a):
                return False
            a = step.align(a)
        return True
    if isinstance(normalizer, Replace):
        return normalizer.begins(a)
    a = normalizer.align(a) if normalizer else a
    return len(a) > 0 and int(a.starts[0]) == 0
