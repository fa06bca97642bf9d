r"""SentencePiece's precompiled normalisation: a trie of strings and what each is replaced by.

The bytes of a map are three parts: the size of the trie (uint32, little-endian), the trie, and
the replacements in UTF-8, each ended by a zero byte. The trie is a double array: units of 32 bits,
where the child of unit p by byte c stands at (p ^ offset) ^ c and bears c as its label. In a unit

    bits 0-7    label             bit 8    a string ends here: the unit at p ^ offset
    bits 10-31  offset            bit 9    the offset counts in 256s    holds its value instead
    bits 0-30   the value, where the replacement begins, in such a unit (bit 31 is set)

Two readings of one map are in use, and they differ:

    SentencePiece   at each place the longest string of the map is replaced;
    tokenizer.json  a grapheme cluster of fewer than 6 bytes is replaced as a whole if a string of
                    the map begins it, by what the *shortest* such string becomes: "½" with an
                    accent becomes "1⁄2" and loses it. Where none does, characters go one by one.

So か and a separate dakuten (6 bytes) become が in SentencePiece and stay as they are in the other.

Sources: Kudo and Richardson 2018, "SentencePiece", section 3; the double array of Aoe 1989, as
the library Darts-clone lays it out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import regex
from numpy.typing import NDArray

from ...host.errors import UserError
from ..characters.aligned import Aligned
from ..characters.unicode_versions import LATER_THAN_16

LONGEST_STRING = 256  # bytes; those of SentencePiece's own maps are below 40
MOST_NODES = 1 << 20

_STRETCH = re.compile(f"(?s:.)[^{LATER_THAN_16}]*")  # what a cluster lies within
_CLUSTER = regex.compile(r"\X")
_JOINED = regex.compile(r"\r\n|[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}\p{GCB=Prepend}]")


@dataclass(frozen=True)
class Precompiled:
    """Normalises by `charsmap`, the bytes of a precompiled map.

    With `longest` as SentencePiece does, without as tokenizer.json has it. UserError where the
    bytes are no such map.
    """

    charsmap: bytes
    longest: bool = False

    def __post_init__(self) -> None:
        assert self._rules is not None  # reads the map now, to refuse a broken one early

    def __call__(self, text: str) -> str:
        """Return `text` normalised."""
        parts, done = [], 0
        for first, last, replacement in self._clusters(text):
            parts += [text[done:first].translate(self._characters), replacement]
            done = last
        return "".join([*parts, text[done:].translate(self._characters)])

    def align(self, a: Aligned) -> Aligned:
        """Return `a` normalised; a replacement came from the whole string that it replaced."""
        return a if self(a.text) == a.text else a.rewrite(self._edits(a.text))

    def _edits(self, text: str) -> Iterator[tuple[int, int, str]]:
        done = 0
        for first, last, replacement in [*self._clusters(text), (len(text), len(text), "")]:
            for place in range(done, first):
                if (new := self._characters.get(ord(text[place]))) is not None:
                    yield place, place + 1, new
            yield first, last, replacement
            done = last

    def _clusters(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (first, last, replacement) of strings to replace, but not of single characters."""
        return self._longest_strings(text) if self.longest else self._graphemes(text)

    def _longest_strings(self, text: str) -> Iterator[tuple[int, int, str]]:
        place = 0
        while found := self._beginning.search(text, place):
            place = found.start()
            for length in self._lengths.get(text[place], ()):
                candidate = text[place:place + length]
                if len(candidate) > 1 and candidate in self._rules:
                    yield place, place + len(candidate), self._rules[candidate]
                    place += len(candidate)
                    break
            else:
                place += 1

    def _graphemes(self, text: str) -> Iterator[tuple[int, int, str]]:
        if not _JOINED.search(text):
            return
        clusters = (_CLUSTER.finditer(text, *part.span()) for part in _STRETCH.finditer(text))
        for cluster in chain.from_iterable(clusters):
            string = cluster[0]
            if len(string) > 1 and len(string.encode("utf-8", "surrogatepass")) < 6:
                begins = (string[:length] for length in range(1, len(string) + 1))
                shortest = next((begin for begin in begins if begin in self._rules), None)
                if shortest is not None:
                    yield *cluster.span(), self._rules[shortest]

    @cached_property
    def _rules(self) -> dict[str, str]:
        return read_charsmap(self.charsmap)

    @cached_property
    def _characters(self) -> dict[int, str]:
        return {ord(old): new for old, new in self._rules.items() if len(old) == 1}

    @cached_property
    def _lengths(self) -> dict[str, list[int]]:
        """The lengths of the strings of 2 and more characters, by their first one, falling."""
        lengths: dict[str, set[int]] = {}
        for string in self._rules:
            if len(string) > 1:
                lengths.setdefault(string[0], set()).add(len(string))
        return {first: sorted(those, reverse=True) for first, those in lengths.items()}

    @cached_property
    def _beginning(self) -> re.Pattern[str]:
        """A pattern of the first two of these characters; all above U+10000 are alike to it."""
        if not self._lengths:
            return re.compile(r"(?!)")
        second = {string[1] for string in self._rules if len(string) > 1}
        return re.compile(f"{_class_of(self._lengths)}(?={_class_of(second)})")


