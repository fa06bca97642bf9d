r"""How likely a text is, letter by letter, in each of some fifty languages.

The cost of a text is -log P in nats, the sum of what its characters cost. That of a letter depends
on the one before it, by tables of its language that come from word lists (letters.npz, which
benchmarks/letter_tables.py makes). What is no letter, a letter that the language lacks and a
capital within a word have costs of their own, which are ours. So two readings of the same bytes can
be compared: where they are read right, a language knows the words.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

STEPS = 16  # of the tables, for one nat
LEAST = 1.0  # of a letter, on average, in any language
LATIN, FOREIGN = 3.0, 12.0  # of an ASCII letter among others, of a letter that no word has
BORROWED = 8.0  # of one of these, which names bring into any language with Latin letters
BORROWED_LETTERS = "éèêëàâáäåãæçíîïñóòôöõøúûüß"
SAME = {"ß": "s", "ς": "σ", "ş": "ș", "ţ": "ț"}  # noqa: RUF001  # of old encodings
CAPITAL, INNER_CAPITAL, ALL_CAPITALS = 1.6, 6.0, 1.0  # at a word's start, after a small letter
WITHIN = 4.0  # of a sign between two letters, unless it is one of these
JOINS = frozenset("'-_\u2019·\xad\u200c\u200d")
BOX, BOXES = 9.0, range(0x2500, 0x25A0)  # of a piece of a frame; after the same piece, 1
MARKS = {  # what texts have besides letters, by how common it is
    1.8: " ",
    3.5: "\n",
    4.0: "、。，「」،؟؛！？：ー・",  # noqa: RUF001
    5.0: "\u2019\u2018“”„–—…«»¿¡\u3000\u0387",  # noqa: RUF001
    6.0: "°€£©\t\r\f\x1b",
    7.0: "‚µ§®½¼¾·•™ºª×№־±²³\u2032\u2033\xa0\xad\u200c\u200d\u200e\u200f《》〈〉『』（）；",  # noqa: RUF001
}
COST_OF_MARK = {mark: cost for cost, marks in MARKS.items() for mark in marks}

EAST_ASIAN = {  # language: its old standard, and the first byte from which on characters are rare
    "zh": ("gb2312", 0xD8), "zh-hant": ("big5", 0xC9), "ja": ("shift_jis", 0x98),
    "ko": ("euc_kr", 0xC9),
}  # fmt: skip
RARE, RARER, UNKNOWN = 9.5, 13.0, 17.0  # of characters before it, from it on, and of no standard
LATIN_EAST = 3.5  # of an ASCII letter among them, its word's ends included
CHANGE = 4.0  # from one script to the other within a word
TRADITIONAL = frozenset(  # common where Chinese is written in full; the word list has it in short
    "這們個來國時說為會對過發後經學體與開關點無應從動種問於現實將還兩長間進頭當東車樣見氣門書聽話真"
    "愛電數萬總講認讓給沒帶處類產機場權義質資訊網")


class Characters:
    """The characters of a text, each looked at once, whatever the languages.

    `least` is a bound that the text's cost is hardly below in any language.

    >>> Characters("привет").cost("ru") < 20 < Characters("ПРХБЕР").cost("ru")
    True
    """

    def __init__(self, text: str) -> None:
        points = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
        self.points = points = np.minimum(points, 0xFFFF)  # which stands for all beyond the plane
        plane = _plane()
        self.letter = letter = plane.letter[points]
        self.small, capital = plane.small[points], plane.capital[points]
        box, joins = (points >= BOXES.start) & (points < BOXES.stop), plane.joins[points]
        cost = plane.cost[points].sum(dtype=np.float64)
        cost += WITHIN * (letter[:-2] & letter[2:] & ~letter[1:-1] & ~joins[1:-1]).sum()
        cost -= (BOX - 1) * (box[1:] & (points[1:] == points[:-1])).sum()
        cost += CAPITAL * ((capital[1:] & ~letter[:-1]).sum() + capital[:1].sum())
        cost += INNER_CAPITAL * (capital[1:] & letter[:-1] & ~capital[:-1]).sum()
        cost += ALL_CAPITALS * (capital[1:] & capital[:-1]).sum()
        self.common = float(cost)
        self.least = self.common + LEAST * int(letter.sum())

    def cost(self, language: str) -> float:
        """Return -log P of the text in a language of letters.npz or EAST_ASIAN, in nats."""
        if language in EAST_ASIAN:
            return self.common + self._cost_of_characters(language)
        numbers, costs = _numbers(language), cost_table(language)[1]
        whole = np.zeros(len(self.points) + 2, np.intp)
        whole[1:-1] = np.where(self.letter, numbers[self.small], 0)
        return self.common + float(costs[whole[:-1], whole[1:]].sum(dtype=np.float64))

    def _cost_of_characters(self, language: str) -> float:
        """Return what the letters cost in Chinese, Japanese or Korean: each by itself."""
        known, letters = _known_costs(language), self.points[self.letter]
        for point in np.unique(letters[np.isnan(known[letters])]).tolist():
            known[point] = cost_of_character(language, chr(point))
        latin = self.points < 128
        changes = (latin[1:] != latin[:-1]) & self.letter[1:] & self.letter[:-1]
        return float(known[letters].sum(dtype=np.float64)) + CHANGE * int(changes.sum())


class _Plane(NamedTuple):
    """What is known of each character below U+10000: (2**16,) each."""

    letter: NDArray[np.bool_]
    capital: NDArray[np.bool_]
    small: NDArray[np.uint16]  # the small letter of a capital
    joins: NDArray[np.bool_]  # whether it may stand within a word, as all of ASCII
    cost: NDArray[np.float32]  # of what is no letter, else 0


@cache
def _plane() -> _Plane:
    chars = [chr(point) for point in range(1 << 16)]
    letter = np.array([is_letter(char) for char in chars])
    small = [ord(char.lower()[0]) for char in chars]  # that of \u0130 has two
    return _Plane(letter, np.array([char.isupper() for char in chars]),
                  np.array(small, np.uint16), np.array([char < "\x80" or char in JOINS
                                                        for char in chars]),
                  np.array([0 if is_letter(char) else cost_of_sign(char) for char in chars],
                           np.float32))


@cache
def _numbers(language: str) -> NDArray[np.uint8]:
    """Return the number in `cost_table` of each letter below U+10000: (2**16,)."""
    index, costs = cost_table(language)
    numbers = np.full(1 << 16, len(costs) - 1, np.uint8)
    numbers[[ord(char) for char in index]] = list(index.values())
    return numbers


@cache
def _known_costs(language: str) -> NDArray[np.float32]:
    """Return the costs of characters that were asked for, the others NaN: (2**16,)."""
    return np.full(1 << 16, np.nan, np.float32)


def is_letter(char: str) -> bool:
    """Whether a character belongs to a word: a letter or a mark on one."""
    return category(char)[0] in "LM" and char not in COST_OF_MARK


def cost_of_sign(char: str) -> float:
    """Return the cost of what is no letter, which is alike in all languages."""
    kind = category(char)
    if (known := COST_OF_MARK.get(char)) is not None:
        return known
    if char.isascii() and kind != "Cc":
        return 4.0
    if kind in ("Cc", "Co", "Cn", "Cs") or char == "\ufffd":
        return 18.0
    if ord(char) in BOXES:
        return BOX
    return 10.5 if kind[0] == "S" else 9.0


def cost_of_character(language: str, char: str) -> float:
    """Return the cost of a letter in a text of Chinese, Japanese or Korean."""
    if char.isascii():
        return LATIN_EAST
    standard, first_rare = EAST_ASIAN[language]
    try:
        raw = char.encode(standard)
    except UnicodeEncodeError:
        return UNKNOWN
    if language == "zh-hant" and char in TRADITIONAL:
        return 7.0
    common = _common(language.removesuffix("-hant")).get(char)
    if common is not None:
        return common
    if len(raw) == 1 or char < "\u3040":  # half-width kana, Greek, Cyrillic
        return FOREIGN
    return RARE if raw[0] < first_rare else RARER


def strangeness(language: str, char: str) -> float:
    """Return about what a character costs wherever it stands: little for those of the language."""
    if not is_letter(char):
        return cost_of_sign(char)
    if language in EAST_ASIAN:
        return cost_of_character(language, char)
    return LATIN if char.lower()[0] in cost_table(language)[0] else FOREIGN


@cache
def _tables() -> dict[str, Any]:
    with np.load(Path(__file__).with_name("letters.npz")) as stored:
        return {name: stored[name] for name in stored.files}


@cache
def _common(language: str) -> dict[str, float]:
    """Return the costs of a language's most frequent characters."""
    letters, steps = (_tables()[f"{language}.{what}"] for what in ("letters", "steps"))
    return dict(zip(str(letters), (steps / STEPS).tolist(), strict=True))


