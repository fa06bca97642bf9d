import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.aligned import Aligned
from tinygrad_llm.text.normalize.precompiled import Precompiled, read_charsmap

RULES = {"ﬁ": "fi", "\u0301": "", "e\u0301": "é", "ee": "E", "ee\u0301x": "long", "½": "1/2",
         "\t": " ", "\r": " ", "か\u3099": "が", "\U0001d400\u0301": "A", "\U0001d400": "a",
         "e": "e", "\u200b": "", "-]^": "escaped", "각": "gag"}


def charsmap(rules: dict[str, str], seed: int = 0) -> bytes:
    """Write `rules` as a double array, its nodes at places found by trial."""
    replacements, values = b"", {}
    for old, new in rules.items():
        values[old.encode()] = len(replacements)
        replacements += new.encode() + b"\0"
    units, order = {0: 0}, random.Random(seed)
    place_children(units, 0, values, order)
    size = (max(units) // 256 + 2) * 256
    trie = b"".join(units.get(place, 0).to_bytes(4, "little") for place in range(size))
    return len(trie).to_bytes(4, "little") + trie + replacements


def place_children(units: dict[int, int], node: int, values: dict[bytes, int],
                   order: random.Random) -> None:
    """Put the trie of `values` (the rest of each string and its value) below `node`."""
    labels = sorted({string[0] if string else 0 for string in values})
    base = order.randrange(1, 1000)
    while any((base ^ label) in units for label in labels) or base in units:
        base = order.randrange(1, 20_000)
    units[node] |= (node ^ base) << 10 | (labels[0] == 0) << 8
    units[base] = values[b""] | 1 << 31 if labels[0] == 0 else 0
    for label in labels:
        if label:
            units[base ^ label] = label
    for label in labels:
        if label:
            below = {string[1:]: v for string, v in values.items() if string[:1] == bytes([label])}
            place_children(units, base ^ label, below, order)


CHARSMAP = charsmap(RULES)
texts = st.text(st.sampled_from("".join(RULES) + "a\n\u0316\u200d\u0600\u05c8\U0001f600\udc80"),
                max_size=30)


def longest_by_definition(text: str) -> str:
    out, place = "", 0
    while place < len(text):
        found = max((old for old in RULES if text.startswith(old, place)), key=len, default="")
        out += RULES[found] if found else text[place]
        place += max(len(found), 1)
    return out


@given(st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
                               min_size=1, max_size=4),
                       st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
                               max_size=4), max_size=12), st.integers(0, 9))
def test_reading_undoes_writing(rules: dict[str, str], seed: int) -> None:
    if rules:
        assert read_charsmap(charsmap(rules, seed)) == rules


@given(texts)
def test_the_longest_string_is_replaced(text: str) -> None:
    assert Precompiled(CHARSMAP, longest=True)(text) == longest_by_definition(text)


@pytest.mark.parametrize("longest", [False, True])
@given(text=texts)
def test_the_aligned_text_is_the_normalised_one(longest: bool, text: str) -> None:
    normalizer = Precompiled(CHARSMAP, longest)
    a = normalizer.align(Aligned.of(text))
    assert a.text == normalizer(text)
    for bounds in (a.starts, a.ends):
        assert (bounds[1:] >= bounds[:-1]).all()
    assert (a.starts < a.ends).all()


def test_small_clusters_are_replaced_whole_by_their_shortest_beginning() -> None:
    normalizer = Precompiled(CHARSMAP)
    assert normalizer("½\u0316!") == "1/2!"  # 4 bytes: the mark is lost
    assert normalizer("e\u0301") == "e"  # "e" is shorter than "e\u0301"
    assert normalizer("か\u3099") == "か\u3099"  # 6 bytes: by single characters
    assert normalizer("ee\u0301x") == "eex"
    assert normalizer("\r\n") == " " and normalizer("\n\r") == "\n "
    assert normalizer("½\u05c8") == "1/2\u05c8"  # no mark up to Unicode 16
    assert normalizer("") == ""


def test_where_replacements_come_from() -> None:
    a = Precompiled(CHARSMAP, longest=True).align(Aligned.of("aee\u0301xﬁ"))
    assert a.text == "alongfi"
    assert a.starts.tolist() == [0, 1, 1, 1, 1, 5, 5] and a.ends.tolist() == [1, 5, 5, 5, 5, 6, 6]


def test_a_map_without_strings() -> None:
    empty = (4).to_bytes(4, "little") + bytes(4)
    assert read_charsmap(empty) == {} and Precompiled(empty, longest=True)("ab") == "ab"


@given(st.binary(max_size=40) | st.builds(lambda n: CHARSMAP[:n], st.integers(0, len(CHARSMAP)))
       | st.builds(lambda place, byte: CHARSMAP[:place] + byte + CHARSMAP[place + 1:],
                   st.integers(0, len(CHARSMAP) - 1), st.binary(min_size=1, max_size=1)))
def test_damaged_maps_are_refused_or_read(damaged: bytes) -> None:
    try:
        rules = read_charsmap(damaged)
    except UserError as error:
        assert "get the tokenizer's file again" in str(error)
    else:
        assert all(isinstance(new, str) for new in rules.values())


def looping(units: list[int]) -> bytes:
    trie = b"".join(unit.to_bytes(4, "little") for unit in units)
    return len(trie).to_bytes(4, "little") + trie + b"x\0"


@pytest.mark.parametrize(("damaged", "reason"), [
    (b"", "a trie of 0 bytes in 0"),
    (b"\x08\0\0\0abcd", "a trie of 8 bytes in 8"),
    (CHARSMAP[:-40], "a replacement at byte"),
    (looping([0, 1 | 1 << 10]), "more than 256 bytes"),  # "\x01" leads back to itself
    (looping([byte | byte << 10 for byte in range(256)]), "more than 1048576 nodes"),  # all do
    (charsmap({"a": "b"})[:-2] + b"\xff\0", "utf-8"),
])
def test_what_is_wrong_is_said(damaged: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Precompiled(damaged)


@pytest.mark.parametrize("longest", [False, True])
@pytest.mark.parametrize("text", ["e" * 100_001, "e\u0301" * 50_000, "\u200d" * 100_000])
def test_no_text_takes_more_than_linear_time(longest: bool, text: str) -> None:
    normalizer = Precompiled(CHARSMAP, longest)
    start = time.process_time()
    assert normalizer.align(Aligned.of(text)).text == normalizer(text)
    assert time.process_time() - start < 2
