"""Llama against glassllm, a model of its shape that was trained in NumPy: text, loss, gradients.

Its weights lie (in, out), its rotary positions turn neighbours. In float64, both to 12 digits.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.models import Llama, LlamaConfig
from tinygrad_llm.nn import load_parameters, parameters
from tinygrad_llm.sample import Sampling, generate

glassllm = pytest.importorskip("glassllm")
pytestmark = pytest.mark.oracle

TEXTS = ("Alice was beginning to get very tired of sitting by her sister on the bank.", "O",
         "Capitu olhou para mim, \u00e0s nove e meia.\n\n\t\u4f60\u597d \U0001f600  two spaces")


@pytest.fixture(scope="module", params=["en", "pt"])
def theirs(request: pytest.FixtureRequest) -> Any:
    """Return their model of a language, in float64 from the table of cosines on; its tokenizer."""
    with as_file(files("glassllm") / "weights" / f"{request.param}.npz") as path:
        model = glassllm.GlassLM.load(path, dtype=np.float64)
    return model, glassllm.load_pretrained(request.param)[1]


def in_our_places(arrays: dict[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """Return their parameters, or gradients of them, under our names."""
    found = {"wte.weight": arrays["E"], "norm_f.weight": arrays["norm_f.gamma"]}
    for i in range(layers):
        layer = {name.removeprefix(f"blocks.{i}."): a for name, a in arrays.items()}
        found |= {f"h.{i}.{ours}.weight": np.concatenate([layer[name] for name in names], -1).T
                  for ours, names in (
                      ("norm_1", ["norm1.gamma"]), ("norm_2", ["norm2.gamma"]),
                      ("attn.qkv", ["attn.W_Q", "attn.W_K", "attn.W_V"]),
                      ("attn.out", ["attn.W_O"]), ("mlp.gate_up", ["ffn.W1", "ffn.W3"]),
                      ("mlp.down", ["ffn.W2"]))}
    return found


def ours_of(model: Any, dtype: str = "float64") -> Llama:
    """Return our model with the weights of theirs."""
    sizes = asdict(model.cfg)
    config = LlamaConfig(
        vocab_size=sizes["vocab_size"], context=sizes["max_len"], layers=sizes["n_layers"],
        heads=sizes["n_heads"], key_heads=sizes["n_kv_heads"], width=sizes["d_model"],
        inner=int(8 * sizes["d_model"] / 3), norm_eps=sizes["eps"], theta=sizes["rope_base"],
        rotary_interleaved=True)
    ours = Llama(config, seed=None)
    for p in parameters(ours).values():
        p.data = p.data.astype(dtype)
        assert p.node is not None
        p.node.dtype = p.data.dtype
    own = {name: p.data for name, p in model.named_parameters().items()}
    load_parameters(ours, in_our_places(own, sizes["n_layers"]))
    return ours


def assert_close(ours: Any, theirs: Any, tolerance: float, name: str) -> None:
    """Fail unless the largest difference is tiny beside the largest number."""
    assert ours.shape == theirs.shape, name
    assert abs(ours - theirs).max() <= tolerance * abs(theirs).max(), name


@pytest.mark.parametrize("text", TEXTS)
def test_logits_of_any_text(theirs: Any, text: str) -> None:
    model, tokenizer = theirs
    ids = np.array([tokenizer.encode(text)])
    logits = model.forward(ids).data
    assert_close(ours_of(model)(ids).data, logits, 1e-12, "logits")
    assert_close(ours_of(model, "float32")(ids).data, logits, 1e-5, "logits in float32")


def test_loss_and_every_gradient_over_the_whole_context(theirs: Any) -> None:
    model, _ = theirs
    ids = np.random.default_rng(1).integers(model.cfg.vocab_size, size=(3, model.cfg.max_len + 1))
    ours, expected = ours_of(model), model.loss(ids[:, :-1], ids[:, 1:])
    loss = ours.loss(ids[:, :-1], ids[:, 1:])
    assert abs(float(loss) - float(expected.data)) <= 1e-12 * float(loss)
    loss.backward()
    for p in model.parameters():
        p.grad = None
    expected.backward()
    gradients = in_our_places({name: p.grad for name, p in model.named_parameters().items()},
                              model.cfg.n_layers)
    own = parameters(ours)
    assert own.keys() == gradients.keys()
    for name, p in own.items():
        assert_close(p.grad, gradients[name], 1e-12, name)


def test_the_text_it_goes_on_with(theirs: Any) -> None:
    """Both with their caches, until the context is full; then each forgets in its own way."""
    model, tokenizer = theirs
    prompt = tokenizer.encode(TEXTS[0])
    count = model.cfg.max_len - len(prompt)
    expected = [step.token for step in model.generate(prompt, count, greedy=True)]
    found = [*generate(ours_of(model), prompt, count, Sampling(temperature=0),
                       np.random.default_rng(0))]
    assert found == expected
