"""Unicode's normal forms: one spelling for texts that look alike or mean the same.

A text falls into sequences that can be normalised each by itself: a character and the marks that
follow it, or the parts of one Hangul syllable. Within a sequence marks change places and characters
merge, so that where more than decomposition happened, the new characters came from all of the old.

Source: Unicode Standard Annex 15.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import ClassVar
from unicodedata import category, normalize

from ..characters.aligned import Aligned
from ..characters.unicode_versions import Form, normal_form


@dataclass(frozen=True)
class _NormalForm:
    """Canonical (D: decomposed, C: composed again) or compatibility (K) normal form."""

    form: ClassVar[Form]

    def __call__(self, text: str) -> str:
        """Return the normal form of `text`."""
        return normal_form(self.form, text)

    def align(self, a: Aligned) -> Aligned:
        """Return the normal form; characters that changed together came from the same span."""
        return a if self(a.text) == a.text else a.rewrite(self._edits(a.text))

    def _edits(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield edits of those sequences of characters that can be normalised by themselves."""
        starts = [i for i, char in enumerate(text) if char.isascii() or _begins_sequence(char)]
        for i, j in pairwise(sorted({0, *starts, len(text)})):
            old = text[i:j]
            new = old if old.isascii() else self(old)
            alone = [self(char) for char in old] if j > i + 1 else [new]
            if "".join(alone) != new:
                yield i, j, new
            elif new != old:  # nothing moved or merged
                yield from ((k, k + 1, part) for k, part in enumerate(alone, i))


class NFC(_NormalForm):
    """Canonical decomposition, then composition: é is one character."""

    form = "NFC"


class NFD(_NormalForm):
    """Canonical decomposition: é is e and an acute accent."""

    form = "NFD"


class NFKC(_NormalForm):
    """Compatibility decomposition, then composition: ﬁ is fi, ² is 2."""

    form = "NFKC"


class NFKD(_NormalForm):
    """Compatibility decomposition: ﬁ is fi, ² is 2, é is e and an acute accent."""

    form = "NFKD"


@lru_cache(maxsize=1 << 16)
def _begins_sequence(char: str) -> bool:
    """Return whether no normal form lets `char` merge or change places with those before it.

    Only marks do, and the vowels and final consonants of Hangul.
    """
    first = normalize("NFKD", char)[0]
    return category(first)[0] != "M" and not "\u1160" <= first <= "\u11ff"
