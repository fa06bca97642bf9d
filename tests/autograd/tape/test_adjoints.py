"""The equations of backward passes, in the variables that were used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, floating
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tapes import leaf, toy

import autograd as ag
from autograd import Tensor, checkpoint, grad, linalg, primitive, tanh
from autograd.tape import explain
from tinygrad_llm import functional


def step(y: Tensor, op: str, **names: Tensor) -> str:
    """Return what is said of the newest call of the op."""
    text = str(explain(y, names=names))
    start = text.index(f" = {op}(")
    return text[text.index("\n", start) : text.index("keeps", start)]


EXAMPLES: list[tuple[str, Callable[[Tensor], Tensor], list[str]]] = [
    ("maximum", lambda x: ag.maximum(x, 1), ["x̄ = v̄₁ ([x > b] + 1/2 [x = b])", "with b = 1"]),
    ("minimum", lambda x: ag.minimum(1, x), ["x̄ = v̄₁ ([x < a] + 1/2 [a = x])", "with a = 1"]),
    ("fmax", lambda x: ag.fmax(x, 1), ["x̄ = v̄₁ ([x > b] + 1/2 [x = b])"]),
    ("where", lambda x: ag.where(x.data > 0, x, 0.0), ["x̄ = [c] v̄₁", "with c = const"]),
    ("where", lambda x: ag.where(x.data > 0, 0.0, x), ["x̄ = [not c] v̄₁"]),
    ("nan_to_num", ag.nan_to_num, ["x̄ = [x finite] v̄₁"]),
    ("relu", ag.relu, ["x̄ = [x > 0] v̄₁"]),
    ("power", lambda x: x**2, ["x̄ = [b ≠ 0] v̄₁ b x^(b-1)", "with b = 2"]),
    ("scatter_set", lambda x: x.at[1].set(3.0), ["x̄ⱼ = [no i(k) = j] v̄₁,ⱼ", "i(k) is the place"]),
    ("scatter_max", lambda x: x.at[1].max(3.0), ["x̄ⱼ = [xⱼ = v₁,ⱼ] v̄₁,ⱼ / cⱼ", "where cⱼ of them"]),
    ("max", ag.max, ["x̄ᵢ = [xᵢ = v₁] v̄₁ / k", "where k elements equal"]),
    ("mean", ag.mean, ["x̄ᵢ = v̄₁ / n", "with n, the number of elements"]),
    ("var", ag.var, ["(xᵢ - μ)", "μ = ⟨x⟩", "c is `ddof`", "n is the number of elements"]),
    ("transpose", ag.transpose, ["x̄ = transpose(v̄₁, axes⁻¹)"]),
    ("roll", lambda x: ag.roll(x, 1), ["x̄ₖ = v̄_(1,(k + s) mod n)", "s is `shift`, and n the"]),
    ("sliding_windows", lambda x: ag.ops.convolution.sliding_windows(x, (2,), (1,), (1,)),
     ["Σₚ,ₜ [i = s p + r t] v̄_(1,t,…,p)", "a stride s and a dilation r"]),
    ("reshape", lambda x: x.reshape(-1), ["x̄ = reshape(v̄₁, shape of x)"]),
    ("tril", lambda x: ag.tril(ag.reshape(x, (2, 2))), ["v̄₁ = v̄₂ ⊙ m", "m of 0 and 1"]),
    ("cumprod", ag.cumprod, ["x̄ᵢ = λᵢ v₁,ᵢ₋₁", "λᵢ = v̄₁,ᵢ + xᵢ₊₁ λᵢ₊₁"]),
    ("_p_norm", lambda x: linalg.vector_norm(x, ord=3), ["(|xᵢ| / v₁)^(p-1)", "with p = 3"]),
    ("sort", ag.sort, ["p = `argsort(x)`"]),
    ("_concatenate", lambda x: ag.concatenate([x, x]), ["so x̄ = x̄₀, x̄ += x̄₁"]),
    ("_eigh", lambda x: linalg.eigh(x.reshape((2, 2)))[0],
     ["diag λ̄ + F ⊙ (Vᵀ V̄)", "Fᵢⱼ = [λᵢ ≠ λⱼ]"]),
    ("dropout", lambda x: functional.dropout(x, p=0.5, key=1), ["x̄ = v̄₁ ⊙ m", "with p = 0.5"]),
    ("gelu", functional.gelu, ["x̄ = v̄₁ ⊙ f", "s = σ(2u)", "u = √(2/π) (x + 0.044715 x³)"]),
]


@pytest.mark.parametrize("op, f, expected", EXAMPLES, ids=[case[0] for case in EXAMPLES])
def test_equations_are_complete_and_their_letters_are_explained(
        op: str, f: Callable[[Tensor], Tensor], expected: list[str]) -> None:
    x = Tensor(np.array([2.0, 0.5, 0.5, 1.0]), requires_grad=True)
    text = step(f(x), op, x=x)
    for words in expected:
        assert words in text
    assert "lambda" not in text and "def " not in text


@pytest.mark.parametrize("subscripts, expected", [
    ("ii->i", ["m̄ᵢⱼ = [i = j] v̄₁,ᵢ"]), ("ii", ["m̄ᵢⱼ = [i = j] v̄₁"]), ("ij->ji", ["m̄ᵢⱼ = v̄₁,ⱼᵢ"]),
    ("ij->", ["m̄ᵢⱼ = v̄₁"]),
    ("ij,jk->ik", ["m̄ᵢⱼ = Σₖ v̄₁,ᵢₖ mⱼₖ", "m̄ⱼₖ += Σᵢ v̄₁,ᵢₖ mᵢⱼ"]),
    ("ij,kk->i", ["m̄ᵢⱼ = Σₖ v̄₁,ᵢ mₖₖ", "m̄ₖₗ += [k = l] Σᵢⱼ v̄₁,ᵢ mᵢⱼ"])])
def test_einsum_in_the_letters_of_its_subscripts(subscripts: str, expected: list[str]) -> None:
    m = leaf(3, 3)
    text = step(ag.einsum(subscripts, *[m] * (1 + subscripts.count(","))), "_einsum", m=m)
    assert [line.strip() for line in text.strip().splitlines()] == expected


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CASES))
@settings(max_examples=2, phases=[Phase.generate], deadline=None,
          suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_op_is_explained_in_formulas(name: str, data: Any) -> None:
    """In those of the ops that it is made of: no rule's source, and nothing that cannot be set."""
    args, options = data.draw(CASES[name].inputs)
    y = ag.registry[name](*(Tensor(x, requires_grad=True) if i in floating(args) else x
                            for i, x in enumerate(args)), **options)
    for part in y if isinstance(y, (tuple, list)) else [y]:
        if isinstance(part, Tensor) and part.node is not None:
            found = explain(part)
            assert not [text for kind, text in found.blocks if kind == "code"]
            assert "$" not in str(found) and 'class="formula"' not in found.html()


