"""SentencePiece's normaliser, and the decoder that undoes it.

    source                 "  Hello   ﬁsh "
    charsmap               "  Hello   fish "      the longest string of the map, at each place
    extra whitespace       "Hello fish"           none outside, one space inside
    dummy prefix           " Hello fish"          so that a word is the same at the beginning
    escaped                "▁Hello▁fish"

Whitespace is the space alone; the maps turn others into it. The definition goes from left to right
by chunks: a user-defined piece, else the longest string of the map, else a character. A chunk
loses its leading spaces if the text written before it ends in one.

Source: Kudo and Richardson 2018, "SentencePiece", section 3.2, and its implementation
(normalizer.cc), which this follows in every corner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..characters.aligned import Aligned
from .precompiled import Precompiled, read_charsmap

SPACE = "▁"  # U+2581, which stands for a space in pieces
_SPACES = re.compile("  +")


@dataclass(frozen=True)
class SentencePieceNormalizer:
    """The normaliser of a `.model` file; its attributes are the file's settings.

    kept: user-defined pieces, which the charsmap leaves alone. as_suffix: the dummy space goes to
    the end of the text. Raises UserError where `charsmap` is none.
    """

    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True
    as_suffix: bool = False
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self._rules is not None  # reads the map now, to refuse a broken one early

    def __call__(self, text: str) -> str:
        """Return `text` normalised."""
        if not self._is_plain or (self._kept and self._kept.search(text)):
            return self._by_chunks(Aligned.of(text)).text
        normalised = self._precompiled(text) if self.charsmap else text
        if self.remove_extra_whitespaces:
            normalised = _SPACES.sub(" ", normalised.strip(" "))
        dummy = " " if self.add_dummy_prefix and text else ""
        normalised = self._escaped(dummy + normalised)
        return normalised.rstrip(self._space) if self.remove_extra_whitespaces else normalised

    def align(self, a: Aligned) -> Aligned:
        """Return `a` normalised; the dummy prefix came from nothing."""
        return self._by_chunks(a)

    def _by_chunks(self, a: Aligned) -> Aligned:
        """Return `a` normalised by the definition."""
        chunks = list(self._chunks(a.text))
        strips = self.remove_extra_whitespaces
        outside = 0  # leading chunks that are spaces
        while strips and outside < len(chunks) and chunks[outside][2] == " ":
            outside += 1
        if outside == len(chunks):
            return a[:0]
        begin = chunks[outside][0]
        edits = [(0, begin, "")]
        if self.add_dummy_prefix and not self.as_suffix:
            edits.append((begin, begin, self._space))
        after_space = strips
        for first, last, chunk in chunks[outside:]:
            written = chunk.lstrip(" ") if after_space else chunk
            if written:
                after_space = strips and written.endswith(" ")
            if self._escaped(written) != a.text[first:last]:
                edits.append((first, last, self._escaped(written)))
        a = a.rewrite(edits)
        if strips:
            a = a[: len(a.text.rstrip(self._space))]
        if self.add_dummy_prefix and self.as_suffix:
            a = a.rewrite([(len(a), len(a), self._space)])
        return a

    def _chunks(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (first, last, replacement) of each chunk; together the chunks are all of `text`."""
        at, rules = 0, self._rules
        while at < len(text):
            kept = self._kept.match(text, at) if self._kept else None
            if kept:
                end, chunk = kept.end(), kept[0]
            else:
                lengths = self._lengths.get(text[at], ())
                found = next((text[at : at + n] for n in lengths if text[at : at + n] in rules), "")
                end = at + (len(found) or 1)
                chunk = rules[found] if found else text[at]
            yield at, end, chunk
            at = end

    def _escaped(self, text: str) -> str:
        return text.replace(" ", SPACE) if self.escape_whitespaces else text

    @property
    def _space(self) -> str:
        return SPACE if self.escape_whitespaces else " "

    @cached_property
    def _rules(self) -> dict[str, str]:
        return read_charsmap(self.charsmap) if self.charsmap else {}

    @cached_property
    def _precompiled(self) -> Precompiled:
        return Precompiled(self.charsmap, longest=True)

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """The lengths of the map's strings by their first character, falling."""
        lengths: dict[str, set[int]] = {}
        for string in filter(None, self._rules):
            lengths.setdefault(string[0], set()).add(len(string))
        return {first: sorted(those, reverse=True) for first, those in lengths.items()}

    @cached_property
    def _kept(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.kept, key=lambda piece: (-len(piece), piece))
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @cached_property
    def _is_plain(self) -> bool:
        """Whether stripping a whole text is the same as stripping its chunks."""
        return not self.as_suffix and not any("  " in new for new in self._rules.values())


@dataclass(frozen=True)
class SentencePieceDecoder:
    """Tokens to text: bytes put together, "▁" a space, the dummy prefix and control pieces gone.

    hidden: control pieces. byte_pieces: whether <0x00> to <0xFF> are bytes. unk_piece becomes
    unk_surface. strips_first, strips_all: the text loses one leading space, or all of them.
    """

    hidden: frozenset[str]
    byte_pieces: bool
    unk_piece: str
    unk_surface: str
    strips_first: bool
    strips_all: bool

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the text of `tokens`, as a list of one; `lossy` as in `decoders`."""
        parts: list[str] = []
        pending = bytearray()  # bytes that may go on
        stripping = self.strips_first or self.strips_all
        for token in [*tokens, ""]:
            if self.byte_pieces and _BYTE.fullmatch(token):
                pending.append(int(token[3:5], 16))
                continue
            if pending:
                parts.append(_decoded(bytes(pending), lossy))
                pending.clear()
                stripping = False
            if token in self.hidden:
                continue
            if token == self.unk_piece:
                parts.append(self.unk_surface)
                stripping = False
                continue
            if stripping and token:
                has_space = token.startswith(SPACE)
                token = token.removeprefix(SPACE)
                stripping = not token and (self.strips_all or not has_space)
            parts.append(token.replace(SPACE, " "))
        return ["".join(parts)]


_BYTE = re.compile("<0x[0-9A-F]{2}>")


def _decoded(spelled: bytes, lossy: bool) -> str:
    """Return the text of UTF-8 bytes; each byte that is none is U+FFFD by itself."""
    if not lossy:
        return spelled.decode("utf-8", "surrogateescape")
    parts: list[str] = []
    while spelled:
        try:
            parts.append(spelled.decode())
            break
        except UnicodeDecodeError as error:
            parts += [spelled[: error.start].decode(), "\ufffd"]
            spelled = spelled[error.start + 1 :]
    return "".join(parts)
