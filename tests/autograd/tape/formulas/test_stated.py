"""What docstrings state, and that each letter in a formula is explained beside it."""

from __future__ import annotations

import inspect
import re

import pytest

import tinygrad_llm.functional  # noqa: F401, its ops are in the registry
from autograd import Fused, Primitive, registry
from autograd.tape.adjoints import derivation, statement
from autograd.tape.formulas.maths import pieces
from autograd.tape.formulas.stated import (
    adjoint_equations,
    conditions,
    equations,
    indices,
    letters,
    meaning,
    side_by_side,
    stands_alone,
)

OURS = [op for op in registry.values()
        if op.forward.__module__.startswith(("autograd.", "tinygrad_llm."))]
DIFFERENTIABLE = [op for op in OURS if isinstance(op, Fused) or getattr(op, "rules", ())]


def arguments_with_a_rule(op: Primitive | Fused) -> list[str]:
    """Return the letters of the arguments that a gradient is returned for."""
    names = op.arrays
    if isinstance(op, Primitive) and not op.joint:
        names = [name for name, rule in zip(names, op.rules, strict=True) if rule]
    given = [re.search(rf"\b{name}`?\s+([A-Zb-z])\b", statement(op)) for name in names]
    return [name if len(name) == 1 else match[1] if match else name
            for name, match in zip(names, given, strict=True)
            if name not in ("index", "ids", "targets")]


# the registry
@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_the_gradient_by_each_argument_is_an_equation(op: Primitive | Fused) -> None:
    stated = adjoint_equations(statement(op))
    assert stated
    for letter in arguments_with_a_rule(op):
        assert letter.lower() in stated, letter


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_no_condition_stands_behind_an_equation(op: Primitive | Fused) -> None:
    text = statement(op)
    assert not conditions(text, [e.latex for e in adjoint_equations(text).values()])


@pytest.mark.parametrize("op", DIFFERENTIABLE, ids=lambda op: op.name)
def test_every_rule_is_derived_from_the_differential(op: Primitive | Fused) -> None:
    maths = " ".join(piece for is_maths, piece in pieces(derivation(op)) if is_maths)
    assert re.search(r"(?<![A-Za-z\\])d(?:[A-Za-z]|\\[a-z]+)", maths)


@pytest.mark.parametrize("op", OURS, ids=lambda op: op.name)
def test_every_letter_in_a_formula_is_explained(op: Primitive | Fused) -> None:
    text = statement(op)
    own = {"y", "g", op.variadic[:-1],
           *(name for name in (*op.arrays, *op.defaults) if len(name) == 1)}
    own |= {letter.upper() for letter in own}
    formulas = [piece for is_maths, piece in pieces(text) if is_maths]
    assert not meaning(text, formulas, own | {f"\\bar {z}" for z in own}).missing


def test_every_docstring_has_its_dollars_in_pairs() -> None:
    for op in OURS:
        assert (inspect.getdoc(op.forward) or "").count("$") % 2 == 0, op


# the reading
def test_equations_side_by_side_are_taken_apart() -> None:
    text = r"With $u = 1, \qquad v = 2$: $\bar a = g, \bar b = f(a, b)$ and $x; y$, $[i = j]\,z$."
    assert [(e.left, e.latex) for e in equations(text)] == [
        ("u", "u = 1"), ("v", "v = 2"),
        (r"\bar a", r"\bar a = g"), (r"\bar b", r"\bar b = f(a, b)")]
    assert list(side_by_side(r"a = 1,\; b \quad c")) == [r"a = 1,\; b", "c"]


def test_gradients_that_are_equal_are_an_equation_each() -> None:
    found = adjoint_equations(r"$\bar a = \bar b = \bar y / 2$; $\bar a = 0$")
    assert {z: e.latex for z, e in found.items()} == {
        "a": r"\bar a = \bar y / 2", "b": r"\bar b = \bar y / 2"}


