"""The LaTeX of docstrings as Unicode and as MathML."""

from __future__ import annotations

import sys

import pytest

from autograd.tape.formulas.maths import (
    adjoint,
    escaped,
    formula,
    mathml,
    pieces,
    readable,
    substituted,
    symbol,
)


@pytest.mark.parametrize("latex, text", [
    (r"\bar x_i = \bar y_i\,f'(x_i)", "x̄ᵢ = ȳᵢ f'(xᵢ)"),
    (r"\bar A = \bar Y B^\top", "Ā = Ȳ Bᵀ"),
    (r"\frac{a}{b}", "a/b"), (r"\frac{a + 1}{b_i}", "(a + 1)/bᵢ"),
    (r"\frac{2}{\sqrt\pi} e^{-x^2}", "2/√π e^(-x²)"),
    (r"\frac{1}{\sqrt{2\pi}}", "1/√(2π)"), (r"\sqrt[3] x", "∛x"),
    (r"\lfloor a / b \rfloor", "⌊a / b⌋"), (r"\sqrt[5]{x + 1}", "⁵√(x + 1)"),
    (r"a = 1, \qquad b \quad c", "a = 1,   b   c"), (r"\tfrac12 & \text{else}", "1/2 else"),
    (r"\partial L / \partial x", "∂ L / ∂ x"),
    (r"\overline{dx} - n\,\overline{n\,dx}", "bar(dx) - n bar(n dx)"),
    (r"\sum_{j \le i} p_{ij}\,v_j", "Σ_(j ≤ i) pᵢⱼ vⱼ"),
    (r"\operatorname{erf}(\lambda)", "erf(λ)"), (r"\operatorname{diag}\bar\lambda", "diag λ̄"),
    (r"x_{(k - s) \bmod n}", "x_((k - s) mod n)"), ("", ""), ("{", ""), (r"\bar", "bar()"),
    (r"r\,(h - \langle h \rangle - n\,\langle h \odot n \rangle)", "r (h - ⟨h⟩ - n ⟨h ⊙ n⟩)"),
    (r"V \Lambda V^\top, \bar\lambda", "V Λ Vᵀ, λ̄"), (r"[x > 0]\,\bar y", "[x > 0] ȳ"),
    (r"\begin{cases} a & b \\ c & d \end{cases}", "{ a b; c d"), (r"x^{ij} + x^{q}", "xⁱʲ + x^q"),
    (r"\begin{pmatrix} c & s \\ -s & c \end{pmatrix} g", "(c s; -s c) g"),
    (r"\left\lVert x \right\rVert \to \infty", "‖ x ‖ → ∞"),
])
def test_formulas_as_text(latex: str, text: str) -> None:
    assert formula(latex) == text


def test_prose_stays_as_it_is() -> None:
    assert readable(r"Return a_b; $y^2$ costs 5\% more.") == r"Return a_b; y² costs 5\% more."


def test_pieces_alternate() -> None:
    assert list(pieces("a $b$ c $$d$$")) == [
        (False, "a "), (True, "b"), (False, " c "), (True, "d")]
    assert list(pieces("$b$")) == [(True, "b")] and list(pieces("")) == []


@pytest.mark.parametrize("name, latex, gradient", [
    ("x", "x", r"\bar x"), ("v12", "v_{12}", r"\bar v_{12}"), ("2.0", "2.0", r"\bar 2.0"),
    ("h.0.w", r"\text{h.0.w}", r"\overline{\text{h.0.w}}"),
    ("a_b%", r"\text{a\_b\%}", r"\overline{\text{a\_b\%}}"),
])
def test_names_in_latex(name: str, latex: str, gradient: str) -> None:
    assert symbol(name) == latex and adjoint(name) == gradient


def test_plain_text_is_escaped_for_latex() -> None:
    assert escaped(r"a_b {50%} \x & #1") == r"a\_b  50\%   x \& \#1"


@pytest.mark.parametrize("latex, expected", [
    (r"\bar x = \bar y\,(1 - y^2)", r"\bar v_{2} = \bar v_{3}\,(1 - {v_{3}}^2)"),
    (r"\bar x_i = g_i\,e^{x_i}", r"\bar v_{2,i} = \bar v_{3,i}\,e^{v_{2,i}}"),
    (r"\bar{x} = \bar{\lambda} y", r"\bar v_{2} = \bar \lambda {v_{3}}"),
    (r"\sqrt x e^x", r"\sqrt {v_{2}} e^{v_{2}}"),
    (r"\begin{pmatrix} x \end{pmatrix}", r"\begin{pmatrix} {v_{2}} \end{pmatrix}"),
    (r"\max(x, \text{xy})", r"\max({v_{2}}, \text{xy})"), (r"a_x", None), (r"a_{x + 1}", None),
])
def test_substitution(latex: str, expected: str | None) -> None:
    symbols = {"x": symbol("v2"), "y": symbol("v3"), "g": r"\bar v_{3}"}
    assert substituted(latex, symbols) == expected


def test_pages_without_the_package_for_mathml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "latex2mathml", None)
    assert mathml(r"a < \bar b") == '<span class="formula">a &lt; b̄</span>'


def test_mathml() -> None:
    pytest.importorskip("latex2mathml")
    page = mathml(r"\bar x = \text{a_b <i>}\,y")
    assert page.startswith("<math") and "&lt;i&gt;" in page and "<mover>" in page
    assert "border-top" in mathml(r"\overline{x + y}")
    assert mathml(r"\unheard{") == '<span class="formula">unheard</span>'
