from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.unicode_16 import UNASSIGNED, Change
from tinygrad_llm.text.cut import expressions
from tinygrad_llm.text.cut.expressions import Expression, pinned
from tinygrad_llm.text.cut.oniguruma import compile_oniguruma

PATTERNS = [r"\w+|[^\w\s]+", r"a|(?=b)", r"x*", r"(?<=a)b|c", r"\s+(?!\S)|\s+", r"\p{L}{1,3}", "b$",
            r"(?s:.)", r"a??", r"[^\n]", r"\b", "$|b", r"(?=\s)|\w+", r"(?:ab)*\Z|a"]
texts = st.text(st.sampled_from("ab cx\n\u00b2\u200d\u0295é"), max_size=400)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(drawn=st.lists(texts, min_size=1, max_size=4))
def test_a_budget_changes_no_match(pattern: str, drawn: list[str]) -> None:
    expression = Expression(pattern, regex.VERSION1 | regex.MULTILINE)
    trusted = Expression(pattern, regex.VERSION1 | regex.MULTILINE, trusted=True)
    for text in drawn:  # it learns how dense the matches are
        assert list(expression.spans(text)) == list(trusted.spans(text))
    expression._seen, expression._hits = 1, 1000
    for text in drawn:
        assert list(expression.spans(text)) == list(trusted.spans(text))


def test_dense_matches_are_found_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    repeated = Expression._repeated
    monkeypatch.setattr(Expression, "_repeated", lambda *args: calls.append(1) or repeated(*args))
    text = "to be or not to be " * 100
    assert len(list(Expression(r"\w+").spans(text))) == 600 and calls == [1]
    assert len(list(Expression(r"not").spans(text))) == 100 and calls == [1]
    assert list(Expression(r"(t)o").spans(text))[-1] == (1894, 1896) and calls == [1]


@pytest.mark.parametrize("pattern, text", [
    ("(a|aa)+$", "a" * 200 + "b"), (r"(?:.*?,){20}P", "a," * 200),
    ("b|(?:a|aa)+$", "b" * 50 + "a" * 99 + "b"), (r"(?:a|a)*c|\w", "a" * 60 + " c")])
def test_a_pattern_that_never_ends_is_stopped(
    monkeypatch: pytest.MonkeyPatch, pattern: str, text: str) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.1)
    compile_oniguruma.cache_clear()
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        list(compile_oniguruma(pattern).spans(text))
    assert time.process_time() - start < 5
    assert f"the pattern {pattern!r} takes more than" in str(caught.value)
    assert repr(text[:40]) in str(caught.value)


def test_the_time_of_other_threads_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """`regex` counts the time of the whole process: here all of it was used up by others."""
    left = iter([1e-9, 1e-9, 1e-9])
    monkeypatch.setattr(expressions, "_left", lambda end: next(left, 9.0))
    text = "to be " * 5000
    assert len(list(Expression(r"\w+").spans(text))) == 10_000


@pytest.mark.parametrize("pattern, nested, chars, matches", [
    (r"\p{L}+", False, "A", ["b"]), (r"\P{L}+", False, "A", ["A", "1A"]),
    (r"[\p{L}1]+", False, "A", ["b1"]), (r"[^\p{L}]+", False, "A", ["A", "1A"]),
    (r"[A\p{N}]+", False, "A", ["A", "1A"]), (r"[a-z\p{Lu}]", False, "A", ["b"]),
    (r"[[:alpha:]]", False, "A", ["b"]), (r"[]\]\p{L}]", False, "A", ["b"]),
    (r"\b.", False, "A", ["b", "A"]), (r"\B.", False, "A", ["A", "1"]),
    (r"\w+", False, "A", ["b1"]),
    (r"[\p{L}--[b]]", True, "A", []), (r"[[^\p{L}]&&[A-Z]]", True, "A", ["A", "A"]),
    (r"\p{Cn}", False, "A", ["A", "A"]), (r"(?#[)\p{L}", False, "A", ["b"]),
    ("[[]A", False, "A", []),
])
def test_what_came_later_was_unassigned(
    pattern: str, nested: bool, chars: str, matches: list[str]) -> None:
    flags = regex.VERSION1 if nested else regex.VERSION0
    spelled = pinned(pattern, (Change(chars, UNASSIGNED),), nested)
    assert regex.findall(spelled, "Ab1A", flags) == matches


def test_only_some_properties_may_have_changed() -> None:
    change = Change("A", "!", frozenset({r"\w"}))
    assert regex.findall(pinned(r"\w|\p{L}", (change,), False), "A") == ["A"]
    assert pinned(r"\p{L}[\p{L}\s]", (change,), False) == r"\p{L}[\p{L}\s]"
    assert pinned(r"(?x)\w # [", (change,), False) == r"(?x)\w # ["


def test_texts_without_later_characters_have_the_plain_pattern() -> None:
    expression = Expression(r"\p{Ll}")
    assert expression.compiled("é中") is expression.plain
    assert expression.compiled("é\u0295") is not expression.plain
    whatever = Expression(r"\p{L}|\b.")  # to which a letter of another kind is the same
    assert whatever.compiled("é\u0295") is whatever.plain
    assert compile_oniguruma(r"\p{L}").compiled("\u200d\xb2") is compile_oniguruma(r"\p{L}").plain
    assert compile_oniguruma(r"\w").compiled("\xb2") is not compile_oniguruma(r"\w").plain
