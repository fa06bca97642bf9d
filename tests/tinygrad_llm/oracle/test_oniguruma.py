"""Patterns as Hugging Face's tokenizers read them, which is with Oniguruma."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.text.cut.pretokenizers import BEHAVIORS, Split

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
