"""Ops and backward passes in words and formulas."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tapes import leaf, toy

import autograd
from autograd import primitive, registry, tanh
from autograd.primitive import Composite
from autograd.tape import explain, trace
from autograd.tape.formulas.maths import mathml
from tinygrad_llm import functional
from tinygrad_llm.models.gpt import GPT, GPTConfig
from tinygrad_llm.nn.layers import LayerNorm
from tinygrad_llm.nn.parameters import parameters
from tinygrad_llm.optim import AdamW, clip_by_global_norm
from tinygrad_llm.text import train_bpe

linear_cross_entropy_file = sys.modules["tinygrad_llm.functional.loss.linear_cross_entropy"]


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


def test_the_source_of_a_composition_is_its_own() -> None:
    """Of one that a decorator has wrapped, too."""
    for op in registry.values():
        if isinstance(op, Composite) and op.forward.__module__.startswith("autograd."):
            assert f"def {op.forward.__name__}(" in str(explain(op)), op


def test_each_kind_of_op_says_its_kind() -> None:
    layer_norm = str(explain(functional.layer_norm))
    assert "keeps n, r, w, has_bias" in layer_norm and "def reference" in layer_norm
    assert "x̄ = r (h - ⟨h⟩ - n ⟨h ⊙ n⟩)" in layer_norm
    assert "composition of ops" in str(explain("einsum"))
    assert "carry no gradient" in str(explain("greater"))


def test_what_is_no_op() -> None:
    with pytest.raises(KeyError, match=r"similar ones are .*tanh"):
        explain("anh")
    for thing in (len, 3.0, explain, lambda x: x):
        with pytest.raises(TypeError, match="expected an op, its name, a Tensor, or a function"):
            explain(thing)
    with pytest.raises(TypeError, match=r"explain\('tanh'\) explains the op"):
        explain(np.tanh)


@pytest.mark.parametrize("name", ["layer_norm", "gelu"])
def test_a_name_of_two_ops_shows_both_the_derived_one_first(name: str) -> None:
    text = str(explain(name))
    ours, composed = (text.index(f"), {module}") for module in (
        f"tinygrad_llm.functional.{name}\n", "autograd.ops.activations\n"))
    assert ours < text.index("Derivation") < text.index("The reference") < composed
    assert "autograd.ops" not in str(explain(f"functional.{name}.{name}"))
    assert "tinygrad" not in str(explain(getattr(autograd, name)))


@pytest.mark.parametrize("docstring, heading", [
    (r"Return x.", None), (r"Return x: $\bar x = g$.", None),
    ("Return x.\n\nIt raises.", "Notes"), ("Return x.\n\n$\\bar x = g$.", "Gradient"),
    ("Return x.\n\n$dy = dx$, so $\\bar x = g$.", "Derivation")])
def test_only_a_derivation_is_called_one(docstring: str, heading: str | None) -> None:
    def _headed(x: Any, /) -> Any:
        return x

    _headed.__doc__ = docstring
    text = str(explain(primitive(_headed)))
    found = [h for h in ("Notes", "Gradient", "Derivation") if f"\n{h}\n" in text]
    assert found == ([heading] if heading else [])


def test_basic_ops_are_derived() -> None:
    for name in ("tanh", "exp", "mean", "multiply", "relu", "transpose", "maximum", "where"):
        text = str(explain(name))
        derivation = text[text.index("Derivation") : text.index("Its rule")]
        assert "dy" in derivation and "so" in derivation, name


def test_lists_and_formulas_keep_their_lines() -> None:
    text = str(explain(functional.attention))
    for line in ("  1. do = dp̃ v", "  2. Softmax", "  4. ds = α", "      sᵢⱼ = α qᵢ · kⱼ"):
        assert f"\n{line}" in text
    assert max(map(len, text.partition("Its rule")[0].splitlines()[1:])) <= 100
    page = explain(functional.attention).html()
    assert page.count('<p class="item">') == 4 and page.count('<div class="math">') == 3
    latex = explain(functional.attention).latex()
    assert "\\[ s_{ij} = " in latex and latex.count("\\hangindent") == 4 and "$$" not in latex


def test_source_is_shown_without_the_docstring_that_is_set_above() -> None:
    text = str(explain("mse_loss"))
    assert "def mse_loss(x: Any" in text and "$" not in text and text.count("2u (dx - dt)") == 1
    assert '"""Return the gradients of q, k and v."""' in str(explain(functional.attention))


def test_short_formulas_are_not_broken() -> None:
    text = str(explain("_concatenate"))
    assert "dy_(oₖ + i) = dxₖ,ᵢ" in text and "\xa0" not in text


def test_formulas_are_readable_without_the_package_for_mathml(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "latex2mathml", None)
    page = explain("tanh").html()
    assert 'x̄ = ȳ (1 - y²)' in page and "\\bar" not in page


# another function or class
@pytest.mark.parametrize("thing, words", [
    (AdamW, "m ← β₁ m + (1 - β₁) g"), (train_bpe, "c(a, b) = Σ"),
    (clip_by_global_norm, "c / ‖ g ‖"),
    (sys.modules[AdamW.__module__], "v̂ = v/(1 - β₂^t)"), (linear_cross_entropy_file, "Z = X Wᵀ")])
def test_the_maths_of_a_docstring_is_shown(thing: Any, words: str) -> None:
    text = str(explain(thing))
    assert words in text and text.startswith(thing.__name__) and "$" not in text
    assert explain(thing).latex().startswith("\\section*") and "<h2>" in explain(thing).html()


def test_a_layer_shows_the_maths_of_its_op_and_an_object_that_of_its_class() -> None:
    assert "From tinygrad_llm.functional.layer_norm" in str(explain(LayerNorm))
    model = GPT(GPTConfig(vocab_size=11, context=8, layers=1, heads=2, width=8))
    assert str(explain(model)) == str(explain(GPT)) and "$" not in str(explain(model))


def test_an_op_is_found_by_its_methods_and_by_numpys_names() -> None:
    x = leaf(2)
    for thing in (autograd.sum, x.sum, autograd.Tensor.sum, "np.sum", "autograd.ops.reduce.sum"):
        assert str(explain(thing)) == str(explain("sum"))
    assert str(explain(x.__add__)) == str(explain("add"))
    assert str(explain("linalg.det")) == str(explain(autograd.linalg.det))
    with pytest.raises(KeyError, match="see registry"):
        explain("")


def test_signatures_are_short() -> None:
    assert str(explain(train_bpe)).startswith("train_bpe(sources, vocab_size, *, pattern=..., ")
    assert str(explain(AdamW)).startswith("AdamW(parameters, *, beta1=")


# a backward pass
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
        assert 'class="formula"' not in explain(op).html(), op


def test_a_small_model() -> None:
    model = GPT(GPTConfig(vocab_size=11, context=8, layers=2, heads=2, width=8))
    ids = np.arange(8).reshape(2, 4)
    loss = model.loss(ids, ids)
    names = parameters(model)
    assert "\nh.1.mlp.up.weight " in str(trace(loss, names=names))
    assert str(trace(loss)) == str(trace(loss, names=model)) == str(trace(loss, names=names))
    assert trace(loss, names=names).svg().count("<rect") == 62
    text = str(explain(loss, names=names, values=True))
    assert "= linear_cross_entropy(v59, wte.weight, const)" in text
    assert "bar(wte.weight) = Z̄ᵀ v₅₉" in text and "bar(wte.weight) += Eᵀ" in text
    assert "bar(h.0.attn.qkv.weight) = " in text and "h = v̄₅₉ ⊙ ln_f.weight" in text


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
