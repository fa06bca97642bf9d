"""From bytes to text: which encoding a file is in, and whether it is text at all.

A byte order mark decides; without one, bytes that are UTF-8 are UTF-8 (text in an older encoding
practically never is by accident, as every byte above 0x7f would have to stand in a valid
sequence), unless they are ASCII with the escapes of an encoding of seven bits. What remains is
read in every encoding that was in wide use, and that reading is taken which is likeliest, letter by
letter, as a text of one of the languages that the encoding is for (see letters.py). Where another
is nearly as likely, the file is read, and counted with its name.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple
from unicodedata import normalize

from .letters import EAST_ASIAN, Characters, is_assigned, strangeness

SAMPLE = 1 << 16  # bytes that are looked at for control codes, and for lines that are evidence
EVIDENCE = 1 << 12  # bytes of these lines that are read in all encodings
FIRST, FAR = 600, 60.0  # bytes after which no reading is followed that costs so many nats more
DECLARED = 20.0  # nats by which a reading that is declared is likelier
SURE = 7.0  # nats by which another reading is less likely: e**7 is 1,100
PLAUSIBLE = 7.0  # nats a character that text in UTF-16 without a mark costs at most

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
FIRST_OF_SEVERAL = bytes(range(0xC0, 0x100))  # what a sequence of UTF-8 begins with

WESTERN = "en fr de es it pt nl sv da nb fi is ca gl eu ga id"
CENTRAL = "pl cs sk hu sh sl ro sq"
CYRILLIC = "ru uk be bg mk sr"
BALTIC = "lt lv et"
CANDIDATES = {  # encoding: how much rarer than cp1252, in nats, and the languages written in it
    "cp1252": (0.0, WESTERN + " et"),
    "cp1251": (0.5, CYRILLIC),
    "cp1250": (0.5, CENTRAL),
    "cp1254": (1.0, "tr"),
    "cp1257": (1.0, BALTIC),
    "cp1253": (1.0, "el"),
    "cp1255": (1.0, "he"),
    "cp1256": (1.0, "ar fa ur"),
    "cp1258": (1.5, "vi"),
    "cp874": (1.0, "th"),
    "gb18030": (2.0, "zh"),
    "big5hkscs": (2.5, "zh-hant"),
    "cp932": (2.0, "ja"),
    "euc_jp": (2.5, "ja"),
    "cp949": (2.0, "ko"),
    "koi8_r": (2.0, "ru bg"),
    "koi8_u": (2.5, "uk be ru"),
    "iso8859_2": (1.5, CENTRAL),
    "iso8859_5": (3.0, CYRILLIC),
    "iso8859_6": (2.0, "ar fa ur"),
    "iso8859_7": (2.0, "el"),
    "iso8859_8": (2.0, "he"),
    "iso8859_9": (2.0, "tr"),
    "iso8859_13": (2.0, BALTIC),
    "iso8859_15": (2.0, WESTERN + " et"),
    "iso8859_16": (4.0, "ro"),
    "iso8859_3": (4.0, "mt"),
    "iso8859_4": (4.0, BALTIC),
    "iso8859_14": (4.0, "cy ga"),
    "cp866": (3.0, CYRILLIC),
    "cp1125": (3.0, "uk"),
    "cp850": (3.5, WESTERN),
    "cp852": (3.5, CENTRAL),
    "cp437": (4.5, WESTERN),
    "cp855": (4.5, CYRILLIC),
    "cp737": (4.0, "el"),
    "cp857": (4.0, "tr"),
    "cp775": (4.0, BALTIC),
    "cp862": (4.0, "he"),
    "cp720": (4.0, "ar fa ur"),
    "kz1048": (3.0, "kk"),
    "mac_roman": (5.0, WESTERN),
    "mac_cyrillic": (5.0, CYRILLIC),
    "mac_latin2": (6.0, CENTRAL),
    "mac_greek": (6.0, "el"),
    "mac_turkish": (6.0, "tr"),
}
ALL = " ".join(dict.fromkeys(" ".join(languages for _, languages in CANDIDATES.values()).split()))
WIDE = {"utf-16-le": 1.0, "utf-16-be": 2.0, "utf-32-le": 3.0, "utf-32-be": 3.0}

# What text in an encoding of seven bits holds, how it goes on, and the codecs that may read it, the
# narrowest first.
ESCAPES = (
    (b"\x1b", re.compile(rb"\x1b\$[@B(]|\x1b\([IJ]|\x1b&@"), (
        "iso2022_jp", "iso2022_jp_2", "iso2022_jp_ext", "iso2022_jp_3", "iso2022_jp_2004")),
    (b"\x1b", re.compile(rb"\x1b\$\)C"), ("iso2022_kr",)),
    (b"~{", re.compile(rb"~\{(?:[!-w][!-~])+~\}"), ("hz",)),
    (b"+", re.compile(rb"\+[A-Za-z0-9/+]{3,}-?"), ("utf-7",)),
)
OTHER_ESCAPES = re.compile(rb"\x1b\$[)*+][A-H]")  # of ISO 2022 in Chinese, which Python lacks
STRANGE = 8.5  # nats that characters of a text cost by themselves, on average, at most


class Reading(NamedTuple):
    """Bytes as an encoding reads them: what that costs besides the text, and its languages."""

    extra: float
    text: str
    languages: str


class Encoding(NamedTuple):
    """A codec's name, the length in bytes of the mark before the text, and whether that is sure."""

    codec: str
    mark: int = 0
    sure: bool = True


