import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.special import AddedToken, AddedTokens, Special, end_of_text

END = AddedToken("<|end|>", 7)
USER = AddedToken("<|user|>", 8)
TABS = AddedToken("\t\t", 9, special=False)


def shown(added: AddedTokens, text: str, special: Special = "allow") -> list[str | int]:
    pieces = added.split(text, special)
    for piece, start, end in pieces:
        assert text[start:end] == piece or isinstance(piece, AddedToken)
    return [piece.id if isinstance(piece, AddedToken) else piece for piece, _, _ in pieces]


def test_refuse_names_the_token_its_place_and_three_ways_out() -> None:
    with pytest.raises(UserError) as caught:
        AddedTokens([END, USER]).split("ab<|user|>")
    message = str(caught.value)
    assert "special token '<|user|>' at position 2" in message
    for way in ('special="text"', 'special="allow"', "special={'<|user|>'}"):
        assert way in message


def test_text_leaves_special_tokens_and_finds_ordinary_ones() -> None:
    added = AddedTokens([END, USER, TABS])
    assert shown(added, "a<|end|>\t\t<|user|>", "text") == ["a<|end|>", 9, "<|user|>"]
    assert shown(added, "a\t\t", "refuse") == ["a", 9]


def test_a_collection_allows_these_and_refuses_the_others() -> None:
    added = AddedTokens([END, USER, TABS])
    for names in (["<|end|>"], {"<|end|>"}, ("<|end|>",), {"<|end|>": 1}.keys()):
        assert shown(added, "a<|end|>\t\tb", names) == ["a", 7, 9, "b"]
        with pytest.raises(UserError, match=r"user\|>' at position 7, and only '<\|end\|>' may"):
            added.split("<|end|><|user|>", names)
    with pytest.raises(UserError, match="at position 0"):
        added.split("<|end|>", [])


@pytest.mark.parametrize("special", [["<|bos|>"], {"\t\t"}, [3]])
def test_names_of_no_special_token_are_refused(special: Special) -> None:
    with pytest.raises(UserError, match=r"names no special token .* has '<\|end\|>'; take the"):
        AddedTokens([END, TABS]).split("plain", special)


@pytest.mark.parametrize("special", ["", "al", "ALLOW", "<|end|>"])
def test_unknown_rules_are_refused(special: str) -> None:
    with pytest.raises(UserError, match=r"is none of 'refuse', 'text', 'allow', a collection"):
        AddedTokens([END]).split("plain", special)


def test_a_token_spelled_like_part_of_a_rule_is_still_refused() -> None:
    for content in ("refuse", "e", "allow", "text"):
        with pytest.raises(UserError, match="special token"):
            AddedTokens([AddedToken(content, 1)]).split(f"a {content}")


def test_the_longest_of_the_leftmost_counts() -> None:
    added = AddedTokens([AddedToken(c, i) for i, c in enumerate(["ab", "abcd", "bcde", "cd"])])
    assert shown(added, "abcde") == [1, "e"]
    assert shown(added, "abcbcde") == [0, "c", 2]
    assert shown(added, "xabcx") == ["x", 0, "cx"]


def test_a_special_token_left_as_text_hides_ordinary_ones_within() -> None:
    added = AddedTokens([AddedToken("<a>", 1), AddedToken("a", 2, special=False)])
    assert shown(added, "a<a>a", "text") == [2, "<a>", 2]


@pytest.mark.parametrize("text, expected", [
    ("w", [1]), ("a w b", ["a ", 1, " b"]), ("-w.", ["-", 1, "."]), ("aw", ["aw"]), ("w1", ["w1"]),
    ("w_", ["w_"]), ("w\u0301", ["w\u0301"]), ("w\u200d", ["w\u200d"]), ("中w", ["中w"]),
    ("😀w²", ["😀", 1, "²"]),
])
def test_single_word(text: str, expected: list[str | int]) -> None:
    assert shown(AddedTokens([AddedToken("w", 1, single_word=True)]), text) == expected


def test_a_match_that_is_no_single_word_is_not_refused() -> None:
    assert shown(AddedTokens([AddedToken("w", 1, single_word=True)]), "aw", "refuse") == ["aw"]


def test_stripping_takes_the_whitespace_beside() -> None:
    both = AddedTokens([AddedToken("<m>", 1, lstrip=True, rstrip=True)])
    assert both.split("a \n<m>\u2028\x1cb", "allow")[1][1:] == (1, 7)  # U+001C is no White_Space
    assert [span for _, *span in both.split(" <m>  <m> ", "allow")] == [[0, 6], [6, 10]]
    left = AddedTokens([AddedToken("<m>", 1, lstrip=True)])
    assert [span for _, *span in left.split(" <m> ", "allow")] == [[0, 4], [4, 5]]


