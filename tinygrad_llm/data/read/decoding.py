"""From bytes to text: which encoding a file is in, and whether it is text at all.

A byte order mark decides; without one, bytes that are UTF-8 are UTF-8 (text in an older encoding
practically never is by accident, as every byte above 0x7f would have to stand in a valid
sequence); what remains is guessed by charset-normalizer from how likely the letters are.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from ...host.errors import UserError

SAMPLE = 1 << 16  # bytes that a guess looks at

# The mark of UTF-32-LE begins with that of UTF-16-LE, so it is tried before it.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Codes below the space that text has no use for: all but tab, line ends, form feed and escape.
CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))

# What files without a mark are in, in practice, the commonest first; from the whole list of some
# ninety encodings a short text is taken for EBCDIC or an encoding of DOS too often.
LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2")
OTHERS = (
    "cp1251", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "euc_kr", "cp1253", "cp1256",
    "cp1255", "cp874", "iso8859_5",
)  # fmt: skip
FIRST_OF_SEVERAL = bytes(range(0xC0, 0x100))  # what a sequence of UTF-8 begins with
ASCII_LETTERS = re.compile(rb"[A-Za-z]")


class Encoding(NamedTuple):
    """A codec's name and the length in bytes of the mark before the text."""

    codec: str
    mark: int = 0


def detect_encoding(head: bytes, whole: bool = True) -> Encoding | None:
    """Return the encoding of text that begins with `head`, or None where it is not text.

    `whole` says that nothing follows, so that a sequence cut off at the end is a mistake.
    """
    for mark, codec in MARKS:
        if head.startswith(mark):
            return Encoding(codec, len(mark))
    if is_binary(head[:SAMPLE]):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, whole)
    except UnicodeDecodeError:
        return Encoding("utf-8") if is_damaged_utf8(head) else Encoding(guess_codec(head))
    return Encoding("utf-8")


def is_binary(sample: bytes) -> bool:
    """Whether bytes are no text: a NUL among them, or control codes making up 1 in 20."""
    return b"\0" in sample or 20 * (len(sample) - len(sample.translate(None, CONTROLS))) > len(
        sample
    )


def is_damaged_utf8(head: bytes) -> bool:
    """Whether bytes that are not valid UTF-8 are UTF-8 with a few faults.

    Ten valid sequences for each fault: in an encoding of one byte a character, next to none of
    the bytes above 0x7f form a valid sequence.
    """
    text = head.decode("utf-8", "replace")
    faults = text.count("\ufffd")
    others = len(head) - len(head.translate(None, FIRST_OF_SEVERAL)) - faults
    return others > 10 * faults


def guess_codec(head: bytes) -> str:
    """Return the most likely codec of bytes that are not UTF-8.

    Only lines that hold a byte above 0x7f are evidence. Where nothing is likely, it is cp1252,
    the commonest of the old encodings, with holes that decode as U+FFFD.
    """
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        raise UserError(
            "a file is not UTF-8, and finding out its encoding needs charset-normalizer: "
            'pip install "tinygrad_llm[data]", or convert it, for instance with iconv -t UTF-8'
        ) from None
    lines = [line for line in head[: 1 << 20].split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines)[:SAMPLE]
    high = sum(byte > 0x7F for byte in sample)
    # A language that writes with Latin letters needs others for fewer than one letter in four.
    candidates = LATIN if 4 * high < high + len(ASCII_LETTERS.findall(sample)) else OTHERS
    found = {match.encoding: (-match.chaos, match.coherence)
             for match in from_bytes(sample, cp_isolation=list(candidates))}
    return max((codec for codec in candidates if codec in found), key=found.__getitem__,
               default="cp1252")
