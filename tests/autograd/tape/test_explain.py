"""Ops and backward passes in words and formulas."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tapes import leaf, toy

from autograd import Tensor, checkpoint, grad, primitive, registry, tanh
from autograd.tape import explain, trace
from autograd.tape.maths import mathml
from tinygrad_llm import functional
from tinygrad_llm.models.gpt import GPT, GPTConfig
from tinygrad_llm.nn.parameters import parameters


# an op
def test_every_op_has_an_explanation() -> None:
    for op in registry.values():
        text = str(explain(op))
        assert text.startswith(op.name) and "not at hand" not in text, op
        assert explain(op).latex().startswith(r"\section*{")


def test_a_primitive_shows_formula_rule_and_residuals() -> None:
    text = str(explain("tanh"))
    assert "tanh.vjp(lambda g, y: g * (1 - y * y))" in text
    assert "keeps for x: y" in text and "of every order" in text
    assert text == str(explain(tanh)) == str(explain(tanh.forward))


def test_each_kind_of_op_says_its_kind() -> None:
    layer_norm = str(explain(functional.layer_norm))
    assert "keeps n, r, w, has_bias" in layer_norm and "def reference" in layer_norm
    assert "x̄ = r (h - ⟨h⟩ - n ⟨h ⊙ n⟩)" in layer_norm
    assert "composition of ops" in str(explain("einsum"))
    assert "carry no gradient" in str(explain("greater"))


def test_what_is_no_op() -> None:
    with pytest.raises(KeyError, match=r"similar ones are .*tanh"):
        explain("anh")
    with pytest.raises(TypeError, match="expected an op"):
        explain(len)


# a backward pass
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


def test_a_thousand_steps_are_cut_short() -> None:
    y = leaf(2)
    for _ in range(1000):
        y = y * 1.5
    assert "850 older steps are not shown" in str(explain(y))


@pytest.mark.parametrize("suffix, start", [
    ("html", "<!doctype html>"), ("tex", "\\section*{"), ("txt", "The backward pass")])
def test_files(tmp_path: Path, suffix: str, start: str) -> None:
    loss, names = toy()
    explain(loss, names=names, values=True).save(tmp_path / f"e.{suffix}")
    assert (tmp_path / f"e.{suffix}").read_text(encoding="utf-8").startswith(start)




def test_mathml_of_names_is_safe() -> None:
    pytest.importorskip("latex2mathml")
    x = leaf(2)
    page = explain(tanh(x), names={"<script>&{}$_^\\": x}).html()
    assert "<script>" not in page and "<math" in page
    assert "border-top" in mathml(r"\overline{x + y}")


def test_every_formula_in_a_docstring_becomes_mathml() -> None:
    pytest.importorskip("latex2mathml")
    for op in registry.values():
        assert "<code>\\" not in explain(op).html(), op


def test_a_small_model() -> None:
    model = GPT(GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=8))
    ids = np.arange(8).reshape(2, 4)
    loss = model.loss(ids, ids)
    names = parameters(model)
    assert "leaf h.1.mlp.up.weight" in str(trace(loss, names=names))
    assert trace(loss, names=names).svg().count("<rect") == 62
    text = str(explain(loss, names=names, values=True))
    assert "= linear_cross_entropy(v59, wte.weight, const)" in text
    assert "bar(wte.weight) += w̄" in text


def test_checkpointed_calls_are_explained_with_values() -> None:
    x = Tensor([0.5, 1.0], requires_grad=True)
    text = str(explain(checkpoint(tanh)(x).sum(), names={"x": x}, values=True))
    assert "computed again" in text and "one result of that call" in text
    dx = 1 - np.tanh(x.data) ** 2
    assert f"x̄ = [{dx[0]:.4f}, {dx[1]:.2f}]" in text


def test_sources_of_notebooks_and_of_nowhere() -> None:
    text = "import autograd as ag\n@ag.primitive\ndef cell(x, /):\n    return x\n" \
           "cell.vjp(\n    lambda g: g)\n"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<nowhere>", "exec"), space)
    assert "source is not at hand" in str(explain(space["cell"]))
    linecache.cache["/tmp/cell/1.py"] = (len(text), None, text.splitlines(True), "/tmp/cell/1.py")
    exec(compile(text, "/tmp/cell/1.py", "exec"), space)
    assert "cell.vjp(\n        lambda g: g)" in str(explain(space["cell"]))


def test_an_op_without_a_rule_yet() -> None:
    @primitive
    def unfinished(x: Any, /) -> Any:
        return x

    assert "has no derivative yet" in str(explain(unfinished))
    with pytest.raises(KeyError, match="similar ones are tanh"):
        explain("tanhh")