@pytest.mark.parametrize("latex, left", [
    (r"\bar x_i = g", r"\bar x"), (r"\mu = 1", r"\mu"), (r"s_{n t_n} = 1", "s"), ("u' = 2", "u'"),
    (r"\tilde p = m", r"\tilde p"), (r"\Phi(x) = x", r"\Phi"), ("r^2 = a", "r"), (r"x y = 1", ""),
    (r"\sin y = x", ""), (r"\textstyle h = 0", "h"), (r"\psi^{(n)}(x) = 1", r"\psi")])
def test_the_letter_on_the_left(latex: str, left: str) -> None:
    assert [e.left for e in equations(f"${latex}$")] == [left]


@pytest.mark.parametrize("latex, found, plain", [
    (r"r\,(h - \langle n \odot h \rangle)", "r h n", ""), (r"\sum_i x_i\,dx_i", "x", "i"),
    (r"e^{x} \pi \ln t", "x t", ""), (r"\bar x + \tilde p", r"\bar x,\tilde p", ""),
    (r"\sum_{k:\,i(k) = j} v_k", "i v", "k j"), (r"z_{n t_n} [\text{not } c]", "z t c", "n"),
    (r"u' + \frac gN", "u' g N", ""), (r"\sigma(t) = 1 / t", r"\sigma", ""), ("n - d", "n d", ""),
    ("d|a|", "a", ""),
    (r"\int_0^x e^{-t^2} dt", "x", ""), (r"\bar x_k = \bar y_{k + s}", r"\bar x,\bar y,s", "s k"),
    (r"\bar x_{ij} = [i = j + k]\,\bar y_i", r"\bar x,k,\bar y", "i")])
def test_letters_and_indices(latex: str, found: str, plain: str) -> None:
    assert list(letters(latex)) == (found.split(",") if "," in found else found.split())
    assert indices(latex) >= {*plain.split()}


def test_meaning_follows_what_explains() -> None:
    text = r"$\bar x = r\,h$ with $h = g\,w$; r is the root of q. $q = \mu$, $\mu$ the mean of z."
    told = meaning(text, [r"\bar x = r\,h"], {"g", "w", r"\bar x", "z"})
    assert [e.latex for e in told.equations] == ["h = g\\,w"]
    assert told.clauses == ["r is the root of q"] and told.missing == []
    assert meaning(text, ["k = 2 c"], {"k"}).missing == ["c"]


def test_a_recurrence_explains_where_no_words_do() -> None:
    text = r"$\lambda_k = g + \lambda_{k+1}$ and the function $\Gamma$, so $\Gamma(x) = \Gamma(y)$."
    told = meaning(text, [r"\lambda_k\,\Gamma"], {"g", "x", "y"})
    assert [e.left for e in told.equations] == [r"\lambda"]
    assert told.clauses == [r"$\lambda_k = g + \lambda_{k+1}$ and the function $\Gamma$"]


def test_a_matrix_is_explained_by_its_elements() -> None:
    told = meaning(r"$\bar X = \bar Z W$, $\bar z_{nv} = p_{nv}$ of p.", [r"\bar X = \bar Z W"],
                   {"W", r"\bar X"})
    assert [e.latex for e in told.equations] == [r"\bar z_{nv} = p_{nv}"] and not told.missing


@pytest.mark.parametrize("clause, alone", [
    ("k is the offset", True), ("the k-th", False), ("`k` it is", False), ("$k$ elements", True),
    ("$k_i$ is", True), ("$k + 1$ is", False), ("k's place", True), ("ok", False)])
def test_a_letter_alone(clause: str, alone: bool) -> None:
    assert stands_alone("k", clause) == alone
    assert not stands_alone("a", "a word") and stands_alone("a", "the halves $a$ and b")


@pytest.mark.parametrize("behind, cut", [
    (" where a is larger", True), (", 0 where x was replaced", True), (" if c", True),
    (" (0 where b is 0)", True),
    (", twice that if b", True), (", the softmax of x", False), (", where $h = g$", False)])
def test_conditions_behind_an_equation_are_found(behind: str, cut: bool) -> None:
    text = rf"So $\bar a = \bar y${behind}. The end."
    assert conditions(text, [r"\bar a = \bar y"]) == ([text[:-10]] if cut else [])