def _class_of(characters: Collection[str]) -> str:
    """Return a class of `characters`; `re` looks one up in a table only if it is below U+10000."""
    below = sorted(char for char in characters if char < "\U00010000")
    above = "\U00010000-\U0010ffff" if max(characters) >= "\U00010000" else ""
    return f"[{re.escape(''.join(below))}{above}]"


def read_charsmap(charsmap: bytes) -> dict[str, str]:
    """Return the strings of a precompiled map and their replacements.

    Raises UserError where the bytes are no such map.
    """
    try:
        size = int.from_bytes(charsmap[:4], "little")
        if len(charsmap) < 8 or size % 4 or not 4 <= size <= len(charsmap) - 4:
            raise ValueError(f"a trie of {size} bytes in {len(charsmap)}")
        replacements = charsmap[4 + size:]
        units = np.frombuffer(charsmap, "<u4", size // 4, offset=4)
        return {string.decode(): _replacement(replacements, value)
                for string, value in _strings(units)}
    except ValueError as error:
        raise UserError(
            f"the precompiled map of the normaliser cannot be read: {error}; it is cut short or "
            "damaged: get the tokenizer's file again"
        ) from error


def _replacement(replacements: bytes, begin: int) -> str:
    if begin > len(replacements):
        raise ValueError(f"a replacement at byte {begin} of {len(replacements)}")
    return replacements[begin:].split(b"\0", 1)[0].decode()


def _strings(units: NDArray[np.uint32]) -> Iterator[tuple[bytes, int]]:
    """Yield the strings of the double array `units` with their values, shortest first."""
    labels = units & 0x800000FF
    offsets = ((units >> 10) << ((units >> 6) & 8)).astype(np.int64)
    labelled = np.flatnonzero((labels > 0) & (labels < 256))
    siblings = labelled ^ labels[labelled]  # the children of base b are those with siblings == b
    order = np.argsort(siblings, kind="stable")
    siblings, labelled = siblings[order], labelled[order]
    bases, strings, count = offsets[:1], [b""], 0
    for _ in range(LONGEST_STRING + 1):
        first, last = (np.searchsorted(siblings, bases, side) for side in ("left", "right"))
        count += int((last - first).sum())
        if not strings:
            return
        if count > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} nodes")
        parents, places = _ranges(first, last)
        nodes = labelled[places]
        bases = nodes ^ offsets[nodes]
        strings = [strings[parent] + bytes([label])
                   for parent, label in zip(parents.tolist(), labels[nodes].tolist(), strict=True)]
        for k in np.flatnonzero(units[nodes] & 0x100).tolist():
            if bases[k] >= len(units):
                raise ValueError(f"a value at unit {bases[k]} of {len(units)}")
            yield strings[k], int(units[bases[k]] & 0x7FFFFFFF)
    raise ValueError(f"strings of more than {LONGEST_STRING} bytes")


def _ranges(
    first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (k, place) for each k and each place in [first_k, last_k), two arrays."""
    lengths = last - first
    k = np.repeat(np.arange(len(first)), lengths)
    return k, np.arange(len(k)) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)
