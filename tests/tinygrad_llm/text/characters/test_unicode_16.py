import unicodedata

import regex

from tinygrad_llm.text.characters import unicode_16
from tinygrad_llm.text.characters.unicode_versions import points


def test_unassigned_characters() -> None:
    unassigned = points(unicode_16._UNASSIGNED)
    assert unassigned == sorted(set(unassigned))
    assigned = 0x110000 - len(unassigned)
    assert assigned == 154_998 + 65 + 137_468 + 2048  # controls, private use, surrogates
    known = [point for point in unassigned if unicodedata.category(chr(point)) != "Cn"]
    assert not known or unicodedata.unidata_version > "16"


def test_later_characters_are_those_of_the_installed_tables() -> None:
    later, letter = unicode_16.changes()
    assert regex.fullmatch(r"\P{Cn}*", later.chars)
    assert not set(later.chars) & set("aé中\u0295\U0001f600")
    assert letter.chars == "\u0295" and regex.match(r"\p{Ll}", letter.stand_in)
    assert unicode_16.later().all == set(later.chars)


def test_punctuation_and_numbers_have_versions_of_their_own() -> None:
    later, earlier = unicode_16.changes_of_punctuation()
    assert {"\u2e43", "\u0a76"} <= set(later.chars) and "\u166d" in earlier.chars
    later, numbers = unicode_16.changes_of_numbers()
    assert "\U00011de0" in numbers.chars and "\U00011de0" not in later.chars
