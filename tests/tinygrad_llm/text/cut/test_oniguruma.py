from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut.oniguruma import compile_oniguruma


def found(pattern: str, text: str) -> list[str]:
    return [text[i:j] for i, j in compile_oniguruma(pattern).spans(text)]


@pytest.mark.parametrize(
    "pattern, text, matches",
    [
        (r"\p{N}{1,3}+", "1234567 12", ["1234567", "12"]),
        (r"\p{N}{1,3}", "1234567", ["123", "456", "7"]),
        (r"(?:ab){2}?c", "ababc c", ["ababc", "c"]),
        (r"a{,2}b", "aaab", ["aab"]),
        (r"(a|b){2}+", "ababa", ["abab"]),
        (r"a++b", "aab", ["aab"]),
        (r"a**", "baa", ["", "aa"]),
        (r"\h+", "xf0 G", ["f0"]),
        (r"[^\h]", "0x", ["x"]),
        (r"a\Z", "a\na\n", ["a"]),
        (r"a\z", "a\na\n", []),
        (r"^a$", "a\nba\na", ["a", "a"]),
        (r"(?m:a.b)|c.d", "a\nb c\nd", ["a\nb"]),
        (r"a(?i)b|c", "aB aC ab", ["aB", "aC", "ab"]),
        (r"(?:a(?i)b)c", "aBc aBC", ["aBc"]),
        (r"\x{3042}\x61", "あa", ["あa"]),
        (r"[+--]", "a+b-,", ["+", "-", ","]),
        (r"[a||b]", "|b", ["|", "b"]),
        (r"[~~]", "~", ["~"]),
        (r"[a-z&&[^aeiou]]", "hello", ["h", "l", "l"]),
        (r"[[:alpha:]1]", "-a1", ["a", "1"]),
        (r"[]a]", "]a", ["]", "a"]),
        (r"[^]a]", "]ab", ["b"]),
        (r"{a}|b{|]", "{a} b{ ]", ["{a}", "b{", "]"]),
        (r"(?#no)a", "a", ["a"]),
        (r"(?<n>a)\1", "aa", ["aa"]),
        (r"\s", " \x1c\x85", [" ", "\x85"]),
        (r"\w+|[^\w\s]+", "x² a\u200db\u200c", ["x²", "a", "\u200d", "b", "\u200c"]),
        (r"[\w]+|[^\W]", "x²¼é", ["x", "é"]),
        (r"\W", "a²\u200c-", ["\u200c", "-"]),
        (r"\b.", "²a \u200db", ["²", " ", "b"]),
        (r"\B.", "ab-+²", ["b", "+"]),
        (r"[[:punct:]]", "a+,Ⓐ1", ["+", ",", "Ⓐ"]),
        (r"[[:^punct:]]", "a+,Ⓐ1", ["a", "1"]),
        (r"[^[:alnum:]\s]", "٣a1 -", ["-"]),
        (r"[[:digit:]&&[^1]]", "٣1", ["٣"]),
        (r"\p{XDigit}\P{xdigit}", "fＡ", ["fＡ"]),
        (r"[\p{Word}]|\p{^Word}", "²-a", ["-", "a"]),
        (r"(?i:\p{Lu}b)", "aB Ab AB", ["Ab", "AB"]),
        (r"\p{L}", "a\U00016ea0\u0295", ["a", "\u0295"]),  # a letter from Unicode 17 on
        (r"\p{Ll}|\p{Lo}", "\u0295", ["\u0295"]),
        (r"\p{Cn}", "a\U00016ea0", ["\U00016ea0"]),
    ])
def test_what_patterns_mean(pattern: str, text: str, matches: list[str]) -> None:
    assert found(pattern, text) == matches


@pytest.mark.parametrize(
    "pattern, fault",
    [
        ("(", r"a \( without its \)"),
        (")", r"a \) without its \("),
        ("[a", r"a \[ without its \]"),
        ("a\\", "a backslash at its end"),
        ("*a", r"\* at position 0 repeats nothing"),
        ("a{3,1}", "counts downwards"),
        ("(?x)a b", r"\(\?x\) at position 0 is not known here"),
        ("(?~ab)", r"\(\?~a at position 0 is not known here"),
        (r"(?<n>a)\k<n>", r"\\k at position 7 is not known here"),
        (r"\g<1>", r"\\g at position 0"),
        (r"\y", r"\\y at position 0"),
        (r"\p{Nonsense}", "unknown property"),
        (r"\p{Diacritic}", r"\\p{Diacritic} at position 0"),
        (r"(?i:[[:upper:]])", r"\[:upper:\] under \(\?i\)"),
        (r"(?i)[\p{Lu}]", r"in a class under \(\?i\)"),
        (r"[^\s\S]", "a negated class with an escape and its opposite"),
        ("(?:(?:a{1000}){10}){11}", r"\{11\} at position 19 leads to more than 100000 repet"),
        (r"[--a]", "begins with a range from -"),
        (r"\x{110000}", "cannot be used"),
        ("(" * 50_000 + ")" * 50_000, "cannot be used"),
    ])
def test_what_is_not_known_is_refused(pattern: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        compile_oniguruma(pattern)


@given(st.text(st.sampled_from(r"ab()[]{}*+?|\^$.-&~1,<>=!:pPLhzZkxim# "), max_size=12))
def test_any_pattern_is_compiled_or_refused(pattern: str) -> None:
    try:
        compiled = compile_oniguruma(pattern)
    except UserError as error:
        assert "cannot be used" in str(error)
    else:
        assert list(compiled.spans("")) in ([], [(0, 0)])
