"""Docstrings as blocks and clauses."""

from __future__ import annotations

import pytest

from autograd.tape.formulas.prose import blocks, clauses, flat


def test_formulas_that_stand_alone_are_blocks_of_their_own() -> None:
    text = "With h:\n\n$$y = h$$\n\nand $z$. So\n\n$\\bar x = y$.\n\nThe end."
    assert blocks(text) == [("prose", "With h:"), ("maths", "y = h"), ("prose", "and $z$. So"),
                            ("maths", "\\bar x = y"), ("prose", "The end.")]


def test_items_of_a_list_stay_apart() -> None:
    text = "In two steps:\n\n1. first\n   of all,\n2. then $y$\n\n- a\n- b"
    assert blocks(text) == [("prose", "In two steps:"), ("item", "1. first of all,"),
                            ("item", "2. then $y$"), ("item", "- a"), ("item", "- b")]


def test_code_keeps_its_lines() -> None:
    assert blocks("So:\n\n    a = 1\n    b = 2\n\n>>> f(x)\n3") == [
        ("prose", "So:"), ("code", "a = 1\nb = 2"), ("code", ">>> f(x)\n3")]


@pytest.mark.parametrize("text", ["", "\n\n", "  "])
def test_nothing(text: str) -> None:
    assert blocks(text) == [] and clauses(text) == ()


def test_clauses_keep_their_formulas_whole() -> None:
    text = "Let $a: b. c$ be; k is the offset. 1. So `x. y` holds:\n\n$$y = x$$\n\n2. Then"
    assert clauses(text) == ("Let $a: b. c$ be", "k is the offset", "1", "So `x. y` holds", "Then")


def test_one_line() -> None:
    assert flat("a\n  b   c\n") == "a b c"
