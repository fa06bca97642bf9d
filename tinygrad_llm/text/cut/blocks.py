r"""Long text in blocks that can be encoded one by one.

A cut is safe where a letter or number is followed by white space or by one of a few punctuation
marks: every known pattern ends a pre-token there, none looks back, and what it says about the text
before the cut does not depend on what follows. So

$$ \mathrm{encode}(x y) = \mathrm{encode}(x)\,\mathrm{encode}(y) $$

for a cut between x and y, and files larger than memory can be encoded, or their words counted.
Where a text has no such place, a line of a million equal letters for example, a block becomes
longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from os import PathLike

from ...host.errors import UserError
from ..characters.unicode_16 import later_letters
from ..characters.utf8_files import read_chunks

BLOCK = 1 << 16  # characters; the arrays of one block stay in a core's cache
# Not after letters that are none in the Unicode of the patterns; none beyond U+FFFF is asked for.
SAFE_CUT = re.compile(rf"[^\W_\U00010000-\U0010ffff{later_letters()}]"
                      r"(?=[\s,.;:!?\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u0964])")
AFTER_WORDS = re.compile(r"[^\W_](?=\s)")  # safe wherever white space is always a boundary


def blocks_of_text(text: str, size: int = BLOCK, safe: re.Pattern[str] = SAFE_CUT) -> Iterator[str]:
    """Yield `text` in blocks of at least `size` characters, cut at safe places."""
    start, end = 0, -1
    while end < len(text):
        end = next_cut(text, start, size, safe)
        yield text[start:end]
        start = end


def next_cut(text: str, start: int, size: int, safe: re.Pattern[str] = SAFE_CUT) -> int:
    """Return the first safe place `size` characters or more after `start`, or the text's end."""
    match = safe.search(text, start + size - 1) if len(text) - start > size else None
    return match.end() if match else len(text)


def blocks_of_chunks(chunks: Iterable[str], size: int = BLOCK, safe: re.Pattern[str] = SAFE_CUT
           ) -> Iterator[str]:
    """Yield the joined `chunks` in blocks cut at safe places, without holding them all.

    Only new characters are searched for a cut, so that a text without one costs no more.
    """
    held: list[str] = []
    length = cut = 0
    for chunk in filter(None, chunks):
        last = held[-1][-1] if held else ""
        if found := _last_cut(last + chunk, safe):
            cut = length - len(last) + found
        held.append(chunk)
        length += len(chunk)
        if length >= size and cut:
            text = "".join(held)
            yield text[:cut]
            held, length, cut = [text[cut:]], length - cut, 0
    if held:
        yield "".join(held)


def blocks_of_sources(sources: Iterable[str | PathLike[str]], size: int = BLOCK,
                  safe: re.Pattern[str] = SAFE_CUT) -> Iterator[str]:
    """Yield texts (str) and files' texts (paths) in blocks cut at safe places.

    Raises UserError for lone surrogates in a text, and as `read_chunks` does.
    """
    for source in sources:
        if not isinstance(source, str):
            yield from blocks_of_chunks(read_chunks(source), size, safe)
            continue
        try:
            source.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"a text has a lone surrogate, {source[error.start]!r}, at position {error.start}, "
                'which no UTF-8 spells; replace them: text.encode("utf-8", "replace").decode()'
            ) from error
        yield from blocks_of_text(source, size, safe)


def _last_cut(text: str, safe: re.Pattern[str]) -> int:
    """Return the last safe cut in `text`, or 0: looked for in ever longer ends of it."""
    span = 256
    while True:
        begin = max(0, len(text) - span)
        cuts = [match.end() for match in safe.finditer(text, begin)]
        if cuts or begin == 0:
            return cuts[-1] if cuts else 0
        span *= 4