def test_a_fused_loss_lists_each_gradient_once() -> None:
    x, w = leaf(4, 3), leaf(5, 3)
    text = step(functional.linear_cross_entropy(x, w, np.array([0, 1, 2, 3])),
                "linear_cross_entropy", x=x, w=w)
    assert text.count("x̄ = ") == text.count("w̄ = ") == text.count("z̄ₙᵥ = ") == 1
    assert "pₙᵥ = " in text and "N counts the rows" in text


def test_a_condition_in_words_is_not_lost() -> None:
    """Of an op whose author did not put it into the equation."""
    @primitive
    def _cut(x: Any, /) -> Any:
        r"""Return max(x, 0).

        $\bar x = \bar y$ where x is positive, else 0.
        """
        return x

    _cut.vjp(lambda g: g)
    x = leaf(2)
    assert "x̄ = v̄₁ where x is positive" in step(_cut(x), "_cut", x=x)


@pytest.mark.parametrize("name, op, words", [
    ("b", "square", ["b̄ = 2 v̄₁ b"]), ("e", "expm1", ["x̄ = ȳ eˣ", "with x = e,", "so ē = x̄"]),
    ("x", "expm1", ["x̄ = v̄₁ eˣ"]), ("i", "sum", ["x̄ᵢ = ȳ", "with x = i,", "so ī = x̄"]),
    ("k", "max", ["with x = k,", "so k̄ = x̄"])])
