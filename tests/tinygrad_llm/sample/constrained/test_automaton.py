"""Automata against the definition of their languages."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import a_text, expressions, matches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample.constrained.automaton import Steps, automaton_of
from tinygrad_llm.sample.constrained.expressions import (
    ANYTHING,
    EMPTY,
    Both,
    Characters,
    Choice,
    Expression,
    Repeat,
    Row,
    literal,
    parse,
)
from tinygrad_llm.sample.constrained.language import MOST_STATES, Language


def steps_of(expression: Expression) -> Steps:
    language = Language(expression)
    number = automaton_of(language).number
    return Steps(language, lambda state: 1 - language.accepts(state) if state in number else None)


def accepts(steps: Steps, text: bytes) -> bool:
    """Return whether a text is accepted, going by the table and by the states' own edges."""
    after = steps.after(steps.start, text)
    number = steps.number(steps.start)
    for byte in text:
        steps.ready(np.array([number]))
        number = int(steps.table[number, byte])
    assert steps.sets[number] == after
    return bool(steps.least_of[number] == 0)


@given(expressions, st.lists(st.text("abz\u4e2d😀", max_size=5), max_size=4),
       st.randoms(use_true_random=False))
@example(Row((Repeat(Characters(((97, 97),)), 0, None), Characters(((98, 98),)))), ["aab", ""],
         None)
@draws(300, dev=120)
def test_an_automaton_accepts_its_language(expression: Expression, texts: list[str],
                                           rng: object) -> None:
    steps = steps_of(expression)
    if rng is not None:
        texts = [*texts, a_text(expression, rng)[:12]]  # type: ignore[arg-type]
    for text in texts:
        assert accepts(steps, text.encode()) == matches(expression, text), text
    others = Steps(steps.language, steps.need)
    for text in texts[::-1]:
        assert accepts(others, text.encode()) == matches(expression, text), text
        assert others.after(others.start, text.encode()) == steps.after(steps.start, text.encode())


@given(st.lists(st.text("abcd\u00e9", max_size=4), max_size=20), st.booleans())
@example(["a", "b", "c", "d", "ab", "abc", "abd", "\u00e9a", ""], True)
@draws(60, dev=30)
def test_a_choice_has_its_options_and_no_others(options: list[str], endless: bool) -> None:
    """They share what they begin with, also where an option repeats a part without end."""
    more = (parse("abc*"),) if endless else ()
    steps = steps_of(Choice((*map(literal, options), *more)))
    near = {text[:k] + text[k + 1:] for text in options for k in range(4)} | {"abcc", "abcb"}
    for text in {*options, *near, *(text + "c" for text in options)}:
        wanted = text in options or (endless and bool(re.fullmatch("abc*", text)))
        assert accepts(steps, text.encode()) == wanted, text


@given(expressions)
@draws(60, dev=30)
def test_every_state_leads_to_acceptance(expression: Expression) -> None:
    automaton = automaton_of(Language(expression))
    alive = set(np.flatnonzero(automaton.accepting).tolist())
    while more := {state for state in range(len(automaton)) if state not in alive and any(
            target in alive for _, _, target in automaton.edges(state))}:
        alive |= more
    assert alive >= set(range(1, len(automaton)))


def test_bytes_that_are_no_utf8_are_never_accepted() -> None:
    steps = steps_of(ANYTHING)
    for data in (b"\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
                 b"\xff", b"\xe4\xb8"):
        assert not accepts(steps, data) and accepts(steps, b"a\xe4\xb8\xad\xf0\x9f\x98\x80")


@pytest.mark.parametrize("most", [None, 4])
@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", "((.{100}){100}){100}",
                                     "a{10000}" * 30])
def test_counts_that_explode_are_refused_with_the_number_of_states(
        pattern: str, most: int | None) -> None:
    with pytest.raises(UserError, match=rf"at least \d+ states, and {MOST_STATES} is the most"):
        automaton_of(Language(parse(pattern)), most)


def test_optional_parts_in_a_row_may_be_too_many() -> None:
    assert len(automaton_of(Language(parse("a?b?" * 50)))) == 101
    with pytest.raises(UserError, match="fewer optional parts"):
        automaton_of(Language(parse("a?" * 1500)))


def test_the_size_is_that_of_the_pattern() -> None:
    assert len(automaton_of(Language(parse("[a-z]{1,1000}")))) == 1001
    assert len(automaton_of(Language(parse("((a*)*)*b")))) == 2
    assert len(automaton_of(Language(EMPTY))) == 1 == len(automaton_of(Language(Choice(()))))
    assert len(automaton_of(Language(Both(parse("a*"), parse("b+"))))) == 1  # without a text


def test_sets_are_made_when_texts_come_to_them() -> None:
    steps = steps_of(parse("(a|b)*a(a|b){12}"))  # 2^13 sets in all
    assert accepts(steps, b"a" * 13) and not accepts(steps, b"b" * 13)
    assert len(steps.sets) < 40
    for k in range(2000):  # beyond the first size of the table
        text = format(k, "012b").replace("0", "a").replace("1", "b")
        assert accepts(steps, f"a{text}".encode())
    assert len(steps.sets) > 256 and len(steps.table) >= len(steps.sets)


def test_counts_take_few_states_where_they_are_cut() -> None:
    for pattern, size in (("[a-z]{1,1000}", 6), ("(.{0,5000}x){0,1000}", 400), ("[ab]{30}", 31)):
        assert len(automaton_of(Language(parse(pattern)), 4)) <= size
    language = Language(parse(".{0,10000}"))
    state = language.start
    for count in range(100):
        state = next(target for low, high, target in language.edges(state) if low <= 97 <= high)
        assert (language.cut(state, 4) == language.cut(language.start, 4)) and state > count
    assert len(language.nodes) < 2000


@given(expressions, st.text("abz\u4e2d", max_size=6), st.integers(1, 3))
@example(Both(parse("a{0,9}"), parse("a{0,7}")), "aaaa", 1)
@draws(300, dev=120)
def test_the_cut_automaton_has_each_state_that_a_text_comes_to(expression: Expression, text: str,
                                                               most: int) -> None:
    language = Language(expression)
    whole, small = automaton_of(language).number, automaton_of(language, most).number
    states = {language.start}
    for byte in text.encode():
        states = {target for state in states for low, high, target in language.edges(state)
                  if low <= byte <= high}
        for state in states:
            assert (language.cut(state, most) in small) <= (state in whole)
            if state in whole and "Both" not in repr(expression):
                assert language.cut(state, most) in small
