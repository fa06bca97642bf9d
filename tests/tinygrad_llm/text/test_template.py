from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import template as t

CLS, SEP = ("[CLS]", 7), ("[SEP]", 8)
A, B, BEGIN = t.TemplatePart("A", True), t.TemplatePart("B", True, 1), t.TemplatePart("<s>", False)
LLAMA = t.TemplateProcessing((BEGIN, A), (BEGIN, A, BEGIN, B), {"<s>": ((1, "<s>"),)})


@pytest.mark.parametrize(
    "processor, single, pair",
    [
        (t.PostProcessor(), ["A"], ["A", "B"]),
        (t.ByteLevel(), ["A"], ["A", "B"]),
        (t.BertProcessing(SEP, CLS), [7, "A", 8], [7, "A", 8, "B", 8]),
        (t.RobertaProcessing(SEP, CLS), [7, "A", 8], [7, "A", 8, 8, "B", 8]),
        (LLAMA, [1, "A"], [1, "A", 1, "B"]),
        (t.TemplateProcessing((A, A), (B, A)), ["A", "A"], ["B", "A"]),
        (t.Sequence((t.ByteLevel(), LLAMA)), [1, "A"], [1, "A", 1, "B"]),
        (t.Sequence(()), ["A"], ["A", "B"]),
    ])
def test_layouts(processor: t.PostProcessor, single: list[t.Part], pair: list[t.Part]) -> None:
    assert processor.layout() == single
    assert processor.layout(pair=True) == pair


def test_templates_that_name_what_is_not_there() -> None:
    with pytest.raises(UserError, match="asks for the text 'B' where there is only A"):
        t.TemplateProcessing((B,), (A, B))
    with pytest.raises(UserError, match="'<s>' is not among its special_tokens"):
        t.TemplateProcessing((BEGIN, A), (A, B))
    with pytest.raises(UserError, match="several post-processors that put tokens"):
        t.Sequence((LLAMA, t.ByteLevel(), LLAMA))


@pytest.mark.parametrize(
    "token, span, add_prefix_space, trimmed",
    [
        ("Ġab", (3, 6), False, (4, 6)),
        ("Ġab", (0, 3), False, (1, 3)),
        ("Ġab", (0, 2), True, (0, 2)),  # the space was put there, it covers nothing
        ("ĠĠab", (0, 4), True, (2, 4)),
        ("abĠĠ", (3, 7), True, (3, 5)),
        ("ĠĠ", (3, 5), False, (5, 5)),
        (" \u3000<x> ", (3, 9), False, (5, 8)),
        ("\x1cab", (3, 6), False, (3, 6)),
        ("Ċ", (3, 4), False, (3, 4)),
    ])
def test_trimming(token: str, span: tuple[int, int], add_prefix_space: bool,
                  trimmed: tuple[int, int]) -> None:
    tokens, offsets = ["a", token], np.array([[0, 0], span])
    for processor in (t.ByteLevel(add_prefix_space),
                      t.RobertaProcessing(SEP, CLS, True, add_prefix_space),
                      t.Sequence((LLAMA, t.ByteLevel(add_prefix_space)))):
        assert processor.trim(tokens, offsets).tolist() == [[0, 0], list(trimmed)]
    assert offsets.tolist() == [[0, 0], list(span)]  # as they were


@given(st.lists(st.tuples(st.text("Ġ a", max_size=4), st.integers(0, 9), st.integers(0, 5))),
       st.booleans())
def test_trimming_never_goes_outside(drawn: list[tuple[str, int, int]], first: bool) -> None:
    tokens = [token for token, _, _ in drawn]
    offsets = np.array([[start, start + length] for _, start, length in drawn]).reshape(-1, 2)
    trimmed = t.ByteLevel(first).trim(tokens, offsets)
    assert (trimmed[:, 0] >= offsets[:, 0]).all() and (trimmed[:, 1] <= offsets[:, 1]).all()
    assert (trimmed[:, 0] <= trimmed[:, 1]).all()
    assert (t.ByteLevel(trim_offsets=False).trim(tokens, offsets) == offsets).all()
