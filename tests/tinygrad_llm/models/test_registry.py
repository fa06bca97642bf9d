"""Models by name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor, no_grad
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import (
    ARCHITECTURES,
    DEFAULT,
    GPT,
    GPTConfig,
    architecture,
    architecture_of,
)
from tinygrad_llm.nn import parameters, with_parameters


def test_gpt_is_found_by_its_name() -> None:
    assert DEFAULT == "gpt"
    found = architecture("gpt")
    assert found.config is GPTConfig and found.model is GPT
    with pytest.raises(FrozenInstanceError):
        found.model = None  # type: ignore[misc]


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match="unknown architecture 'gtp'; did you mean 'gpt'?"):
        architecture("gtp")
    with pytest.raises(UserError, match="unknown architecture 'xyz'; known are gpt, llama"):
        architecture("xyz")


def test_a_model_knows_its_name_also_with_another_class() -> None:
    config = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)
    assert architecture_of(GPT(config)) == "gpt"
    assert architecture_of(type("Patched", (GPT,), {})(config)) == "gpt"


def test_a_model_without_a_name() -> None:
    class Strange:
        config = 3

    with pytest.raises(ValueError, match="Strange has no name; enter it in"):
        architecture_of(Strange())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_keeps_what_training_and_sampling_ask_of_it(name: str) -> None:
    """The protocol LanguageModel: on ids (1, 3), with a cache and without."""
    known = architecture(name)
    model = known.model(known.config(vocab_size=7), 1)
    ids = np.array([[1, 2, 3]])
    logits = model(ids).data
    assert model.config.vocab_size == 7 and model.config.context >= 3
    assert logits.shape == (1, 3, 7) and model.hidden(ids).shape[:2] == (1, 3)
    assert float(model.loss(ids, ids)) == pytest.approx(
        -np.log(np.take_along_axis(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
                                   ids[..., None], -1)).mean(), rel=1e-5)
    with no_grad():
        cache = model.cache()
        model.next_logits(ids[:, :2], cache=cache)
        np.testing.assert_allclose(model.next_logits(ids[:, 2:], cache=cache).data, logits[:, -1],
                                   rtol=1e-4, atol=1e-6)
    assert model.head.shape[0] == 7
    blank = known.model(known.config(vocab_size=7), None)
    assert not any(p.data.any() for n, p in parameters(blank).items() if "norm" not in n
                   and "ln" not in n)
    assert (known.model(known.config(vocab_size=7), 2).head.data != model.head.data).any()


WEIGHTS = {
    "gpt": ["wte.weight", "wpe.weight", "h.0.ln_1.weight", "h.0.ln_1.bias", "h.0.attn.qkv.weight",
            "h.0.attn.qkv.bias", "h.0.attn.out.weight", "h.0.attn.out.bias", "h.0.ln_2.weight",
            "h.0.ln_2.bias", "h.0.mlp.up.weight", "h.0.mlp.up.bias", "h.0.mlp.down.weight",
            "h.0.mlp.down.bias", "ln_f.weight", "ln_f.bias"],
    "llama": ["wte.weight", "h.0.norm_1.weight", "h.0.attn.qkv.weight", "h.0.attn.out.weight",
              "h.0.norm_2.weight", "h.0.mlp.gate_up.weight", "h.0.mlp.down.weight",
              "norm_f.weight"],
}


def test_weights_keep_the_names_that_they_have_in_checkpoints() -> None:
    """A renamed attribute would leave all earlier checkpoints unreadable."""
    assert set(WEIGHTS) == set(ARCHITECTURES)
    for name, expected in WEIGHTS.items():
        known = architecture(name)
        model = known.model(known.config(vocab_size=5, context=4, layers=1, heads=1, width=4), 0)
        named = known.weights(model)
        assert list(named) == expected
        assert all(named[name] is p for name, p in parameters(model).items())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(("name", "sizes"), [
    ("gpt", {}), ("gpt", {"positions": "sinusoidal", "norm": "rms", "mlp": "swiglu"}),
    ("llama", {"experts": 4, "key_heads": 2, "qk_norm": True}),
    ("llama", {"logit_cap": 9.0, "soft_cap": 5.0, "norm_offset": 1.0, "embed_scale": 5.7})])
def test_a_model_of_half_precision_has_logits_and_a_loss_in_float32(
        name: str, sizes: dict[str, object], dtype: type) -> None:
    known = architecture(name)
    model = known.model(known.config(vocab_size=13, width=32, layers=2, **sizes), 1)
    half = with_parameters(model, {key: Tensor(p.data.astype(dtype), requires_grad=True)
                                   for key, p in parameters(model).items()})
    ids = np.arange(26).reshape(2, 13) % 13
    assert half.hidden(ids).dtype == dtype
    for result, right in ((half(ids), model(ids)), (half.next_logits(ids), model.next_logits(ids)),
                          (half.loss(ids, ids), model.loss(ids, ids)),
                          (half.training_loss(ids, ids), model.training_loss(ids, ids)),
                          (half.lens(half.wte(ids)), model.lens(model.wte(ids)))):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result.data, right.data, rtol=0.02, atol=0.02)
