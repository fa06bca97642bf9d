r"""Decoders: from the tokens of a file's spelling back to text.

A decoder takes the list of tokens and returns a list of strings, a chain of them hands the list on,
and the strings joined at the end are the text. Each does the same as the decoder of its name in
tokenizer.json.

Tokens may be bytes that are no UTF-8: half a character, cut off by a limit on the length. With
`lossy` (the default) a decoder puts U+FFFD there, as those of tokenizer.json do. Without it, such
bytes go through the chain as the lone surrogates U+DC80 to U+DCFF (Python's "surrogateescape"),
and the exact bytes come out at the end. `decode` is the first, `decode_bytes` the second:

>>> decode(ByteLevel(), ["ĠÃ", "©", "Ã"])
' é�'
>>> decode_bytes(ByteLevel(), ["ĠÃ", "©", "Ã"])
b' \xc3\xa9\xc3'
>>> decode(ByteLevel(), ["ĠÃ", "©", "Ã"], errors="ignore")
' é'
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Sequence as Row
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import regex
from numpy.typing import NDArray

from .characters.alphabet import CHAR_TO_BYTE, to_bytes, unprintable
from .normalize.normalizers import Replace as ReplaceInText

BLOCK = 1 << 13  # ids; the arrays of one block stay in a core's cache
FEW = 64  # ids that are gathered one by one
SPARSE = 16  # places in a table for each token in it, above which ids are searched for

_BYTE_TOKEN = regex.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")


class Decoder(Protocol):
    """The interface of all decoders."""

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the strings that `tokens` become; invalid UTF-8 is U+FFFD if `lossy`."""


def decode(decoder: Decoder, tokens: list[str], errors: str = "replace") -> str:
    """Return the text of `tokens`; `errors` is the policy for bytes that are no UTF-8.

    "replace" puts U+FFFD as the decoder does by its definition; all else is as in `bytes.decode`:
    "strict" (UnicodeDecodeError), "ignore", "backslashreplace", "surrogateescape".
    """
    if errors == "replace":
        return "".join(decoder(tokens))
    return decode_bytes(decoder, tokens).decode("utf-8", errors)


def decode_bytes(decoder: Decoder, tokens: list[str]) -> bytes:
    """Return the exact bytes of `tokens`, UTF-8 or not."""
    return "".join(decoder(tokens, lossy=False)).encode("utf-8", "surrogateescape")


def _change_distinct(change: Callable[[str], str], tokens: list[str]) -> list[str]:
    """Return the tokens changed; most come again and again, so equal ones are changed once."""
    changed = {token: change(token) for token in set(tokens)}
    return [changed[token] for token in tokens]


@dataclass(frozen=True)
class ByteLevel:
    """Reads tokens in GPT-2's printable alphabet as the bytes they spell.

    A token with another character, as an added token may be, stands for its own UTF-8.
    """

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return one string: a character's bytes may lie in several tokens."""
        joined = "".join(tokens)
        if CHAR_TO_BYTE.keys() >= set(joined):
            spelled = unprintable(joined)
        else:
            spelled = b"".join(map(_bytes_of, tokens))
        return [spelled.decode("utf-8", "replace" if lossy else "surrogateescape")]


def _bytes_of(token: str) -> bytes:
    if CHAR_TO_BYTE.keys() >= set(token):
        return unprintable(token)
    return token.encode("utf-8", "surrogateescape")  # the decoder before may have left escapes


_UNSPELLED = regex.compile(f"[^{regex.escape(''.join(CHAR_TO_BYTE))}]")


