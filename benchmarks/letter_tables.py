"""Make data/read/letters.npz: how often letters follow each other in each language.

    pip install wordfreq babel && python benchmarks/letter_tables.py

Sources: the word lists of wordfreq 3.1 (Speer, 2022), weighted by the words' frequencies; for the
languages that it lacks, the names in the Unicode CLDR as the package Babel has them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).parents[1] / "tinygrad_llm" / "data" / "read" / "letters.npz"
WORDFREQ = ("ar bg ca cs da de el en es fa fi fr he hu id is it lt lv mk nb nl pl pt ro ru sh sk "
            "sl sv tr uk ur vi")
CLDR = "be et sq th az kk cy ga mt eu gl"
OTHER_SCRIPTS = "ar bg el fa he mk ru sr uk ur be th kk"
LATIN_OF_SERBIAN = {"lj": "љ", "nj": "њ", "dž": "џ"} | dict(zip(
    "abvgdđežzijklmnoprstćufhcčš", "абвгдђежзијклмнопрстћуфхцчш", strict=True))
SCALE, FLOOR = 16, 255  # steps of 1/16 nat
COMMON = 700  # characters of Chinese, Japanese and Korean


def words_of(language: str) -> Iterator[tuple[str, float]]:
    """Yield words and their frequencies."""
    if language in CLDR.split():
        from babel import Locale

        names: Any = Locale(language)
        tables = [names.languages, names.territories, names.months["format"]["wide"],
                  names.days["format"]["wide"], {k: str(v) for k, v in names.currencies.items()}]
        for table in tables:
            for name in table.values():
                yield from ((word.strip("()-,.'\u2019"), 1.0) for word in name.lower().split())
        return
    from wordfreq import get_frequency_dict

    for word, frequency in get_frequency_dict("sh" if language == "sr" else language).items():
        if language == "sr":
            for latin, cyrillic in LATIN_OF_SERBIAN.items():
                word = word.replace(latin, cyrillic)
        yield word, frequency


def table_of(language: str) -> tuple[str, np.ndarray[Any, Any]]:
    """Return a language's letters and -log P(next | letter) in steps; row and column 0 stand for
    what is no letter."""
    words = [(word, weight) for word, weight in words_of(language)
             if all(map(is_letter, word)) and word]
    single: Counter[str] = Counter()
    for word, weight in words:
        for letter in word:
            single[letter] += weight
    whole = sum(single.values())
    ascii_too = language in OTHER_SCRIPTS.split()
    letters = "".join(sorted(c for c, n in single.items() if n > 1e-5 * whole
                             and not (ascii_too and c.isascii())
                             and (ascii_too == (ord(c) > 0x36F))))
    index = {c: i for i, c in enumerate(letters, 1)}
    counts = np.zeros((len(letters) + 1,) * 2)
    for word, weight in words:
        codes = [index.get(c, 0) for c in word]
        for a, b in zip([0, *codes], [*codes, 0], strict=True):
            counts[a, b] += weight
    counts[0, 0] = 0
    mean = counts.sum(0) / counts.sum()
    smooth = counts.sum(1, keepdims=True) * 0.003 + counts.sum() * 1e-6
    chances = (counts + smooth * (mean + 1e-4)) / (counts.sum(1, keepdims=True) + smooth)
    chances[0, 0] = 1
    steps = np.minimum(np.round(-np.log(chances) * SCALE), FLOOR)
    return letters, steps.astype(np.uint8)


def is_letter(character: str) -> bool:
    """Whether a character is a letter or a mark of one."""
    from unicodedata import category

    return category(character)[0] in "LM"


def common_characters(language: str) -> tuple[str, np.ndarray[Any, Any]]:
    """Return the most frequent characters and -log P of each in steps."""
    single: Counter[str] = Counter()
    from wordfreq import get_frequency_dict

    for word, frequency in get_frequency_dict(language).items():
        for character in word:
            if not character.isascii() and is_letter(character):
                single[character] += frequency
    most = single.most_common(COMMON)
    whole = sum(single.values())
    steps = [min(round(-np.log(n / whole) * SCALE), FLOOR) for _, n in most]
    return "".join(c for c, _ in most), np.array(steps, np.uint8)


def main() -> None:
    """Write the tables."""
    arrays: dict[str, Any] = {}
    for language in [*WORDFREQ.split(), "sr", *CLDR.split()]:
        letters, steps = table_of(language)
        arrays[f"{language}.letters"], arrays[f"{language}.steps"] = np.array(letters), steps
    for language in ("zh", "ja", "ko"):
        letters, steps = common_characters(language)
        arrays[f"{language}.letters"], arrays[f"{language}.steps"] = np.array(letters), steps
    np.savez_compressed(OUT, **arrays)
    print(OUT, OUT.stat().st_size, "bytes", len(arrays) // 2, "languages", file=sys.stderr)


if __name__ == "__main__":
    main()
