"""Patterns as Hugging Face's tokenizers read them, which is with Oniguruma."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.text.characters import unicode_16
from tinygrad_llm.text.cut.pretokenizers import BEHAVIORS, Split
from tinygrad_llm.text.normalize.normalizers import Replace

pytestmark = pytest.mark.oracle
tokenizers = pytest.importorskip("tokenizers")

TEXTS = ["aaaab 1234567 12\nbc'S don't-stop  HELLOWorldFoo||x--y~~z", "a\r\nb\n",
         "f0 GHxyz\t[a]^{b}#", "ßss ſ Kk あア漢字 été É"]
ATOMS = ["a", "b", ".", "^", "$", r"\s", r"\S", r"\d", r"\w", r"\W", r"\h", r"\H", r"\z", r"\Z",
         r"\b", r"\B", r"\p{L}", r"\P{L}", r"\p{^N}", r"\p{Lu}", "[abc]", "[^abc]",
         "[a-c&&[^b]]", "[+--]", "[a||b]", "[~~x]", "[]x]", "[^]x]", "[[:alpha:]]",
         r"[[:^digit:]\n]", r"[\s\h]", r"[\[\]]", r"\x{3042}", r"\u3042", r"\x61", r"\N", r"\O",
         r"\R", "{", "}", "]", "a{", r"\-", "-", "#", " ", "(?i:s)", "(?i)", "(?-i:S)", "(?m:.)",
         "(?:ab)", "(a)", "(?<n>b)", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a+)", "|", "(?#x)",
         "'", "[a-]", r"\t", r"\.", "/", "(", ")", "(?x)"]
QUANTIFIERS = ["", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{2}?", "{2}+",
               "{1,3}", "{1,3}?", "{1,3}+", "{,2}", "{2,}", "{3,1}", "**", "{}"]
patterns = st.lists(
    st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)).map("".join), max_size=4
).map("".join)


@settings(max_examples=400)
@given(patterns, st.sampled_from(BEHAVIORS), st.booleans())
def test_patterns_match_the_same(pattern: str, behavior: str, invert: bool) -> None:
    named = "".join("_" + c.lower() if c.isupper() else c for c in behavior)[1:]
    try:
        theirs = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), named, invert)
        ours = Split(pattern, is_regex=True, behavior=behavior, invert=invert)
    except Exception:  # refused here or there; theirs is a bare Exception
        return
    for text in TEXTS:
        try:
            wanted = theirs.pre_tokenize_str(text)
        except BaseException as error:  # it gives up after so many retries, in a panic of Rust's
            assert "retry-limit-in-match" in str(error)
            return
        assert ours(text) == [piece for piece, _ in wanted]


# Which characters a class has

EVERY = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
LATER = "".join(change.chars for change in unicode_16.changes())
SOME = "".join(sorted({*EVERY[:0x3100], *EVERY[::211], *LATER[::10]}))
_POSIX = ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
          "space", "upper", "xdigit", "word"]
ESCAPES = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\h", r"\H",
           *[f"[:{name}:]" for name in _POSIX], *[f"[:^{name}:]" for name in _POSIX],
           *[rf"\p{{{name}}}" for name in ("Word", "Alnum", "Punct", "XDigit", "Posix_Punct")]]
IN_CLASSES = ["[{}]", "[^{}]", "[a{}]", "[^a{}]", "[[{}]]", "[[^{}]]", "[^[{}]]", r"[\x00-z&&{}]",
              r"[{}&&\x00-\x{{10ffff}}]", r"[^{}&&[^\n]]", r"[{}\p{{N}}]"]
PROPERTIES = [
    "L", "M", "N", "P", "S", "Z", "C", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
    "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc",
    "Cf", "Co", "Cn", "Han", "Latin", "Hiragana", "Greek", "Common", "Inherited", "Unknown",
    "Alphabetic", "White_Space", "Emoji", "Assigned", "^L"]


def theirs_left(pattern: str, text: str) -> str:
    return tokenizers.normalizers.Replace(tokenizers.Regex(pattern), "").normalize_str(text)


@pytest.mark.parametrize("pattern", [
    r"\w", r"[\w]", r"[^\w]", r"\W", r"\d", r"\s", "[[:punct:]]", "[[:alnum:]]", "[[:^digit:]]",
    r"\p{L}", r"\p{N}", r"\P{M}", r"[^\s\p{L}\p{N}]"])
def test_every_character_is_in_a_class_or_not(pattern: str) -> None:
    assert Replace(pattern, "", is_regex=True)(EVERY) == theirs_left(pattern, EVERY)


@pytest.mark.parametrize("escape", ESCAPES)
def test_escapes_in_and_outside_of_classes(escape: str) -> None:
    patterns = [within.format(escape) for within in IN_CLASSES]
    for pattern in [*patterns, *([escape] if escape[0] == "\\" else [])]:
        assert Replace(pattern, "", is_regex=True)(SOME) == theirs_left(pattern, SOME), pattern


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties(name: str) -> None:
    for pattern in (rf"\p{{{name}}}", rf"[^\p{{{name}}}]", rf"[\P{{{name}}}a]"):
        assert Replace(pattern, "", is_regex=True)(SOME) == theirs_left(pattern, SOME), pattern


@pytest.mark.parametrize("pattern", [
    r"\b", r"\B", r"\w+|[^\w\s]+", r"\b\w", r"(?<=\w)\W", r"[\w']+", r"\w(?!\w)", r"\w\b\W?",
    r"[[:punct:]]+|[[:alnum:]]+", r" ?[^\s\p{L}\p{N}]++[\r\n]*", r"(?i:\p{Lu})+|\p{L}"])
def test_where_words_begin_beside_every_kind_of_character(pattern: str) -> None:
    text = "".join(f"a{char}b {char}{char} .{char}.1{char}2\n" for char in SOME)
    theirs = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    assert Split(pattern, is_regex=True)(text) == [p for p, _ in theirs.pre_tokenize_str(text)]
