"""Texts as rows of words, and their runs of n words as numbers: what comparing documents works on.

A word is what white space parts, in lower case and without punctuation, as GPT-3's authors
compare documents (Brown et al., "Language models are few-shot learners", 2020, appendix C). A
character of a script that writes no spaces (Han, kana, Thai, Lao, Khmer, Myanmar) is a word. What
editions spell differently is alike: a dash parts words with spaces around it or without, full-width
letters are letters, and soft hyphens and other invisible signs are nothing.

Words are UTF-8 bytes: ASCII text then is cut by three passes of bytes' own methods.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import regex
from numpy.typing import NDArray

from .normal_form import normal_form

Hashes = NDArray[np.uint64]

PUNCTUATION = bytes(c for c in range(33, 127) if not chr(c).isalnum())
SPACES = bytes.maketrans(b"\x1c\x1d\x1e\x1f", b"    ")  # str.split parts at these, bytes.split not
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits as even as 2**64 / the golden ratio
LARGEST_MEMO = 2**20
UNSPACED = "".join(rf"\p{{{script}}}" for script in (
    "Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"))
UNSPACED_CHARACTER = regex.compile(rf"[{UNSPACED}]\p{{M}}*")
SIGNS = regex.compile(r"[\p{P}\p{S}\p{Cf}]+")
DASHES = regex.compile(r"--|[\u2012-\u2015]")


def normalized_words(text: str) -> list[bytes]:
    """Return the words of a text.

    >>> normalized_words("Don't panic: 東京 is fine.")
    [b'dont', b'panic', b'\\xe6\\x9d\\xb1', b'\\xe4\\xba\\xac', b'is', b'fine']
    """
    if text.isascii():
        raw = text.encode().lower().replace(b"--", b" ")
        return raw.translate(SPACES, PUNCTUATION).split()
    return normalized_words_of_any(text)


def normalized_words_of_any(text: str) -> list[bytes]:
    """Return the words of a text of any characters; lone surrogates are characters as well."""
    parted = DASHES.sub(" ", normal_form("NFKC", text).lower())
    bare = UNSPACED_CHARACTER.sub(r" \g<0> ", normal_form("NFC", SIGNS.sub("", parted)))
    return [word.encode("utf-8", "surrogatepass") for word in bare.split()]


def word_hashes(found: list[bytes]) -> Hashes:
    """Return 64 bits for each of N words, uint64 of shape (N,), alike in every process."""
    if len(_memo) > LARGEST_MEMO:
        _memo.clear()
    return np.fromiter(map(_memo.__getitem__, found), np.uint64, len(found))


def run_hashes(hashes: Hashes, length: int) -> Hashes:
    """Return 64 bits for each run of `length` words, uint64 of shape (N - length + 1,) or (0,).

    Runs are polynomials of their words at FACTOR, modulo 2**64, whose bits are mixed at the end.
    """
    count = max(len(hashes) - length + 1, 0)
    runs = np.zeros(count, np.uint64)
    for i in range(length):
        runs *= FACTOR
        runs += hashes[i:i + count]
    runs ^= runs >> np.uint64(32)
    runs *= FACTOR
    runs ^= runs >> np.uint64(32)
    return runs


class _Memo(dict[bytes, int]):
    """A word's hash, computed when it is first asked for."""

    def __missing__(self, word: bytes) -> int:
        self[word] = found = int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
        return found


_memo = _Memo()
