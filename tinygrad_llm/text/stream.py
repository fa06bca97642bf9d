"""Text from tokens, or from bytes, as they come."""

from __future__ import annotations

import codecs
from collections.abc import Callable

LONGEST_CHARACTER = 4  # bytes, so a stream never waits for more tokens
LONGEST_BEGINNING = 64  # tokens that make no text


class ByteStream:
    r"""The text of bytes as they come: a character is given out when its last byte is there.

    >>> decoder = ByteStream()
    >>> decoder.push(b"\xc3"), decoder.push(b"\xa9!"), decoder.finish()
    ('', 'é!', '')
    """

    def __init__(self, errors: str = "replace") -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors)

    def push(self, piece: bytes) -> str:
        """Return the characters that these bytes complete."""
        return self._decoder.decode(piece)

    def finish(self) -> str:
        """Return the rest: an unfinished character, by the policy for errors."""
        return self._decoder.decode(b"", final=True)


class TokenStream:
    """The text of ids as they come: a character is given out when its last byte is there.

    Byte-level tokens are bytes, and a `ByteStream` puts their characters together. Under any other
    decoder the text of a token depends on the tokens before it. So a token is decoded together with
    the tokens that completed the last characters. Where these have no text of their own (a decoder
    may drop "▁" or <s> from the beginning of a text), the last ones that had some come before them.

    Text that was given out stays: where a later token makes a run of bytes such as <0x41> invalid,
    decoding all at once has U+FFFD for the characters before it, too (see `decoders.ByteFallback`).

    decode: the tokenizer's. decode_bytes: the same, of a byte-level tokenizer; else None.
    """

    def __init__(self, decode: Callable[[list[int]], str],
                 decode_bytes: Callable[[list[int]], bytes] | None) -> None:
        self._decode, self._decode_bytes = decode, decode_bytes
        self._bytes = ByteStream()
        self._recent: list[int] = []
        self._before = 0  # of the recent ids, how many had been given out before the last came
        self._given = ""
        self._anchor: list[int] = []  # the last ids that made text of their own

    def push(self, id: int) -> str:
        """Return the characters that this id completes. Raises ValueError for an unknown id."""
        if self._decode_bytes:
            return self._bytes.push(self._decode_bytes([id]))
        self._recent.append(id)
        text = self._decode(self._recent)
        if text.endswith("\ufffd") and len(self._recent) < self._before + LONGEST_CHARACTER:
            return ""
        new = text[len(self._given):]
        latest = self._recent[self._before:]
        given = self._decode(latest)
        if given:
            self._anchor = latest
        elif self._anchor:
            latest = self._anchor + latest
            given = self._decode(latest)
        else:  # no token had text yet: the beginning of a text may lose that of all of them
            latest, given = self._recent[-LONGEST_BEGINNING:], text
            self._anchor = latest if text else []
        self._recent, self._before, self._given = [*latest], len(latest), given
        return new

    def finish(self) -> str:
        """Return the rest: an unfinished character as U+FFFD."""
        if self._decode_bytes:
            return self._bytes.finish()
        return self._decode(self._recent)[len(self._given):]