class ByteTable:
    """The bytes that `ByteLevel` makes of many ids, gathered by NumPy.

    The bytes of all tokens lie end to end in one array. Those of ids i, j, ... are, with n_i and
    e_i the length of a token and its end in that array, and E_i the end in the result,

        result[p] = bytes[p + e_i - E_i]    for E_i - n_i <= p < E_i

    tokens: by their ids, spelled in the printable alphabet, but `literal` ones in UTF-8.

    >>> ByteTable({0: "Ġa", 7: "<é>"}, ["<é>"]).join(np.array([7, 0]))
    b'<\\xc3\\xa9> a'
    """

    def __init__(self, tokens: Mapping[int, str], literal: Collection[str] = ()) -> None:
        names = list(tokens.values())
        is_spelled = [name not in literal and not _UNSPELLED.search(name) for name in names]
        spelled = "".join(name for name, is_one in zip(names, is_spelled, strict=True) if is_one)
        others = [name.encode("utf-8", "surrogatepass")
                  for name, is_one in zip(names, is_spelled, strict=True) if not is_one]
        data = to_bytes(spelled) + b"".join(others)
        sizes = np.array([len(name) for name in names], np.int64)
        is_literal = ~np.array(is_spelled, bool)
        sizes[is_literal] = [len(name) for name in others]
        order = np.argsort(is_literal, kind="stable")  # as they lie in `data`
        ends = np.empty_like(sizes)
        ends[order] = np.cumsum(sizes[order])
        self._bytes = np.frombuffer(data, np.uint8)
        ids = np.array(list(tokens), np.int64)
        self._size = int(ids.max(initial=-1)) + 1
        self._ids = np.sort(ids) if self._size > SPARSE * len(ids) + BLOCK else None
        rows = self._rows(ids)
        self._ends = np.full(len(ids) if self._ids is not None else self._size, -1, np.int64)
        self._sizes = np.zeros_like(self._ends)
        self._ends[rows], self._sizes[rows] = ends, sizes
        self._remembered: dict[int, bytes] = {}

    def _rows(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Return each id's row in the tables: the id itself, unless most rows would be holes.

        Raises KeyError with an id that is outside, or has no row.
        """
        outside = (ids < 0) | (ids >= self._size)
        if outside.any():
            raise KeyError(int(ids[outside][0]))
        if self._ids is None:
            return ids
        rows = np.searchsorted(self._ids, ids)
        if (lacking := self._ids[rows] != ids).any():
            raise KeyError(int(ids[lacking][0]))
        return rows

    def _bytes_of_one(self, id: int) -> bytes:
        """Return the bytes of one token from a memory: NumPy would take ten times as long."""
        if (found := self._remembered.get(id)) is None:
            (row,) = self._rows(np.array([id]))
            end, size = int(self._ends[row]), int(self._sizes[row])
            if end < 0:
                raise KeyError(id)
            found = self._remembered[id] = self._bytes[end - size:end].tobytes()
        return found

    def join(self, ids: NDArray[Any]) -> bytes:
        """Return the bytes of integer `ids` (N,); KeyError with one that no token has."""
        if len(ids) <= FEW:
            return b"".join([self._bytes_of_one(id) for id in ids.tolist()])
        parts = []
        for start in range(0, len(ids), BLOCK):
            block = ids[start:start + BLOCK]
            rows = self._rows(block).astype(np.int64, copy=False)
            ends, sizes = self._ends.take(rows), self._sizes.take(rows)
            if ends.min() < 0:
                raise KeyError(int(block[ends < 0][0]))
            places = np.repeat(ends - np.cumsum(sizes), sizes)
            places += np.arange(len(places))
            parts.append(self._bytes[places].tobytes())
        return b"".join(parts)


@dataclass(frozen=True)
class ByteFallback:
    """Reads tokens such as <0xE4> as bytes, and each run of them as UTF-8.

    A run that is not valid becomes one U+FFFD a byte, its valid characters too.
    """

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the tokens with each run of bytes replaced by its text."""
        if not any(len(token) == 6 and _BYTE_TOKEN.fullmatch(token) for token in set(tokens)):
            return tokens
        strings: list[str] = []
        run = bytearray()
        for token in tokens:
            if len(token) == 6 and (byte := _BYTE_TOKEN.fullmatch(token)):
                run.append(int(byte[1], 16))
                continue
            if run:
                strings += _read_run(run, lossy)
                run.clear()
            strings.append(token)
        return strings + _read_run(run, lossy)


def _read_run(run: bytearray, lossy: bool) -> list[str]:
    if not run:
        return []
    try:
        return [run.decode("utf-8", "strict" if lossy else "surrogateescape")]
    except UnicodeDecodeError:
        return ["\ufffd"] * len(run)


@dataclass(frozen=True)
class WordPiece:
    """Puts a space before each token but the first, or drops the `prefix` of one that continues.

    `cleanup` takes out spaces before punctuation and contractions, within one token and the space
    put before it.
    """

    prefix: str = "##"
    cleanup: bool = True

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the tokens as stretches of text."""
        first = [_clean_up(token) if self.cleanup else token for token in tokens[:1]]
        return first + _change_distinct(self._later, tokens[1:])

    def _later(self, token: str) -> str:
        string = token[len(self.prefix):] if token.startswith(self.prefix) else " " + token
        return _clean_up(string) if self.cleanup else string


_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


def _clean_up(string: str) -> str:
    if " " in string:
        for old, new in _CLEAN_UP:
            string = string.replace(old, new)
    return string


@dataclass(frozen=True)
class Metaspace:
    """Turns `replacement` into spaces.

    Unless `prepend_scheme` is "never", those of the first token are dropped, all of them. `split`
    matters to the pre-tokenizer of this name only.
    """

    replacement: str = "▁"
    prepend_scheme: str = "always"
    split: bool = True

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the tokens with spaces."""
        first = " " if self.prepend_scheme == "never" else ""
        return [token.replace(self.replacement, first) for token in tokens[:1]] + _change_distinct(
            lambda token: token.replace(self.replacement, " "), tokens[1:])


@dataclass(frozen=True)
class BPEDecoder:
    """Turns `suffix`, which ends a word, into a space; that of the last token is dropped."""

    suffix: str = "</w>"

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the tokens with spaces."""
        last = len(tokens) - 1
        return [token.replace(self.suffix, " " if k < last else "")
                for k, token in enumerate(tokens)]


@dataclass(frozen=True)
class Fuse:
    """Joins all strings, so that what follows in the chain sees one."""

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return one string."""
        return ["".join(tokens)]


@dataclass(frozen=True)
class Strip:
    """Drops up to `start` characters `content` at the beginning of each string, `stop` at its end.

    `content` is one character (ValueError).
    """

    content: str = " "
    start: int = 0
    stop: int = 0

    def __post_init__(self) -> None:
        if len(self.content) != 1:
            raise ValueError(f"Strip: content must be one character, got {self.content!r}")

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the strings stripped."""
        return [self._strip(token) for token in tokens]

    def _strip(self, token: str) -> str:
        start = min(self.start, len(token) - len(token.lstrip(self.content)))
        token = token[start:]
        stop = min(self.stop, len(token) - len(token.rstrip(self.content)))
        return token[:len(token) - stop]


@dataclass(frozen=True)
class Replace:
    """Replaces each match of `pattern` by `content`, literally; see `normalizers.Replace`."""

    pattern: str
    content: str
    is_regex: bool = False

    def __post_init__(self) -> None:
        self._in_text()  # refuses what is no pattern

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the strings with the matches replaced."""
        return _change_distinct(self._in_text(), tokens)

    def _in_text(self) -> ReplaceInText:
        return ReplaceInText(self.pattern, self.content, self.is_regex)


@dataclass(frozen=True)
class Sequence:
    """Applies `decoders` one after the other."""

    decoders: Row[Decoder]

    def __call__(self, tokens: list[str], lossy: bool = True) -> list[str]:
        """Return the strings that the last one makes."""
        for decoder in self.decoders:
            tokens = decoder(tokens, lossy)
        return tokens
