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
from tinygrad_llm.sample.constrained.automaton import (
    MOST_STATES,
    Language,
    Steps,
    automaton_of,
    has_text,
    utf8,
)
from tinygrad_llm.sample.constrained.expressions import (
    ANYTHING,
    EMPTY,
    LAST,
    Both,
    Characters,
    Choice,
    Expression,
    Repeat,
    Row,
    literal,
    parse,
)


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


@given(st.lists(st.tuples(st.integers(0, LAST), st.integers(0, 3000)), max_size=3))
@example([(0, LAST)])
@example([(0x7F, 0x800)])
@draws(100, dev=40)
def test_utf8_spells_the_characters_of_the_ranges(ranges: list[tuple[int, int]]) -> None:
    found = utf8(tuple((first, min(first + size, LAST)) for first, size in ranges))
    inside = {c for first, size in ranges for c in range(first, min(first + size, LAST) + 1)
              if not 0xD800 <= c < 0xE000}
    near = {c + d for c in [*list(inside)[::97], 0, 0x7F, 0x7FF, 0xD7FF, 0xFFFF] for d in (-1, 0, 1)
            if 0 <= c + d <= LAST and not 0xD800 <= c + d < 0xE000}
    assert sum(int(np.prod([high - low + 1 for low, high in s])) for s in found) >= len(inside)
    for code in near | set(list(inside)[:500]):
        data = chr(code).encode()
        assert any(len(s) == len(data) and all(low <= byte <= high for byte, (low, high) in zip(
            data, s, strict=True)) for s in found) == (code in inside), hex(code)


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


@given(expressions, st.text("abz\u4e2d", max_size=5), st.text("abz\u4e2d", max_size=3),
       st.integers(1, 3))
@example(Both(parse(".{0,9}"), parse("(aaa|b)+")), "", "aaa", 1)
@draws(300, dev=120)
def test_a_cut_state_has_the_same_short_texts(expression: Expression, before: str, behind: str,
                                              most: int) -> None:
    language = Language(expression)
    states = {language.start}
    for byte in before.encode():
        states = {target for state in states for low, high, target in language.edges(state)
                  if low <= byte <= high}
    for state in states:
        cut = language.cut(state, most)
        assert language.cut(cut, most) == cut
        ends = [{state}, {cut}]
        for byte in behind.encode():
            ends = [{target for q in some for low, high, target in language.edges(q)
                     if low <= byte <= high} for some in ends]
        whole, short = (any(map(language.accepts, some)) for some in ends)
        assert whole >= short
        assert whole == short or len(behind) > most


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


@given(expressions)
@draws(100, dev=40)
def test_a_language_has_a_text_where_an_automaton_has(expression: Expression) -> None:
    assert has_text(expression) == bool(automaton_of(Language(expression)).accepting.any())