def test_tokens_within_the_whitespace_that_another_took() -> None:
    mask = AddedToken("<m>", 1, rstrip=True)
    def spans(token: AddedToken) -> list[list[int]]:
        pieces = AddedTokens([mask, token]).split("<m>\n\n\nx", "allow")
        return [span for _, *span in pieces]

    assert spans(AddedToken("\n\n", 2)) == [[0, 6], [3, 5], [5, 7]]
    assert spans(AddedToken("\n\n", 2, lstrip=True)) == [[0, 6], [5, 7]]


def test_normalized_tokens_are_found_in_normalised_text_only() -> None:
    yes, no = AddedToken("Ab", 1, normalized=True), AddedToken("cD", 2)
    added = AddedTokens([yes, no], str.lower)
    assert shown(added, "Ab cD cd") == ["Ab ", 2, " cd"]
    assert added.split_normalized("ab cd", "allow") == [(yes, 0, 2), (" cd", 2, 5)]
    with pytest.raises(UserError, match="the normalised text contains the special token 'Ab'"):
        added.split_normalized("x ab")


def test_of_two_contents_that_normalise_alike_the_special_one_counts() -> None:
    tokens = [AddedToken(c, i, special=c == "X", normalized=True) for i, c in enumerate("xX")]
    assert AddedTokens(tokens, str.lower).split_normalized("x", "allow") == [(tokens[1], 0, 1)]


def test_a_content_that_normalises_to_nothing_is_found_nowhere() -> None:
    added = AddedTokens([AddedToken(" ", 1, normalized=True)], str.strip)
    assert added.split_normalized("a b", "allow") == [("a b", 0, 3)]


def test_empty_and_contradictory_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="id 3 is empty"):
        AddedTokens([AddedToken("", 3)])
    with pytest.raises(UserError, match=r"'a\\ud800' has a lone surrogate"):
        AddedTokens([AddedToken("a\ud800", 3)])
    with pytest.raises(UserError, match="'a' is listed twice, with id 1 and 2, lstrip False and"):
        AddedTokens([AddedToken("a", 1), AddedToken("a", 2, lstrip=True)])
    with pytest.raises(UserError, match="'a' is listed twice, with id 1 and 2; take one"):
        AddedTokens([AddedToken("a", 1), AddedToken("a", 2)])
    assert len(AddedTokens([AddedToken("a", 1), AddedToken("a", 1)])) == 1


@given(
    st.lists(st.text("ab<", min_size=1, max_size=4), max_size=8, unique=True),
    st.text("abc<", max_size=30),
)
def test_matches_are_leftmost_longest(contents: list[str], text: str) -> None:
    expected: list[str | int] = []
    place = plain = 0
    while place < len(text):
        fitting = [c for c in contents if text.startswith(c, place)]
        if fitting:
            expected += [text[plain:place]] if plain < place else []
            expected.append(contents.index(max(fitting, key=len)))
            plain = place = place + len(max(fitting, key=len))
        else:
            place += 1
    expected += [text[plain:]] if plain < len(text) else []
    added = AddedTokens(AddedToken(c, i) for i, c in enumerate(contents))
    assert shown(added, text) == expected
    assert shown(pickle.loads(pickle.dumps(added)), text) == expected


def test_thousands_of_tokens_and_hostile_text_stay_linear() -> None:
    runs = [AddedToken("\n" * n, n, special=False, rstrip=n == 31) for n in range(1, 32)]
    names = [AddedToken(f"<unused{n}>", 100 + n) for n in range(6000)]
    word = AddedToken("a" * 2000, 50, lstrip=True, single_word=True)
    added = AddedTokens([*runs, *names, word])
    assert pickle.loads(pickle.dumps(added)).tokens == added.tokens
    for text in ("\n", "<unused", "<", "a", "\n<u "):
        began = time.process_time()
        added.split(text * (100_000 // len(text)))
        assert time.process_time() - began < 2


def test_whitespace_is_not_scanned_once_a_token() -> None:
    added = AddedTokens([AddedToken("\n", 1, special=False, rstrip=True)])
    began = time.process_time()
    pieces = added.split("\n" * 100_000)
    assert len(pieces) == 100_000 and pieces[5][1:] == (5, 100_000)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("special, expected", [
    ({}, None), ({"<s>": 1}, None), ({"</s>": 2, "<s>": 1}, 2), ({"[SEP]": 102, "[CLS]": 101}, 102),
    ({"<|im_end|>": 4, "<|endoftext|>": 3}, 3)])
def test_which_token_ends_a_text(special: dict[str, int], expected: int | None) -> None:
    assert end_of_text(special) == expected