def detect_encoding(head: bytes, whole: bool = True, declared: str | None = None
                    ) -> Encoding | None:
    """Return the encoding of text that begins with `head`, or None where it is not text.

    `whole` says that nothing follows, so that a sequence cut off at the end is a mistake. Where the
    text has `declared` a codec, it is in that one unless there is much against it.
    """
    for mark, codec in MARKS:
        if head.startswith(mark):
            return Encoding(codec, len(mark))
    if head.isascii() and (encoding := _escaped_encoding(head)):
        return encoding
    if is_binary(head[:SAMPLE]):
        return _wide_encoding(head)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, whole)
    except UnicodeDecodeError:
        return Encoding("utf-8") if is_damaged_utf8(head) else guess_encoding(head, declared)
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


def guess_encoding(head: bytes, declared: str | None = None) -> Encoding:
    """Return the likeliest encoding of bytes that are neither ASCII nor UTF-8.

    Of a longer text, only lines that hold a byte above 0x7f are evidence. Of none it is cp1252.
    """
    sample = head
    if len(head) > EVIDENCE:
        lines = [line for line in head[: 1 << 20].split(b"\n") if not line.isascii()]
        sample = b"\n".join(lines)[:EVIDENCE]
    wide = declared is None and sample is head and len(head) % 2 == 0
    if len(sample) <= 2 * FIRST:
        return _likeliest(_readings(sample, declared, wide))
    near = _costs(_readings(sample[:FIRST], declared), FAR)
    return _likeliest({codec: reading for codec, reading in _readings(sample, declared).items()
                       if codec in near})


def _readings(sample: bytes, declared: str | None, wide: bool = False) -> dict[str, Reading]:
    """Return how bytes read in each encoding; `wide` asks for UTF-16 too, which a few words of
    Chinese may be in without a NUL."""
    how = dict(CANDIDATES)
    if declared is not None:
        how = {declared: (-DECLARED, how.pop(declared, (0.0, ALL))[1])} | how
    if wide:
        how |= {codec: (6 + WIDE[codec], " ".join(EAST_ASIAN))
                for codec in ("utf-16-le", "utf-16-be")}
    return {codec: Reading(extra, sample.decode(codec, "replace"), languages)
            for codec, (extra, languages) in how.items()}


def _likeliest(readings: dict[str, Reading]) -> Encoding:
    """Return the encoding whose reading costs least, the first of several with the same text."""
    costs = _costs(readings, SURE)
    best, least = min(costs.items(), key=lambda pair: pair[1])
    text = readings[best].text
    sure = all(cost - least >= SURE or readings[codec].text == text
               for codec, cost in costs.items())
    return Encoding(next(codec for codec, reading in readings.items() if reading.text == text),
                    0, sure)


def _costs(readings: dict[str, Reading], within: float) -> dict[str, float]:
    """Return the costs of the readings that may cost at most `within` more than the least."""
    characters = {reading.text: Characters(normalize("NFC", reading.text))  # of cp1258
                  for reading in readings.values()}
    bounds = {codec: reading.extra + characters[reading.text].least
              for codec, reading in readings.items()}
    costs: dict[str, float] = {}
    for codec in sorted(readings, key=bounds.__getitem__):
        if costs and bounds[codec] > min(costs.values()) + within:
            break
        extra, text, languages = readings[codec]
        costs[codec] = extra + min(map(characters[text].cost, languages.split()))
    least = min(costs.values())
    return {codec: cost for codec, cost in costs.items() if cost <= least + within}


def _wide_encoding(head: bytes) -> Encoding | None:
    """Return the encoding of bytes with NULs where they are text in UTF-16 or UTF-32."""
    head = head[: EVIDENCE * 4]
    readings = {}
    for codec, extra in WIDE.items():
        text = head[: len(head) // 4 * 4 or len(head)].decode(codec, "replace")
        if text and is_assigned(text):
            readings[codec] = Reading(extra, text, ALL)
    if not readings:
        return None
    found = _likeliest(readings)
    text = readings[found.codec].text
    least = min(map(Characters(text).cost, ALL.split()))
    return found if least < PLAUSIBLE * (len(text) + 2) else None


def _escaped_encoding(head: bytes) -> Encoding | None:
    """Return the encoding of ASCII with escapes that decode to likely text, None without any."""
    for beginning, pattern, names in ESCAPES:
        if beginning not in head or not (found := pattern.search(head)):
            continue
        start = head.rfind(b"\n", 0, found.start()) + 1
        sample = head[start : start + EVIDENCE]
        sample = sample[: sample.rfind(b"\n") + 1] or sample
        for codec in names:
            if _is_likelier(sample, codec) and _decoded_strictly(head, codec) is not None:
                return Encoding(codec)
    return Encoding("utf-8", 0, sure=False) if b"\x1b" in head and OTHER_ESCAPES.search(
        head) else None


def _decoded_strictly(head: bytes, codec: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return None


def _is_likelier(sample: bytes, codec: str) -> bool:
    """Whether ASCII with escapes is likelier text than the same characters as they stand."""
    text = _decoded_strictly(sample, codec)
    if not text or text.isascii() or not is_assigned(text):
        return False
    read = Characters(text)
    least, language = min((read.cost(language), language) for language in ALL.split())
    decoded = [char for char in text if not char.isascii()]
    if len(decoded) == 1 and decoded[0] > "\u024f":  # what three digits of base 64 may be by chance
        return False
    strange = sum(strangeness(language, char) for char in decoded)
    return least < Characters(sample.decode()).cost("en") and strange < STRANGE * len(decoded)
