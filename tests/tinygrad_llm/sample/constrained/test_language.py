"""States of a language, against its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import expressions
from tinygrad_llm.sample.constrained.automaton import automaton_of
from tinygrad_llm.sample.constrained.expressions import LAST, Both, Expression, parse
from tinygrad_llm.sample.constrained.language import Language, has_text, utf8


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


@given(expressions)
@draws(100, dev=40)
def test_a_language_has_a_text_where_an_automaton_has(expression: Expression) -> None:
    assert has_text(expression) == bool(automaton_of(Language(expression)).accepting.any())
