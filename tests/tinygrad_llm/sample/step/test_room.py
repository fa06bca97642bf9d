"""A layer's calls, for parts of usual and of other classes, beside the model's own call."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from written_steps import VOCAB, Replaced, asked, made, replace, written

from autograd import Tensor
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.sample.step import stepper


@pytest.mark.parametrize("scale", [4.0, 60.0])
def test_numbers_far_from_the_usual_neither_warn_nor_differ(scale: float) -> None:
    """Scores lie far apart, exponentials overflow in float32."""
    for model in (GPT(GPTConfig(VOCAB, 6, 2, 2, 8)), Llama(LlamaConfig(VOCAB, 6, 2, 2, 8))):
        made(model, np.float32, scale)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cache, other = model.cache(2), model.cache(2)
            step = stepper(model, cache)
            assert step is not None
            for token in (1, 4, 1, 5):
                got, expected = step([token, 3]), asked(model, [token, 3], other)
                np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("place", ["h.0.mlp", "h.1.mlp.down", "h.0.mlp.up", "h.1.attn.qkv",
                                   "h.0.attn.out", "h.1.ln_2", "h.0.ln_1", "ln_f"])
def test_a_part_of_another_class_is_called_as_it_is(place: str, rows: int) -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=2, heads=2, width=4)))
    substitute = Replaced({"qkv": 12, "up": 16}.get(place.rpartition(".")[2], 4))
    replace(model, place, substitute)
    written(model, rows, 3)


@pytest.mark.parametrize("place", ["post_attn", "post_mlp", "attn.q_norm", "norm_2"])
def test_so_is_a_norm_of_a_llama(place: str) -> None:
    model = made(Llama(LlamaConfig(VOCAB, 4, 2, 2, 4, post_norms=True, qk_norm=True)))
    replace(model, f"h.1.{place}", Replaced(2 if "q_norm" in place else 4))
    written(model, 2, 3)


def test_a_part_of_other_numbers_is_called_as_it_is() -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=2, heads=2, width=4)))
    for part in (model.h[0].mlp.up, model.h[1].attn.out, model.h[0].ln_1):
        part.weight.data = part.weight.data.astype(np.float32)
    written(model, 2, 3)


def test_an_untied_head_and_each_eps_are_read() -> None:
    model = made(GPT(GPTConfig(VOCAB, context=4, layers=1, heads=1, width=4)))
    model.head = Tensor(np.cos(np.arange(VOCAB * 4.0)).reshape(VOCAB, 4))
    model.ln_f.eps, model.h[0].ln_1.eps, model.h[0].ln_2.eps = 0.5, 0.3, 0.2
    written(model, 2, 3)
