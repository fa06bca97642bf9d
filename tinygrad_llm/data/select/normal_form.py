"""Unicode's normal forms in linear time.

`unicodedata.normalize` puts the marks of a letter into their order by walking back over those
before it: a row of n marks takes n**2 steps, 200,000 of them a minute. Ordering a row is a stable
sort by the marks' combining classes (Unicode Standard Annex 15), so a long one is sorted first.
"""

from __future__ import annotations

from itertools import chain
from typing import Literal
from unicodedata import combining, normalize

import regex

MANY_MARKS = regex.compile(r"\p{M}{32,}")  # no language puts so many on a letter


def normal_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """Return unicodedata.normalize(form, text).

    >>> normal_form("NFC", "e" + "\\u0301\\u0323" * 20)[:4] == "\\u1eb9" + 3 * "\\u0323"
    True
    """
    return normalize(form, MANY_MARKS.sub(lambda match: _in_order(match[0]), text))


def _in_order(marks: str) -> str:
    """Return marks decomposed, each run of those that may change places sorted by its class."""
    ordered: list[str] = []
    run: list[str] = []
    for mark in chain.from_iterable(normalize("NFD", mark) for mark in marks):
        if combining(mark):
            run.append(mark)
        else:
            ordered += [*sorted(run, key=combining), mark]
            run.clear()
    return "".join(ordered + sorted(run, key=combining))