@cache
def cost_table(language: str) -> tuple[dict[str, int], NDArray[np.float32]]:
    """Return the numbers of a language's letters, from 1, and the cost (N, N) of each after each.

    0 is what is no letter; the last is a letter that it lacks; the one before it is a letter that
    names bring in: of ASCII where the language has another script, else one of BORROWED_LETTERS.
    """
    letters = str(_tables()[f"{language}.letters"])
    size = len(letters) + 1
    index = {char: number for number, char in enumerate(letters, 1)}
    costs = np.full((size + 2, size + 2), FOREIGN, np.float32)
    costs[:size, :size] = _tables()[f"{language}.steps"] / STEPS
    costs[-2:, 0] = 0
    if "a" in index:
        costs[:, -2] = costs[-2, 1:-2] = BORROWED
        borrowed = BORROWED_LETTERS
    else:
        costs[0, -2], costs[-2, -2] = LATIN + 1, LATIN
        borrowed = "abcdefghijklmnopqrstuvwxyz"
    index = {char: size for char in borrowed} | index
    index |= {char: index[same] for char, same in SAME.items()
              if same in letters and char not in letters}
    return index, costs


def is_assigned(text: str) -> bool:
    """Whether all characters of a text are ones that text is made of."""
    return not any(category(char) in ("Cs", "Co", "Cn") or char in "\0\ufffd" for char in set(text))
