r"""The 256 bytes as printable characters: how byte-level BPE spells its tokens in text files.

A byte-level token may be any bytes, and files of merges and vocabularies want lines without white
space or control characters. So every byte has one character of its own: the 188 bytes that Latin-1
prints (! to ~, ¡ to ¬, ® to ÿ) are spelled by themselves, the other 68 by U+0100, U+0101, ... in
the order of their values. A space is Ġ (U+0120), a newline Ċ (U+010A).

Files that number the bytes as GPT-2 does go by these characters' order: the printable bytes first.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2, and
`bytes_to_unicode` in the code published with it.

>>> printable(" naïve\n".encode())
'ĠnaÃ¯veĊ'
>>> unprintable("Ġnaïve")
b' na\xefve'
"""

from __future__ import annotations

_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))

BYTE_ORDER: tuple[int, ...] = (*_PRINTABLE, *sorted(set(range(256)) - set(_PRINTABLE)))
"""The bytes in the order in which GPT-2 numbers them: BYTE_ORDER[id] is the byte, id < 256."""

_POINTS = {byte: byte if byte in _PRINTABLE else 0x100 + id - len(_PRINTABLE)
           for id, byte in enumerate(BYTE_ORDER)}

BYTE_TO_CHAR: tuple[str, ...] = tuple(chr(_POINTS[byte]) for byte in range(256))
CHAR_TO_BYTE: dict[str, int] = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}

_TO_BYTE_POINTS = {ord(char): byte for char, byte in CHAR_TO_BYTE.items()}


def printable(b: bytes) -> str:
    """Return the characters that spell the bytes `b`, one each."""
    return b.decode("latin-1").translate(_POINTS)


def unprintable(s: str) -> bytes:
    """Return the bytes that `s` spells; `unprintable(printable(b)) == b`.

    Raises ValueError for a character that spells no byte.
    """
    if not CHAR_TO_BYTE.keys() >= set(s):
        place, char = next((i, c) for i, c in enumerate(s) if c not in CHAR_TO_BYTE)
        raise ValueError(f"unprintable: {char!r} (U+{ord(char):04X}) at position {place} of {s!r} "
                         "spells no byte; the printable alphabet has 256 characters")
    return to_bytes(s)


def to_bytes(s: str) -> bytes:
    """Return the same as `unprintable`, of text that surely has no other characters."""
    return s.translate(_TO_BYTE_POINTS).encode("latin-1")