def test_no_letter_means_two_things(name: str, op: str, words: list[str]) -> None:
    x = leaf(3)
    text = step(getattr(ag.ops, op)(x), op, **{name: x})
    assert all(part in text for part in words)


def test_a_constant_and_a_variable_of_one_letter_are_kept_apart() -> None:
    b = leaf(3)
    text = step(b**2, "power", b=b)
    assert "ā = [b ≠ 0] ȳ b a^(b-1)" in text and "with a = b, b = 2," in text and "so b̄ = ā" in text


def test_a_variable_named_as_a_letter_of_the_formula_is_kept_apart() -> None:
    n = leaf(3)
    text = step(ag.mean(n), "mean", n=n)
    assert "x̄ᵢ = ȳ / n" in text and "with x = n, y = v1, g = v̄₁" in text and "so n̄ = x̄" in text


def test_equations_with_the_variables_that_were_used() -> None:
    loss, names = toy()
    text = str(explain(loss, names=names))
    steps = [line for line in text.splitlines() if line.startswith("(")]
    assert [int(s[1 : s.index(")")]) for s in steps] == list(range(10, 1, -1))
    assert "(4) v4 = tanh(v3)   (5, 4) float64" in steps
    assert "v̄₃ = v̄₄ (1 - v₄²)" in text
    assert "v̄₇,ᵢ = v̄₈" in text  # the i-th element of v7
    assert "w̄ += aᵀ v̄₂\n      with a = const" in text  # w * w came first in the sweep
    assert "summed over the axes along which b was repeated" in text


def test_where_letters_would_mean_two_things_they_are_listed() -> None:
    @primitive
    def _odd(x: Any, i: Any, /) -> Any:
        r"""Return x * i.

        $\bar x_i = \bar y_i\,i_i$, $\bar i = \bar y\,x$
        """
        return x * i

    _odd.vjp(lambda g, i: g * i, lambda g, x: g * x)
    text = str(explain(_odd(leaf(2), leaf(2))))
    assert "x̄ᵢ = ȳᵢ iᵢ" in text and "with x = x0, i = x1, y = v2, g = v̄₂" in text
    assert "so x̄₀ = x̄, x̄₁ = ī" in text


def test_an_op_without_formulas_shows_its_rule() -> None:
    @primitive
    def _bare(x: Any, /) -> Any:
        """Return x."""
        return x

    _bare.vjp(lambda g: g)
    assert "_bare.vjp(lambda g: g)" in str(explain(_bare(leaf(2))))


def test_a_thousand_steps_are_cut_short() -> None:
    y = leaf(2)
    for _ in range(1000):
        y = y * 1.5
    assert "850 older steps are not shown" in str(explain(y))


def test_checkpointed_calls_are_explained_with_values() -> None:
    x = Tensor([0.5, 1.0], requires_grad=True)
    text = str(explain(checkpoint(tanh)(x).sum(), names={"x": x}, values=True))
    assert "computed again" in text and "one result of that call" in text
    dx = 1 - np.tanh(x.data) ** 2
    assert f"x̄ = [{dx[0]:.4f}, {dx[1]:.2f}]" in text


def test_values_are_the_gradients_and_nothing_is_used_up() -> None:
    x = Tensor([0.5, 1.0], requires_grad=True)
    loss = tanh(x).sum()
    dx = grad(lambda x: tanh(x).sum())(x.data)
    assert f"x̄ = [{dx[0]:.4f}, {dx[1]:.2f}]" in str(explain(loss, names={"x": x}, values=True))
    assert x.grad is None
    loss.backward()
    with pytest.raises(RuntimeError, match="already used"):
        explain(loss)
    with pytest.raises(ValueError, match="gradients of a scalar"):
        explain(tanh(x), values=True)
